//! `rutter info`.

use super::client::{self, Query};
use super::failure::Outcome;
use super::flags::ClientFlags;
use super::output::{self, Format};
use clap::Args;
use serde_json::Value;

/// Prints numbers of the agent, for operators.
#[derive(Args)]
#[command(after_help = "Examples:\n  $ rutter info\n  $ rutter info -format=json")]
pub struct Info {
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    client: ClientFlags,
}

impl Info {
    /// Prints groups and what is in them, both sorted.
    pub fn run(self) -> Outcome {
        let client = self.client.client()?;
        client::run(async {
            let own = client.get("/v1/agent/self", &Query::new()).await;
            let own = own.and_then(|answer| answer.json());
            let own = own.map_err(|why| format!("Error querying agent: {why}"))?;
            match self.format {
                Format::Json => output::say_json(&own["Stats"], "    "),
                Format::Pretty => {
                    output::say(&groups(&own["Stats"]));
                    Ok(())
                }
            }
        })
    }
}

fn groups(stats: &Value) -> String {
    let sorted = |value: &Value| {
        let members = value.as_object().into_iter().flatten();
        let mut members: Vec<_> = members.map(|(k, v)| (k.clone(), v.clone())).collect();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members
    };
    let mut lines = Vec::new();
    for (group, figures) in sorted(stats) {
        lines.push(format!("{group}:"));
        for (name, figure) in sorted(&figures) {
            lines.push(format!("\t{name} = {}", output::cell(&figure)));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_names_are_sorted() {
        let stats = serde_json::json!({"raft": {"term": "2", "state": "Leader"}, "agent": {}});
        assert_eq!(groups(&stats), "agent:\nraft:\n\tstate = Leader\n\tterm = 2");
    }
}
