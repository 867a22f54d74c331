//! `rutter catalog datacenters`.

use super::no_words;
use crate::cli::client;
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output::{self, Format};
use clap::Args;

/// Lists the datacenters.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter catalog datacenters\n  $ rutter catalog datacenters -format=json"
)]
pub struct ListDatacenters {
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    #[arg(hide = true)]
    words: Vec<String>,
}

impl ListDatacenters {
    /// Prints one a line.
    pub fn run(self) -> Outcome {
        no_words(&self.words)?;
        let client = self.client.client()?;
        client::run(async {
            let found = client.get("/v1/catalog/datacenters", &self.server.query()).await;
            let found = found.and_then(|answer| answer.json());
            let found = found.map_err(|why| format!("Error listing datacenters: {why}"))?;
            if self.format == Format::Json {
                return output::say_json(&found, "    ");
            }
            for name in found.as_array().into_iter().flatten() {
                output::say(&output::cell(name));
            }
            Ok(())
        })
    }
}
