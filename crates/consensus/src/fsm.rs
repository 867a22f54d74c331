//! What the log's user implements: a machine that applies commands, and a picture of its state.
//!
//! The machine runs on one task and is never called twice at a time, so it needs no lock.

use std::io;

use bytes::Bytes;

/// One committed command, as it was proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its position in the log. Grows, with gaps: the engine keeps entries of its own there.
    pub index: u64,
    /// The bytes given to [`Consensus::propose`](crate::Consensus::propose).
    pub bytes: Bytes,
}

/// The replicated state machine: a pure function of the commands, in their order.
pub trait Fsm: Send + 'static {
    /// Applies the commands in order, publishes the new state, then answers each in the same order.
    ///
    /// The proposers are answered after this returns. An error ends the process: nothing later is
    /// applied, and [`Consensus::fatal`](crate::Consensus::fatal) resolves with its message.
    fn apply(&mut self, batch: Vec<Command>) -> Result<Vec<Bytes>, FsmError>;

    /// An immutable picture of the state as of the last applied command, in constant time.
    fn snapshot(&self) -> Box<dyn FsmSnapshot>;

    /// Replaces the state by reading what [`FsmSnapshot::write_to`] wrote.
    ///
    /// The stream ends where the picture ended. An error refuses the start with its message.
    fn restore(&mut self, source: &mut dyn io::Read) -> Result<(), FsmError>;
}

/// A picture of the state, written out while the machine goes on applying.
pub trait FsmSnapshot: Send + Sync {
    /// Streams the picture; called on a thread where blocking is allowed.
    fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()>;
}

/// Why the machine cannot go on; the message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FsmError(pub String);
