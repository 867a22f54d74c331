//! Words that do not belong in a checkout: paths and hosts of the machine it was written on.

use super::Complaint;
use super::house::House;

/// Refused wherever they stand. Each is put together here, so that this file may be searched too.
const BANNED: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/fa", "rm/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/root", "/.cargo"), "a path of one machine"),
    (concat!("X", "XX"), "say what is missing and name its issue"),
    (concat!("FIX", "ME"), "say what is missing and name its issue"),
    (concat!("co-author", "ed-by"), "belongs in no file"),
];

/// The only source of foreign crates.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// No file carries a word that means something on one machine only.
pub(super) fn words_that_age(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, text) in &house.texts {
        for (index, line) in text.lines().enumerate() {
            for (word, why) in BANNED.iter().filter(|(word, _)| line.contains(word)) {
                complaints.push(complain(path, index + 1, format!("`{word}`: {why}")));
            }
        }
    }
    complaints
}

/// Cargo.lock names the public registry and no other, and no configuration redirects it.
pub(super) fn one_public_registry(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, text) in &house.texts {
        for (index, line) in text.lines().enumerate() {
            let elsewhere = match path.rsplit('/').next() {
                Some("Cargo.lock") => line.starts_with("source = ") && !line.contains(REGISTRY),
                Some("config.toml" | "config") if path.contains(".cargo/") => {
                    line.contains("replace-with") || line.contains("registry =")
                }
                Some(".npmrc" | "pip.conf") => true,
                _ => false,
            };
            if elsewhere {
                let says = "crates come from the public registry, which needs no line here";
                complaints.push(complain(path, index + 1, says.into()));
            }
        }
    }
    complaints
}

fn complain(path: &str, line: usize, says: String) -> Complaint {
    Complaint { path: path.into(), line, rule: "words", item: None, says }
}

#[cfg(test)]
mod tests {
    use super::super::house::{heard, house_of};
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let house = house_of("m", &[(path, text)]);
        let mut complaints = words_that_age(&house);
        complaints.extend(one_public_registry(&house));
        assert_eq!(heard(&complaints), expected);
    }

    #[test]
    fn a_path_of_one_machine_is_refused() {
        let path = concat!("/wo", "rk/main");
        let says = format!("README.md:2: `{}`: a path of one machine [words]", &path[..6]);
        check("README.md", &format!("run\n`cd {path}`\n"), &[&says]);
        check("README.md", "a framework/work of art\n", &[]);
    }

    #[test]
    fn a_marker_without_an_issue_is_refused() {
        let marker = concat!("FIX", "ME");
        let says = format!("a.rs:1: `{marker}`: say what is missing and name its issue [words]");
        check("a.rs", &format!("// {marker} later\n"), &[&says]);
    }

    #[test]
    fn crates_come_from_the_public_registry() {
        check("Cargo.lock", &format!("source = \"{REGISTRY}\"\n"), &[]);
        let says = ":1: crates come from the public registry, which needs no line here [words]";
        let lock = format!("Cargo.lock{says}");
        check("Cargo.lock", "source = \"registry+https://mirror.example/index\"\n", &[&lock]);
        let config = format!(".cargo/config.toml{says}");
        check(".cargo/config.toml", "replace-with = \"mirror\"\n", &[&config]);
        check(".cargo/config.toml", "[alias]\nxtask = \"run\"\n", &[]);
    }
}
