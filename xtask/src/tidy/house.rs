//! The checkout as the rules see it: files that git would commit, crates as cargo knows them.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use super::{Complaint, modules};
use crate::shell;

/// Everything the rules look at; paths are relative to the root, with `/`.
#[derive(Default)]
pub(super) struct House {
    pub crates: Vec<Crate>,
    /// Every text file by its path.
    pub texts: BTreeMap<String, String>,
    /// Every Rust file that could be parsed.
    pub rust: Vec<RustFile>,
}

/// One crate of the workspace.
#[derive(Default)]
pub(super) struct Crate {
    pub name: String,
    /// Its directory.
    pub directory: String,
    /// The crates of ours that it names in any dependency table.
    pub ours: Vec<String>,
    /// The foreign crates that its library or program needs.
    pub foreign: Vec<String>,
    /// Where the compiler starts, and whether only tests are built from there.
    pub roots: Vec<(String, bool)>,
}

/// One Rust file.
pub(super) struct RustFile {
    pub path: String,
    pub text: String,
    pub syntax: syn::File,
    /// Whether it is compiled for tests only.
    pub is_test: bool,
}

impl House {
    /// Reads the checkout; files that do not parse are complaints.
    pub fn load() -> Result<(Self, Vec<Complaint>)> {
        let metadata = MetadataCommand::new().no_deps().exec()?;
        let crates = metadata.packages.iter().map(|package| Crate::of(package, &metadata));
        let (house, complaints) = Self::build(crates.collect(), committed_texts()?);
        Ok((house, complaints))
    }

    /// The same from values, for tests of the rules.
    pub fn build(crates: Vec<Crate>, texts: BTreeMap<String, String>) -> (Self, Vec<Complaint>) {
        let mut house = House { crates, texts, rust: Vec::new() };
        let mut complaints = Vec::new();
        for (path, text) in house.texts.iter().filter(|(path, _)| path.ends_with(".rs")) {
            match syn::parse_file(text) {
                Ok(syntax) => {
                    let (path, text) = (path.clone(), text.clone());
                    house.rust.push(RustFile { path, text, syntax, is_test: false });
                }
                Err(error) => complaints.push(Complaint {
                    path: path.clone(),
                    line: error.span().start().line,
                    rule: "parse",
                    item: None,
                    says: error.to_string(),
                }),
            }
        }
        let reached = modules::reached(&house);
        for file in &mut house.rust {
            let compiled_for_tests = reached.get(&file.path).copied();
            file.is_test = compiled_for_tests.unwrap_or(false) || is_test_path(&file.path);
        }
        (house, complaints)
    }
}

impl Crate {
    fn of(package: &Package, metadata: &Metadata) -> Self {
        let root = &metadata.workspace_root;
        let relative = |path: &cargo_metadata::camino::Utf8Path| {
            path.strip_prefix(root).unwrap_or(path).as_str().to_owned()
        };
        let (ours, foreign): (Vec<_>, Vec<_>) =
            package.dependencies.iter().partition(|dependency| dependency.path.is_some());
        let directory = package.manifest_path.parent().map(relative).unwrap_or_default();
        let shipped = |kind| matches!(kind, DependencyKind::Normal | DependencyKind::Build);
        Self {
            name: package.name.to_string(),
            directory,
            ours: ours.iter().map(|dependency| dependency.name.clone()).collect(),
            foreign: foreign
                .iter()
                .filter(|dependency| shipped(dependency.kind))
                .map(|dependency| dependency.name.clone())
                .collect(),
            roots: package
                .targets
                .iter()
                .map(|target| (relative(&target.src_path), target.is_test()))
                .collect(),
        }
    }
}

/// What lies in `testing/` or a `tests` directory is a test whatever includes it.
fn is_test_path(path: &str) -> bool {
    path.starts_with("testing/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// What no person wrote: inputs of the fuzzer.
const NOISE: &str = "fuzz/corpus/";

/// Every file that git tracks or would add, if it is text and there.
fn committed_texts() -> Result<BTreeMap<String, String>> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let names = shell::output(&mut list).context("list the files of the checkout")?;
    let mut texts = BTreeMap::new();
    for name in names.split('\0').filter(|name| !name.is_empty() && !name.starts_with(NOISE)) {
        // A file that was removed but not yet committed so, or is no text, has nothing to say.
        let Ok(bytes) = std::fs::read(name) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            texts.insert(name.to_owned(), text);
        }
    }
    Ok(texts)
}

/// A house of a few files in one library crate, for the tests of the rules.
#[cfg(test)]
pub(super) fn house_of(name: &str, files: &[(&str, &str)]) -> House {
    let directory = format!("crates/{name}");
    let root = (format!("{directory}/src/lib.rs"), false);
    let krate = Crate { name: name.into(), directory, roots: vec![root], ..Crate::default() };
    let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let (house, complaints) = House::build(vec![krate], texts.collect());
    assert_eq!(complaints, [], "the snippet parses");
    house
}

/// A rule's complaints about a house, as the words a person would read.
#[cfg(test)]
pub(super) fn heard(complaints: &[Complaint]) -> Vec<String> {
    complaints.iter().map(ToString::to_string).collect()
}
