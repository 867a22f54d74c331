//! `?filter=`: what the rows of each list have to be asked for, and where they have it.
//!
//! Field names are those of Consul's structures, which its JSON shows with few exceptions; what Consul
//! does not let anybody select (indexes, localities, a check's definition, what only Consul Enterprise
//! has) is in no table. A field is read from the row itself, when an expression asks for it.
//!
//! Source: Consul, "API: filtering" and the selectors of each endpoint; stories 16, 23, 24 and 26.

use super::error::Problem;
use super::shapes::NodeShape;
use crate::call::Call;
use catalog::View;
use lang::filter::{Fields, Filter, FilterError, Kind, List, Map, Schema, Value};
use lang::json::{self, Json};
use model::{Check, Instance, Node, Opaque, Row, ServiceAddress, Tenant, Text};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// The filter of a call, compiled at the first look of a read that waits; `None` without one.
pub fn of<'c>(call: &'c Call, rows: &'static Schema) -> Result<Option<&'c Filter>, Problem> {
    if let Some(filter) = call.filter.get() {
        return Ok(filter.as_ref());
    }
    let text = call.query.given("filter");
    let filter = text.map(|text| Filter::compile(text, rows)).transpose().map_err(refused)?;
    Ok(call.filter.get_or_init(|| filter).as_ref())
}

/// The same where what is selected is looked at with the first row only, as `agent/checks` does it:
/// without rows anything that is an expression goes, and the complaint stands alone.
pub fn of_first_row<'c>(
    call: &'c Call,
    rows: &'static Schema,
    any: bool,
) -> Result<Option<&'c Filter>, Problem> {
    let Some(text) = call.query.given("filter") else { return Ok(None) };
    lang::filter::parse(text).map_err(refused)?;
    if !any {
        return Ok(None);
    }
    match Filter::compile(text, rows) {
        Ok(filter) => Ok(call.filter.get_or_init(|| Some(filter)).as_ref()),
        Err(error) => Err(Problem::Invalid(error.to_string())),
    }
}

/// Whether a row is asked for.
pub fn keeps(filter: Option<&Filter>, row: &dyn Fields) -> bool {
    filter.is_none_or(|filter| filter.matches(row))
}

/// The refusal of an expression.
pub fn refused(error: FilterError) -> Problem {
    Problem::Invalid(format!("Failed to create boolean expression evaluator: {error}"))
}

const TEXT: Kind = Kind::Text;
const INT: Kind = Kind::Int;
const BOOL: Kind = Kind::Bool;
const TEXTS: Kind = Kind::Texts;
const PAIRS: Kind = Kind::Map(&Kind::Text);
const ADDRESSES: Kind = Kind::Map(&Kind::One(&ADDRESS));

/// `catalog/nodes`.
pub static NODE: Schema = Schema(&[
    ("ID", TEXT),
    ("Node", TEXT),
    ("Address", TEXT),
    ("Datacenter", TEXT),
    ("Partition", TEXT),
    ("PeerName", TEXT),
    ("TaggedAddresses", PAIRS),
    ("Meta", PAIRS),
]);

/// `catalog/node`, `catalog/node-services`, `agent/services`.
pub static INSTANCE: Schema = Schema(&[
    ("Kind", TEXT),
    ("ID", TEXT),
    ("Service", TEXT),
    ("Tags", TEXTS),
    ("Address", TEXT),
    ("TaggedAddresses", ADDRESSES),
    ("Meta", PAIRS),
    ("Port", INT),
    ("SocketPath", TEXT),
    ("Weights", Kind::One(&WEIGHTS)),
    ("EnableTagOverride", BOOL),
    ("Proxy", Kind::One(&PROXY)),
    ("Connect", Kind::One(&CONNECT)),
    ("PeerName", TEXT),
]);

