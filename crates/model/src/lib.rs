//! The nouns of the registry: names, rows, statuses, authors, indexes.
//!
//! Plain values without IO, clock or wire format. No noun is serialisable (only [`Text`] is): the
//! edge that speaks a format owns the types of that format and converts (`catalog::format`,
//! `httpapi::consul`).
//! What Consul accepts is accepted here too, unchecked names and odd statuses included; a type
//! says only what the rest of the program relies on.
//!
//! Decision 0000.

mod author;
mod check;
mod instance;
mod kv;
mod letter;
mod name;
mod node;
mod rare;
mod registration;
mod row;
mod session;
mod text;
mod time;

pub use author::{Author, Door, Owner, RequestKey};
pub use check::{Check, CheckDefinition, CheckDetails, Status};
pub use instance::{
    FaceNames, Instance, InstanceDetails, Locality, Opaque, Phase, ServiceAddress, Weights,
    empty_tags,
};
pub use kv::{KvEntry, KvKey};
pub use letter::{is_obeyed, is_printable};
pub use name::{CheckId, Folded, InstanceId, NodeName, ServiceName};
pub use node::{Node, NodeId};
pub use rare::{Fields, Rare};
pub use registration::Registration;
pub use row::{Index, Row, Tenant};
pub use session::{Behavior, ServiceCheck, Session, SessionId};
pub use text::Text;
pub use time::{Nanos, Timestamp};

/// A map of texts as nodes and services carry it (meta, tagged addresses), in key order.
pub type TextMap = std::collections::BTreeMap<Text, Text>;
