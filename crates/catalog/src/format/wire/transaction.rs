//! Transactions in bytes: their operations, what these showed, and how they failed.

use super::log::{Command, OnNode, Refusal};
use super::tables::{Claim, Stamp};
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Transaction {
    #[prost(message, repeated, tag = "1")]
    pub operations: Vec<Operation>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Operation {
    #[prost(message, optional, tag = "1")]
    pub expects: Option<Expectation>,
    #[prost(message, optional, boxed, tag = "2")]
    pub does: Option<Box<Command>>,
    #[prost(message, optional, tag = "3")]
    pub shows: Option<Selection>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct RowName {
    #[prost(oneof = "RowNameKind", tags = "1, 2, 3, 4, 5")]
    pub kind: Option<RowNameKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum RowNameKind {
    #[prost(string, tag = "1")]
    Node(String),
    #[prost(bytes = "vec", tag = "2")]
    NodeId(Vec<u8>),
    #[prost(message, tag = "3")]
    Instance(OnNode),
    #[prost(message, tag = "4")]
    Check(OnNode),
    #[prost(bytes = "vec", tag = "5")]
    Kv(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Expectation {
    #[prost(message, optional, tag = "1")]
    pub row: Option<RowName>,
    #[prost(oneof = "Condition", tags = "2, 3, 4, 5, 6, 7")]
    pub is: Option<Condition>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum Condition {
    #[prost(bool, tag = "2")]
    Present(bool),
    #[prost(bool, tag = "3")]
    Absent(bool),
    #[prost(uint64, tag = "4")]
    Unchanged(u64),
    #[prost(uint64, tag = "5")]
    ChangedAt(u64),
    #[prost(bytes = "vec", tag = "6")]
    HeldBy(Vec<u8>),
    #[prost(bool, tag = "7")]
    HeldByNobody(bool),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Selection {
    #[prost(oneof = "SelectionKind", tags = "1, 2, 3")]
    pub kind: Option<SelectionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum SelectionKind {
    #[prost(message, tag = "1")]
    Row(RowName),
    #[prost(message, tag = "2")]
    Head(RowName),
    #[prost(bytes = "vec", tag = "3")]
    KvTree(Vec<u8>),
}

/// What one transaction showed.
#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Results {
    #[prost(message, repeated, tag = "1")]
    pub shown: Vec<Shown>,
}

/// A row; of `claim` only nodes, instances, checks and values.
#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Shown {
    #[prost(uint32, tag = "1")]
    pub operation: u32,
    /// The key of a value.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub stamp: Option<Stamp>,
    #[prost(oneof = "Claim", tags = "4, 5, 6, 7, 8, 9, 10, 11, 12")]
    pub claim: Option<Claim>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Failures {
    #[prost(message, repeated, tag = "1")]
    pub failures: Vec<Failure>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::format) struct Failure {
    #[prost(uint32, tag = "1")]
    pub operation: u32,
    #[prost(oneof = "Cause", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub cause: Option<Cause>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::format) enum Cause {
    #[prost(bool, tag = "2")]
    Absent(bool),
    #[prost(bool, tag = "3")]
    Present(bool),
    #[prost(uint64, tag = "4")]
    Changed(u64),
    #[prost(bytes = "vec", tag = "5")]
    HeldBy(Vec<u8>),
    #[prost(bool, tag = "6")]
    HeldByNobody(bool),
    #[prost(bool, tag = "7")]
    ConditionFailed(bool),
    #[prost(bool, tag = "8")]
    LockDelayed(bool),
    #[prost(message, tag = "9")]
    Refused(Box<Refusal>),
    #[prost(bool, tag = "10")]
    TooMuch(bool),
}
