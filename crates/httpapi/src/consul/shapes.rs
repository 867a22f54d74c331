//! How rows look in Consul's JSON: borrowed from the view, written straight into the answer.
//!
//! Source: Consul, "HTTP API", recorded answers. What is left out when empty, and what is `null`, `[]` or `{}` then,
//! is what clients see of a real Consul.

use super::proxy::Block;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{
    Behavior, Check, CheckDefinition, Instance, KvEntry, KvKey, Locality, Nanos, Node, Opaque, Row,
    ServiceAddress, Session, Text, TextMap, Weights,
};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A node, in the datacenter of the view it comes from.
pub struct NodeShape<'v>(pub &'v Row<Node>, pub &'v str);

impl Serialize for NodeShape<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let NodeShape(row, datacenter) = self;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("ID", &id(row))?;
        map.serialize_entry("Node", row.name.as_str())?;
        map.serialize_entry("Address", row.address.as_str())?;
        map.serialize_entry("Datacenter", datacenter)?;
        map.serialize_entry("TaggedAddresses", &row.tagged_addresses.as_ref().map(Pairs))?;
        map.serialize_entry("Meta", &row.meta.as_ref().map(Pairs))?;
        if let Some(locality) = &row.locality {
            map.serialize_entry("Locality", &LocalityShape(locality))?;
        }
        indexes(&mut map, row)?;
        map.end()
    }
}

/// Key and value pairs.
pub struct Pairs<'v>(pub &'v TextMap);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }
}

struct Texts<'v>(&'v [Text]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(Text::as_str))
    }
}

struct Header<'v>(&'v BTreeMap<Text, Vec<Text>>);

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, values)| (name.as_str(), Texts(values))))
    }
}

/// The node's id; empty where it has none.
pub fn id(node: &Node) -> String {
    node.id.map(|id| id.to_string()).unwrap_or_default()
}

fn indexes<M: SerializeMap, T>(map: &mut M, row: &Row<T>) -> Result<(), M::Error> {
    map.serialize_entry("CreateIndex", &row.created.0)?;
    map.serialize_entry("ModifyIndex", &row.modified.0)
}

struct LocalityShape<'v>(&'v Locality);

impl Serialize for LocalityShape<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("Region", self.0.region.as_str())?;
        map.serialize_entry("Zone", self.0.availability_zone.as_str())?;
        map.end()
    }
}

struct WeightsShape(Weights);

impl Serialize for WeightsShape {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        map.serialize_entry("Passing", &self.0.passing)?;
        map.serialize_entry("Warning", &self.0.warning)?;
        map.end()
    }
}

struct Addresses<'v>(&'v BTreeMap<Text, ServiceAddress>);

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Shape<'a> {
            address: &'a str,
            port: i64,
        }
        to.collect_map(
            self.0.iter().map(|(tag, at)| {
                (tag.as_str(), Shape { address: at.address.as_str(), port: at.port })
            }),
        )
    }
}

/// What was stored as it was given, or what Consul shows where nothing was.
struct Echo<'v>(Option<&'v Opaque>, &'static str);

impl Serialize for Echo<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = self.0.map_or(self.1, |opaque| &*opaque.0);
        match <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(text)) {
            Ok(raw) => raw.serialize(to),
            // Only canonical JSON is stored; were it not, nothing is shown of it.
            Err(_) => to.serialize_unit(),
        }
    }
}

/// What Consul shows for a service without a `Proxy` block.
pub const NO_PROXY: &str = r#"{"Expose":{},"MeshGateway":{},"Mode":""}"#;
const NO_CONNECT: &str = "{}";

/// An instance as `health/service` and `catalog/node` show it.
pub struct NodeService<'v>(pub &'v Row<Instance>);

impl Serialize for NodeService<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.write(Some(Texts(&self.0.tags)), to)
    }
}

/// An instance as transactions and the web interface's reads show it: no tags are `null`.
pub struct BareService<'v>(pub &'v Row<Instance>);

impl Serialize for BareService<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        NodeService(self.0).write(some_texts(&self.0.tags), to)
    }
}

fn some_texts(texts: &[Text]) -> Option<Texts<'_>> {
    (!texts.is_empty()).then_some(Texts(texts))
}

