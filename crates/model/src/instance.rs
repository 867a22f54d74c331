//! One running copy of a service.

use crate::{Fields, InstanceId, NodeName, Rare, ServiceName, Text, TextMap};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// What is known of an instance; its key is (tenant, node, id).
///
/// Source: Consul, "Service HTTP API", register entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The node it runs on.
    pub node: NodeName,
    /// The id, unique on the node without regard to case.
    pub id: InstanceId,
    /// The service it offers.
    pub service: ServiceName,
    /// Tags in the order given; shared with the instance's checks.
    pub tags: Arc<[Text]>,
    /// An IP address or host name; empty means the node's.
    pub address: Text,
    /// The port as given (Consul takes -1 and 65536 too); 0 where none.
    pub port: i64,
    /// What few give; read as if it stood here.
    pub details: Rare<InstanceDetails>,
}

/// What few instances say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceDetails {
    /// Consul's kind (`""`, `connect-proxy` …), unchecked.
    pub kind: Text,
    /// Addresses by tag; `None` where none were given.
    pub tagged_addresses: Option<BTreeMap<Text, ServiceAddress>>,
    /// Key and value pairs; `None` where none were given.
    pub meta: Option<TextMap>,
    /// A unix socket's path instead of a port.
    pub socket_path: Text,
    /// Weights for DNS answers.
    pub weights: Weights,
    /// Whether anybody may change the tags in the catalog.
    pub enable_tag_override: bool,
    /// Where it runs.
    pub locality: Option<Box<Locality>>,
    /// Consul's `Proxy` block, echoed; `None` where none was given.
    pub proxy: Option<Opaque>,
    /// Consul's `Connect` block, echoed; `None` where none was given.
    pub connect: Option<Opaque>,
    /// Where the task behind it stands in its life; faces filter by it.
    pub phase: Phase,
    /// Its names on faces other than Consul's; a face whose name is lacking does not show it.
    pub names: Option<Box<FaceNames>>,
}

impl Fields for InstanceDetails {
    const NONE: &'static InstanceDetails = &InstanceDetails {
        kind: Text::EMPTY,
        tagged_addresses: None,
        meta: None,
        socket_path: Text::EMPTY,
        weights: Weights::ONE,
        enable_tag_override: false,
        locality: None,
        proxy: None,
        connect: None,
        phase: Phase::Running,
        names: None,
    };
}

impl Default for InstanceDetails {
    fn default() -> InstanceDetails {
        InstanceDetails::NONE.clone()
    }
}

impl Deref for Instance {
    type Target = InstanceDetails;

    fn deref(&self) -> &InstanceDetails {
        &self.details
    }
}

impl DerefMut for Instance {
    fn deref_mut(&mut self) -> &mut InstanceDetails {
        &mut self.details
    }
}

/// No tags.
pub fn empty_tags() -> Arc<[Text]> {
    Arc::default()
}

impl Default for Instance {
    fn default() -> Instance {
        Instance {
            node: NodeName::default(),
            id: InstanceId::default(),
            service: ServiceName::default(),
            tags: empty_tags(),
            address: Text::default(),
            port: 0,
            details: Rare::NONE,
        }
    }
}

/// An address and port of a service under a tag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceAddress {
    /// An IP address or host name.
    pub address: Text,
    /// The port as given.
    pub port: i64,
}

/// The weight of an instance in SRV answers, by its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    /// While passing.
    pub passing: i64,
    /// While warning.
    pub warning: i64,
}

impl Weights {
    /// What counts where none were given.
    pub const ONE: Weights = Weights { passing: 1, warning: 1 };
}

impl Default for Weights {
    fn default() -> Weights {
        Weights::ONE
    }
}

/// Where something stands: a cloud's region and the availability zone in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locality {
    /// The region.
    pub region: Text,
    /// The availability zone.
    pub availability_zone: Text,
}

/// A JSON object kept as canonical text (keys sorted, no blanks): echoed, never understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opaque(pub Arc<str>);

/// Where a source's task stands in its life; what an agent registered is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Phase {
    /// Being prepared, not started.
    Staging,
    /// Started.
    #[default]
    Running,
    /// Started, and its own health checks fail.
    Unhealthy,
    /// Its host cannot be reached.
    Unreachable,
    /// Leaving in order: no new connections.
    Draining,
    /// Being killed.
    Killing,
}

/// The names of one instance on the faces that do not take its Consul service name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaceNames {
    /// Mesos-DNS: the task's name.
    pub mesos_task: Option<Text>,
    /// Mesos-DNS: the framework's name.
    pub mesos_framework: Option<Text>,
    /// Cloud Map: the namespace.
    pub cloud_map_namespace: Option<Text>,
    /// Cloud Map: the service in that namespace.
    pub cloud_map_service: Option<Text>,
}
