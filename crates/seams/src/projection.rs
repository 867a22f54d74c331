//! What is derived from each view before anybody is told of it.

use catalog::{Touched, View};
use std::sync::Arc;

/// Something made of the catalog that must never be behind it, such as encoded DNS answers.
///
/// Called by the publisher, one batch after the other, before the writer is answered and the
/// waiters wake: so who has written finds it here.
pub trait Projection: Send + Sync {
    /// Takes the new view; only what was touched can differ from the one before.
    fn publish(&self, view: &Arc<View>, touched: &Touched);
}
