//! `rutter reload`.

use super::client::{self, Query};
use super::failure::Outcome;
use super::flags::ClientFlags;
use super::output;
use clap::Args;

/// Tells the agent to read its configuration again.
#[derive(Args)]
#[command(
    long_about = "Tells the agent to read its configuration files again, as SIGHUP does. A file that is \
                  not taken changes nothing and is told; what needs a restart stands in the agent's log.",
    after_help = "Examples:\n  $ rutter reload"
)]
pub struct Reload {
    #[command(flatten)]
    client: ClientFlags,
}

impl Reload {
    /// Asks, and says that it was done.
    pub fn run(self) -> Outcome {
        let client = self.client.client()?;
        client::run(async {
            let reloaded = client.put("/v1/agent/reload", &Query::new(), "").await;
            reloaded.map_err(|why| format!("Error reloading: {why}"))?;
            output::say("Configuration reload triggered");
            Ok(())
        })
    }
}
