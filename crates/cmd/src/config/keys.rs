//! Which keys exist, and what becomes of each.
//!
//! Source: Consul, "Agents configuration file reference"; the list of `consul-config` keys.

use anyhow::bail;
use serde_json::{Map, Value};

/// Keys that are applied; a block is looked into by its own list.
const APPLIED: &[&str] = &[
    "alt_domain",
    "bind_addr",
    "bootstrap",
    "bootstrap_expect",
    "client_addr",
    "data_dir",
    "datacenter",
    "disable_update_check",
    "disk_reserve_bytes",
    "domain",
    "log_level",
    "node_id",
    "node_meta",
    "node_name",
    "primary_datacenter",
    "server",
    "session_ttl_min",
];

/// Keys of features that do not exist yet: accepted, with a warning.
const LATER: &[&str] = &[
    "advertise_addr",
    "advertise_addr_ipv4",
    "advertise_addr_ipv6",
    "advertise_addr_wan",
    "advertise_addr_wan_ipv4",
    "advertise_addr_wan_ipv6",
    "advertise_reconnect_timeout",
    "auto_reload_config",
    "autopilot",
    "cache",
    "check",
    "check_output_max_size",
    "check_update_interval",
    "checks",
    "config_entries",
    "connect",
    "default_query_time",
    "disable_anonymous_signature",
    "disable_coordinates",
    "disable_host_node_id",
    "disable_http_unprintable_char_filter",
    "disable_keyring_file",
    "disable_remote_exec",
    "discard_check_output",
    "discovery_max_stale",
    "enable_agent_tls_for_checks",
    "enable_debug",
    "enable_local_script_checks",
    "enable_script_checks",
    "enable_syslog",
    "gossip_lan",
    "gossip_wan",
    "leave_on_terminate",
    "log_file",
    "log_json",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "max_query_time",
    "peering",
    "pid_file",
    "raft_boltdb",
    "raft_logstore",
    "raft_protocol",
    "raft_snapshot_interval",
    "raft_snapshot_threshold",
    "raft_trailing_logs",
    "reconnect_timeout",
    "reconnect_timeout_wan",
    "recursor",
    "recursors",
    "rejoin_after_leave",
    "retry_interval",
    "retry_interval_wan",
    "retry_join",
    "retry_join_wan",
    "retry_max",
    "retry_max_wan",
    "segment",
    "segments",
    "serf_lan",
    "serf_wan",
    "service",
    "services",
    "skip_leave_on_interrupt",
    "start_join",
    "start_join_wan",
    "syslog_facility",
    "tagged_addresses",
    "telemetry",
    "translate_wan_addrs",
    "ui",
    "ui_config",
    "ui_dir",
    "unix_sockets",
    "use_streaming_backend",
    "watches",
];

/// Keys that ask for protection: the agent does not start without giving it.
const PROTECTION: &[&str] = &[
    "acl",
    "acl_agent_token",
    "acl_datacenter",
    "acl_default_policy",
    "acl_master_token",
    "acl_token",
    "ca_file",
    "ca_path",
    "cert_file",
    "encrypt",
    "encrypt_verify_incoming",
    "encrypt_verify_outgoing",
    "key_file",
    "serf_lan_allowed_cidrs",
    "serf_wan_allowed_cidrs",
    "tls",
    "verify_incoming",
    "verify_incoming_https",
    "verify_incoming_rpc",
    "verify_outgoing",
    "verify_server_hostname",
];

/// Blocks and the keys in them: applied, later.
const BLOCKS: &[(&str, &[&str], &[&str])] = &[
    ("addresses", &["dns", "http"], &["grpc", "grpc_tls", "https"]),
    (
        "dns_config",
        &[
            "a_record_limit",
            // What is answered is never stale and never from a cache: these four ask for less.
            "allow_stale",
            "cache_max_age",
            "disable_compression",
            "enable_additional_node_meta_txt",
            "enable_truncate",
            "max_stale",
            "node_ttl",
            "only_passing",
            "service_ttl",
            "soa",
            "udp_answer_limit",
            "use_cache",
        ],
        &["prefer_namespace", "recursor_strategy", "recursor_timeout"],
    ),
    (
        "ports",
        &["dns", "http", "https", "serf_lan", "serf_wan", "server"],
        &[
            "expose_max_port",
            "expose_min_port",
            "grpc",
            "grpc_tls",
            "rpc",
            "sidecar_max_port",
            "sidecar_min_port",
        ],
    ),
    (
        "limits",
        &["http_max_conns_per_client", "kv_max_value_size"],
        &[
            "https_handshake_timeout",
            "request_limits",
            "rpc_client_timeout",
            "rpc_handshake_timeout",
            "rpc_max_burst",
            "rpc_max_conns_per_client",
            "rpc_rate",
            "txn_max_req_len",
        ],
    ),
    (
        "performance",
        &["raft_multiplier"],
        &[
            "grpc_keepalive_interval",
            "grpc_keepalive_timeout",
            "leave_drain_time",
            "rpc_hold_timeout",
        ],
    ),
    ("http_config", &[], &["max_header_bytes", "response_headers", "use_cache"]),
];