impl NodeService<'_> {
    fn write<S: Serializer>(&self, tags: Option<Texts<'_>>, to: S) -> Result<S::Ok, S::Error> {
        let row = self.0;
        let mut map = to.serialize_map(None)?;
        if !row.kind.is_empty() {
            map.serialize_entry("Kind", row.kind.as_str())?;
        }
        map.serialize_entry("ID", row.id.as_str())?;
        map.serialize_entry("Service", row.service.as_str())?;
        map.serialize_entry("Tags", &tags)?;
        map.serialize_entry("Address", row.address.as_str())?;
        if let Some(addresses) = &row.tagged_addresses {
            map.serialize_entry("TaggedAddresses", &Addresses(addresses))?;
        }
        map.serialize_entry("Meta", &row.meta.as_ref().map(Pairs))?;
        if row.port != 0 {
            map.serialize_entry("Port", &row.port)?;
        }
        if !row.socket_path.is_empty() {
            map.serialize_entry("SocketPath", row.socket_path.as_str())?;
        }
        map.serialize_entry("Weights", &WeightsShape(row.weights))?;
        map.serialize_entry("EnableTagOverride", &row.enable_tag_override)?;
        if let Some(locality) = &row.locality {
            map.serialize_entry("Locality", &LocalityShape(locality))?;
        }
        map.serialize_entry("Proxy", &Echo(row.proxy.as_ref(), NO_PROXY))?;
        map.serialize_entry("Connect", &Echo(row.connect.as_ref(), NO_CONNECT))?;
        map.serialize_entry("PeerName", "")?;
        indexes(&mut map, row)?;
        map.end()
    }
}

/// An instance with its node as `catalog/service` shows it.
pub struct ServiceNode<'v> {
    /// The node.
    pub node: &'v Row<Node>,
    /// The instance.
    pub instance: &'v Row<Instance>,
    /// The datacenter.
    pub datacenter: &'v str,
}

impl Serialize for ServiceNode<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (node, row) = (self.node, self.instance);
        let none = TextMap::new();
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("ID", &id(node))?;
        map.serialize_entry("Node", node.name.as_str())?;
        map.serialize_entry("Address", node.address.as_str())?;
        map.serialize_entry("Datacenter", self.datacenter)?;
        map.serialize_entry("TaggedAddresses", &node.tagged_addresses.as_ref().map(Pairs))?;
        map.serialize_entry("NodeMeta", &node.meta.as_ref().map(Pairs))?;
        map.serialize_entry("ServiceKind", row.kind.as_str())?;
        map.serialize_entry("ServiceID", row.id.as_str())?;
        map.serialize_entry("ServiceName", row.service.as_str())?;
        map.serialize_entry("ServiceTags", &Texts(&row.tags))?;
        map.serialize_entry("ServiceAddress", row.address.as_str())?;
        if let Some(addresses) = &row.tagged_addresses {
            map.serialize_entry("ServiceTaggedAddresses", &Addresses(addresses))?;
        }
        map.serialize_entry("ServiceWeights", &WeightsShape(row.weights))?;
        map.serialize_entry("ServiceMeta", &Pairs(row.meta.as_ref().unwrap_or(&none)))?;
        map.serialize_entry("ServicePort", &row.port)?;
        map.serialize_entry("ServiceSocketPath", row.socket_path.as_str())?;
        map.serialize_entry("ServiceEnableTagOverride", &row.enable_tag_override)?;
        map.serialize_entry("ServiceProxy", &Echo(row.proxy.as_ref(), NO_PROXY))?;
        map.serialize_entry("ServiceConnect", &Echo(row.connect.as_ref(), NO_CONNECT))?;
        let locality = row.locality.as_deref().map(LocalityShape);
        map.serialize_entry("ServiceLocality", &locality)?;
        indexes(&mut map, row)?;
        map.end()
    }
}

/// A check; the agent's own have no indexes yet and show 0.
pub struct CheckShape<'v> {
    /// The check.
    pub check: &'v Check,
    /// The indexes of its first and last change.
    pub indexes: (u64, u64),
    /// Whether to show how it is run, which an agent keeps to itself.
    pub definition: bool,
}

impl<'v> CheckShape<'v> {
    /// A check of the catalog.
    pub fn of(row: &'v Row<Check>) -> CheckShape<'v> {
        let indexes = (row.created.0, row.modified.0);
        CheckShape { check: &row.claim, indexes, definition: true }
    }
}

impl Serialize for CheckShape<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.write(Some(Texts(&self.check.service_tags)), to)
    }
}

/// A check as transactions and the web interface's reads show it: no tags are `null`.
pub struct BareCheck<'v>(pub &'v Row<Check>);

impl Serialize for BareCheck<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        CheckShape::of(self.0).write(some_texts(&self.0.service_tags), to)
    }
}

