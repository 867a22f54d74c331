//! `/v1/operator/`: the servers, their log, and how much there is of everything.
//!
//! There is one server, so what would change the set of servers is refused as Consul refuses it of a
//! single one. Autopilot has nobody to watch over: its configuration is Consul's own and fixed.
//! Source: Consul, "Operator HTTP API"; story 33.

use super::blocking::{Body, Found, Scene};
use super::catalog::datacenter;
use super::error::{Problem, Stop};
use super::json::{Place, members, nanos};
use super::mesh::is_native;
use super::params::ReadOptions;
use crate::answer::{Answer, json as compact};
use crate::call::Call;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use catalog::{Authorizer, Watch};
use lang::json::Json;
use lang::{number, quote};
use model::{Nanos, Text};
use seams::{Consistency, Doors};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The doors of the datacenter asked for, and what the caller may do there.
fn enter(call: &Call) -> Result<(Doors, Authorizer), Problem> {
    let doors = call.doors()?;
    let authorizer = doors.reader.view().authorizer(&call.token);
    Ok((doors, authorizer))
}

fn may_read(authorizer: &Authorizer) -> Result<(), Problem> {
    Problem::unless(authorizer.operator_read(), "operator:read", "")
}

fn may_write(authorizer: &Authorizer) -> Result<(), Problem> {
    Problem::unless(authorizer.operator_write(), "operator:write", "")
}

/// `GET raft/configuration`: the voters of the log.
pub async fn raft_configuration(call: Call) -> Result<Answer, Problem> {
    let (doors, authorizer) = enter(&call)?;
    may_read(&authorizer)?;
    let identity = &call.context.identity;
    Ok(Answer::json(&json!({
        "Servers": [{
            "ID": identity.node_id.to_string(),
            "Node": identity.node_name.as_str(),
            "Address": identity.server_address.to_string(),
            "Leader": doors.reader.leadership().is_leader,
            "ProtocolVersion": "3",
            "Voter": true,
            "LastIndex": doors.reader.view().index().0,
        }],
        "Index": 0,
    })))
}

/// `DELETE raft/peer`: there is no other to remove.
pub async fn remove_peer(call: Call) -> Result<Answer, Problem> {
    let (id, address) = (call.query.given("id"), call.query.given("address"));
    let (what, given) = match (id, address) {
        (None, None) => {
            return Err(Problem::bad(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to \
                 remove",
            ));
        }
        (Some(_), Some(_)) => return Err(Problem::bad("Must specify only one of ?id or ?address")),
        (Some(id), None) => ("id", id),
        (None, Some(address)) => ("address", address),
    };
    may_write(&enter(&call)?.1)?;
    let identity = &call.context.identity;
    let ours = [identity.node_id.to_string(), identity.server_address.to_string()];
    Err(Problem::Invalid(match ours.iter().any(|own| own.eq_ignore_ascii_case(given)) {
        true => format!("{what} {} is the only server, which cannot be removed", quote(given)),
        false => format!("{what} {} was not found in the Raft configuration", quote(given)),
    }))
}

/// `POST raft/transfer-leader`: there is no other to lead.
pub async fn transfer_leader(call: Call) -> Result<Answer, Problem> {
    may_write(&enter(&call)?.1)?;
    let own = call.context.identity.node_id.to_string();
    Err(Problem::Invalid(match call.query.given("id") {
        None => "cannot find peer".to_owned(),
        Some(id) if id.eq_ignore_ascii_case(&own) => {
            "cannot transfer leadership to itself".to_owned()
        }
        Some(id) => format!("Could not find address for server id {id}"),
    }))
}

/// `GET autopilot/configuration`: what Consul begins with.
pub async fn autopilot(call: Call) -> Result<Answer, Problem> {
    may_read(&enter(&call)?.1)?;
    Ok(Answer::json(&json!({
        "CleanupDeadServers": true,
        "LastContactThreshold": "200ms",
        "MaxTrailingLogs": 250,
        "MinQuorum": 0,
        "ServerStabilizationTime": "10s",
        "RedundancyZoneTag": "",
        "DisableUpgradeMigration": false,
        "UpgradeVersionTag": "",
        "CreateIndex": 1,
        "ModifyIndex": 1,
    })))
}

