//! Configuration files in both languages, as far as their keys.

use crate::config;
use lang::tree::{Place, SyntaxError, Tree, Value};
use lang::{hcl, json as requests};

/// The longest text that is written and read again: the rest costs more than it finds.
const WRITTEN: usize = 4096;

/// A file in HCL; one that begins with `{` is JSON.
pub fn hcl(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    file(text, hcl::parse(text));
}

/// A file in JSON; and the same bytes as a request's body, which need not be UTF-8.
pub fn json(bytes: &[u8]) {
    if let Ok(value) = requests::parse(bytes)
        && bytes.len() <= WRITTEN
    {
        let canonical = value.canonical();
        let again = requests::parse(canonical.as_bytes()).expect("what was written is read");
        assert_eq!(again.canonical(), canonical, "it changes when it is written");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    file(text, hcl::parse_json(text));
}

fn file(text: &str, read: Result<Tree, SyntaxError>) {
    match read {
        Err(error) => {
            assert!(!error.why.is_empty());
            within(error.place, text);
        }
        Ok(tree) => {
            places(&tree, text);
            if text.len() <= WRITTEN {
                survives(&tree);
            }
            for complaint in config::sort(tree) {
                assert!(!complaint.is_empty());
            }
        }
    }
}

/// A place in a text lies in it, or right behind it.
fn within(place: Place, text: &str) {
    let lines = text.split('\n').count();
    assert!((1..=lines).contains(&(place.line as usize)), "{place} of {lines} lines");
    assert!(place.column >= 1 && place.column as usize <= text.len() + 1, "{place}");
}

fn places(tree: &Tree, text: &str) {
    within(tree.place, text);
    match &tree.value {
        Value::List(items) => items.iter().for_each(|item| places(item, text)),
        Value::Object(members) => {
            for member in members {
                within(member.place, text);
                places(&member.tree, text);
            }
        }
        _ => {}
    }
}

/// The tree written as JSON says the same to both readers of JSON.
fn survives(tree: &Tree) {
    let canonical = tree.clone().json().canonical();
    let as_request = requests::parse(canonical.as_bytes()).expect("what was written is read");
    assert_eq!(as_request.canonical(), canonical, "it changes when it is written");
    let as_file = hcl::parse_json(&canonical).expect("what was written is read");
    assert_eq!(as_file.json().canonical(), canonical, "the two readers disagree");
}
