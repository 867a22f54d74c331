//! `rutter catalog services`.

use super::{meta, no_words};
use crate::cli::client::{self, Client, ClientError, Query, path};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output::{self, Format, cell};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Lists the services of a datacenter.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter catalog services\n  $ rutter catalog services -tags\n  \
                        $ rutter catalog services -node=db-1"
)]
pub struct ListServices {
    /// Only those of a node, by name or id
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only those of nodes with this metadata; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    node_meta: Vec<String>,
    /// Print the tags of each
    #[arg(long)]
    tags: bool,
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

/// Names and tags, sorted.
type Services = BTreeMap<String, Vec<String>>;

impl ListServices {
    /// Prints one a line; that nothing matches is said on stderr and is no failure.
    pub fn run(self) -> Outcome {
        no_words(&self.words)?;
        let client = self.client.client()?;
        let mut query = self.server.query();
        for pair in meta(&self.node_meta) {
            query.add_some("node-meta", Some(&pair));
        }
        client::run(async {
            let found = match self.node.as_deref().filter(|node| !node.is_empty()) {
                Some(node) => of_node(&client, node, &query)
                    .await
                    .map_err(|why| format!("Error listing services for node: {why}"))?,
                None => of_all(&client, &query)
                    .await
                    .map_err(|why| format!("Error listing services: {why}"))?,
            };
            if self.format == Format::Json {
                return output::say_json(&json!(found), "    ");
            }
            if found.is_empty() {
                output::complain("No services match the given query - try expanding your search.");
                return Ok(());
            }
            output::say(&shown(found, self.tags));
            Ok(())
        })
    }
}

async fn of_all(client: &Client, query: &Query) -> Result<Services, ClientError> {
    let found = client.get("/v1/catalog/services", query).await?.json()?;
    let members = found.as_object().into_iter().flatten();
    Ok(members.map(|(name, tags)| (name.clone(), texts(tags))).collect())
}

async fn of_node(client: &Client, node: &str, query: &Query) -> Result<Services, ClientError> {
    let found = client.get(&path("/v1/catalog/node/", node), query).await?.json()?;
    let mut services = Services::new();
    for (_, instance) in found["Services"].as_object().into_iter().flatten() {
        let tags = services.entry(cell(&instance["Service"])).or_default();
        tags.extend(texts(&instance["Tags"]));
    }
    Ok(services)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(cell).collect()
}

fn shown(services: Services, tags: bool) -> String {
    if !tags {
        return services.keys().map(|name| output::plain(name)).collect::<Vec<_>>().join("\n");
    }
    let row = |(name, mut tags): (String, Vec<String>)| {
        tags.sort();
        (name, tags.join(","))
    };
    output::pairs(&services.into_iter().map(row).collect::<Vec<_>>()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stand_behind_the_longest_name() {
        let services = Services::from([
            ("web".to_owned(), vec!["v2".to_owned(), "v1".to_owned()]),
            ("database".to_owned(), vec![]),
        ]);
        assert_eq!(shown(services.clone(), false), "database\nweb");
        assert_eq!(shown(services, true), "database      \nweb           v1,v2");
    }
}
