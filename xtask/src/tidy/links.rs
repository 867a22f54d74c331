//! Links between documents: each relative one leads to a file, each decision is in the index.

use super::Complaint;
use super::house::House;
use super::modules::normal;

const INDEX: &str = "docs/decisions/README.md";

/// Each relative link of each document leads to a file or directory of the checkout.
pub(super) fn links_that_lead_somewhere(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, text) in house.texts.iter().filter(|(path, _)| path.ends_with(".md")) {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (line, target) in links(text) {
            let file = target.split('#').next().unwrap_or_default();
            let foreign = target.contains("://") || target.starts_with("mailto:");
            if foreign || file.is_empty() || exists(house, &format!("{directory}/{file}")) {
                continue;
            }
            complaints.push(complain(path, line, format!("the link to {target} leads nowhere")));
        }
    }
    complaints
}

/// Each decision is named in the index of decisions.
pub(super) fn decisions_in_the_index(house: &House) -> Vec<Complaint> {
    let index = house.texts.get(INDEX).map_or("", String::as_str);
    let decisions = house.texts.keys().filter_map(|path| path.strip_prefix("docs/decisions/"));
    decisions
        .filter(|name| *name != "README.md" && !index.contains(&format!("({name})")))
        .map(|name| complain(INDEX, 1, format!("decision {name} is not in the index")))
        .collect()
}

fn exists(house: &House, path: &str) -> bool {
    let path = normal(path);
    let inside = format!("{path}/");
    house.texts.contains_key(&path) || house.texts.keys().any(|file| file.starts_with(&inside))
}

/// The targets of `[text](target)` with their lines, code left out.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code || line.starts_with("    ") {
            continue;
        }
        // Between backticks stands code: every second piece.
        for prose in line.split('`').step_by(2) {
            for after in prose.split("](").skip(1) {
                let target = after.split([')', ' ']).next().unwrap_or_default();
                found.push((index + 1, target));
            }
        }
    }
    found
}

fn complain(path: &str, line: usize, says: String) -> Complaint {
    Complaint { path: path.into(), line, rule: "links", item: None, says }
}

#[cfg(test)]
mod tests {
    use super::super::house::{heard, house_of};
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let house = house_of("m", files);
        let mut complaints = links_that_lead_somewhere(&house);
        complaints.extend(decisions_in_the_index(&house));
        assert_eq!(heard(&complaints), expected);
    }

    #[test]
    fn a_relative_link_leads_to_a_file() {
        let page = ("docs/a.md", "See [b](b.md#part), [up](../README.md) and [all](../docs/).\n");
        check(&[page, ("docs/b.md", ""), ("README.md", "")], &[]);
        let says = "docs/a.md:1: the link to b.md#part leads nowhere [links]";
        check(&[page, ("README.md", "")], &[says]);
    }

    #[test]
    fn other_links_and_code_are_left_alone() {
        let text = "[a](https://a.example/x) [b](#part) `[c](none.md)`\n```\n[d](none.md)\n```\n";
        check(&[("README.md", text)], &[]);
    }

    #[test]
    fn a_decision_stands_in_the_index() {
        let decision = ("docs/decisions/0009-x.md", "");
        check(&[(INDEX, "- [nine](0009-x.md)\n"), decision], &[]);
        let says = "docs/decisions/README.md:1: decision 0009-x.md is not in the index [links]";
        check(&[(INDEX, "none\n"), decision], &[says]);
    }
}
