//! Excuses: `rule path reason` or `rule path::function reason`, a line each.

use super::Complaint;

/// The file that holds them.
pub(super) const LIST: &str = "xtask/allow.txt";

/// Takes out what is excused, and complains of excuses without reason or use.
pub(super) fn excuse(complaints: Vec<Complaint>, list: &str) -> Vec<Complaint> {
    let lines = list.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut left = complaints;
    for (number, line) in lines {
        let mut words = line.splitn(3, ' ');
        let (Some(rule), Some(place), Some(_reason)) = (words.next(), words.next(), words.next())
        else {
            left.push(of_the_list(number, "an excuse is `rule place reason`"));
            continue;
        };
        let before = left.len();
        left.retain(|complaint| !(complaint.rule == rule && place_of(complaint) == place));
        if left.len() == before {
            left.push(of_the_list(number, "nothing needs this excuse any longer; remove it"));
        }
    }
    left
}

fn place_of(complaint: &Complaint) -> String {
    match &complaint.item {
        Some(item) => format!("{}::{item}", complaint.path),
        None => complaint.path.clone(),
    }
}

fn of_the_list(line: usize, says: &str) -> Complaint {
    Complaint { path: LIST.into(), line, rule: "allow", item: None, says: says.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_function() -> Complaint {
        Complaint {
            path: "a.rs".into(),
            line: 3,
            rule: "function-length",
            item: Some("f".into()),
            says: "long".into(),
        }
    }

    #[track_caller]
    fn check(list: &str, expected: &[&str]) {
        let rules = excuse(vec![long_function()], list);
        assert_eq!(rules.iter().map(|complaint| complaint.rule).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_excuse_names_rule_place_and_reason() {
        check("# a comment\n\nfunction-length a.rs::f a table, one row after another\n", &[]);
        check("function-length a.rs::f", &["function-length", "allow"]);
        check("function-length a.rs too coarse", &["function-length", "allow"]);
    }

    #[test]
    fn an_excuse_nobody_needs_is_a_complaint() {
        let list = "function-length a.rs::f a table\nfile-length b.rs it was long once";
        check(list, &["allow"]);
    }
}
