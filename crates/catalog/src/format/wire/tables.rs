//! The records of a snapshot: one message a table; their order is that of `frame::Table`.

use super::log::{Author, HistoryLimits, Outcome, RequestKey};
use super::rows::{Check, Instance, KvEntry, Node, Session};
use prost::{Message, Oneof};

/// The first record: what is not a table.
#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Head {
    #[prost(uint64, tag = "1")]
    pub index: u64,
    #[prost(uint64, tag = "2")]
    pub time: u64,
    #[prost(message, optional, tag = "3")]
    pub tables: Option<TableIndexes>,
    #[prost(message, optional, tag = "4")]
    pub history_limits: Option<HistoryLimits>,
    #[prost(uint64, tag = "5")]
    pub history_dropped: u64,
    /// The time of the newest request outcome that was forgotten.
    #[prost(uint64, optional, tag = "6")]
    pub requests_forgotten: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::format) struct TableIndexes {
    #[prost(uint64, tag = "1")]
    pub nodes: u64,
    #[prost(uint64, tag = "2")]
    pub node_removed: u64,
    #[prost(uint64, tag = "3")]
    pub services: u64,
    #[prost(uint64, tag = "4")]
    pub service_extinct: u64,
    #[prost(uint64, tag = "5")]
    pub checks: u64,
    #[prost(uint64, tag = "6")]
    pub kv: u64,
    #[prost(uint64, tag = "7")]
    pub kv_reaped: u64,
    #[prost(uint64, tag = "8")]
    pub sessions: u64,
}

/// What every row has besides its claim.
#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Stamp {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub created: u64,
    #[prost(uint64, tag = "3")]
    pub modified: u64,
}

/// The last record: how many stand before it.
#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::format) struct End {
    #[prost(uint64, tag = "1")]
    pub records: u64,
}

/// A row under its key. Of `claim` nothing is set where history says that there was no row.
#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Record {
    #[prost(uint32, tag = "1")]
    pub tenant: u32,
    #[prost(message, optional, tag = "2")]
    pub key: Option<Key>,
    #[prost(message, optional, tag = "3")]
    pub stamp: Option<Stamp>,
    #[prost(oneof = "Claim", tags = "4, 5, 6, 7, 8, 9, 10, 11, 12")]
    pub claim: Option<Claim>,
}

/// The parts of a key; which are used depends on the table.
#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Key {
    /// A folded node or service name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A folded instance or check id.
    #[prost(string, tag = "2")]
    pub id: String,
    /// A key of the KV store, or a session's id.
    #[prost(bytes = "vec", tag = "3")]
    pub bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum Claim {
    #[prost(message, tag = "4")]
    Node(Node),
    #[prost(uint64, tag = "5")]
    NodeMark(u64),
    #[prost(message, tag = "6")]
    Instance(Box<Instance>),
    #[prost(message, tag = "7")]
    ServiceMark(ServiceMark),
    #[prost(message, tag = "8")]
    Check(Box<Check>),
    #[prost(message, tag = "9")]
    Kv(KvEntry),
    #[prost(message, tag = "10")]
    Tombstone(Tombstone),
    #[prost(uint64, tag = "11")]
    LockDelay(u64),
    #[prost(message, tag = "12")]
    Session(Box<Session>),
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::format) struct ServiceMark {
    #[prost(uint64, tag = "1")]
    pub instances: u64,
    #[prost(uint64, tag = "2")]
    pub health: u64,
    #[prost(uint64, tag = "3")]
    pub count: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::format) struct Tombstone {
    #[prost(uint64, tag = "1")]
    pub index: u64,
    #[prost(uint64, tag = "2")]
    pub time: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Request {
    #[prost(message, optional, tag = "1")]
    pub key: Option<RequestKey>,
    #[prost(uint64, tag = "2")]
    pub time: u64,
    #[prost(message, optional, tag = "3")]
    pub outcome: Option<Outcome>,
}

/// An entry of history; its rows follow as records of their own, so that none is unbounded.
#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct HistoryEntry {
    #[prost(uint64, tag = "1")]
    pub index: u64,
    #[prost(uint64, tag = "2")]
    pub time: u64,
    #[prost(message, optional, tag = "3")]
    pub author: Option<Author>,
    #[prost(message, optional, tag = "4")]
    pub tables: Option<TableIndexes>,
    #[prost(uint64, tag = "5")]
    pub bytes: u64,
    #[prost(uint64, tag = "6")]
    pub rows: u64,
}

/// A row as it was before an entry of history.
#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct PastRow {
    /// A number of `frame::Table`.
    #[prost(uint32, tag = "1")]
    pub table: u32,
    #[prost(message, optional, tag = "2")]
    pub record: Option<Record>,
    /// Of a value that is not kept: the first half of its SHA-256.
    #[prost(bytes = "vec", tag = "3")]
    pub hash: Vec<u8>,
    /// Its length.
    #[prost(uint64, tag = "4")]
    pub size: u64,
}
