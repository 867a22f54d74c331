//! `rutter join`.

use super::client::{self, Query, path};
use super::failure::Outcome;
use super::flags::ClientFlags;
use super::output;
use clap::Args;

/// Tells the agent to join a cluster.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter join 10.0.0.2\n  $ rutter join -wan dc2-server.example:8302"
)]
pub struct Join {
    /// Join servers of another datacenter
    #[arg(long)]
    wan: bool,
    #[command(flatten)]
    client: ClientFlags,
    /// Addresses of members: HOST or HOST:PORT
    #[arg(value_name = "ADDRESS")]
    addresses: Vec<String>,
}

impl Join {
    /// Asks for one after the other; one that works is enough.
    pub fn run(self) -> Outcome {
        if self.addresses.is_empty() {
            return Err("At least one address to join must be specified.".into());
        }
        let client = self.client.client()?;
        let query = match self.wan {
            true => Query::new().with("wan", "1"),
            false => Query::new(),
        };
        client::run(async {
            let mut joined = 0;
            for address in &self.addresses {
                match client.put(&path("/v1/agent/join/", address), &query, "").await {
                    Ok(_) => joined += 1,
                    Err(why) => {
                        output::complain(&format!("Error joining address '{address}': {why}"));
                    }
                }
            }
            if joined == 0 {
                return Err("Failed to join any nodes.".into());
            }
            output::say(&format!("Successfully joined cluster by contacting {joined} nodes."));
            Ok(())
        })
    }
}
