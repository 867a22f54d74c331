//! What a name asks for, one file a scheme.

pub(crate) mod consul;
pub(crate) mod reverse;

use std::net::IpAddr;

/// What a name asks for. Names are lower-cased, dotted where they have several labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup<'n> {
    /// Instances of a service, with a tag or without (empty).
    Service {
        service: &'n [u8],
        tag: &'n [u8],
        /// The datacenter named, when one is.
        datacenter: Option<&'n [u8]>,
    },
    /// A node.
    Node { node: &'n [u8], datacenter: Option<&'n [u8]> },
    /// The address that the name spells.
    Address(IpAddr),
    /// A name that exists and has no records.
    Empty,
    /// A name that cannot be looked up.
    Broken,
    /// No such name.
    Nothing,
}
