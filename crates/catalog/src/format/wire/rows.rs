//! The claims of rows in bytes: one message a noun of `model`.

use prost::Message;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Texts {
    #[prost(btree_map = "string, string", tag = "1")]
    pub entries: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Locality {
    #[prost(string, tag = "1")]
    pub region: String,
    #[prost(string, tag = "2")]
    pub availability_zone: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Node {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub id: Option<Vec<u8>>,
    #[prost(string, tag = "3")]
    pub address: String,
    #[prost(message, optional, tag = "4")]
    pub tagged_addresses: Option<Texts>,
    #[prost(message, optional, tag = "5")]
    pub meta: Option<Texts>,
    #[prost(message, optional, tag = "6")]
    pub locality: Option<Locality>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct ServiceAddress {
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(sint64, tag = "2")]
    pub port: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct ServiceAddresses {
    #[prost(btree_map = "string, message", tag = "1")]
    pub entries: BTreeMap<String, ServiceAddress>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::format) struct Weights {
    #[prost(sint64, tag = "1")]
    pub passing: i64,
    #[prost(sint64, tag = "2")]
    pub warning: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct FaceNames {
    #[prost(string, optional, tag = "1")]
    pub mesos_task: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub mesos_framework: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub cloud_map_namespace: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub cloud_map_service: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Instance {
    #[prost(string, tag = "1")]
    pub node: String,
    #[prost(string, tag = "2")]
    pub id: String,
    #[prost(string, tag = "3")]
    pub service: String,
    #[prost(string, tag = "4")]
    pub kind: String,
    #[prost(string, repeated, tag = "5")]
    pub tags: Vec<String>,
    #[prost(string, tag = "6")]
    pub address: String,
    #[prost(message, optional, tag = "7")]
    pub tagged_addresses: Option<ServiceAddresses>,
    #[prost(message, optional, tag = "8")]
    pub meta: Option<Texts>,
    #[prost(sint64, tag = "9")]
    pub port: i64,
    #[prost(string, tag = "10")]
    pub socket_path: String,
    /// Absent for 1 and 1.
    #[prost(message, optional, tag = "11")]
    pub weights: Option<Weights>,
    #[prost(bool, tag = "12")]
    pub enable_tag_override: bool,
    #[prost(message, optional, tag = "13")]
    pub locality: Option<Locality>,
    #[prost(string, optional, tag = "14")]
    pub proxy: Option<String>,
    #[prost(string, optional, tag = "15")]
    pub connect: Option<String>,
    /// 0 running, 1 staging, 2 unhealthy, 3 unreachable, 4 draining, 5 killing.
    #[prost(uint32, tag = "16")]
    pub phase: u32,
    #[prost(message, optional, tag = "17")]
    pub names: Option<FaceNames>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Check {
    #[prost(string, tag = "1")]
    pub node: String,
    #[prost(string, tag = "2")]
    pub id: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub status: String,
    #[prost(string, tag = "5")]
    pub notes: String,
    #[prost(string, tag = "6")]
    pub output: String,
    #[prost(string, tag = "7")]
    pub instance: String,
    #[prost(string, tag = "8")]
    pub service: String,
    #[prost(string, repeated, tag = "9")]
    pub service_tags: Vec<String>,
    #[prost(string, tag = "10")]
    pub kind: String,
    #[prost(string, tag = "11")]
    pub interval: String,
    #[prost(string, tag = "12")]
    pub timeout: String,
    #[prost(sint64, tag = "13")]
    pub exposed_port: i64,
    #[prost(message, optional, boxed, tag = "14")]
    pub definition: Option<Box<CheckDefinition>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Header {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "2")]
    pub values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct CheckDefinition {
    #[prost(string, tag = "1")]
    pub http: String,
    #[prost(string, tag = "2")]
    pub tls_server_name: String,
    #[prost(bool, tag = "3")]
    pub tls_skip_verify: bool,
    #[prost(message, repeated, tag = "4")]
    pub header: Vec<Header>,
    #[prost(string, tag = "5")]
    pub method: String,
    #[prost(string, tag = "6")]
    pub body: String,
    #[prost(bool, tag = "7")]
    pub disable_redirects: bool,
    #[prost(string, tag = "8")]
    pub tcp: String,
    #[prost(bool, tag = "9")]
    pub tcp_use_tls: bool,
    #[prost(string, tag = "10")]
    pub udp: String,
    #[prost(string, tag = "11")]
    pub h2ping: String,
    #[prost(bool, tag = "12")]
    pub h2ping_use_tls: bool,
    #[prost(string, tag = "13")]
    pub os_service: String,
    #[prost(sint64, tag = "14")]
    pub interval: i64,
    #[prost(sint64, tag = "15")]
    pub output_max_size: i64,
    #[prost(sint64, tag = "16")]
    pub timeout: i64,
    #[prost(sint64, tag = "17")]
    pub deregister_critical_service_after: i64,
    #[prost(string, repeated, tag = "18")]
    pub script_args: Vec<String>,
    #[prost(string, tag = "19")]
    pub docker_container_id: String,
    #[prost(string, tag = "20")]
    pub shell: String,
    #[prost(string, tag = "21")]
    pub grpc: String,
    #[prost(bool, tag = "22")]
    pub grpc_use_tls: bool,
    #[prost(string, tag = "23")]
    pub alias_node: String,
    #[prost(string, tag = "24")]
    pub alias_service: String,
    #[prost(sint64, tag = "25")]
    pub ttl: i64,
    #[prost(sint64, tag = "26")]
    pub success_before_passing: i64,
    #[prost(sint64, tag = "27")]
    pub failures_before_warning: i64,
    #[prost(sint64, tag = "28")]
    pub failures_before_critical: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct KvEntry {
    #[prost(bytes = "vec", tag = "1")]
    pub value: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub flags: u64,
    #[prost(uint64, tag = "3")]
    pub lock_index: u64,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub session: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Session {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub node: String,
    #[prost(sint64, tag = "4")]
    pub lock_delay: i64,
    /// 0 release, 1 delete.
    #[prost(uint32, tag = "5")]
    pub behavior: u32,
    #[prost(string, tag = "6")]
    pub ttl: String,
    #[prost(sint64, tag = "7")]
    pub ttl_nanos: i64,
    #[prost(string, repeated, tag = "8")]
    pub node_checks: Vec<String>,
    #[prost(message, optional, tag = "9")]
    pub service_checks: Option<ServiceChecks>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct ServiceChecks {
    #[prost(message, repeated, tag = "1")]
    pub checks: Vec<ServiceCheck>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct ServiceCheck {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
}
