//! Rows of the catalog in wire form, kept until they change.
//!
//! ```text
//! Picture ── nodes ────► NodeEntry ─► NodeFacts   target labels, addresses, TXT
//!        ├── services ─► ServiceRow ─► Chunk      ≤ 64 instances: SRV data, addresses, tag masks
//!        └── reverse ──► names of an address
//! ```
//!
//! A chunk is what a change rebuilds: a service of 5,000 instances of which ten change each second
//! costs ten chunks and their list. Sixty-four, so that "which of them" is one machine word: tags
//! and families are masks, and a random pick is arithmetic on them.

mod chunk;
mod names;
mod node;
mod picture;
mod service;

pub(crate) use chunk::{Chunk, Draft, Family, Row, Target};
pub(crate) use names::Pointer;
pub(crate) use node::{Addresses, NodeFacts};
pub(crate) use picture::{Encoder, Picture};
pub(crate) use service::ServiceRow;
