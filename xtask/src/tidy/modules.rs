//! Which file a `mod` line brings in: files that nobody includes are dead, and say so nowhere.

use std::collections::BTreeMap;

use syn::Item;

use super::Complaint;
use super::house::House;
use super::lengths::has_cfg_test;

/// Every file that the compiler reaches, and whether only in a test build.
pub(super) fn reached(house: &House) -> BTreeMap<String, bool> {
    let syntax: BTreeMap<&str, &syn::File> =
        house.rust.iter().map(|file| (file.path.as_str(), &file.syntax)).collect();
    let mut reached = BTreeMap::new();
    let roots = house.crates.iter().flat_map(|krate| &krate.roots);
    let mut queue: Vec<(String, String, bool)> = roots
        .map(|(path, is_test)| (path.clone(), directory_of(path).to_owned(), *is_test))
        .collect();
    while let Some((path, directory, is_test)) = queue.pop() {
        let Some(file) = syntax.get(path.as_str()) else { continue };
        // Reached twice, a file is production code if it is so once.
        match reached.get(&path) {
            Some(false) => continue,
            Some(true) if is_test => continue,
            _ => reached.insert(path.clone(), is_test),
        };
        let mut wanted = Vec::new();
        declared(&file.items, &directory, directory_of(&path), is_test, &mut wanted);
        for (candidates, is_test) in wanted {
            let found = candidates.into_iter().find(|(path, _)| syntax.contains_key(path.as_str()));
            if let Some((path, directory)) = found {
                queue.push((path, directory, is_test));
            }
        }
    }
    reached
}

/// For each `mod` line, the files it may mean, each with the directory of its own children.
type Wanted = Vec<(Vec<(String, String)>, bool)>;

fn declared(items: &[Item], children: &str, beside: &str, is_test: bool, wanted: &mut Wanted) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let is_test = is_test || has_cfg_test(&module.attrs);
        let name = module.ident.to_string();
        let own = format!("{children}/{name}");
        match (&module.content, path_attribute(&module.attrs)) {
            (Some((_, items)), _) => declared(items, &own, beside, is_test, wanted),
            (None, Some(path)) => {
                let path = normal(&format!("{beside}/{path}"));
                let directory = directory_of(&path).to_owned();
                wanted.push((vec![(path, directory)], is_test));
            }
            (None, None) => {
                let flat = (format!("{own}.rs"), own.clone());
                let nested = (format!("{own}/mod.rs"), own);
                wanted.push((vec![flat, nested], is_test));
            }
        }
    }
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
        let syn::Expr::Lit(literal) = &pair.value else { return None };
        let syn::Lit::Str(text) = &literal.lit else { return None };
        pair.path.is_ident("path").then(|| text.value())
    })
}

/// Each Rust file is part of some crate.
pub(super) fn files_somebody_includes(house: &House) -> Vec<Complaint> {
    let reached = reached(house);
    let dead = house.rust.iter().filter(|file| !reached.contains_key(&file.path));
    dead.filter(|file| !included_as_text(house, &file.path))
        .map(|file| complain(&file.path, "dead-file", "no crate includes this file"))
        .collect()
}

/// Whether some file names this one in an `include!`.
fn included_as_text(house: &House, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let call = format!("include!(\"{name}\")");
    house.rust.iter().any(|file| file.text.contains(&call))
}

/// The first screen of a file says what it is.
pub(super) fn files_say_what_they_are(house: &House) -> Vec<Complaint> {
    let silent = house.rust.iter().filter(|file| !file.text.starts_with("//! "));
    silent
        .map(|file| complain(&file.path, "header", "a file starts with `//! ` and what it is"))
        .collect()
}

fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// A path without `.` and `..`.
pub(super) fn normal(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    kept.join("/")
}

fn complain(path: &str, rule: &'static str, says: &str) -> Complaint {
    Complaint { path: path.into(), line: 1, rule, item: None, says: says.into() }
}

#[cfg(test)]
mod tests {
    use super::super::house::{heard, house_of};
    use super::*;

    const LIB: &str = "crates/m/src/lib.rs";

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let house = house_of("m", files);
        let mut complaints = files_somebody_includes(&house);
        complaints.extend(files_say_what_they_are(&house));
        assert_eq!(heard(&complaints), expected);
    }

    #[test]
    fn a_file_that_no_mod_line_names_is_dead() {
        let dead = "crates/m/src/old.rs";
        let says = "crates/m/src/old.rs:1: no crate includes this file [dead-file]";
        check(&[(LIB, "//! Doc.\n"), (dead, "//! Doc.\n")], &[says]);
        check(&[(LIB, "//! Doc.\nmod old;\n"), (dead, "//! Doc.\n")], &[]);
    }

    #[test]
    fn mod_lines_are_followed_as_the_compiler_does() {
        check(
            &[
                (LIB, "//! Doc.\nmod a;\nmod b { mod c; }\n#[path = \"x/y.rs\"]\nmod z;\n"),
                ("crates/m/src/a/mod.rs", "//! Doc.\nmod deep;\n"),
                ("crates/m/src/a/deep.rs", "//! Doc.\nmod deeper;\n"),
                ("crates/m/src/a/deep/deeper.rs", "//! Doc.\n"),
                ("crates/m/src/b/c.rs", "//! Doc.\n"),
                ("crates/m/src/x/y.rs", "//! Doc.\n"),
            ],
            &[],
        );
    }

    #[test]
    fn what_only_a_test_build_includes_is_a_test() {
        let kit = "crates/m/src/kit.rs";
        let house =
            house_of("m", &[(LIB, "//! Doc.\n#[cfg(test)]\nmod kit;\n"), (kit, "//! Doc.\n")]);
        assert!(reached(&house)[kit]);
        assert!(!reached(&house)[LIB]);
    }

    #[test]
    fn a_file_says_what_it_is() {
        let says = "crates/m/src/lib.rs:1: a file starts with `//! ` and what it is [header]";
        check(&[(LIB, "// A note.\n")], &[says]);
    }
}
