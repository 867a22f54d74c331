//! `rutter services deregister`.

use super::files;
use crate::cli::client::{self, Query, path};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output;
use clap::Args;
use std::path::PathBuf;

/// Takes services away from the local agent.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter services deregister -id=web\n  $ rutter services deregister web.json"
)]
pub struct Deregister {
    /// The id of the instance
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// Files of definitions, in HCL or JSON
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Deregister {
    /// Takes one after the other and names each.
    pub fn run(self) -> Outcome {
        let ids = match (self.files.is_empty(), self.id.is_empty()) {
            (true, true) => {
                return Err("Service deregistration requires at least one argument or -id.".into());
            }
            (false, false) => {
                return Err("Service deregistration requires arguments or -id, not both.".into());
            }
            (true, false) => vec![self.id.clone()],
            (false, true) => {
                let read = files::read(&self.files).map_err(|why| format!("Error: {why}"))?;
                read.iter().map(files::id).filter(|id| !id.is_empty()).collect()
            }
        };
        let client = self.client.client()?;
        client::run(async {
            for id in ids {
                let door = path("/v1/agent/service/deregister/", &id);
                let done = client.put(&door, &Query::new(), "").await;
                done.map_err(|why| {
                    format!("Error deregistering service {}: {why}", lang::quote(&id))
                })?;
                output::say(&format!("Deregistered service: {id}"));
            }
            Ok(())
        })
    }
}