impl CheckShape<'_> {
    fn write<S: Serializer>(&self, tags: Option<Texts<'_>>, to: S) -> Result<S::Ok, S::Error> {
        let check = self.check;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("Node", check.node.as_str())?;
        map.serialize_entry("CheckID", check.id.as_str())?;
        map.serialize_entry("Name", check.name.as_str())?;
        map.serialize_entry("Status", check.status.as_str())?;
        map.serialize_entry("Notes", check.notes.as_str())?;
        map.serialize_entry("Output", check.output.as_str())?;
        map.serialize_entry("ServiceID", check.instance.as_str())?;
        map.serialize_entry("ServiceName", check.service.as_str())?;
        map.serialize_entry("ServiceTags", &tags)?;
        map.serialize_entry("Type", check.kind.as_str())?;
        map.serialize_entry("Interval", check.interval.as_str())?;
        map.serialize_entry("Timeout", check.timeout.as_str())?;
        map.serialize_entry("ExposedPort", &check.exposed_port)?;
        let definition = check.definition.as_deref().filter(|_| self.definition);
        map.serialize_entry("Definition", &Definition(definition))?;
        map.serialize_entry("CreateIndex", &self.indexes.0)?;
        map.serialize_entry("ModifyIndex", &self.indexes.1)?;
        map.end()
    }
}

/// A check as `agent/health` shows it: through another type of Consul's, which knows less of it and
/// leaves nothing out.
pub struct LocalCheck<'v>(pub &'v Check);

/// How a check is run, as `agent/health` says of every check alike.
const UNTOLD: &str = concat!(
    r#"{"Interval":"0s","Timeout":"0s","DeregisterCriticalServiceAfter":"0s","HTTP":"","#,
    r#""Header":null,"Method":"","Body":"","TLSServerName":"","TLSSkipVerify":false,"TCP":"","#,
    r#""TCPUseTLS":false,"UDP":"","GRPC":"","OSService":"","GRPCUseTLS":false}"#
);

impl Serialize for LocalCheck<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let check = self.0;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("Node", check.node.as_str())?;
        map.serialize_entry("CheckID", check.id.as_str())?;
        map.serialize_entry("Name", check.name.as_str())?;
        map.serialize_entry("Status", check.status.as_str())?;
        map.serialize_entry("Notes", check.notes.as_str())?;
        map.serialize_entry("Output", check.output.as_str())?;
        map.serialize_entry("ServiceID", check.instance.as_str())?;
        map.serialize_entry("ServiceName", check.service.as_str())?;
        let tags = (!check.service_tags.is_empty()).then_some(Texts(&check.service_tags));
        map.serialize_entry("ServiceTags", &tags)?;
        map.serialize_entry("Type", "")?;
        map.serialize_entry("ExposedPort", &0)?;
        map.serialize_entry("Definition", &Echo(None, UNTOLD))?;
        map.serialize_entry("CreateIndex", &0)?;
        map.serialize_entry("ModifyIndex", &0)?;
        map.end()
    }
}

struct Definition<'v>(Option<&'v CheckDefinition>);

impl Serialize for Definition<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        let Some(is) = self.0 else { return map.end() };
        let durations = [
            ("Interval", is.interval),
            ("Timeout", is.timeout),
            ("DeregisterCriticalServiceAfter", is.deregister_critical_service_after),
            ("TTL", is.ttl),
        ];
        for (name, duration) in durations.into_iter().filter(|(_, d)| *d != Nanos(0)) {
            map.serialize_entry(name, &lang::duration::format(duration.0))?;
        }
        let texts = [
            ("HTTP", &is.http),
            ("TLSServerName", &is.tls_server_name),
            ("Method", &is.method),
            ("Body", &is.body),
            ("TCP", &is.tcp),
            ("UDP", &is.udp),
            ("H2PING", &is.h2ping),
            ("OSService", &is.os_service),
            ("DockerContainerID", &is.docker_container_id),
            ("Shell", &is.shell),
            ("GRPC", &is.grpc),
            ("AliasNode", &is.alias_node),
            ("AliasService", &is.alias_service),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            map.serialize_entry(name, text.as_str())?;
        }
        let truths = [
            ("TLSSkipVerify", is.tls_skip_verify),
            ("DisableRedirects", is.disable_redirects),
            ("TCPUseTLS", is.tcp_use_tls),
            ("H2PingUseTLS", is.h2ping_use_tls),
            ("GRPCUseTLS", is.grpc_use_tls),
        ];
        for (name, truth) in truths.into_iter().filter(|(_, truth)| *truth) {
            map.serialize_entry(name, &truth)?;
        }
        if is.output_max_size != 0 {
            map.serialize_entry("OutputMaxSize", &is.output_max_size)?;
        }
        if !is.script_args.is_empty() {
            map.serialize_entry("ScriptArgs", &Texts(&is.script_args))?;
        }
        if !is.header.is_empty() {
            map.serialize_entry("Header", &Header(&is.header))?;
        }
        map.end()
    }
}

