//! The tables of `docs/protocols`: each row says what we do of a foreign protocol, and names what shows it.
//!
//! A row is `| what | same, differs or absent | notes | test |`. A test is a Rust function in backquotes, with or without
//! its path, or `story http/16`, a recorded story, with or without its steps.

use std::collections::BTreeSet;

use super::Complaint;
use super::house::House;

const FOLDER: &str = "docs/protocols/";
const STORIES: &str = "testing/fixtures/consul/";
const STATES: &[&str] = &["same", "differs", "absent"];

/// Each row of each table is whole, and its test is there.
pub(super) fn rows_with_a_test(house: &House) -> Vec<Complaint> {
    let known = Known::of(house);
    let mut complaints = Vec::new();
    for (path, text) in house.texts.iter().filter(|(path, _)| path.starts_with(FOLDER)) {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
            let says = wrong_with(line, &known);
            complaints.extend(says.map(|says| Complaint {
                path: path.clone(),
                line: index + 1,
                rule: "protocols",
                item: None,
                says,
            }));
        }
    }
    complaints
}

/// What a row may name.
struct Known<'a> {
    functions: BTreeSet<&'a str>,
    /// `http/16`, without the story's name.
    stories: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(house: &'a House) -> Self {
        let sources = house.rust.iter().flat_map(|file| file.text.split("fn ").skip(1));
        let stories = house.texts.keys().filter_map(|path| path.strip_prefix(STORIES));
        Self {
            functions: sources.map(name_at_the_start).collect(),
            stories: stories.filter_map(|path| path.split_once('-')).map(|(id, _)| id).collect(),
        }
    }
}

fn name_at_the_start(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// What is wrong with one line of a table, if anything.
fn wrong_with(line: &str, known: &Known) -> Option<String> {
    let line = line.trim();
    let inside = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or(line);
    let cells: Vec<&str> = inside.split('|').map(str::trim).collect();
    let is_rule = line.chars().all(|letter| "|-: ".contains(letter));
    if is_rule || cells[1..] == ["State", "Notes", "Test"] {
        return None;
    }
    let [_what, state, _notes, tests] = cells[..] else {
        return Some("a row is `| what | same, differs or absent | notes | test |`".into());
    };
    if !STATES.contains(&state) {
        return Some(format!("{state:?} is none of same, differs, absent"));
    }
    let mut names = tests.split('`').skip(1).step_by(2).peekable();
    if names.peek().is_none() {
        return Some("a row without a test".into());
    }
    names.find(|name| !is_there(name, known)).map(|name| format!("there is no test `{name}`"))
}

fn is_there(name: &str, known: &Known) -> bool {
    match name.strip_prefix("story ") {
        Some(story) => story.split(' ').next().is_some_and(|id| known.stories.contains(id)),
        None => name.rsplit("::").next().is_some_and(|name| known.functions.contains(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::house::{heard, house_of};
    use super::*;

    #[track_caller]
    fn check(row: &str, expected: Option<&str>) {
        let text = format!("# P\n\n| What | State | Notes | Test |\n|---|---|---|---|\n{row}\n");
        let code = "//! Doc.\n#[test]\nfn it_is_so() {}\n";
        let house = house_of(
            "m",
            &[
                ("docs/protocols/p.md", &text),
                ("crates/m/src/a.rs", code),
                ("testing/fixtures/consul/http/16-agent-checks.json", "{}"),
            ],
        );
        let expected = expected.map(|says| format!("docs/protocols/p.md:5: {says} [protocols]"));
        assert_eq!(heard(&rows_with_a_test(&house)), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_row_names_a_test_or_a_story() {
        check("| `GET x` | same | | `it_is_so` |", None);
        check("| `GET x` | differs | more | `a::tests::it_is_so`, `story http/16 3-5` |", None);
        check("| `GET x` | absent | | `story http/16` |", None);
    }

    #[test]
    fn a_row_without_one_is_a_complaint() {
        check("| `GET x` | same | | – |", Some("a row without a test"));
        check("| `GET x` | same | | |", Some("a row without a test"));
        check("| `GET x` | same | | `it_was_so` |", Some("there is no test `it_was_so`"));
        check(
            "| `GET x` | same | | `it_is_so`, `story dns/16` |",
            Some("there is no test `story dns/16`"),
        );
        check(
            "| `GET x` | most | | `it_is_so` |",
            Some("\"most\" is none of same, differs, absent"),
        );
        let shape = "a row is `| what | same, differs or absent | notes | test |`";
        check("| `GET x` | same |", Some(shape));
    }
}
