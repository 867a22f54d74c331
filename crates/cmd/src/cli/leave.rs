//! `rutter leave`.

use super::client::{self, Query};
use super::failure::Outcome;
use super::flags::ClientFlags;
use super::output;
use clap::Args;

/// Tells the agent to leave the cluster and to end.
#[derive(Args)]
#[command(after_help = "Examples:\n  $ rutter leave\n  $ rutter leave -http-addr=10.0.0.7:8500")]
pub struct Leave {
    #[command(flatten)]
    client: ClientFlags,
}

impl Leave {
    /// Asks, and says that it was done.
    pub fn run(self) -> Outcome {
        let client = self.client.client()?;
        client::run(async {
            let left = client.put("/v1/agent/leave", &Query::new(), "").await;
            left.map_err(|why| format!("Error leaving: {why}"))?;
            output::say("Graceful leave complete");
            Ok(())
        })
    }
}
