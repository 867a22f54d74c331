//! `rutter maint`.

use super::client::{self, Client, Query, path};
use super::failure::Outcome;
use super::flags::ClientFlags;
use super::output::{self, cell};
use clap::Args;
use serde_json::Value;

const OF_NODE: &str = "_node_maintenance";
const OF_SERVICE: &str = "_service_maintenance:";

/// Puts a node or a service into maintenance, or out of it.
#[derive(Args)]
#[command(
    long_about = "Puts this agent's node, or one of its services, into maintenance: a critical check takes it \
                  out of every answer. Without flags it lists what is in maintenance.",
    after_help = "Examples:\n  $ rutter maint -enable -reason='new disk'\n  $ rutter maint -enable -service=web\n  \
                  $ rutter maint\n  $ rutter maint -disable"
)]
pub struct Maint {
    /// Begin
    #[arg(long)]
    enable: bool,
    /// End
    #[arg(long)]
    disable: bool,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// The service's id; without it the node is meant
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    service: String,
    #[command(flatten)]
    client: ClientFlags,
}

impl Maint {
    /// Begins, ends or lists.
    pub fn run(self) -> Outcome {
        if self.enable && self.disable {
            return Err("Only one of -enable or -disable may be provided".into());
        }
        if !self.enable && !self.reason.is_empty() {
            return Err("Reason may only be provided with -enable".into());
        }
        if !self.enable && !self.disable && !self.service.is_empty() {
            return Err("Service requires either -enable or -disable".into());
        }
        let client = self.client.client()?;
        client::run(async {
            let node = client.node_name().await?;
            match self.enable || self.disable {
                true => self.change(&client).await,
                false => list(&client, &node).await,
            }
        })
    }

    async fn change(&self, client: &Client) -> Outcome {
        let (doing, done) =
            if self.enable { ("enabling", "enabled") } else { ("disabling", "disabled") };
        let query = Query::new().with("enable", self.enable);
        let query = query.with_some("reason", Some(&self.reason));
        if self.service.is_empty() {
            let changed = client.put("/v1/agent/maintenance", &query, "").await;
            changed.map_err(|why| format!("Error {doing} node maintenance: {why}"))?;
            output::say(&format!("Node maintenance is now {done}"));
            return Ok(());
        }
        let door = path("/v1/agent/service/maintenance/", &self.service);
        let changed = client.put(&door, &query, "").await;
        changed.map_err(|why| format!("Error {doing} service maintenance: {why}"))?;
        let id = lang::quote(&self.service);
        output::say(&format!("Service maintenance is now {done} for {id}"));
        Ok(())
    }
}

async fn list(client: &Client, node: &str) -> Outcome {
    let checks = client.get("/v1/agent/checks", &Query::new()).await;
    let checks = checks.and_then(|answer| answer.json());
    let checks = checks.map_err(|why| format!("Error getting checks: {why}"))?;
    for block in blocks(&checks, node) {
        output::say(&block);
    }
    Ok(())
}

/// One a maintenance, the node's first.
fn blocks(checks: &Value, node: &str) -> Vec<String> {
    let mut found: Vec<_> = checks.as_object().into_iter().flatten().collect();
    found.sort_by_key(|(id, _)| (id.as_str() != OF_NODE, id.as_str()));
    let block = |(id, check): (&String, &Value)| {
        let reason = cell(&check["Notes"]);
        if id == OF_NODE {
            Some(format!("Node:\n  Name:   {node}\n  Reason: {reason}\n"))
        } else if id.starts_with(OF_SERVICE) {
            let id = cell(&check["ServiceID"]);
            Some(format!("Service:\n  ID:     {id}\n  Reason: {reason}\n"))
        } else {
            None
        }
    };
    found.into_iter().filter_map(block).collect()
}
