//! `rutter kv`: the key-value store.

mod delete;
mod export;
mod get;
mod import;
mod pair;
mod put;

pub use pair::Pair;

use super::failure::Outcome;
use super::output;
use clap::{Args, Subcommand};
use std::io::Read;

/// Works with the key-value store.
#[derive(Args)]
pub struct Kv {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Remove a key, or all below a prefix
    Delete(delete::Delete),
    /// Print all below a prefix as JSON
    Export(export::Export),
    /// Print the value of a key, or list keys
    Get(get::Get),
    /// Write what `kv export` printed
    Import(import::Import),
    /// Write a key
    Put(put::Put),
}

impl Kv {
    /// Runs what is below.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Delete(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Get(command) => command.run(),
            Command::Import(command) => command.run(),
            Command::Put(command) => command.run(),
        }
    }
}

/// The one word a command takes; more is refused, none is the empty key.
fn one_word(words: &[String]) -> Result<String, String> {
    match words {
        [] => Ok(String::new()),
        [word] => Ok(without_slash(word).to_owned()),
        _ => Err(format!("Too many arguments (expected 1, got {})", words.len())),
    }
}

/// Keys begin without a slash, people's do with one.
fn without_slash(key: &str) -> &str {
    key.strip_prefix('/').unwrap_or(key)
}

/// What a word stands for: `@FILE` its content, `-` what comes on stdin, all else itself.
fn data(word: &str) -> Result<Vec<u8>, String> {
    if let Some(file) = word.strip_prefix('@') {
        let read = std::fs::read(file);
        let go = |error: &std::io::Error| {
            output::file_error(error).replacen("open:", &format!("open {file}:"), 1)
        };
        return read.map_err(|error| format!("Failed to read file: {}", go(&error)));
    }
    if word != "-" {
        return Ok(word.as_bytes().to_vec());
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| format!("Failed to read stdin: {error}"))?;
    Ok(bytes)
}
