//! `rutter kv import`.

use super::{data, without_slash};
use crate::cli::client::{self, path};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output;
use clap::Args;
use serde::Deserialize;

/// Writes what `kv export` printed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter kv import @backup.json\n  $ rutter kv export redis/ | rutter kv import -\n  \
                        $ rutter kv import -prefix=copy/ @backup.json"
)]
pub struct Import {
    /// Put before every key
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// JSON itself, @FILE or - for stdin
    #[arg(value_name = "DATA", allow_hyphen_values = true)]
    words: Vec<String>,
}

/// One key of the list.
#[derive(Deserialize)]
struct Entry {
    key: String,
    #[serde(default)]
    flags: u64,
    #[serde(default)]
    value: String,
    #[serde(default)]
    namespace: Option<String>,
}

impl Import {
    /// Writes one key after the other and names each.
    pub fn run(self) -> Outcome {
        let data = self.data().map_err(|why| format!("Error! {why}"))?;
        let client = self.client.client()?;
        let entries: Vec<Entry> = serde_json::from_slice(&data)
            .map_err(|error| format!("Cannot unmarshal data: {error}"))?;
        client::run(async {
            for entry in entries {
                let key = format!("{}{}", self.prefix, entry.key);
                let value = lang::base64::decode(&entry.value)
                    .map_err(|why| format!("Error base 64 decoding value for key {key}: {why}"))?;
                let query = self.server.write().with_some("ns", entry.namespace.as_deref());
                let query = if entry.flags == 0 { query } else { query.with("flags", entry.flags) };
                let written =
                    client.put(&path("/v1/kv/", without_slash(&key)), &query, value).await;
                written
                    .map_err(|why| format!("Error! Failed writing data for key {key}: {why}"))?;
                output::say(&format!("Imported: {key}"));
            }
            Ok(())
        })
    }

    fn data(&self) -> Result<Vec<u8>, String> {
        match self.words.as_slice() {
            [] => Err("Missing DATA argument".to_owned()),
            [word] if word.is_empty() => Err("Empty DATA argument".to_owned()),
            [word] => data(word),
            words => Err(format!("Too many arguments (expected 1, got {})", words.len())),
        }
    }
}
