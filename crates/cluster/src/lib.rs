//! Joins consensus and catalog: propose, read, wake, and the leader's duties.
//!
//! | to find | look in |
//! |---|---|
//! | how a committed batch becomes a view, and who is told in which order | `machine` |
//! | how a write becomes an entry, and what is repeated | `writer` |
//! | how a read becomes fresh | `reader` |
//! | what is counted | `meters` |
//! | sessions' expiry, tombstones, the servers' own rows | `duties/`, one file each |
//!
//! Decisions 0001, 0004, 0006.

mod clock;
mod duties;
mod log;
mod machine;
mod meters;
mod reader;
mod start;
mod under_way;
mod writer;

pub use duties::members::ServerRow;
pub use meters::Meters;
pub use start::{Cluster, Options, StartError, start};
