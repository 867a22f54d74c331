//! `rutter services register`.

use super::files;
use crate::cli::client::{self, Query};
use crate::cli::failure::Outcome;
use crate::cli::flags::{ClientFlags, ServerFlags};
use crate::cli::output;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Gives services to the local agent.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  $ rutter services register -name=web -port=8080 -tag=blue\n  $ rutter services register web.hcl"
)]
pub struct Register {
    /// The id of the instance; the name by default
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// The service's name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Where it answers; the node's address by default
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    address: String,
    /// The port where it answers
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: i64,
    /// The socket in the file system where it answers
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    socket: String,
    /// A tag; may be given again
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Metadata; may be given again
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// An address under a name, such as lan; may be given again
    #[arg(long, value_name = "NAME=HOST:PORT")]
    tagged_address: Vec<String>,
    /// What kind of service it is, where it is a special one
    #[arg(long, value_name = "KIND", default_value = "", hide_default_value = true)]
    kind: String,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// Files of definitions, in HCL or JSON
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Register {
    /// Gives one after the other and names each.
    pub fn run(self) -> Outcome {
        let own = self.definition()?;
        let services = match (self.files.is_empty(), self.name.is_empty()) {
            (true, true) => {
                let why = "Service registration requires at least one argument or flags.";
                return Err(why.into());
            }
            (false, false) => {
                return Err("Service registration requires arguments or -id, not both.".into());
            }
            (true, false) => vec![own],
            (false, true) => {
                let read = files::read(&self.files).map_err(|why| format!("Error: {why}"))?;
                read.into_iter().map(|service| files::complete(service, &own)).collect()
            }
        };
        let client = self.client.client()?;
        client::run(async {
            for service in services {
                let name = files::name(&service);
                let body = Value::Object(service).to_string();
                let done = client.put("/v1/agent/service/register", &Query::new(), body).await;
                done.map_err(|why| {
                    format!("Error registering service {}: {why}", lang::quote(&name))
                })?;
                output::say(&format!("Registered service: {name}"));
            }
            Ok(())
        })
    }

    /// What the flags say.
    fn definition(&self) -> Result<Map<String, Value>, String> {
        let mut service = Map::new();
        let texts = [
            ("id", &self.id),
            ("name", &self.name),
            ("address", &self.address),
            ("socketpath", &self.socket),
            ("kind", &self.kind),
        ];
        for (key, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            service.insert(key.to_owned(), json!(value));
        }
        if self.port != 0 {
            service.insert("port".to_owned(), json!(self.port));
        }
        if !self.tag.is_empty() {
            service.insert("tags".to_owned(), json!(self.tag));
        }
        let mut meta = Map::new();
        for pair in &self.meta {
            let (key, value) = pair_of(pair, "-meta")?;
            meta.insert(key.to_owned(), json!(value));
        }
        if !meta.is_empty() {
            service.insert("meta".to_owned(), Value::Object(meta));
        }
        let mut addresses = Map::new();
        for pair in &self.tagged_address {
            let (key, value) = pair_of(pair, "-tagged-address")?;
            addresses.insert(key.to_owned(), tagged(value)?);
        }
        if !addresses.is_empty() {
            service.insert("taggedaddresses".to_owned(), Value::Object(addresses));
        }
        Ok(service)
    }
}

fn pair_of<'p>(pair: &'p str, flag: &str) -> Result<(&'p str, &'p str), String> {
    pair.split_once('=').ok_or_else(|| format!("Missing \"=\" value in argument of {flag}: {pair}"))
}

fn tagged(address: &str) -> Result<Value, String> {
    let refused = || format!("Invalid Tagged Address: {address}: HOST:PORT is wanted");
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    let port: u16 = port.parse().map_err(|_| refused())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(refused());
    }
    Ok(json!({ "address": host, "port": port }))
}