/// `catalog/service`, `catalog/services`, `catalog/connect`.
pub static INSTANCE_ON_NODE: Schema = Schema(&[
    ("ID", TEXT),
    ("Node", TEXT),
    ("Address", TEXT),
    ("Datacenter", TEXT),
    ("TaggedAddresses", PAIRS),
    ("NodeMeta", PAIRS),
    ("ServiceKind", TEXT),
    ("ServiceID", TEXT),
    ("ServiceName", TEXT),
    ("ServiceTags", TEXTS),
    ("ServiceAddress", TEXT),
    ("ServiceTaggedAddresses", ADDRESSES),
    ("ServiceWeights", Kind::One(&WEIGHTS)),
    ("ServiceMeta", PAIRS),
    ("ServicePort", INT),
    ("ServiceSocketPath", TEXT),
    ("ServiceEnableTagOverride", BOOL),
    ("ServiceProxy", Kind::One(&PROXY)),
    ("ServiceConnect", Kind::One(&CONNECT)),
    ("PeerName", TEXT),
]);

/// `health/node`, `health/checks`, `health/state`, `agent/checks`.
pub static CHECK: Schema = Schema(&[
    ("Node", TEXT),
    ("CheckID", TEXT),
    ("Name", TEXT),
    ("Status", TEXT),
    ("Notes", TEXT),
    ("Output", TEXT),
    ("ServiceID", TEXT),
    ("ServiceName", TEXT),
    ("ServiceTags", TEXTS),
    ("Type", TEXT),
    ("Interval", TEXT),
    ("Timeout", TEXT),
    ("ExposedPort", INT),
    ("PeerName", TEXT),
]);

/// `health/service`, `health/connect`, `health/ingress`.
pub static INSTANCE_WITH_CHECKS: Schema = Schema(&[
    ("Node", Kind::One(&NODE)),
    ("Service", Kind::One(&INSTANCE)),
    ("Checks", Kind::List(&CHECK)),
]);

/// `agent/members`.
pub static MEMBER: Schema = Schema(&[
    ("Name", TEXT),
    ("Addr", Kind::Bytes),
    ("Port", Kind::Uint(16)),
    ("Tags", PAIRS),
    ("Status", INT),
    ("ProtocolMin", Kind::Uint(8)),
    ("ProtocolMax", Kind::Uint(8)),
    ("ProtocolCur", Kind::Uint(8)),
    ("DelegateMin", Kind::Uint(8)),
    ("DelegateMax", Kind::Uint(8)),
    ("DelegateCur", Kind::Uint(8)),
]);

static ADDRESS: Schema = Schema(&[("Address", TEXT), ("Port", INT)]);

static WEIGHTS: Schema = Schema(&[("Passing", INT), ("Warning", INT)]);

static CONNECT: Schema = Schema(&[("Native", BOOL)]);

static PROXY: Schema = Schema(&[
    ("EnvoyExtensions", Kind::List(&EXTENSION)),
    ("DestinationServiceName", TEXT),
    ("DestinationServiceID", TEXT),
    ("LocalServiceAddress", TEXT),
    ("LocalServicePort", INT),
    ("LocalServiceSocketPath", TEXT),
    ("Mode", TEXT),
    ("Upstreams", Kind::List(&UPSTREAM)),
    ("MeshGateway", Kind::One(&MESH_GATEWAY)),
    ("Expose", Kind::One(&EXPOSE)),
    ("TransparentProxy", Kind::One(&TRANSPARENT_PROXY)),
    ("AccessLogs", Kind::One(&ACCESS_LOGS)),
]);

static EXTENSION: Schema =
    Schema(&[("Name", TEXT), ("Required", BOOL), ("ConsulVersion", TEXT), ("EnvoyVersion", TEXT)]);

static UPSTREAM: Schema = Schema(&[
    ("DestinationType", TEXT),
    ("DestinationNamespace", TEXT),
    ("DestinationPartition", TEXT),
    ("DestinationPeer", TEXT),
    ("DestinationName", TEXT),
    ("Datacenter", TEXT),
    ("LocalBindAddress", TEXT),
    ("LocalBindPort", INT),
    ("LocalBindSocketPath", TEXT),
    ("LocalBindSocketMode", TEXT),
    ("MeshGateway", Kind::One(&MESH_GATEWAY)),
]);

