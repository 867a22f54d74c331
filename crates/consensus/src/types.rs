//! The types openraft is used with, for any runtime.
//!
//! Standard Raft: one leader a term, so a log position is (term, index). Only [`Types`] knows the
//! runtime; entries, votes and memberships are the same types in production and simulation.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use openraft::impls::{BoxedErrorSource, InlineBatch, OneshotResponder, leader_id_std};
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{AsyncRuntime, BasicNode, EntryPayload, OptionalSend, RaftTypeConfig};

use crate::queue::Ticket;

pub(crate) type LeaderId = leader_id_std::LeaderId<u64, u64>;
pub(crate) type LogId = openraft::LogId<CommittedLeaderId<u64>>;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type Payload = EntryPayload<Proposal, u64, BasicNode>;
pub(crate) type Entry = openraft::Entry<CommittedLeaderId<u64>, Payload>;
pub(crate) type Membership = openraft::Membership<u64, BasicNode>;
pub(crate) type StoredMembership =
    openraft::StoredMembership<CommittedLeaderId<u64>, u64, BasicNode>;
/// A snapshot as openraft speaks of it: what it covers; the content is in the keeper's files.
pub(crate) type Snapshot = openraft::Snapshot<CommittedLeaderId<u64>, u64, BasicNode, ()>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId<u64>, u64, BasicNode>;

/// The position (term, index) as openraft writes it.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

/// The term of a position.
pub(crate) fn term_of(id: &LogId) -> u64 {
    id.committed_leader_id().term
}

/// A command on its way through the engine, with its place in the queue.
///
/// The place is given back when both the proposer and the engine have let go of it; a command read
/// back from the log holds none.
#[derive(Clone)]
pub(crate) struct Proposal {
    pub bytes: Bytes,
    pub ticket: Option<Arc<Ticket>>,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} bytes", self.bytes.len())
    }
}

/// Openraft's table of types, on the runtime `Rt`.
pub(crate) struct Types<Rt>(PhantomData<fn() -> Rt>);

impl<Rt: AsyncRuntime> RaftTypeConfig for Types<Rt> {
    type D = Proposal;
    type R = Bytes;
    type NodeId = u64;
    type Node = BasicNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = Rt;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

// Derived, these would ask the same of the runtime, which has none of them.
impl<Rt> fmt::Debug for Types<Rt> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Types")
    }
}
impl<Rt> Clone for Types<Rt> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<Rt> Copy for Types<Rt> {}
impl<Rt> Default for Types<Rt> {
    fn default() -> Self {
        Types(PhantomData)
    }
}
impl<Rt> PartialEq for Types<Rt> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<Rt> Eq for Types<Rt> {}
impl<Rt> PartialOrd for Types<Rt> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<Rt> Ord for Types<Rt> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
