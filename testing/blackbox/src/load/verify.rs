//! Compares a restarted server with the books.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::prelude::*;
use serde_json::Value;

use super::Load;
use super::clients::{blob, holder, value};
use crate::history::{Op, Told};
use crate::http::Http;
use crate::wait::{SOON, until};

/// What a comparison covered.
#[derive(Debug, Default, Clone, Copy)]
pub struct Verified {
    /// Items of the books compared.
    pub items: usize,
    /// Operations in the histories checked.
    pub operations: usize,
}

impl Load {
    /// Compares everything; each item then counts as it was found.
    pub fn verify(&self, addr: SocketAddr) -> Result<Verified> {
        let http = &mut Http::new(addr);
        let mut items = self.ledger.settle("key", &values(http, "ledger/")?)?;
        items += self.blobs.settle("blob", &self.blob_names(http)?)?;
        items += self.sessions.settle("session", &session_names(http)?)?;
        items += self.nodes.settle("node", &far_nodes(http)?)?;
        items += self.services.settle("service", &near_services(http)?)?;
        self.read_fought_keys(http)?;
        let operations = self.histories.check()?;
        http.delete("/v1/kv/fight/?recurse")?.expect_status(200)?;
        Ok(Verified { items, operations })
    }

    fn blob_names(&self, http: &mut Http) -> Result<BTreeMap<String, String>> {
        let mut names = BTreeMap::new();
        for key in self.blobs.names() {
            let answer = http.get(&format!("/v1/kv/{key}?raw"))?;
            if answer.status == 404 {
                continue;
            }
            let text = answer.expect_status(200)?.text();
            let name = text.split(' ').next().unwrap_or_default().to_owned();
            ensure!(
                text == blob(&name),
                "{key} is torn: {} bytes that begin with {name}",
                text.len()
            );
            names.insert(key, name);
        }
        Ok(names)
    }

    /// A last read of each key that clients fought for belongs to its history: it shows what survived.
    fn read_fought_keys(&self, http: &mut Http) -> Result<()> {
        let fighters = self.fighters.lock().expect("no thread panics while it holds this").clone();
        let mut reader = self.histories.new_client();
        for key in self.histories.keys() {
            let op = if key.contains("/lock/") { Op::ReadHolder } else { Op::Read };
            self.histories.record(&mut reader, &key, op.clone(), || {
                let answer = http.get(&format!("/v1/kv/{key}"))?;
                let row = if answer.status == 404 {
                    Value::Null
                } else {
                    answer.expect_status(200)?.json()?[0].take()
                };
                let seen = if op == Op::Read { value(&row)? } else { holder(&row, &fighters) };
                Ok((Told::Saw(seen), ()))
            })?;
        }
        Ok(())
    }
}

fn rows(http: &mut Http, path: &str) -> Result<Vec<Value>> {
    let answer = http.get(path)?;
    if answer.status == 404 {
        return Ok(Vec::new());
    }
    let json = answer.expect_status(200).with_context(|| path.to_owned())?.json()?;
    Ok(json.as_array().cloned().unwrap_or_default())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn values(http: &mut Http, prefix: &str) -> Result<BTreeMap<String, String>> {
    let rows = rows(http, &format!("/v1/kv/{prefix}?recurse"))?;
    let pair = |row: &Value| {
        let value = BASE64_STANDARD.decode(text(&row["Value"]))?;
        Ok((text(&row["Key"]), String::from_utf8(value)?))
    };
    rows.iter().map(pair).collect()
}

fn session_names(http: &mut Http) -> Result<BTreeMap<String, bool>> {
    let rows = rows(http, "/v1/session/list")?;
    let names = rows.iter().map(|row| text(&row["Name"]));
    Ok(names.filter(|name| name != "fighter").map(|name| (name, true)).collect())
}

/// The one generation that all parts of a registration tell; an error if they differ or one is missing.
fn generation(parts: &[&Value]) -> Result<u32> {
    let texts: BTreeSet<String> = parts.iter().map(|part| text(part)).collect();
    ensure!(texts.len() == 1, "parts of several generations: {parts:?}");
    Ok(texts.first().expect("there is one").parse()?)
}

/// Nodes by catalog registration. Node, service and both checks were written by one entry, so they are there together.
fn far_nodes(http: &mut Http) -> Result<BTreeMap<String, u32>> {
    let mut found = BTreeMap::new();
    for row in rows(http, "/v1/health/service/far")? {
        let checks = row["Checks"].as_array().cloned().unwrap_or_default();
        ensure!(checks.len() == 2, "a registration with {} checks: {row}", checks.len());
        let meta = [&row["Node"]["Meta"]["generation"], &row["Service"]["Meta"]["generation"]];
        let parts = [meta[0], meta[1], &checks[0]["Output"], &checks[1]["Output"]];
        found.insert(
            text(&row["Node"]["Node"]),
            generation(&parts).with_context(|| row.to_string())?,
        );
    }
    for row in rows(http, "/v1/catalog/nodes")? {
        let name = text(&row["Node"]);
        ensure!(
            !name.starts_with("far") || found.contains_key(&name),
            "node {name} is there without its service"
        );
    }
    Ok(found)
}

/// Services at the agent, with their checks; the catalog follows soon.
fn near_services(http: &mut Http) -> Result<BTreeMap<String, u32>> {
    let services = http.get_json("/v1/agent/services")?;
    let checks = http.get_json("/v1/agent/checks")?;
    let mut found = BTreeMap::new();
    for (id, service) in services.as_object().into_iter().flatten() {
        let check = &checks[format!("check-of-{id}")]["Notes"];
        let generation = generation(&[&service["Meta"]["generation"], check]);
        found.insert(id.clone(), generation.with_context(|| format!("{service} {checks}"))?);
    }
    until("the catalog to show what the agent has", SOON, || {
        let mut shown = BTreeMap::new();
        for row in rows(http, "/v1/health/service/near")? {
            let checks = row["Checks"].as_array().cloned().unwrap_or_default();
            let id = text(&row["Service"]["ID"]);
            let own = checks
                .iter()
                .find(|c| text(&c["ServiceID"]) == id)
                .map_or(Value::Null, |c| c["Notes"].clone());
            shown.insert(id, generation(&[&row["Service"]["Meta"]["generation"], &own])?);
        }
        ensure!(shown == found, "catalog {shown:?}, agent {found:?}");
        Ok(())
    })?;
    Ok(found)
}
