//! The process as a whole, as its operator steers it.

use crate::BoxFuture;

/// Why the configuration was not taken; everything runs on as it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReloadError(pub String);

/// The process that the parts run in.
pub trait Lifecycle: Send + Sync {
    /// Begins an orderly end and returns at once; asked again, it does nothing more.
    fn leave(&self);

    /// Reads the configuration again, all of it before anything changes, and applies what can be
    /// applied to a running process.
    fn reload(&self) -> BoxFuture<'_, Result<(), ReloadError>>;
}
