//! Openraft and raft-log, driven: opaque bytes in, opaque bytes out.
//!
//! A command is a byte string. [`Consensus::propose`] puts it into the replicated log, and once it
//! is synced and committed it is handed to the [`Fsm`] in the log's order; its answer goes back to
//! the proposer. This crate knows nothing of what the bytes mean, and nothing of openraft leaves
//! it, so that either can be replaced.
//!
//! | to find | look in |
//! |---|---|
//! | what the caller implements | `fsm` |
//! | what the caller holds | `handle` |
//! | how a server is put together, started and stopped | `engine` |
//! | how many proposals become one hand-over | `gather` |
//! | what happens in the background: marks, snapshots, purging | `keeper` |
//! | how the log meets openraft, and raft-log | `log` |
//! | what makes a damaged log a refusal and not a shorter log | `log/inspect`, `log/mark` |
//! | the snapshot's file | `snapshot` |
//! | the data directory: lock, identity | `home` |
//! | every file operation that must survive a crash | `disk` |
//!
//! Absent: sockets (one voter for now; `network` is where a transport goes), and any knowledge of
//! services, tokens or time. Decision 0001; the promise is in `docs/durability.md`.

mod codec;
mod disk;
mod engine;
mod error;
mod fsm;
mod gather;
mod handle;
mod home;
mod keeper;
mod log;
mod machine;
mod network;
mod options;
mod queue;
mod shared;
mod snapshot;
mod space;
mod start;
mod types;

#[cfg(test)]
mod sim;

pub use error::{ProposeError, ReadError, StartError};
pub use fsm::{Command, Fsm, FsmError, FsmSnapshot};
pub use handle::{Applied, Consensus, Leadership, Server, Status};
pub use home::make_directories;
pub use options::{Limits, Options};
pub use queue::Priority;
pub use start::start;
