//! The replicated log as this crate needs it: bytes in, position and answer out.

use bytes::Bytes;
use consensus::{Applied, Consensus, Priority, ProposeError, ReadError};
use seams::BoxFuture;

/// Where proposals go. The engine's handle in production; tests put in one that loses answers.
pub(crate) trait Log: Send + Sync {
    /// Appends a command and waits until it is applied here.
    fn propose(
        &self,
        priority: Priority,
        command: Bytes,
    ) -> BoxFuture<'_, Result<Applied, ProposeError>>;

    /// Waits until everything acknowledged before the call is applied here.
    fn consistent(&self) -> BoxFuture<'_, Result<u64, ReadError>>;

    /// Whether that is certain already, see [`Consensus::has_lease`].
    fn has_lease(&self) -> bool {
        false
    }
}

impl Log for Consensus {
    fn propose(
        &self,
        priority: Priority,
        command: Bytes,
    ) -> BoxFuture<'_, Result<Applied, ProposeError>> {
        Consensus::propose_as(self, priority, command)
    }

    fn consistent(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        Consensus::consistent(self)
    }

    fn has_lease(&self) -> bool {
        Consensus::has_lease(self)
    }
}
