//! A machine (or container host) in the catalog.

use crate::{Locality, NodeName, Text, TextMap};
use uuid::Uuid;

/// A node's unique attribute, given by its agent; names are the keys, ids only tell machines apart.
pub type NodeId = Uuid;

/// What is known of a node.
///
/// Source: Consul, "Catalog HTTP API", register entity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// The name, unique without regard to case.
    pub name: NodeName,
    /// The id, unique where given.
    pub id: Option<NodeId>,
    /// An IP address or a host name, as given; empty for a node known only by its services.
    pub address: Text,
    /// Addresses by tag (`lan`, `wan`, `lan_ipv4` …); `None` where none were given.
    pub tagged_addresses: Option<TextMap>,
    /// Key and value pairs; `None` where none were given.
    pub meta: Option<TextMap>,
    /// Where it stands.
    pub locality: Option<Box<Locality>>,
}
