//! Writing the catalog.

use crate::BoxFuture;
use catalog::{Claim, Command, Outcome};
use model::{Author, Index, Owner, RequestKey, Tenant};

/// A write to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Who writes.
    pub author: Author,
    /// Who owns the rows written.
    pub owner: Owner,
    /// On what ground.
    pub claim: Claim,
    /// Whose tables.
    pub tenant: Tenant,
    /// Given by a client that repeats itself; `None` lets the writer choose one.
    pub request: Option<RequestKey>,
    /// What to do, all or nothing.
    pub commands: Vec<Command>,
}

/// What became of a write that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Where it stands.
    pub index: Index,
    /// What became of it; it is visible on this node.
    pub outcome: Outcome,
}

/// Why a write did not come to stand in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Nobody leads just now. Nothing changed; retry.
    #[error("no cluster leader")]
    NoLeader,
    /// Too many writes are waiting. Nothing changed; retry later.
    #[error("too many writes are waiting, try again later")]
    Busy,
    /// The write is larger than the log takes. Nothing changed; make it smaller.
    #[error("write of {size} bytes is larger than the {limit} bytes that one entry may have")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The disk is nearly full. Nothing changed; an operator must make room.
    #[error(
        "the disk of the data directory is nearly full ({free} bytes free, {reserve} kept in \
         reserve); writes are refused until there is room"
    )]
    DiskFull {
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// The write may or may not come to stand in the log; read before repeating.
    #[error("write outcome unknown: {0}")]
    Unknown(String),
    /// This process is ending. Nothing changed; ask another.
    #[error("shutting down")]
    Stopped,
}

/// Writes one datacenter's catalog.
pub trait Writer: Send + Sync {
    /// Puts a write into the log and waits until it is visible on this node.
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, WriteError>>;
}
