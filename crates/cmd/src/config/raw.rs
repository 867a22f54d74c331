//! Configuration as typed: every field optional, texts unread.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One file, or the flags, or all of them merged.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    pub addresses: RawAddresses,
    pub advertise_addr: Option<String>,
    pub advertise_addr_ipv4: Option<String>,
    pub advertise_addr_ipv6: Option<String>,
    pub advertise_addr_wan: Option<String>,
    pub advertise_addr_wan_ipv4: Option<String>,
    pub advertise_addr_wan_ipv6: Option<String>,
    pub alt_domain: Option<String>,
    pub auto_reload_config: Option<bool>,
    pub bind_addr: Option<String>,
    pub bootstrap: Option<bool>,
    pub bootstrap_expect: Option<i64>,
    pub check_output_max_size: Option<i64>,
    pub check_update_interval: Option<String>,
    pub client_addr: Option<String>,
    pub data_dir: Option<PathBuf>,
    pub datacenter: Option<String>,
    pub default_query_time: Option<String>,
    pub disable_coordinates: Option<bool>,
    pub disable_http_unprintable_char_filter: Option<bool>,
    pub disable_update_check: Option<bool>,
    pub discard_check_output: Option<bool>,
    pub discovery_max_stale: Option<String>,
    pub disk_reserve_bytes: Option<u64>,
    pub dns_config: RawDns,
    pub domain: Option<String>,
    pub enable_local_script_checks: Option<bool>,
    pub enable_script_checks: Option<bool>,
    pub http_config: RawHttp,
    pub limits: RawLimits,
    pub log_file: Option<PathBuf>,
    pub log_json: Option<bool>,
    pub log_level: Option<String>,
    pub log_rotate_bytes: Option<i64>,
    pub log_rotate_duration: Option<String>,
    pub log_rotate_max_files: Option<i64>,
    pub max_query_time: Option<String>,
    pub node_id: Option<String>,
    pub node_meta: Option<BTreeMap<String, String>>,
    pub node_name: Option<String>,
    pub performance: RawPerformance,
    pub pid_file: Option<PathBuf>,
    pub ports: RawPorts,
    pub primary_datacenter: Option<String>,
    pub server: Option<bool>,
    pub session_ttl_min: Option<String>,
    pub tagged_addresses: Option<BTreeMap<String, String>>,
}

/// The block `addresses`: where each face answers, in place of `client_addr`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawAddresses {
    pub dns: Option<String>,
    pub http: Option<String>,
}

/// The block `dns_config`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawDns {
    pub a_record_limit: Option<i64>,
    pub allow_stale: Option<bool>,
    pub cache_max_age: Option<String>,
    pub disable_compression: Option<bool>,
    pub enable_additional_node_meta_txt: Option<bool>,
    pub enable_truncate: Option<bool>,
    pub max_stale: Option<String>,
    pub node_ttl: Option<String>,
    pub only_passing: Option<bool>,
    pub service_ttl: Option<BTreeMap<String, String>>,
    pub soa: Option<RawSoa>,
    pub udp_answer_limit: Option<i64>,
    pub use_cache: Option<bool>,
}

/// The block `dns_config.soa`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawSoa {
    pub refresh: Option<u32>,
    pub retry: Option<u32>,
    pub expire: Option<u32>,
    pub min_ttl: Option<u32>,
}

/// The block `http_config`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawHttp {
    pub allow_write_http_from: Option<Vec<String>>,
    pub block_endpoints: Option<Vec<String>>,
    pub max_header_bytes: Option<i64>,
    pub response_headers: Option<BTreeMap<String, String>>,
    pub use_cache: Option<bool>,
}

/// The block `ports`; -1 is off, 0 is any free one.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawPorts {
    pub dns: Option<i64>,
    pub grpc: Option<i64>,
    pub grpc_tls: Option<i64>,
    pub http: Option<i64>,
    pub https: Option<i64>,
    pub serf_lan: Option<i64>,
    pub serf_wan: Option<i64>,
    pub server: Option<i64>,
}

/// The block `limits`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawLimits {
    pub http_max_conns_per_client: Option<i64>,
    pub kv_max_value_size: Option<i64>,
    pub txn_max_req_len: Option<i64>,
}

/// The block `performance`; Consul's timing of elections, of which one server holds none.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawPerformance {
    pub raft_multiplier: Option<i64>,
}

impl Raw {
    /// What `-dev` stands for.
    pub fn dev() -> Raw {
        Raw {
            server: Some(true),
            bootstrap: Some(true),
            bind_addr: Some("127.0.0.1".to_owned()),
            ports: RawPorts { grpc: Some(8502), ..RawPorts::default() },
            ..Raw::default()
        }
    }

