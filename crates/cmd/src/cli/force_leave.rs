//! `rutter force-leave`.

use super::client::{self, Query, path};
use super::failure::Outcome;
use super::flags::ClientFlags;
use clap::Args;

/// Takes a member that failed for gone.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter force-leave db-3\n  $ rutter force-leave -prune db-3"
)]
pub struct ForceLeave {
    /// Forget it at once
    #[arg(long)]
    prune: bool,
    /// Also in the pool of all datacenters' servers
    #[arg(long)]
    wan: bool,
    #[command(flatten)]
    client: ClientFlags,
    /// The member's name
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
}

impl ForceLeave {
    /// Asks; says nothing if it is done.
    pub fn run(self) -> Outcome {
        let [node] = self.nodes.as_slice() else {
            return Err("A single node name must be specified to force leave.".into());
        };
        let client = self.client.client()?;
        let query = Query::new().with_flag("prune", self.prune).with_flag("wan", self.wan);
        client::run(async {
            let left = client.put(&path("/v1/agent/force-leave/", node), &query, "").await;
            left.map_err(|why| format!("Error force leaving: {why}"))?;
            Ok(())
        })
    }
}
