//! Configuration: as typed ([`Raw`]), then resolved ([`Config`]).
//!
//! A key is applied, or accepted with a warning because its feature does not exist yet, or refused:
//! because nobody knows it, or because it asks for protection that this build does not give (law 11).

mod addresses;
mod definitions;
mod keys;
mod log;
mod ports;
mod protection;
mod raw;
mod resolve;
mod sockaddr;
mod sort;
mod sources;

pub use log::LogTo;
pub use raw::{Raw, RawHttp, RawPorts};
pub use resolve::Config;
#[cfg(test)]
pub use resolve::{Use, resolve};
pub use sources::{Format, Loaded, Sources, changed};

use definitions::Definition;
use lang::tree::{SyntaxError, Tree};
use protection::Guard;
use std::path::Path;

/// What one file, or the flags, come to.
#[derive(Debug, Default)]
struct Read {
    raw: Raw,
    /// One for each key that has no effect.
    warnings: Vec<String>,
    definitions: Vec<Definition>,
    /// Where each key that is applied stands, as `FILE:LINE`.
    places: Vec<(String, String)>,
    /// What may ask for protection.
    guards: Vec<Guard>,
    /// Everything that is wrong, each with its line.
    complaints: Vec<String>,
}

impl Read {
    fn refused(complaint: String) -> Read {
        Read { complaints: vec![complaint], ..Read::default() }
    }
}

/// Reads a file in the format given, else in JSON if its name ends in `.json`, else in HCL.
fn read_file(file: &Path, format: Option<Format>) -> Read {
    let shown = file.display();
    let text = match std::fs::read(file) {
        Ok(bytes) => String::from_utf8(bytes),
        Err(error) => return Read::refused(format!("cannot read {shown}: {error}")),
    };
    let Ok(text) = text else { return Read::refused(format!("{shown} is not UTF-8")) };
    let json = file.extension().is_some_and(|ending| ending == "json");
    let format = format.unwrap_or(if json { Format::Json } else { Format::Hcl });
    parse(&text, format.reader(), &shown.to_string())
}

/// Reads the text of a file that is called `shown`.
fn parse(text: &str, read: fn(&str) -> Result<Tree, SyntaxError>, shown: &str) -> Read {
    if text.is_empty() {
        return Read::default(); // in JSON too, as Consul has it
    }
    match read(text) {
        Ok(tree) => sort(tree, shown),
        Err(error) => {
            let place = error.place;
            Read::refused(format!("{shown}:{}:{}: {}", place.line, place.column, error.why))
        }
    }
}

/// Sorts what a file that is called `shown` says.
fn sort(tree: Tree, shown: &str) -> Read {
    let sorted = sort::sort_out(tree);
    let complaint = |is: sort::Complaint| format!("{shown}:{}: {}", is.place.line, is.what);
    let mut complaints: Vec<String> = sorted.complaints.into_iter().map(complaint).collect();
    let known = serde_json::Value::Object(sorted.known);
    let raw = serde_json::from_value(known).unwrap_or_else(|error| {
        complaints.push(format!("{shown} is not taken: {error}"));
        Raw::default()
    });
    let places = sorted.places.into_iter();
    let places = places.map(|(key, place)| (key, format!("{shown}:{}", place.line))).collect();
    let guards = sorted.guards.into_iter();
    let guards = guards.map(|(key, place, tree)| Guard {
        key,
        place: format!("{shown}:{}", place.line),
        tree,
    });
    let guards = guards.collect();
    let (warnings, definitions) = (sorted.warnings, sorted.definitions);
    Read { raw, warnings, definitions, places, guards, complaints }
}

#[cfg(test)]
mod tests;
