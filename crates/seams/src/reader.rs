//! Reading the catalog.

use crate::{BoxFuture, Marks, Subscription};
use catalog::{Interest, View, Watch};
use std::sync::Arc;
use std::time::Duration;

/// How fresh a read must be (law 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// Through the leader's lease.
    #[default]
    Default,
    /// Through a round of the leader's quorum.
    Consistent,
}

/// Why a read cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody leads just now; retry, or ask for a stale answer.
    #[error("no cluster leader")]
    NoLeader,
    /// What was asked for is not held here and did not come in time; retry.
    #[error("{0:?} did not arrive in time")]
    NotHeld(Interest),
    /// This process is ending; ask another.
    #[error("shutting down")]
    Stopped,
}

/// Who leads, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The leader's server address as `ip:port`; `None` where nobody leads.
    pub leader: Option<String>,
    /// Whether this node leads.
    pub is_leader: bool,
    /// How long ago the leader was heard of; zero on the leader.
    pub last_contact: Duration,
}

/// Where the log stands on this node, for its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogPosition {
    /// The current term.
    pub term: u64,
    /// The last entry.
    pub last_index: u64,
    /// Its term.
    pub last_term: u64,
    /// The last committed entry.
    pub commit_index: u64,
    /// The last applied entry.
    pub applied_index: u64,
    /// The last entry in the newest snapshot; 0 when there is none.
    pub snapshot_index: u64,
    /// Its term.
    pub snapshot_term: u64,
    /// The other servers that vote.
    pub peers: usize,
}

/// Reads one datacenter's catalog.
pub trait Reader: Send + Sync {
    /// The newest view on this node: for DNS and stale reads.
    fn view(&self) -> Arc<View>;

    /// When the keys of these views were touched; `None` where that is not known of all keys, so that
    /// nothing made of a view can be kept.
    fn marks(&self) -> Option<&Marks> {
        None
    }

    /// The newest view, if it is certain at once that it shows every write acknowledged before the
    /// call: through the leader's lease, without a turn of the engine.
    fn leased(&self) -> Option<Arc<View>> {
        None
    }

    /// A view that shows every write acknowledged before the call.
    fn current(&self, consistency: Consistency) -> BoxFuture<'_, Result<Arc<View>, ReadError>>;

    /// Waits for these keys: subscribe first, then look at a view, then sleep.
    fn subscribe(&self, watches: &[Watch]) -> Subscription;

    /// Obtains what this node does not hold; the view returned holds it.
    fn hold(
        &self,
        interest: Interest,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Arc<View>, ReadError>>;

    /// Who leads.
    fn leadership(&self) -> Leadership;

    /// Whether anybody leads, and how long ago the leader was heard of.
    fn contact(&self) -> (bool, Duration) {
        let now = self.leadership();
        (now.leader.is_some(), now.last_contact)
    }

    /// Where the log stands.
    fn log_position(&self) -> LogPosition;
}