static MESH_GATEWAY: Schema = Schema(&[("Mode", TEXT)]);

static EXPOSE: Schema = Schema(&[("Checks", BOOL), ("Paths", Kind::List(&EXPOSED_PATH))]);

static EXPOSED_PATH: Schema = Schema(&[
    ("ListenerPort", INT),
    ("Path", TEXT),
    ("LocalPathPort", INT),
    ("Protocol", TEXT),
    ("ParsedFromCheck", BOOL),
]);

static TRANSPARENT_PROXY: Schema =
    Schema(&[("OutboundListenerPort", INT), ("DialedDirectly", BOOL)]);

static ACCESS_LOGS: Schema = Schema(&[
    ("Enabled", BOOL),
    ("DisableListenerLogs", BOOL),
    ("Type", TEXT),
    ("Path", TEXT),
    ("JSONPath", TEXT),
    ("TextPath", TEXT),
]);

/// What no table names; asked for by nothing that was compiled.
const NOTHING: Value<'static> = Value::Json(None);

/// What only Consul Enterprise has, or another cluster: empty here.
const ELSEWHERE: Value<'static> = NOTHING;

impl Fields for NodeShape<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        let NodeShape(row, datacenter) = *self;
        let node: &Node = row;
        match name {
            "ID" => Value::Text(node.id.map(|id| id.to_string()).unwrap_or_default().into()),
            "Node" => node.name.as_str().into(),
            "Address" => node.address.as_str().into(),
            "Datacenter" => datacenter.into(),
            "TaggedAddresses" => Value::Map(&node.tagged_addresses),
            "Meta" => Value::Map(&node.meta),
            "Partition" | "PeerName" => ELSEWHERE,
            _ => NOTHING,
        }
    }
}

/// An instance.
pub struct InstanceRow<'v> {
    is: &'v Instance,
    addresses: Addresses<'v>,
    proxy: OnceCell<Option<Json>>,
    connect: OnceCell<Option<Json>>,
}

impl<'v> InstanceRow<'v> {
    /// The row of an instance.
    pub fn new(is: &'v Instance) -> InstanceRow<'v> {
        let addresses = Addresses(is.tagged_addresses.as_ref());
        InstanceRow { is, addresses, proxy: OnceCell::new(), connect: OnceCell::new() }
    }
}

fn parsed<'c>(cell: &'c OnceCell<Option<Json>>, opaque: Option<&Opaque>) -> Value<'c> {
    let read = || opaque.and_then(|opaque| json::parse(opaque.0.as_bytes()).ok());
    Value::Json(cell.get_or_init(read).as_ref())
}

impl Fields for InstanceRow<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        let is = self.is;
        match name {
            "Kind" => is.kind.as_str().into(),
            "ID" => is.id.as_str().into(),
            "Service" => is.service.as_str().into(),
            "Tags" => Value::Texts(&is.tags),
            "Address" => is.address.as_str().into(),
            "TaggedAddresses" => Value::Map(&self.addresses),
            "Meta" => Value::Map(&is.meta),
            "Port" => Value::Int(is.port),
            "SocketPath" => is.socket_path.as_str().into(),
            "Weights" => Value::Made(Box::new(Ints([
                ("Passing", is.weights.passing),
                ("Warning", is.weights.warning),
            ]))),
            "EnableTagOverride" => Value::Bool(is.enable_tag_override),
            "Proxy" => parsed(&self.proxy, is.proxy.as_ref()),
            "Connect" => parsed(&self.connect, is.connect.as_ref()),
            "PeerName" => ELSEWHERE,
            _ => NOTHING,
        }
    }
}

