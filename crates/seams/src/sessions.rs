//! Renewing sessions, which touches a timer of the leader's and not the log.

use crate::{BoxFuture, WriteError};
use model::{Row, Session, SessionId};
use std::sync::Arc;

/// Counts the sessions' time to live.
pub trait Sessions: Send + Sync {
    /// Gives a session its full time again; `None` if there is no such session, or it is ending.
    fn renew(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Arc<Row<Session>>>, WriteError>>;
}
