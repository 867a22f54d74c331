//! Entries, their commands and outcomes in bytes.
//!
//! Every choice is a `oneof` whose absence is refused, so that a choice of a newer version is never
//! taken for "none".

use super::rows::{Check, Instance, Node, Session};
use super::transaction::{Failures, Results, Transaction};
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Author {
    #[prost(string, tag = "1")]
    pub actor: String,
    /// 0 HTTP, 1 agent, 2 leader.
    #[prost(uint32, tag = "2")]
    pub door: u32,
    #[prost(string, tag = "3")]
    pub remote: String,
    #[prost(string, tag = "4")]
    pub request: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct RequestKey {
    #[prost(bytes = "vec", tag = "1")]
    pub client: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::format) struct HistoryLimits {
    #[prost(uint64, tag = "1")]
    pub entries: u64,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    #[prost(uint64, tag = "3")]
    pub age_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Command {
    #[prost(oneof = "CommandKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16")]
    pub kind: Option<CommandKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum CommandKind {
    #[prost(message, tag = "1")]
    PutNode(Node),
    #[prost(string, tag = "2")]
    EnsureNode(String),
    #[prost(message, tag = "3")]
    PutInstance(Box<Instance>),
    #[prost(message, tag = "4")]
    PutCheck(Box<Check>),
    #[prost(string, tag = "5")]
    RemoveNode(String),
    #[prost(message, tag = "6")]
    RemoveInstance(OnNode),
    #[prost(message, tag = "7")]
    RemoveCheck(OnNode),
    #[prost(message, tag = "8")]
    KvPut(KvPut),
    #[prost(message, tag = "9")]
    KvDelete(KvDelete),
    #[prost(bytes = "vec", tag = "10")]
    KvDeleteTree(Vec<u8>),
    #[prost(message, tag = "11")]
    CreateSession(Box<Session>),
    #[prost(bytes = "vec", tag = "12")]
    DestroySession(Vec<u8>),
    #[prost(bytes = "vec", tag = "13")]
    ExpireSession(Vec<u8>),
    #[prost(uint64, tag = "14")]
    ReapTombstones(u64),
    #[prost(message, tag = "15")]
    SetHistoryLimits(HistoryLimits),
    #[prost(message, tag = "16")]
    Transact(Transaction),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct OnNode {
    #[prost(string, tag = "1")]
    pub node: String,
    #[prost(string, tag = "2")]
    pub id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct KvPut {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub flags: u64,
    #[prost(oneof = "KvCondition", tags = "4, 5, 6, 7")]
    pub condition: Option<KvCondition>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum KvCondition {
    #[prost(bool, tag = "4")]
    Always(bool),
    #[prost(uint64, tag = "5")]
    Unchanged(u64),
    #[prost(bytes = "vec", tag = "6")]
    Acquire(Vec<u8>),
    #[prost(bytes = "vec", tag = "7")]
    Release(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct KvDelete {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(uint64, optional, tag = "2")]
    pub unchanged: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Entry {
    #[prost(uint32, tag = "1")]
    pub format: u32,
    #[prost(uint64, tag = "2")]
    pub time: u64,
    #[prost(message, optional, tag = "3")]
    pub author: Option<Author>,
    #[prost(string, tag = "4")]
    pub owner: String,
    /// 0 explicit, 1 reconcile.
    #[prost(uint32, tag = "5")]
    pub claim: u32,
    #[prost(uint32, tag = "6")]
    pub tenant: u32,
    #[prost(message, optional, tag = "7")]
    pub request: Option<RequestKey>,
    #[prost(message, repeated, tag = "8")]
    pub commands: Vec<Command>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Outcome {
    #[prost(uint32, tag = "1")]
    pub format: u32,
    #[prost(oneof = "OutcomeKind", tags = "2, 3")]
    pub kind: Option<OutcomeKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum OutcomeKind {
    #[prost(message, tag = "2")]
    Done(Replies),
    #[prost(message, tag = "3")]
    Refused(Refusal),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Replies {
    /// 0 done, 1 condition failed, 2 a transaction: the next of `results`.
    #[prost(uint32, repeated, tag = "1")]
    pub replies: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub results: Vec<Results>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Refusal {
    #[prost(oneof = "RefusalKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub kind: Option<RefusalKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum RefusalKind {
    #[prost(message, tag = "1")]
    NodeNameReserved(NodeNameReserved),
    #[prost(string, tag = "2")]
    MissingNode(String),
    #[prost(message, tag = "3")]
    MissingInstance(MissingInstance),
    #[prost(bool, tag = "4")]
    SessionWithoutNode(bool),
    #[prost(string, tag = "5")]
    SessionWithoutCheck(String),
    #[prost(string, tag = "6")]
    SessionCheckCritical(String),
    #[prost(bytes = "vec", tag = "7")]
    InvalidSession(Vec<u8>),
    #[prost(message, tag = "8")]
    OwnedByOther(OwnedByOther),
    #[prost(bool, tag = "9")]
    TooLateToKnow(bool),
    #[prost(message, tag = "10")]
    Failed(Failures),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct NodeNameReserved {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, optional, tag = "3")]
    pub renames: Option<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub holder: Option<Vec<u8>>,
    #[prost(string, tag = "5")]
    pub holder_name: String,
    #[prost(string, tag = "6")]
    pub address: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct MissingInstance {
    #[prost(string, tag = "1")]
    pub instance: String,
    #[prost(string, tag = "2")]
    pub check: String,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct OwnedByOther {
    #[prost(string, tag = "1")]
    pub what: String,
    #[prost(string, tag = "2")]
    pub owner: String,
}
