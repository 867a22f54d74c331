//! Why an entry changed nothing. The texts for Consul's clients are made by its face.

use model::{CheckId, InstanceId, NodeId, NodeName, Owner, SessionId, Text};

/// Why the state machine refused an entry; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name belongs to another node that is alive.
    #[error("node name {name} is reserved by node {holder_name} at {address}")]
    NodeNameReserved {
        /// The id that the write carried.
        id: NodeId,
        /// The name asked for.
        name: NodeName,
        /// The address the write carried, if its id is that of a node with another name.
        renames: Option<Text>,
        /// The id that holds the name; `None` for a node without one.
        holder: Option<NodeId>,
        /// The holder's name as it is spelled.
        holder_name: NodeName,
        /// The holder's address.
        address: Text,
    },
    /// An instance or a check names a node that is not there.
    #[error("missing node {0}")]
    MissingNode(NodeName),
    /// A check names an instance that is not there.
    #[error("missing instance {instance} for check {check}")]
    MissingInstance {
        /// The instance named.
        instance: InstanceId,
        /// The check that names it.
        check: CheckId,
    },
    /// A session names a node that is not there.
    #[error("missing node registration")]
    SessionWithoutNode,
    /// A session names a check that is not there.
    #[error("missing check {0} registration")]
    SessionWithoutCheck(CheckId),
    /// A session depends on a check that is critical.
    #[error("check {0} is in critical state")]
    SessionCheckCritical(CheckId),
    /// A lock was asked for with a session that is not there.
    #[error("invalid session {0}")]
    InvalidSession(SessionId),
    /// A reconciler wrote a row that another reconciler owns.
    #[error("{what} is owned by {owner}")]
    OwnedByOther {
        /// The row, for people.
        what: String,
        /// Its owner.
        owner: Owner,
    },
}
