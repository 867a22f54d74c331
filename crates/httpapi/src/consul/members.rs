//! `/v1/agent/self` and whoever else there is: this server, until there is gossip.
//!
//! Many clients begin here; Patroni, Vault, Prometheus and Nomad each read other fields.
//! Source: Consul, "Agent HTTP API"

use super::error::Problem;
use super::filter::{self, MemberRow};
use super::shapes::Pairs;
use crate::answer::Answer;
use crate::call::Call;
use crate::context::Identity;
use lang::duration;
use seams::LogPosition;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::Duration;

fn agent_read(call: &Call) -> Result<(), Problem> {
    let node = call.context.identity.node_name.as_str();
    Problem::unless(call.authorizer().agent_read(node), "agent:read", node)
}

/// `GET self`.
pub async fn own(call: Call) -> Result<Answer, Problem> {
    agent_read(&call)?;
    let is = &call.context.identity;
    let min = call.context.settings.session_ttl_min;
    let tcp = |port| format!("tcp://{}", SocketAddr::new(is.address, port)); // as Consul writes it
    let mut own = json!({
        "Config": {
            "Datacenter": is.datacenter,
            "PrimaryDatacenter": is.primary_datacenter,
            "NodeName": is.node_name.as_str(),
            "NodeID": is.node_id.to_string(),
            "Revision": is.revision,
            "Server": is.server,
            "Version": is.version,
            "BuildDate": is.build_date,
        },
        "DebugConfig": {
            "ACLsEnabled": false,
            "Bootstrap": is.bootstrap,
            "DataDir": is.data_dir,
            "DevMode": is.dev_mode,
            "DNSPort": is.dns_port,
            "GRPCPort": -1,
            "HTTPPort": is.http_port,
            "SerfAdvertiseAddrLAN": tcp(is.serf_lan_port),
            "SerfAdvertiseAddrWAN": tcp(is.serf_wan_port),
            "ServerMode": is.server,
            "ServerPort": is.server_address.port(),
            "SessionTTLMin": duration::format(min.0),
            "UIConfig": { "Enabled": false },
        },
        "Coord": call.context.settings.coordinates.then(coordinate),
        "Member": member(is, Wide::No),
        "Stats": stats(&call),
        "Meta": Pairs(&is.node_meta),
    });
    if call.context.settings.xds {
        own["xDS"] = no_proxies();
    }
    Ok(Answer::json(&own))
}

/// No port, and no version of any proxy.
fn no_proxies() -> Value {
    let ports = json!({ "Plaintext": -1, "TLS": -1 });
    json!({ "SupportedProxies": {}, "Port": -1, "Ports": ports })
}

/// The origin, with the error of one that has measured nothing.
pub fn coordinate() -> Value {
    json!({ "Vec": [0, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 1e-5 })
}

/// Whether a member is shown as other datacenters see it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wide {
    Yes,
    No,
}

