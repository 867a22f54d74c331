//! What the log carries: entries, their commands, and what became of them.
//!
//! An entry is applied whole or not at all: the first refused command refuses it. A condition that
//! does not hold (a CAS on a stale index) is no refusal but the reply `false`.

use crate::{Operation, Refusal, Shown};
use model::{
    Author, Check, CheckId, Index, Instance, InstanceId, KvKey, Node, NodeName, Owner, RequestKey,
    Session, SessionId, Tenant, Timestamp,
};
use std::sync::Arc;

/// One write, as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the leader appended it; apply clamps it to the latest it has seen (law 3).
    pub time: Timestamp,
    /// Who wrote it.
    pub author: Author,
    /// Who owns the rows it writes.
    pub owner: Owner,
    /// On what ground.
    pub claim: Claim,
    /// Whose tables it is about.
    pub tenant: Tenant,
    /// Recognises a repetition; `None` for what may safely happen twice.
    pub request: Option<RequestKey>,
    /// What to do, all or nothing.
    pub commands: Vec<Command>,
}

/// On what ground an entry changes rows that somebody else owns (law 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Claim {
    /// A person's explicit write: may replace or remove any row.
    #[default]
    Explicit,
    /// A reconciler's: may not touch another reconciler's rows, and removes only its own.
    Reconcile,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Write a node, or rename the one that has its id.
    PutNode(Node),
    /// Make sure that there is a node of this name, with an empty address if need be.
    EnsureNode(NodeName),
    /// Write an instance; its node must be there.
    PutInstance(Box<Instance>),
    /// Write a check; its node and instance must be there.
    PutCheck(Box<Check>),
    /// Remove a node with all that is on it.
    RemoveNode(NodeName),
    /// Remove an instance and its checks.
    RemoveInstance(NodeName, InstanceId),
    /// Remove a check.
    RemoveCheck(NodeName, CheckId),
    /// Write a value.
    KvPut(KvWrite),
    /// Delete a key; with an index, only if it was last changed there.
    KvDelete(KvKey, Option<Index>),
    /// Delete all keys that begin with these bytes.
    KvDeleteTree(KvKey),
    /// Make a session.
    CreateSession(Box<Session>),
    /// End a session because somebody asked for it.
    DestroySession(SessionId),
    /// End a session because nobody renewed it; a leader's duty.
    ExpireSession(SessionId),
    /// Forget deletions up to this index; a leader's duty.
    ReapTombstones(Index),
    /// Change how much history is kept.
    SetHistoryLimits(HistoryLimits),
    /// Carry out operations, all or nothing, and tell every one that fails.
    Transact(Vec<Operation>),
}

/// A value to write and the condition on which to do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvWrite {
    /// The key.
    pub key: KvKey,
    /// The value.
    pub value: Arc<[u8]>,
    /// The client's own number.
    pub flags: u64,
    /// The condition.
    pub condition: KvCondition,
}

/// When a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvCondition {
    /// Always.
    Always,
    /// If it was last changed at this index; 0 means if it is not there.
    Unchanged(Index),
    /// If the lock is free or held by this session, which then holds it.
    Acquire(SessionId),
    /// If this session holds the lock, which is then free.
    Release(SessionId),
}

/// How much history is kept: whichever limit is reached first (law 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Entries.
    pub entries: u64,
    /// Bytes, estimated from the rows kept.
    pub bytes: u64,
    /// Milliseconds of log time.
    pub age_ms: u64,
}

impl Default for HistoryLimits {
    fn default() -> HistoryLimits {
        HistoryLimits { entries: 10_000, bytes: 8 << 20, age_ms: 24 * 3_600_000 }
    }
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All commands were applied; one reply each.
    Done(Vec<Reply>),
    /// None was; nothing changed.
    Refused(Refusal),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was carried out.
    Done,
    /// Its condition did not hold; nothing changed.
    ConditionFailed,
    /// A transaction was carried out; what its operations showed, in order.
    Shown(Vec<Shown>),
}
