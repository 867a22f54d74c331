//! The tables of `docs/protocols`: each row says what we do of a foreign protocol, and names what shows it.
//!
//! A row is `| what | same, differs or absent | notes | test |`. A test is a Rust function in backquotes, with or without
//! its path, or `story http/16`, a recorded story, with or without its steps. A function counts that a test runner runs:
//! a helper that is named like what it helps to show does not.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

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

/// Our macros that make a test of each function that they name.
const OF_SCENARIOS: &str = "dev_and_durable";
const OF_STORIES: &str = "stories";

/// What a row may name.
struct Known<'a> {
    tests: BTreeSet<String>,
    /// `http/16`, without the story's name.
    stories: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(house: &'a House) -> Self {
        let mut tests = Tests::default();
        house.rust.iter().for_each(|file| tests.visit_file(&file.syntax));
        let stories = house.texts.keys().filter_map(|path| path.strip_prefix(STORIES));
        Self {
            tests: tests.0,
            stories: stories.filter_map(|path| path.split_once('-')).map(|(id, _)| id).collect(),
        }
    }
}

/// The names of the tests that were seen.
#[derive(Default)]
struct Tests(BTreeSet<String>);

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        // `#[test]` and `#[tokio::test(…)]`.
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
        };
        if function.attrs.iter().any(is_test) {
            self.0.insert(function.sig.ident.to_string());
        }
        visit::visit_item_fn(self, function);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let tokens = call.tokens.clone();
        let named = |name| call.path.is_ident(name);
        match () {
            () if named(OF_SCENARIOS) => self.0.extend(tokens.into_iter().filter_map(word)),
            () if named(OF_STORIES) => self.0.extend(left_of_equals(tokens)),
            // `proptest!` and its like hold functions as they would stand alone.
            () => self.0.extend(marked(tokens)),
        }
    }
}

fn word(token: TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    }
}

/// The names in `name = "story" …`.
fn left_of_equals(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let pairs = tokens.windows(2).filter(|pair| pair[1].to_string() == "=");
    pairs.filter_map(|pair| word(pair[0].clone())).collect()
}

/// The functions that follow `#[test]`, whatever else stands between.
fn marked(tokens: TokenStream) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_marked = false;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Group(group) if group.stream().to_string() == "test" => is_marked = true,
            TokenTree::Ident(word_of) if word_of == "fn" => {
                let name = tokens.peek().cloned().and_then(word);
                names.extend(name.filter(|_| is_marked));
                is_marked = false;
            }
            _ => {}
        }
    }
    names
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
        None => name.rsplit("::").next().is_some_and(|name| known.tests.contains(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::house::{heard, house_of};
    use super::*;

    #[track_caller]
    fn check(row: &str, expected: Option<&str>) {
        let text = format!("# P\n\n| What | State | Notes | Test |\n|---|---|---|---|\n{row}\n");
        let code = r#"//! Doc.
            fn a_helper() {}
            macro_rules! made { ($name:ident) => { #[test] fn $name() {} }; }
            dev_and_durable! { a_scenario another }
            stories! { a_story = "http/16" }
            #[cfg(test)]
            mod tests {
                #[test]
                fn it_is_so() { fn inside() {} }
                #[tokio::test(start_paused = true)]
                async fn it_will_be_so() {}
                proptest! {
                    #![proptest_config(few())]
                    #[test]
                    fn it_is_always_so(a in 0..9) { helped(a) }
                    fn helped(a: u8) {}
                }
            }
        "#;
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
    fn a_function_is_a_test_only_where_something_runs_it() {
        for name in ["it_will_be_so", "a_scenario", "another", "a_story", "it_is_always_so"] {
            check(&format!("| `GET x` | same | | `{name}` |"), None);
        }
        for name in ["a_helper", "inside", "helped", "made", "tests"] {
            let says = format!("there is no test `{name}`");
            check(&format!("| `GET x` | same | | `{name}` |"), Some(&says));
        }
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