/// In a block: keys that ask for protection if they are set to more than nothing.
const BLOCK_PROTECTION: &[(&str, &[&str])] =
    &[("http_config", &["allow_write_http_from", "block_endpoints"])];

/// Keeps what is applied; returns a warning for each key that has no effect.
pub(super) fn sort_out(typed: Value) -> anyhow::Result<(Value, Vec<String>)> {
    let Value::Object(typed) = typed else { bail!("the configuration must be one JSON object") };
    let mut known = Map::new();
    let mut warnings = Vec::new();
    for (key, value) in typed {
        if value.is_null() {
            continue;
        }
        if let Some((name, applied, later)) = BLOCKS.iter().find(|(name, ..)| *name == key) {
            let block = sort_out_block(name, value, applied, later, &mut warnings)?;
            known.insert(key, block);
        } else if APPLIED.contains(&key.as_str()) {
            known.insert(key, value);
        } else if LATER.contains(&key.as_str()) {
            warnings.push(no_effect(&key));
        } else if PROTECTION.contains(&key.as_str()) {
            refuse_protection(&key, &value)?;
            warnings.push(no_effect(&key));
        } else {
            let blocks = BLOCKS.iter().map(|(name, ..)| name);
            return unknown(&key, APPLIED.iter().chain(LATER).chain(PROTECTION).chain(blocks));
        }
    }
    Ok((Value::Object(known), warnings))
}

fn sort_out_block(
    name: &str,
    value: Value,
    applied: &[&str],
    later: &[&str],
    warnings: &mut Vec<String>,
) -> anyhow::Result<Value> {
    let mut known = Map::new();
    let protection = BLOCK_PROTECTION.iter().find(|(block, _)| *block == name);
    let protection = protection.map_or(&[][..], |(_, keys)| keys);
    for (key, value) in block(name, value)? {
        let shown = format!("{name}.{key}");
        if value.is_null() {
            continue;
        }
        if applied.contains(&key.as_str()) {
            known.insert(key, value);
        } else if protection.contains(&key.as_str()) {
            refuse_protection(&shown, &value)?;
        } else if later.contains(&key.as_str()) {
            // A feature that does not exist is off already; `-1`, `false` and the like change nothing.
            if !is_off(&value) {
                warnings.push(no_effect(&shown));
            }
        } else {
            return unknown(&shown, applied.iter().chain(later).chain(protection));
        }
    }
    Ok(Value::Object(known))
}

/// A block, or as Consul takes it too, a list of one block.
fn block(name: &str, value: Value) -> anyhow::Result<Map<String, Value>> {
    match value {
        Value::Object(block) => Ok(block),
        Value::Array(mut list) if list.len() == 1 => block(name, list.remove(0)),
        _ => bail!("{name} must be an object"),
    }
}

/// Law 11: what asks for protection is refused, unless it says that none is wanted.
fn refuse_protection(key: &str, value: &Value) -> anyhow::Result<()> {
    if asks_for_nothing(value) {
        return Ok(());
    }
    bail!(
        "{key} asks for protection that this version does not give; it refuses to start rather \
         than run without it. Remove the key to run unprotected"
    )
}

/// Whether a protecting key is empty or switched off, however deep; what is merely set counts.
fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.iter().all(asks_for_nothing),
        // `acl { enabled = false default_policy = "deny" }` is off, whatever else it says.
        Value::Object(block) if block.get("enabled") == Some(&Value::Bool(false)) => true,
        Value::Object(block) => block.values().all(asks_for_nothing),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_i64().is_some_and(|n| n <= 0),
        _ => asks_for_nothing(value),
    }
}

fn no_effect(key: &str) -> String {
    format!("{key} is accepted but has no effect in this version")
}

fn unknown<'k, T>(key: &str, known: impl Iterator<Item = &'k &'k str>) -> anyhow::Result<T> {
    let typed = key.rsplit('.').next().unwrap_or(key);
    let nearest = known.min_by_key(|name| distance(typed, name));
    match nearest {
        Some(name) if distance(typed, name) <= typed.len() / 3 + 1 => {
            bail!("invalid config key {key}; did you mean {name}?")
        }
        _ => bail!("invalid config key {key}"),
    }
}

/// How many letters must change to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
