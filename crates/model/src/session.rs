//! Consul's sessions: what locks hang on.

use crate::{CheckId, Nanos, NodeName, Text};
use uuid::Uuid;

/// The id of a session.
pub type SessionId = Uuid;

/// A session: as long as it lives, the locks acquired with it are held.
///
/// Source: Consul, "Session HTTP API".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// The id.
    pub id: SessionId,
    /// A name for people.
    pub name: Text,
    /// The node it is bound to; the session ends with it.
    pub node: NodeName,
    /// How long a lost lock cannot be acquired by anybody.
    pub lock_delay: Nanos,
    /// What becomes of its keys when it ends.
    pub behavior: Behavior,
    /// Its time to live as it was given; empty for none.
    pub ttl: Text,
    /// `ttl` in nanoseconds; 0 for none.
    pub ttl_nanos: Nanos,
    /// Checks of the node; when one turns critical or goes, the session ends.
    pub node_checks: Vec<CheckId>,
    /// Checks of services of the node, likewise; `None` where none were given.
    pub service_checks: Option<Vec<ServiceCheck>>,
}

/// A check of a service that a session depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceCheck {
    /// The check's id.
    pub id: CheckId,
    /// Echoed; community Consul has no namespaces.
    pub namespace: Text,
}

/// What becomes of the keys a session holds when it is invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behavior {
    /// They are released.
    #[default]
    Release,
    /// They are deleted.
    Delete,
}
