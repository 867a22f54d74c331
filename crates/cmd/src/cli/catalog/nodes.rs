//! `rutter catalog nodes`.

use super::{meta, no_words};
use crate::cli::client::{self, path};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output::{self, Format, cell};
use clap::Args;
use serde_json::Value;

/// Lists the nodes of a datacenter.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter catalog nodes\n  $ rutter catalog nodes -detailed\n  \
                        $ rutter catalog nodes -service=web\n  $ rutter catalog nodes -node-meta=rack=r1"
)]
pub struct ListNodes {
    /// Print whole ids, tagged addresses and metadata
    #[arg(long)]
    detailed: bool,
    /// Only those that an expression selects
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Sort by distance from a node; _agent is the agent's own
    #[arg(long, value_name = "NODE")]
    near: Option<String>,
    /// Only those with this metadata; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    node_meta: Vec<String>,
    /// Only those with an instance of a service
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
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

impl ListNodes {
    /// Prints a table; that nothing matches is said on stderr and is no failure.
    pub fn run(self) -> Outcome {
        no_words(&self.words)?;
        let client = self.client.client()?;
        let mut query = self
            .server
            .query()
            .with_some("near", self.near.as_deref())
            .with_some("filter", self.filter.as_deref());
        for pair in meta(&self.node_meta) {
            query.add_some("node-meta", Some(&pair));
        }
        let service = self.service.as_deref().filter(|service| !service.is_empty());
        let (door, what) = match service {
            Some(service) => (path("/v1/catalog/service/", service), "nodes for service"),
            None => ("/v1/catalog/nodes".to_owned(), "nodes"),
        };
        client::run(async {
            let found = client.get(&door, &query).await.and_then(|answer| answer.json());
            let found = found.map_err(|why| format!("Error listing {what}: {why}"))?;
            if self.format == Format::Json {
                return output::say_json(&found, "    ");
            }
            let rows = found.as_array().map(Vec::as_slice).unwrap_or_default();
            match rows {
                [] => {
                    output::complain("No nodes match the given query - try expanding your search.")
                }
                rows => output::say(&table(rows, self.detailed)),
            }
            Ok(())
        })
    }
}

fn table(nodes: &[Value], detailed: bool) -> String {
    let header: &[&str] = match detailed {
        true => &["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"],
        false => &["Node", "ID", "Address", "DC"],
    };
    let mut rows = vec![header.iter().map(ToString::to_string).collect::<Vec<_>>()];
    for node in nodes {
        let id = cell(&node["ID"]);
        let id = if detailed { id } else { id.chars().take(8).collect() };
        let mut row =
            vec![cell(&node["Node"]), id, cell(&node["Address"]), cell(&node["Datacenter"])];
        if detailed {
            // A row of a service calls the node's metadata otherwise.
            let meta = if node["NodeMeta"].is_object() { &node["NodeMeta"] } else { &node["Meta"] };
            row.extend([output::map(&node["TaggedAddresses"]), output::map(meta)]);
        }
        rows.push(row);
    }
    output::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_cut_unless_all_is_asked_for() {
        let nodes = [serde_json::json!({
            "Node": "n1", "ID": "11111111-2222-3333-4444-555555555555", "Address": "10.0.0.1",
            "Datacenter": "dc1", "TaggedAddresses": { "wan": "10.0.0.1", "lan": "10.0.0.1" },
            "Meta": { "rack": "r1" },
        })];
        let short = "Node  ID        Address   DC\nn1    11111111  10.0.0.1  dc1";
        assert_eq!(table(&nodes, false), short);
        let detailed = table(&nodes, true);
        let line = "n1    11111111-2222-3333-4444-555555555555  10.0.0.1  dc1  \
                    lan=10.0.0.1, wan=10.0.0.1  rack=r1";
        assert_eq!(detailed.lines().nth(1), Some(line));
    }
}
