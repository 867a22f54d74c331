//! Configuration: as typed ([`Raw`]), then resolved ([`Config`]).
//!
//! A key is applied, or accepted with a warning because its feature does not exist yet, or refused:
//! because nobody knows it, or because it asks for protection that this build does not give (law 11).

mod keys;
mod log;
mod raw;
mod resolve;
mod sort;
mod sources;

pub use log::LogTo;
pub use raw::{Raw, RawPorts};
pub use resolve::{Config, resolve};
pub use sources::{Loaded, Sources, changed};

use anyhow::{Context, bail};
use lang::tree::{SyntaxError, Tree};
use std::path::Path;

/// Reads a file, in JSON if its name ends in `.json`, else in HCL; also returns one warning a key that
/// has no effect. An error tells everything that is wrong, each with its line.
fn read_file(file: &Path) -> anyhow::Result<(Raw, Vec<String>)> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{shown} is not UTF-8"))?;
    let json = file.extension().is_some_and(|ending| ending == "json");
    let read = if json { lang::hcl::parse_json } else { lang::hcl::parse };
    parse(&text, read, &shown.to_string())
}

/// Reads the text of a file that is called `shown`.
fn parse(
    text: &str,
    read: fn(&str) -> Result<Tree, SyntaxError>,
    shown: &str,
) -> anyhow::Result<(Raw, Vec<String>)> {
    if text.is_empty() {
        return Ok((Raw::default(), Vec::new())); // in JSON too, as Consul has it
    }
    let tree = match read(text) {
        Ok(tree) => tree,
        Err(error) => bail!("{shown}:{}:{}: {}", error.place.line, error.place.column, error.why),
    };
    let sorted = sort::sort_out(tree);
    if !sorted.complaints.is_empty() {
        let told = sorted
            .complaints
            .iter()
            .map(|complaint| format!("{shown}:{}: {}", complaint.place.line, complaint.what));
        bail!("{}", told.collect::<Vec<_>>().join("\n"));
    }
    let known = serde_json::Value::Object(sorted.known);
    let raw = serde_json::from_value(known).with_context(|| format!("{shown} is not taken"))?;
    Ok((raw, sorted.warnings))
}

#[cfg(test)]
mod tests;
