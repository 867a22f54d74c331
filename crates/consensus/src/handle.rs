//! What the rest of the program holds of a running log.
//!
//! Plain boxed futures: an `async fn` here would be compiled anew in every crate that awaits it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::error::{ProposeError, ReadError};
use crate::queue::Priority;

/// A running server of the log. Clones are the same server.
///
/// It runs until [`shutdown`](Consensus::shutdown), also when every clone was dropped.
#[derive(Clone)]
pub struct Consensus {
    pub(crate) engine: Arc<dyn Engine>,
}

/// What stands behind a [`Consensus`], whatever its runtime.
pub(crate) trait Engine: Send + Sync {
    fn propose(
        &self,
        command: Bytes,
        priority: Priority,
    ) -> BoxFuture<'_, Result<Applied, ProposeError>>;
    fn consistent(&self) -> BoxFuture<'_, Result<u64, ReadError>>;
    fn has_lease(&self) -> bool;
    fn leadership(&self) -> watch::Receiver<Leadership>;
    fn status(&self) -> Status;
    fn fatal(&self) -> BoxFuture<'static, String>;
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

/// A command that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its position in the log.
    pub index: u64,
    /// What the machine answered.
    pub response: Bytes,
}

/// One of the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its id in the engine, random per data directory.
    pub id: u64,
    /// Where it is reached.
    pub address: String,
}

/// Who leads, as this server sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<Server>,
    /// Whether it is this server.
    pub is_leader: bool,
    /// The term, which only grows.
    pub term: u64,
}

/// Figures of a server, for its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This server's id in the engine.
    pub node_id: u64,
    /// The cluster's id, random, the same on all its servers.
    pub cluster_id: u128,
    /// Whether this server leads.
    pub is_leader: bool,
    /// The current term.
    pub term: u64,
    /// The voting servers.
    pub voters: Vec<Server>,
    /// The last entry of the log; 0 when there is none.
    pub last_log_index: u64,
    /// The term of the last entry.
    pub last_log_term: u64,
    /// The last committed entry.
    pub commit_index: u64,
    /// The last applied entry.
    pub applied_index: u64,
    /// The last entry in the newest snapshot; 0 when there is none.
    pub last_snapshot_index: u64,
    /// The term of that entry.
    pub last_snapshot_term: u64,
    /// The first entry still in the log.
    pub first_log_index: u64,
    /// Bytes the log takes.
    pub log_bytes: u64,
    /// Syncs of the log since the start.
    pub log_syncs: u64,
    /// Appends of entries that were synced since the start, and how long they took together.
    pub appends: (u64, Duration),
    /// Snapshots taken since the start, and how long they took together.
    pub snapshots: (u64, Duration),
    /// Proposals under way.
    pub queued: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Proposals refused because the queue was full.
    pub refused: usize,
}

impl Consensus {
    /// Puts a command into the log and waits until it is synced, committed and applied here.
    ///
    /// A leader that is only about to be is waited for. Dropping the future does not take the
    /// command back.
    pub fn propose(&self, command: Bytes) -> BoxFuture<'_, Result<Applied, ProposeError>> {
        self.engine.propose(command, Priority::Usual)
    }

    /// The same, for a command that may have to get one of the last places in the queue.
    pub fn propose_as(
        &self,
        priority: Priority,
        command: Bytes,
    ) -> BoxFuture<'_, Result<Applied, ProposeError>> {
        self.engine.propose(command, priority)
    }

    /// Resolves when this server's state is at least as new as the moment of the call.
    ///
    /// By the leader's lease, or else a read index. Returns the index reached.
    pub fn consistent(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        self.engine.consistent()
    }

    /// Whether this server's state shows, at once, everything acknowledged before the call.
    ///
    /// So it is where this server leads and nobody can be elected without its vote: where it is the
    /// only voter. Its lease then has no end, and no turn of the engine is needed. False also until
    /// the first read of a term was [`consistent`](Self::consistent), which it is cheap to ask for.
    pub fn has_lease(&self) -> bool {
        self.engine.has_lease()
    }

    /// Who leads, and each change of it.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.engine.leadership()
    }

    /// Figures of now.
    pub fn status(&self) -> Status {
        self.engine.status()
    }

    /// Resolves with a message for the operator when the engine has died; end the process then.
    ///
    /// It never resolves after an orderly [`shutdown`](Self::shutdown).
    pub fn fatal(&self) -> BoxFuture<'static, String> {
        self.engine.fatal()
    }

    /// Stops in order: no new proposals, everything synced, the data directory free.
    pub fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.engine.shutdown()
    }
}
