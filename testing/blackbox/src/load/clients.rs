//! What each client of a storm does, one write at a time. An error ends the client: the server is gone.

use std::sync::atomic::Ordering;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::book::Book;
use super::{Client, Load};
use crate::history::{Op, Told};

/// A key is left after so many operations; its history stays short enough to be checked.
const OPS_A_KEY: u32 = 16;

/// One of several clients that write, swap and lock the same keys.
pub(super) fn fight(client: &mut Client) -> Result<()> {
    let mut id = client.load.histories.new_client();
    let fighters =
        client.load.fighters.lock().expect("no thread panics while it holds this").clone();
    while !client.over.load(Ordering::SeqCst) {
        let turn = client.load.number();
        let (group, kind) = (turn / (3 * OPS_A_KEY), turn % 3);
        match kind {
            0 => register(client, &mut id, &format!("fight/register/{group}"), turn)?,
            1 => swap(client, &mut id, &format!("fight/swap/{group}"), turn)?,
            _ => lock(client, &mut id, &format!("fight/lock/{group}"), &fighters)?,
        }
    }
    Ok(())
}

fn register(client: &mut Client, id: &mut u32, key: &str, turn: u32) -> Result<()> {
    let load = client.load;
    if client.rng.below(3) == 0 {
        return load.histories.record(id, key, Op::Read, || {
            read_value(client, key).map(|(v, _)| (Told::Saw(v), ()))
        });
    }
    load.histories.record(id, key, Op::Write(turn), || {
        let did = client.write_kv(key, "", turn.to_string())?;
        Ok((Told::Did(did), ()))
    })
}

fn swap(client: &mut Client, id: &mut u32, key: &str, turn: u32) -> Result<()> {
    let load = client.load;
    let (old, index) = load.histories.record(id, key, Op::Read, || {
        let (value, index) = read_value(client, key)?;
        Ok((Told::Saw(value), (value, index)))
    })?;
    load.histories.record(id, key, Op::Swap(old, turn), || {
        let did = client.write_kv(key, &format!("?cas={index}"), turn.to_string())?;
        Ok((Told::Did(did), ()))
    })
}

fn lock(client: &mut Client, id: &mut u32, key: &str, fighters: &[String]) -> Result<()> {
    let load = client.load;
    let who = client.rng.below(fighters.len() as u64) as u32;
    let (op, word) = match client.rng.below(5) {
        0 => {
            return load.histories.record(id, key, Op::ReadHolder, || {
                let holder = read_row(client, key)?.and_then(|row| holder(&row, fighters));
                Ok((Told::Saw(holder), ()))
            });
        }
        1 | 2 => (Op::Release(who), "release"),
        _ => (Op::Acquire(who), "acquire"),
    };
    let query = format!("?{word}={}", fighters[who as usize]);
    load.histories.record(id, key, op, || {
        let did = client.write_kv(key, &query, String::new())?;
        Ok((Told::Did(did), ()))
    })
}

/// The holder of a row as its number among the fighters.
pub(super) fn holder(row: &Value, fighters: &[String]) -> Option<u32> {
    let session = row["Session"].as_str()?;
    fighters.iter().position(|f| f == session).map_or(Some(u32::MAX), |n| u32::try_from(n).ok())
}

fn read_row(client: &mut Client, key: &str) -> Result<Option<Value>> {
    let answer = client.http.get(&format!("/v1/kv/{key}"))?;
    match answer.status {
        404 => Ok(None),
        200 => Ok(Some(answer.json()?[0].take())),
        other => bail!("{other} {}", answer.text()),
    }
}

fn read_value(client: &mut Client, key: &str) -> Result<(Option<u32>, u64)> {
    let Some(row) = read_row(client, key)? else { return Ok((None, 0)) };
    Ok((value(&row)?, row["ModifyIndex"].as_u64().unwrap_or_default()))
}

/// The number in a row's value.
pub(super) fn value(row: &Value) -> Result<Option<u32>> {
    use base64::prelude::*;
    let Some(text) = row["Value"].as_str() else { return Ok(None) };
    let text = String::from_utf8(BASE64_STANDARD.decode(text)?)?;
    Ok(Some(text.parse()?))
}