/// A key and its value.
pub struct KvPair<'v>(pub &'v KvKey, pub &'v Row<KvEntry>);

impl Serialize for KvPair<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let KvPair(key, row) = self;
        let value = (!row.value.is_empty()).then(|| STANDARD.encode(&row.value));
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("LockIndex", &row.lock_index)?;
        map.serialize_entry("Key", &String::from_utf8_lossy(key.as_bytes()))?;
        map.serialize_entry("Flags", &row.flags)?;
        map.serialize_entry("Value", &value)?;
        if let Some(session) = row.session {
            map.serialize_entry("Session", &session.to_string())?;
        }
        indexes(&mut map, row)?;
        map.end()
    }
}

/// A session.
pub struct SessionShape<'v>(pub &'v Row<Session>);

impl Serialize for SessionShape<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct ServiceCheck<'a> {
            #[serde(rename = "ID")]
            id: &'a str,
            #[serde(rename = "Namespace")]
            namespace: &'a str,
        }
        let row = self.0;
        let behavior = match row.behavior {
            Behavior::Release => "release",
            Behavior::Delete => "delete",
        };
        let node_checks: Vec<&str> = row.node_checks.iter().map(|id| id.as_str()).collect();
        let service_checks: Option<Vec<_>> = row.service_checks.as_ref().map(|checks| {
            let shown = checks.iter();
            shown.map(|is| ServiceCheck { id: is.id.as_str(), namespace: &is.namespace }).collect()
        });
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("ID", &row.id.to_string())?;
        map.serialize_entry("Name", row.name.as_str())?;
        map.serialize_entry("Node", row.node.as_str())?;
        map.serialize_entry("LockDelay", &row.lock_delay.0)?;
        map.serialize_entry("Behavior", behavior)?;
        map.serialize_entry("TTL", row.ttl.as_str())?;
        map.serialize_entry("NodeChecks", &node_checks)?;
        map.serialize_entry("ServiceChecks", &service_checks)?;
        indexes(&mut map, row)?;
        map.end()
    }
}

/// An instance as the agent that has it shows it: without indexes, with its datacenter.
pub struct AgentService<'v> {
    /// The instance.
    pub instance: &'v Instance,
    /// The datacenter.
    pub datacenter: &'v str,
    /// The hash of its definition, where one is asked for alone.
    pub hash: Option<&'v str>,
}

impl Serialize for AgentService<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let is = self.instance;
        let none = TextMap::new();
        let mut map = to.serialize_map(None)?;
        if !is.kind.is_empty() {
            map.serialize_entry("Kind", is.kind.as_str())?;
        }
        map.serialize_entry("ID", is.id.as_str())?;
        map.serialize_entry("Service", is.service.as_str())?;
        map.serialize_entry("Tags", &Texts(&is.tags))?;
        map.serialize_entry("Meta", &Pairs(is.meta.as_ref().unwrap_or(&none)))?;
        map.serialize_entry("Port", &is.port)?;
        map.serialize_entry("Address", is.address.as_str())?;
        if !is.socket_path.is_empty() {
            map.serialize_entry("SocketPath", is.socket_path.as_str())?;
        }
        if let Some(addresses) = &is.tagged_addresses {
            map.serialize_entry("TaggedAddresses", &Addresses(addresses))?;
        }
        map.serialize_entry("Weights", &WeightsShape(is.weights))?;
        map.serialize_entry("EnableTagOverride", &is.enable_tag_override)?;
        if let Some(hash) = self.hash {
            map.serialize_entry("ContentHash", hash)?;
        }
        if is.proxy.is_some() {
            let shown = Block::of(is.proxy.as_ref()).for_agent();
            map.serialize_entry("Proxy", &Echo(Some(&shown), NO_PROXY))?;
        }
        if is.connect.is_some() {
            map.serialize_entry("Connect", &Echo(is.connect.as_ref(), NO_CONNECT))?;
        }
        map.serialize_entry("Datacenter", self.datacenter)?;
        if let Some(locality) = &is.locality {
            map.serialize_entry("Locality", &LocalityShape(locality))?;
        }
        map.end()
    }
}

/// Text that may have to be shown with U+FFFD.
pub fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