/// `PUT autopilot/configuration`: read, so that a mistake is told as Consul tells it, and refused.
pub async fn configure_autopilot(mut call: Call) -> Result<Answer, Problem> {
    let wrong = |why: String| Problem::Bad(format!("Error parsing autopilot config: {why}"));
    let read = match call.json().await {
        Ok(body) => read_autopilot(&body),
        Err(problem) => Err(problem),
    };
    match read {
        Err(Problem::Decode(why)) => return Err(wrong(why)),
        other => other?,
    }
    if let Some(cas) = call.query.first("cas") {
        let bad = |error| Problem::Bad(format!("Error parsing cas value: {error}"));
        number::parse_uint(cas).map_err(bad)?;
    }
    may_write(&enter(&call)?.1)?;
    let text = "the autopilot configuration cannot be changed in this version: there is one server";
    Err(Problem::Unsupported(text.to_owned()))
}

fn read_autopilot(body: &Json) -> Result<(), Problem> {
    let place = Place::root("AutopilotConfiguration");
    members(body, "api.AutopilotConfiguration", true, &mut |key, value| {
        match key {
            "cleanupdeadservers" => place.truth("CleanupDeadServers", value, &mut false)?,
            "disableupgrademigration" => {
                place.truth("DisableUpgradeMigration", value, &mut false)?;
            }
            "lastcontactthreshold" | "serverstabilizationtime" => nanos(value, &mut Nanos(0))?,
            "maxtrailinglogs" => place.number("MaxTrailingLogs", value, &mut 0)?,
            "minquorum" => place.number("MinQuorum", value, &mut 0)?,
            "redundancyzonetag" => place.text("RedundancyZoneTag", value, &mut Text::default())?,
            "upgradeversiontag" => place.text("UpgradeVersionTag", value, &mut Text::default())?,
            "createindex" | "modifyindex" => {}
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// What both views of the only server's health share; an error where it does not lead.
async fn health(call: &Call) -> Result<Value, Problem> {
    let (doors, authorizer) = enter(call)?;
    may_read(&authorizer)?;
    doors.reader.current(Consistency::Default).await?;
    let (identity, log) = (&call.context.identity, doors.reader.log_position());
    Ok(json!({
        "ID": identity.node_id.to_string(),
        "Name": identity.node_name.as_str(),
        "Address": identity.server_address.to_string(),
        "Version": identity.version,
        "LastContact": "0s",
        "LastTerm": log.last_term,
        "LastIndex": log.last_index,
        "Healthy": true,
        "StableSince": call.since.to_string(),
    }))
}

fn with(mut server: Value, more: &[(&str, Value)]) -> Value {
    for (name, value) in more {
        server[*name] = value.clone();
    }
    server
}

/// `GET autopilot/health`.
pub async fn autopilot_health(call: Call) -> Result<Answer, Problem> {
    let more = [("SerfStatus", "alive".into()), ("Leader", true.into()), ("Voter", true.into())];
    let server = with(health(&call).await?, &more);
    Ok(Answer::json(&json!({ "Healthy": true, "FailureTolerance": 0, "Servers": [server] })))
}

/// `GET autopilot/state`.
pub async fn autopilot_state(call: Call) -> Result<Answer, Problem> {
    let id = call.context.identity.node_id.to_string();
    let more = [
        ("NodeStatus", "alive".into()),
        ("ReadReplica", false.into()),
        ("Status", "leader".into()),
        ("Meta", json!({})),
        ("NodeType", "voter".into()),
    ];
    let server = with(health(&call).await?, &more);
    Ok(Answer::json(&json!({
        "Healthy": true,
        "FailureTolerance": 0,
        "OptimisticFailureTolerance": 0,
        "Servers": { id.as_str(): server },
        "Leader": id.as_str(),
        "Voters": [id.as_str()],
    })))
}

/// `/keyring`, every method: gossip has no keys, and Consul's texts say so for each pool.
pub async fn keyring(mut call: Call) -> Result<Answer, Problem> {
    let lists = call.request.head.method == http::Method::GET;
    let key = if lists { None } else { Some(read_key(&call.json().await?)?) };
    check_relay(&call)?;
    check_local_only(&call, lists)?;
    let authorizer = call.authorizer();
    match lists {
        true => Problem::unless(authorizer.keyring_read(), "keyring:read", "")?,
        false => Problem::unless(authorizer.keyring_write(), "keyring:write", "")?,
    }
    let (node, dc) = (&call.context.identity.node_name, &call.context.identity.datacenter);
    if let Some(Err(offset)) = key.map(|key| check_key(key.as_str())) {
        let why = format!("illegal base64 data at input byte {offset}");
        return Err(Problem::Invalid(format!(
            "2 errors occurred:\n\t* WAN error: {why}\n\t* {dc} (LAN) error: {why}\n\n"
        )));
    }
    let why = match lists {
        true => "Keyring is empty (encryption not enabled)",
        false => "No keyring to modify (encryption not enabled)",
    };
    let failed = "1/1 nodes reported failure";
    Err(Problem::Invalid(format!(
        "4 errors occurred:\n\t* WAN error: {failed}\n\t* {node}.{dc}: {why}\n\t* {dc} (LAN) error: \
         {failed}\n\t* {node}: {why}\n\n"
    )))
}

fn read_key(body: &Json) -> Result<Text, Problem> {
    let place = Place::root("keyringArgs");
    let mut key = Text::default();
    members(body, "agent.keyringArgs", true, &mut |name, value| {
        match name {
            "key" => place.text("Key", value, &mut key)?,
            "token" => place.text("Token", value, &mut Text::default())?,
            "relayfactor" => place.number("RelayFactor", value, &mut 0)?,
            "localonly" => place.truth("LocalOnly", value, &mut false)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(key)
}

/// Whether a key is base64; else where Go would say that it is not.
fn check_key(key: &str) -> Result<(), usize> {
    match STANDARD.decode(key) {
        Ok(_) => Ok(()),
        Err(base64::DecodeError::InvalidByte(at, _)) => Err(at),
        Err(base64::DecodeError::InvalidLastSymbol(at, _)) => Err(at),
        Err(_) => Err(key.len() - key.len() % 4),
    }
}

fn check_relay(call: &Call) -> Result<(), Problem> {
    let Some(text) = call.query.given("relay-factor") else { return Ok(()) };
    let factor = number::parse_int(text)
        .map_err(|error| Problem::Bad(format!("Error parsing relay factor: {error}")))?;
    match (0..=5).contains(&factor) {
        true => Ok(()),
        false => Err(Problem::bad("Invalid relay-factor: Relay factor must be in range: [0, 5]")),
    }
}

fn check_local_only(call: &Call, lists: bool) -> Result<(), Problem> {
    let Some(text) = call.query.given("local-only") else { return Ok(()) };
    let local = number::parse_bool(text)
        .map_err(|error| Problem::Bad(format!("Error parsing local-only: {error}")))?;
    match local && !lists {
        true => Err(Problem::bad(
            "Invalid use of local-only: local-only can only be set for list requests",
        )),
        false => Ok(()),
    }
}

/// Consul's kinds of instances that are part of its mesh.
const MESH_KINDS: [&str; 5] =
    ["api-gateway", "connect-proxy", "ingress-gateway", "mesh-gateway", "terminating-gateway"];

/// `GET usage`: how many nodes, services and instances there are.
pub fn usage(scene: &Scene) -> Result<Found, Stop> {
    may_read(scene.auth)?;
    let tenant = scene.tenant();
    let nodes = scene.view.nodes(tenant)?;
    let instances = scene.view.services(tenant)?;
    let services = scene.view.service_keys(tenant)?.count();
    let mut mesh: BTreeMap<&str, u64> = MESH_KINDS.iter().map(|kind| (*kind, 0)).collect();
    mesh.insert("connect-native", 0); // of any kind, and counted beside it
    let mut billable = 0;
    for row in &instances.value {
        match mesh.get_mut(row.kind.as_str()) {
            Some(count) => *count += 1,
            None if row.service.as_str() != "consul" => billable += 1,
            None => {}
        }
        if is_native(row) {
            *mesh.entry("connect-native").or_default() += 1;
        }
    }
    let index = nodes.index.max(instances.index);
    let leadership = scene.call.doors()?.reader.leadership();
    let shape = json!({
        "Usage": { datacenter(scene): {
            "Nodes": nodes.value.len(),
            "Services": services,
            "ServiceInstances": instances.value.len(),
            "ConnectServiceInstances": mesh,
            "BillableServiceInstances": billable,
        }},
        "Index": index.0,
        "LastContact": leadership.last_contact.as_nanos().try_into().unwrap_or(u64::MAX),
        "KnownLeader": leadership.leader.is_some(),
        "ConsistencyLevel": ReadOptions::parse(scene.call)?.word(),
        "NotModified": false,
        "Backend": 0,
        "ResultsFilteredByACLs": false,
    });
    let watches = vec![Watch::Nodes(tenant), Watch::Services(tenant)];
    Ok(Found { body: Body::Json(compact(&shape)), index, watches, filtered: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_no_base64_is_told_with_its_place() {
        for (key, place) in [
            ("x", Err(0)),
            ("pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", Ok(())),
            ("ab*d", Err(2)),
            ("abcdx", Err(4)),
        ] {
            assert_eq!(check_key(key), place, "{key}");
        }
    }
}
