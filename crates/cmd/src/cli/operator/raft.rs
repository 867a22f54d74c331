//! `rutter operator raft`.

use crate::cli::client;
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output::{self, Format, cell};
use clap::{Args, Subcommand};
use serde_json::Value;

/// Looks at the servers of the replicated log.
#[derive(Args)]
pub struct Raft {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the servers of the replicated log
    ListPeers(ListPeers),
}

/// Lists the servers of the replicated log.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter operator raft list-peers\n  $ rutter operator raft list-peers -stale"
)]
pub struct ListPeers {
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
}

impl Raft {
    /// Runs what is below.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::ListPeers(command) => command.run(),
        }
    }
}

impl ListPeers {
    fn run(self) -> Outcome {
        let client = self.client.client()?;
        let query = self.server.query();
        client::run(async {
            let found = client.get("/v1/operator/raft/configuration", &query).await;
            let found = found.and_then(|answer| answer.json()).map_err(|why| {
                format!("Error getting peers: Failed to retrieve raft configuration: {why}")
            })?;
            match self.format {
                Format::Json => return output::say_json(&found["Servers"], "    "),
                Format::Pretty => output::say(&table(&found["Servers"])),
            }
            Ok(())
        })
    }
}

fn table(servers: &Value) -> String {
    let servers = servers.as_array().map(Vec::as_slice).unwrap_or_default();
    let index = |server: &Value| server["LastIndex"].as_u64().unwrap_or(0);
    let leads = |server: &Value| server["Leader"] == true;
    let newest = servers.iter().find(|server| leads(server)).map_or(0, index);
    let header = [
        "Node",
        "ID",
        "Address",
        "State",
        "Voter",
        "RaftProtocol",
        "Commit Index",
        "Trails Leader By",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for server in servers {
        let protocol = cell(&server["ProtocolVersion"]);
        rows.push(vec![
            cell(&server["Node"]),
            cell(&server["ID"]),
            cell(&server["Address"]),
            if leads(server) { "leader" } else { "follower" }.to_owned(),
            cell(&server["Voter"]),
            if protocol.is_empty() { "<=1".to_owned() } else { protocol },
            index(server).to_string(),
            match newest.saturating_sub(index(server)) {
                _ if leads(server) => "-".to_owned(),
                1 => "1 commit".to_owned(),
                behind => format!("{behind} commits"),
            },
        ]);
    }
    output::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_trails_the_leader() {
        let server = |node: &str, leader: bool, index: u64| {
            serde_json::json!({
                "Node": node, "ID": "id", "Address": "10.0.0.1:8300", "Leader": leader,
                "Voter": true, "ProtocolVersion": "3", "LastIndex": index,
            })
        };
        let servers =
            Value::Array(vec![server("a", true, 9), server("b", false, 8), server("c", false, 3)]);
        let expected = [
            "Node  ID  Address        State     Voter  RaftProtocol  Commit Index  Trails Leader By",
            "a     id  10.0.0.1:8300  leader    true   3             9             -",
            "b     id  10.0.0.1:8300  follower  true   3             8             1 commit",
            "c     id  10.0.0.1:8300  follower  true   3             3             6 commits",
        ];
        assert_eq!(table(&servers), expected.join("\n"));
    }
}