fn member(is: &Identity, wide: Wide) -> Value {
    let revision: String = is.revision.chars().take(8).collect();
    let mut tags = Map::new();
    let mut tag = |name: &str, value: String| tags.insert(name.to_owned(), Value::String(value));
    tag("role", if is.server { "consul" } else { "node" }.to_owned());
    tag("dc", is.datacenter.clone());
    tag("id", is.node_id.to_string());
    tag("segment", String::new());
    tag("build", format!("{}:{revision}", is.version));
    for (name, value) in [("vsn", "2"), ("vsn_min", "2"), ("vsn_max", "3"), ("raft_vsn", "3")] {
        tag(name, value.to_owned());
    }
    for (name, value) in [("acls", "0"), ("ft_fs", "1"), ("ft_si", "1")] {
        tag(name, value.to_owned());
    }
    tag("port", is.server_address.port().to_string());
    if is.bootstrap {
        tag("bootstrap", "1".to_owned());
    }
    if wide == Wide::No {
        tag("wan_join_port", is.serf_wan_port.to_string());
    }
    let (name, port) = match wide {
        Wide::No => (is.node_name.as_str().to_owned(), is.serf_lan_port),
        Wide::Yes => (format!("{}.{}", is.node_name, is.datacenter), is.serf_wan_port),
    };
    json!({
        "Name": name,
        "Addr": is.address.to_string(),
        "Port": port,
        "Tags": tags,
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

/// `GET members`; with `?wan` as other datacenters see them.
pub async fn members(call: Call) -> Result<Answer, Problem> {
    let filter = filter::of(&call, &filter::MEMBER)?;
    let wide = if call.query.given("wan").is_some() { Wide::Yes } else { Wide::No };
    if call.query.given("segment").is_some_and(|segment| segment != "_all") {
        return Err(match wide {
            Wide::Yes => Problem::bad("Cannot provide a segment with wan=true"),
            Wide::No => {
                Problem::invalid("Network segments are not supported in this version of Consul")
            }
        });
    }
    let is = &call.context.identity;
    let seen = call.authorizer().node_read(is.node_name.as_str());
    let member = seen.then(|| member(is, wide));
    let kept = member.filter(|shown| filter::keeps(filter, &MemberRow::new(shown, is.address)));
    Ok(Answer::json(&kept.into_iter().collect::<Vec<_>>()))
}

/// `GET version`.
pub async fn version(call: Call) -> Result<Answer, Problem> {
    agent_read(&call)?;
    let is = &call.context.identity;
    Ok(Answer::json(&json!({
        "SHA": is.revision,
        "BuildDate": is.build_date,
        "HumanVersion": is.version,
        "FIPS": "",
    })))
}

/// Everything in it is text, as in Consul; what is not known is 0.
fn stats(call: &Call) -> Value {
    let is = &call.context.identity;
    let reader = &call.context.datacenters.here().reader;
    let leadership = reader.leadership();
    let registrar = &call.context.registrar;
    let checks = registrar.checks();
    let of_ttl = checks.iter().filter(|check| check.kind == "ttl").count();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    json!({
        "agent": {
            "check_monitors": (checks.len() - of_ttl).to_string(),
            "check_ttls": of_ttl.to_string(),
            "checks": checks.len().to_string(),
            "services": registrar.instances().len().to_string(),
        },
        "build": {
            "prerelease": "",
            "revision": is.revision,
            "version": is.version,
            "version_metadata": "",
        },
        "consul": {
            "acl": "disabled",
            "bootstrap": is.bootstrap.to_string(),
            "known_datacenters": call.context.datacenters.names().len().to_string(),
            "leader": leadership.is_leader.to_string(),
            "leader_addr": leadership.leader.clone().unwrap_or_default(),
            "server": is.server.to_string(),
        },
        "raft": raft_stats(reader.log_position(), leadership.is_leader, leadership.last_contact),
        "runtime": {
            "arch": std::env::consts::ARCH,
            "cpu_count": cpus,
            "goroutines": "0",
            "max_procs": cpus,
            "os": std::env::consts::OS,
            "version": "rust",
        },
        "serf_lan": serf_stats(),
        "serf_wan": serf_stats(),
    })
}

fn zeros(names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), Value::from("0"))).collect()
}

fn raft_stats(log: LogPosition, leads: bool, contact: Duration) -> Map<String, Value> {
    // Nothing waits between commit and apply, and there are no versions of a snapshot to choose from.
    let mut stats = zeros(&["fsm_pending", "snapshot_version_max", "snapshot_version_min"]);
    for (name, figure) in [
        ("term", log.term),
        ("last_log_index", log.last_index),
        ("last_log_term", log.last_term),
        ("commit_index", log.commit_index),
        ("applied_index", log.applied_index),
        ("last_snapshot_index", log.snapshot_index),
        ("last_snapshot_term", log.snapshot_term),
        ("latest_configuration_index", 0),
        ("num_peers", log.peers as u64),
    ] {
        stats.insert(name.to_owned(), Value::from(figure.to_string()));
    }
    for name in ["protocol_version", "protocol_version_max", "protocol_version_min"] {
        stats.insert(name.to_owned(), Value::from("3"));
    }
    let contact = duration::format(contact.as_nanos().try_into().unwrap_or(i64::MAX));
    stats.insert("last_contact".to_owned(), Value::from(contact));
    stats.insert("latest_configuration".to_owned(), Value::from(""));
    stats.insert("state".to_owned(), Value::from(if leads { "Leader" } else { "Follower" }));
    stats
}

fn serf_stats() -> Map<String, Value> {
    let mut stats = zeros(&[
        "coordinate_resets",
        "event_queue",
        "event_time",
        "failed",
        "health_score",
        "intent_queue",
        "left",
        "member_time",
        "query_queue",
        "query_time",
    ]);
    stats.insert("encrypted".to_owned(), Value::from("false"));
    stats.insert("members".to_owned(), Value::from("1"));
    stats
}
