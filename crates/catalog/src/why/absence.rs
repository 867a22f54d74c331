//! Why a question has no answer at all, whatever the instances: what the name means, or does not.

/// Why there is nothing to judge, or nothing left to tell.
///
/// The text is what DNS sends as an extended error (RFC 8914), and `rutter why` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Absence {
    /// No instance is registered under the name.
    NoSuchService,
    /// No instance that is well has the tag, and none that is not.
    NoSuchTag,
    /// Instances are registered under the name, and none of them on the node.
    NotOnNode,
    /// No node has the name.
    NoSuchNode,
    /// The datacenter is not known.
    NoSuchDatacenter,
    /// The name has none of the forms that mean something.
    NoSuchForm,
    /// The zone is somebody else's.
    ForeignZone,
    /// The service has an empty name.
    Nameless,
    /// The address belongs to no node, and no service gives it.
    NoSuchAddress,
    /// No instance has an IPv4 address.
    NoIpv4,
    /// No instance has an IPv6 address.
    NoIpv6,
    /// No instance has an address.
    NoAddress,
    /// No instance has a host name for its address.
    NoHostName,
    /// What was asked about has no records of the type.
    NoSuchType,
    /// A transfer of the zone.
    NoTransfer,
    /// The service has no virtual address.
    NoVirtualAddress,
    /// No server has a name that DNS can carry.
    NoNameServer,
    /// The catalog could not be asked in time.
    Unreachable,
}

impl Absence {
    /// All of them.
    pub const ALL: [Absence; 18] = [
        Absence::NoSuchService,
        Absence::NoSuchTag,
        Absence::NotOnNode,
        Absence::NoSuchNode,
        Absence::NoSuchDatacenter,
        Absence::NoSuchForm,
        Absence::ForeignZone,
        Absence::Nameless,
        Absence::NoSuchAddress,
        Absence::NoIpv4,
        Absence::NoIpv6,
        Absence::NoAddress,
        Absence::NoHostName,
        Absence::NoSuchType,
        Absence::NoTransfer,
        Absence::NoVirtualAddress,
        Absence::NoNameServer,
        Absence::Unreachable,
    ];

    /// In words: a clause without a full stop, ASCII.
    pub const fn text(self) -> &'static str {
        match self {
            Absence::NoSuchService => "no instance is registered under this name",
            Absence::NoSuchTag => "no instance has this tag",
            Absence::NotOnNode => "not registered on this node",
            Absence::NoSuchNode => "no node has this name",
            Absence::NoSuchDatacenter => "no such datacenter",
            Absence::NoSuchForm => "names of this form mean nothing here",
            Absence::ForeignZone => "not a name of this zone, and there are no recursors",
            Absence::Nameless => "the service has an empty name",
            Absence::NoSuchAddress => "no node or service has this address",
            Absence::NoIpv4 => "none of its addresses is IPv4",
            Absence::NoIpv6 => "none of its addresses is IPv6",
            Absence::NoAddress => "it has no address",
            Absence::NoHostName => "none of its addresses is a host name",
            Absence::NoSuchType => "no records of this type",
            Absence::NoTransfer => "the zone is not transferred",
            Absence::NoVirtualAddress => "it has no virtual address",
            Absence::NoNameServer => "no server has a name that DNS can carry",
            Absence::Unreachable => "the catalog was not reached in time",
        }
    }

    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Absence::NoSuchService => "no_such_service",
            Absence::NoSuchTag => "no_such_tag",
            Absence::NotOnNode => "not_on_node",
            Absence::NoSuchNode => "no_such_node",
            Absence::NoSuchDatacenter => "no_such_datacenter",
            Absence::NoSuchForm => "no_such_form",
            Absence::ForeignZone => "foreign_zone",
            Absence::Nameless => "nameless",
            Absence::NoSuchAddress => "no_such_address",
            Absence::NoIpv4 => "no_ipv4",
            Absence::NoIpv6 => "no_ipv6",
            Absence::NoAddress => "no_address",
            Absence::NoHostName => "no_host_name",
            Absence::NoSuchType => "no_such_type",
            Absence::NoTransfer => "no_transfer",
            Absence::NoVirtualAddress => "no_virtual_address",
            Absence::NoNameServer => "no_name_server",
            Absence::Unreachable => "unreachable",
        }
    }
}
