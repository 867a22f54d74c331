//! `rutter kv export`.

use super::one_word;
use super::pair::Pair;
use crate::cli::client::{self, path};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};

/// Prints all below a prefix as JSON.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter kv export redis/\n  $ rutter kv export > backup.json"
)]
pub struct Export {
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// How keys begin; all of them by default
    #[arg(value_name = "PREFIX")]
    words: Vec<String>,
}

impl Export {
    /// Prints a list of keys, flags and values in base 64.
    pub fn run(self) -> Outcome {
        let prefix = one_word(&self.words).map_err(|why| format!("Error! {why}"))?;
        let query = self.server.query().with("recurse", "");
        let client = self.client.client()?;
        client::run(async {
            let found = client.find(&path("/v1/kv/", &prefix), &query).await;
            let found = found.and_then(|found| found.as_ref().map_or(Ok(Vec::new()), Pair::all));
            let found = found.map_err(|why| format!("Error querying Consul agent: {why}"))?;
            let entry = |pair: &Pair| {
                json!({
                    "key": pair.key,
                    "flags": pair.flags,
                    "value": STANDARD.encode(&pair.value),
                })
            };
            output::say_json(&Value::Array(found.iter().map(entry).collect()), "\t")
        })
    }
}
