//! What someone claims in one breath: an instance and its checks.

use crate::{Check, Instance};

/// An instance and its checks, as a client of an agent or a source claims them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registration {
    /// The instance.
    pub instance: Instance,
    /// Its checks, definitions included.
    pub checks: Vec<Check>,
}
