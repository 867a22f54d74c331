//! Configuration: as typed ([`Raw`]), then resolved ([`Config`]).
//!
//! A key is applied, or accepted with a warning because its feature does not exist yet, or refused:
//! because nobody knows it, or because it asks for protection that this build does not give (law 11).

mod keys;
mod raw;
mod resolve;

pub use raw::{Raw, RawPorts};
pub use resolve::{Config, resolve};

use anyhow::{Context, bail};
use std::path::Path;

/// Reads a file of JSON; also returns one warning a key that has no effect.
pub fn read_file(file: &Path) -> anyhow::Result<(Raw, Vec<String>)> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    if file.extension().is_some_and(|ending| ending == "hcl") {
        bail!("{shown}: HCL is not read yet; write the same keys as JSON in a file named *.json");
    }
    parse(&text).with_context(|| format!("{shown} is not taken"))
}

/// Reads the text of a file.
fn parse(text: &str) -> anyhow::Result<(Raw, Vec<String>)> {
    let typed: serde_json::Value = serde_json::from_str(text)?;
    let (known, warnings) = keys::sort_out(typed)?;
    Ok((serde_json::from_value(known)?, warnings))
}

#[cfg(test)]
mod tests;