    /// Lays `over` on top: what it gives wins, maps and lists join.
    pub fn merge(&mut self, over: Raw) {
        take(&mut self.addresses.dns, over.addresses.dns);
        take(&mut self.addresses.http, over.addresses.http);
        take(&mut self.advertise_addr, over.advertise_addr);
        take(&mut self.advertise_addr_ipv4, over.advertise_addr_ipv4);
        take(&mut self.advertise_addr_ipv6, over.advertise_addr_ipv6);
        take(&mut self.advertise_addr_wan, over.advertise_addr_wan);
        take(&mut self.advertise_addr_wan_ipv4, over.advertise_addr_wan_ipv4);
        take(&mut self.advertise_addr_wan_ipv6, over.advertise_addr_wan_ipv6);
        take(&mut self.alt_domain, over.alt_domain);
        take(&mut self.auto_reload_config, over.auto_reload_config);
        take(&mut self.bind_addr, over.bind_addr);
        take(&mut self.bootstrap, over.bootstrap);
        take(&mut self.bootstrap_expect, over.bootstrap_expect);
        take(&mut self.check_output_max_size, over.check_output_max_size);
        take(&mut self.check_update_interval, over.check_update_interval);
        take(&mut self.client_addr, over.client_addr);
        take(&mut self.data_dir, over.data_dir);
        take(&mut self.datacenter, over.datacenter);
        take(&mut self.default_query_time, over.default_query_time);
        take(&mut self.disable_coordinates, over.disable_coordinates);
        take(
            &mut self.disable_http_unprintable_char_filter,
            over.disable_http_unprintable_char_filter,
        );
        take(&mut self.disable_update_check, over.disable_update_check);
        take(&mut self.discard_check_output, over.discard_check_output);
        take(&mut self.discovery_max_stale, over.discovery_max_stale);
        take(&mut self.disk_reserve_bytes, over.disk_reserve_bytes);
        take(&mut self.domain, over.domain);
        take(&mut self.enable_local_script_checks, over.enable_local_script_checks);
        take(&mut self.enable_script_checks, over.enable_script_checks);
        take(&mut self.log_file, over.log_file);
        take(&mut self.log_json, over.log_json);
        take(&mut self.log_level, over.log_level);
        take(&mut self.log_rotate_bytes, over.log_rotate_bytes);
        take(&mut self.log_rotate_duration, over.log_rotate_duration);
        take(&mut self.log_rotate_max_files, over.log_rotate_max_files);
        take(&mut self.max_query_time, over.max_query_time);
        take(&mut self.node_id, over.node_id);
        take_all(&mut self.node_meta, over.node_meta);
        take(&mut self.node_name, over.node_name);
        take(&mut self.pid_file, over.pid_file);
        take(&mut self.primary_datacenter, over.primary_datacenter);
        take(&mut self.server, over.server);
        take(&mut self.session_ttl_min, over.session_ttl_min);
        take_all(&mut self.tagged_addresses, over.tagged_addresses);
        self.dns_config.merge(over.dns_config);
        self.http_config.merge(over.http_config);
        take(&mut self.limits.http_max_conns_per_client, over.limits.http_max_conns_per_client);
        take(&mut self.limits.kv_max_value_size, over.limits.kv_max_value_size);
        take(&mut self.limits.txn_max_req_len, over.limits.txn_max_req_len);
        take(&mut self.performance.raft_multiplier, over.performance.raft_multiplier);
        self.ports.merge(over.ports);
    }
}

impl RawDns {
    fn merge(&mut self, over: RawDns) {
        take(&mut self.a_record_limit, over.a_record_limit);
        take(&mut self.allow_stale, over.allow_stale);
        take(&mut self.cache_max_age, over.cache_max_age);
        take(&mut self.disable_compression, over.disable_compression);
        take(&mut self.enable_additional_node_meta_txt, over.enable_additional_node_meta_txt);
        take(&mut self.enable_truncate, over.enable_truncate);
        take(&mut self.max_stale, over.max_stale);
        take(&mut self.node_ttl, over.node_ttl);
        take(&mut self.only_passing, over.only_passing);
        take_all(&mut self.service_ttl, over.service_ttl);
        take(&mut self.soa, over.soa);
        take(&mut self.udp_answer_limit, over.udp_answer_limit);
        take(&mut self.use_cache, over.use_cache);
    }
}

impl RawHttp {
    fn merge(&mut self, over: RawHttp) {
        join(&mut self.allow_write_http_from, over.allow_write_http_from);
        join(&mut self.block_endpoints, over.block_endpoints);
        take(&mut self.max_header_bytes, over.max_header_bytes);
        take_all(&mut self.response_headers, over.response_headers);
        take(&mut self.use_cache, over.use_cache);
    }
}

impl RawPorts {
    fn merge(&mut self, over: RawPorts) {
        take(&mut self.dns, over.dns);
        take(&mut self.grpc, over.grpc);
        take(&mut self.grpc_tls, over.grpc_tls);
        take(&mut self.http, over.http);
        take(&mut self.https, over.https);
        take(&mut self.serf_lan, over.serf_lan);
        take(&mut self.serf_wan, over.serf_wan);
        take(&mut self.server, over.server);
    }
}

fn take<T>(under: &mut Option<T>, over: Option<T>) {
    if over.is_some() {
        *under = over;
    }
}

fn take_all(under: &mut Option<BTreeMap<String, String>>, over: Option<BTreeMap<String, String>>) {
    if let Some(over) = over {
        under.get_or_insert_default().extend(over);
    }
}

fn join(under: &mut Option<Vec<String>>, over: Option<Vec<String>>) {
    if let Some(over) = over {
        under.get_or_insert_default().extend(over);
    }
}
