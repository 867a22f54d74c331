//! `rutter event`.

use super::client::{self, Query, path};
use super::failure::Outcome;
use super::flags::{ClientFlags, ServerFlags};
use super::output;
use clap::Args;
use regex::Regex;

/// Fires an event.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter event -name=deploy 1.2.3\n  $ rutter event -name=restart -service=web -tag=blue"
)]
pub struct Event {
    /// The event's name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Only nodes whose name matches
    #[arg(long, value_name = "REGEX")]
    node: Option<String>,
    /// Only nodes with an instance of a service that matches
    #[arg(long, value_name = "REGEX")]
    service: Option<String>,
    /// Only those with a tag that matches; needs -service
    #[arg(long, value_name = "REGEX")]
    tag: Option<String>,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// What the event carries
    #[arg(value_name = "PAYLOAD", allow_hyphen_values = true)]
    payload: Vec<String>,
}

impl Event {
    /// Fires it and prints its id.
    pub fn run(self) -> Outcome {
        self.check()?;
        let payload = match self.payload.as_slice() {
            [] => String::new(),
            [payload] => payload.clone(),
            _ => return Err("Too many command line arguments.".into()),
        };
        let client = self.client.client()?;
        let query = Query::new()
            .with_some("node", self.node.as_deref())
            .with_some("service", self.service.as_deref())
            .with_some("tag", self.tag.as_deref())
            .with_some("dc", self.server.datacenter.as_deref());
        client::run(async {
            client.node_name().await?;
            let fired = client.put(&path("/v1/event/fire/", &self.name), &query, payload).await;
            let fired = fired.and_then(|answer| answer.json());
            let fired = fired.map_err(|why| format!("Error firing event: {why}"))?;
            output::say(&format!("Event ID: {}", output::cell(&fired["ID"])));
            Ok(())
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("Event name must be specified".to_owned());
        }
        for (what, given) in [("node", &self.node), ("service", &self.service), ("tag", &self.tag)]
        {
            if let Some(Err(why)) = given.as_deref().map(Regex::new) {
                return Err(format!("Failed to compile {what} filter regexp: {why}"));
            }
        }
        if self.tag.is_some() && self.service.is_none() {
            return Err("Cannot provide tag filter without service filter.".to_owned());
        }
        Ok(())
    }
}
