//! The keys of the tables. Each begins with the tenant; names are folded.

use crate::tables::sorted::Place;
use model::{CheckId, Folded, InstanceId, KvKey, NodeName, ServiceName, Tenant};

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    /// Whose.
    pub tenant: Tenant,
    /// The node's folded name.
    pub node: Folded,
}

/// Where an instance stands (law 1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    /// Whose.
    pub tenant: Tenant,
    /// The node's folded name.
    pub node: Folded,
    /// The folded instance id.
    pub id: Folded,
}

/// Where a check stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckKey {
    /// Whose.
    pub tenant: Tenant,
    /// The node's folded name.
    pub node: Folded,
    /// The folded check id.
    pub id: Folded,
}

/// A service as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Whose.
    pub tenant: Tenant,
    /// The folded name.
    pub service: Folded,
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KvRowKey {
    /// Whose.
    pub tenant: Tenant,
    /// The key, byte for byte.
    pub key: KvKey,
}

impl NodeKey {
    /// The key of the node of that name.
    pub fn new(tenant: Tenant, node: &NodeName) -> NodeKey {
        NodeKey { tenant, node: node.fold() }
    }

    /// The key of one of the node's instances.
    pub fn instance(&self, id: &InstanceId) -> InstanceKey {
        InstanceKey { tenant: self.tenant, node: self.node.clone(), id: id.fold() }
    }

    /// The key of one of the node's checks.
    pub fn check(&self, id: &CheckId) -> CheckKey {
        CheckKey { tenant: self.tenant, node: self.node.clone(), id: id.fold() }
    }
}

impl InstanceKey {
    /// The key of the instance's node.
    pub fn node_key(&self) -> NodeKey {
        NodeKey { tenant: self.tenant, node: self.node.clone() }
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place([self.node.as_str(), self.id.as_str(), ""])
    }

    /// A key before those of all instances of the node.
    pub(crate) fn of_node(node: &NodeKey) -> InstanceKey {
        InstanceKey { tenant: node.tenant, node: node.node.clone(), id: Folded::default() }
    }
}

impl CheckKey {
    pub(crate) fn place(&self) -> Place<'_> {
        Place([self.node.as_str(), self.id.as_str(), ""])
    }

    /// The key of the check's node.
    pub fn node_key(&self) -> NodeKey {
        NodeKey { tenant: self.tenant, node: self.node.clone() }
    }
}

impl ServiceKey {
    /// The key of the service of that name.
    pub fn new(tenant: Tenant, service: &ServiceName) -> ServiceKey {
        ServiceKey { tenant, service: service.fold() }
    }
}

impl KvRowKey {
    /// The key of a value.
    pub fn new(tenant: Tenant, key: &[u8]) -> KvRowKey {
        KvRowKey { tenant, key: KvKey::new(key) }
    }
}
