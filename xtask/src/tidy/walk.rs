//! The walk through the code in `ARCHITECTURE.md`: each name it tells to search for is there.
//!
//! A row is `| step | file | search for |` under a heading row that begins so; a file is named as
//! `crate/path` without `src` and `.rs`, what to search for is a name defined in it.

use super::Complaint;
use super::house::House;

const MAP: &str = "ARCHITECTURE.md";

/// What may stand before a name where it is defined.
const DEFINITIONS: &[&str] =
    &["fn ", "struct ", "enum ", "trait ", "static ", "const ", "type ", "mod "];

/// Each name of the walk is defined in the file named beside it.
pub(super) fn names_that_can_be_found(house: &House) -> Vec<Complaint> {
    let map = house.texts.get(MAP).map_or("", String::as_str);
    let mut complaints = Vec::new();
    let mut inside = false;
    for (index, line) in map.lines().enumerate() {
        if line.starts_with("| step | file | search for |") {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        } else if inside && !line.starts_with("|--") {
            let says = broken_row(house, line);
            complaints.extend(says.map(|says| Complaint {
                path: MAP.into(),
                line: index + 1,
                rule: "walk",
                item: None,
                says,
            }));
        }
    }
    complaints
}

/// What is wrong with one row, if anything.
fn broken_row(house: &House, line: &str) -> Option<String> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [_step, file, search] = cells[..] else { return Some("a row has three cells".into()) };
    let Some((krate, path)) = file.trim_matches('`').split_once('/') else {
        return Some("a file is `crate/path`".into());
    };
    let candidates =
        [format!("crates/{krate}/src/{path}.rs"), format!("crates/{krate}/src/{path}/mod.rs")];
    let Some(text) = candidates.iter().find_map(|path| house.texts.get(path)) else {
        return Some(format!("there is no file {file}"));
    };
    let names = search.split('`').skip(1).step_by(2);
    let mut missing = names.filter(|name| !defines(text, name));
    missing.next().map(|name| format!("{file} defines no `{name}`"))
}

fn defines(text: &str, name: &str) -> bool {
    DEFINITIONS.iter().any(|kind| {
        let definition = format!("{kind}{name}");
        text.match_indices(&definition).any(|(at, found)| {
            let next = text[at + found.len()..].chars().next();
            next.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::house::{heard, house_of};
    use super::*;

    #[track_caller]
    fn check(row: &str, expected: &[&str]) {
        let map = format!("# Map\n\n| step | file | search for |\n|---|---|---|\n{row}\n\nEnd.\n");
        let code = "//! Doc.\npub fn find(path: &str) {}\nstatic ROUTES: u8 = 0;\n";
        let house = house_of("m", &[(MAP, &map), ("crates/m/src/a/mod.rs", code)]);
        assert_eq!(heard(&names_that_can_be_found(&house)), expected);
    }

    #[test]
    fn a_name_of_the_walk_is_defined_where_it_says() {
        check("| It is found. | `m/a` | `find`, `ROUTES` |", &[]);
        let says = "ARCHITECTURE.md:5: `m/a` defines no `fin` [walk]";
        check("| It is found. | `m/a` | `fin` |", &[says]);
        check(
            "| It is found. | `m/b` | `find` |",
            &["ARCHITECTURE.md:5: there is no file `m/b` [walk]"],
        );
        check("| It is found. | `m/a` |", &["ARCHITECTURE.md:5: a row has three cells [walk]"]);
    }
}