struct Ints<const N: usize>([(&'static str, i64); N]);

impl<const N: usize> Fields for Ints<N> {
    fn field(&self, name: &str) -> Value<'_> {
        let found = self.0.iter().find(|(field, _)| *field == name);
        found.map_or(NOTHING, |(_, number)| Value::Int(*number))
    }
}

struct Addresses<'v>(Option<&'v BTreeMap<Text, ServiceAddress>>);

impl Map for Addresses<'_> {
    fn count(&self) -> usize {
        self.0.map_or(0, BTreeMap::len)
    }

    fn value(&self, key: &str) -> Option<Value<'_>> {
        Some(Value::Made(Box::new(AddressRow(self.0?.get(key)?))))
    }
}

struct AddressRow<'v>(&'v ServiceAddress);

impl Fields for AddressRow<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "Address" => self.0.address.as_str().into(),
            "Port" => Value::Int(self.0.port),
            _ => NOTHING,
        }
    }
}

/// An instance with its node, in one row.
pub struct InstanceOnNode<'v> {
    /// The node.
    pub node: NodeShape<'v>,
    /// The instance.
    pub instance: InstanceRow<'v>,
}

impl Fields for InstanceOnNode<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "NodeMeta" => self.node.field("Meta"),
            "ServiceName" => self.instance.field("Service"),
            _ => match name.strip_prefix("Service") {
                Some(name) => self.instance.field(name),
                None => self.node.field(name),
            },
        }
    }
}

/// An instance with its node and the checks that count for it.
pub struct InstanceWithChecks<'v> {
    /// The node.
    pub node: NodeShape<'v>,
    /// The instance.
    pub instance: InstanceRow<'v>,
    /// The checks.
    pub checks: ChecksOf<'v>,
}

impl Fields for InstanceWithChecks<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "Node" => Value::One(&self.node),
            "Service" => Value::One(&self.instance),
            "Checks" => Value::List(&self.checks),
            _ => NOTHING,
        }
    }
}

/// The checks that count for an instance.
pub struct ChecksOf<'v> {
    /// Where they are.
    pub view: &'v View,
    /// Whose they are.
    pub tenant: Tenant,
    /// The instance.
    pub instance: &'v Row<Instance>,
}

impl List for ChecksOf<'_> {
    fn is_empty(&self) -> bool {
        self.view.checks_for(self.tenant, self.instance).next().is_none()
    }

    fn any(&self, holds: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        self.view.checks_for(self.tenant, self.instance).any(|row| holds(&CheckRow(row)))
    }
}

/// A check.
pub struct CheckRow<'v>(pub &'v Check);

impl Fields for CheckRow<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        let is = self.0;
        match name {
            "Node" => is.node.as_str().into(),
            "CheckID" => is.id.as_str().into(),
            "Name" => is.name.as_str().into(),
            "Status" => is.status.as_str().into(),
            "Notes" => is.notes.as_str().into(),
            "Output" => is.output.as_str().into(),
            "ServiceID" => is.instance.as_str().into(),
            "ServiceName" => is.service.as_str().into(),
            "ServiceTags" => Value::Texts(&is.service_tags),
            "Type" => is.kind.as_str().into(),
            "Interval" => is.interval.as_str().into(),
            "Timeout" => is.timeout.as_str().into(),
            "ExposedPort" => Value::Int(is.exposed_port),
            "PeerName" => ELSEWHERE,
            _ => NOTHING,
        }
    }
}

/// A member, as its answer shows it.
pub struct MemberRow<'v> {
    shown: &'v serde_json::Value,
    address: Vec<u8>,
    tags: BTreeMap<&'v str, &'v str>,
}

impl<'v> MemberRow<'v> {
    /// The row of a member.
    pub fn new(shown: &'v serde_json::Value, address: std::net::IpAddr) -> MemberRow<'v> {
        let address = match address {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets().to_vec(),
            std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let tags = shown["Tags"].as_object().into_iter().flatten();
        let tags = tags.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
        MemberRow { shown, address, tags: tags.collect() }
    }
}

impl Fields for MemberRow<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "Name" => self.shown[name].as_str().unwrap_or_default().into(),
            "Addr" => Value::Bytes(self.address.as_slice().into()),
            "Tags" => Value::Map(&self.tags),
            _ => Value::Int(self.shown[name].as_i64().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests;