impl Client<'_> {
    /// A write to a key: what was answered. Anything but 200 counts as an outcome that is not known.
    fn write_kv(&mut self, key: &str, query: &str, body: String) -> Result<bool> {
        let text = self.write(&format!("/v1/kv/{key}{query}"), body)?;
        Ok(text.trim() == "true")
    }

    fn write(&mut self, path: &str, body: impl AsRef<[u8]>) -> Result<String> {
        let answer = self.http.put(path, body)?;
        if answer.status != 200 {
            let line = format!("PUT {path}: {} {}", answer.status, answer.text());
            self.load
                .refused
                .lock()
                .expect("no thread panics while it holds this")
                .push(line.clone());
            bail!(line);
        }
        self.load.acknowledged.fetch_add(1, Ordering::SeqCst);
        Ok(answer.text())
    }

    fn write_item<T>(
        &mut self,
        book: &Book<T>,
        name: &str,
        state: Option<T>,
        path: &str,
        body: Value,
    ) -> Result<String>
    where
        T: Clone + PartialEq + std::fmt::Debug,
    {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        book.sent(name, state);
        let text = self.write(path, body)?;
        book.acknowledged(name);
        Ok(text)
    }
}

/// Sets and removes small keys.
pub(super) fn ledger(client: &mut Client) -> Result<()> {
    let load = client.load;
    let key = format!("ledger/{}", client.rng.below(200));
    if client.rng.below(8) == 0 {
        load.ledger.sent(&key, None);
        client.http.delete(&format!("/v1/kv/{key}"))?.expect_status(200)?;
    } else {
        let value = format!("{}", load.number());
        load.ledger.sent(&key, Some(value.clone()));
        client.write_kv(&key, "", value)?;
    }
    load.ledger.acknowledged(&key);
    Ok(())
}

/// Overwrites a few large values, so that the log grows and snapshots are taken.
pub(super) fn blobs(client: &mut Client) -> Result<()> {
    let load = client.load;
    let key = format!("blob/{}/{}", client.number, client.rng.below(2));
    let name = load.number().to_string();
    load.blobs.sent(&key, Some(name.clone()));
    client.write_kv(&key, "", blob(&name))?;
    load.blobs.acknowledged(&key);
    Ok(())
}

/// A large value that tells its name, all through.
pub(super) fn blob(name: &str) -> String {
    format!("{name} ").repeat(400_000 / (name.len() + 1))
}

/// Creates and destroys sessions.
pub(super) fn sessions(client: &mut Client) -> Result<()> {
    let load = client.load;
    let name = format!("s{}", load.number());
    let made = client.write_item(
        &load.sessions,
        &name,
        Some(true),
        "/v1/session/create",
        json!({ "Name": name }),
    )?;
    if client.rng.below(20) > 0 {
        let made: Value = serde_json::from_str(&made)?;
        let path = format!("/v1/session/destroy/{}", made["ID"].as_str().unwrap_or_default());
        client.write_item(&load.sessions, &name, None, &path, Value::Null)?;
    }
    Ok(())
}

/// Registers nodes with a service and two checks, all of one generation, and removes them.
pub(super) fn nodes(client: &mut Client) -> Result<()> {
    let load = client.load;
    let name = format!("far{}", client.rng.below(30));
    if client.rng.below(6) == 0 {
        client.write_item(
            &load.nodes,
            &name,
            None,
            "/v1/catalog/deregister",
            json!({ "Node": name }),
        )?;
        return Ok(());
    }
    let generation = load.number();
    let text = generation.to_string();
    let body = json!({
        "Node": name, "Address": "10.0.0.1", "NodeMeta": { "generation": text },
        "Service": { "ID": "far-1", "Service": "far", "Port": 80, "Meta": { "generation": text } },
        "Checks": [
            { "CheckID": "of-node", "Name": "n", "Status": "passing", "Output": text },
            { "CheckID": "of-service", "Name": "s", "Status": "passing", "ServiceID": "far-1", "Output": text },
        ],
    });
    client.write_item(&load.nodes, &name, Some(generation), "/v1/catalog/register", body)?;
    Ok(())
}

/// Registers services with a check at the agent, and removes them.
pub(super) fn services(client: &mut Client) -> Result<()> {
    let load = client.load;
    let id = format!("near{}", client.rng.below(20));
    if client.rng.below(6) == 0 {
        return remove_service(client, load, &id);
    }
    let generation = load.number();
    let text = generation.to_string();
    let body = json!({
        "ID": id, "Name": "near", "Port": 80, "Meta": { "generation": text },
        "Check": { "CheckID": format!("check-of-{id}"), "Name": "c", "TTL": "1h", "Notes": text },
    });
    client.write_item(&load.services, &id, Some(generation), "/v1/agent/service/register", body)?;
    Ok(())
}

/// A service that is not there is refused with 404, which is as good as having removed it.
fn remove_service(client: &mut Client, load: &Load, id: &str) -> Result<()> {
    load.services.sent(id, None);
    let answer = client.http.put(&format!("/v1/agent/service/deregister/{id}"), "")?;
    if !matches!(answer.status, 200 | 404) {
        bail!("{} {}", answer.status, answer.text());
    }
    load.services.acknowledged(id);
    Ok(())
}
