//! Forgetting deletions that no reader can still be behind.
//!
//! Source: Consul keeps tombstones for 15 minutes and looks every 30 seconds.

use catalog::View;
use model::{Index, Timestamp};
use std::time::Duration;

/// How often to look.
pub(crate) const PERIOD: Duration = Duration::from_secs(30);

/// How long a tombstone is kept, in milliseconds of log time.
const KEPT_MS: u64 = 15 * 60 * 1000;

/// The index up to which tombstones are old enough to go.
pub(crate) fn reapable(view: &View, now: Timestamp) -> Option<Index> {
    view.tombstones()
        .filter(|(_, deleted)| deleted.0.saturating_add(KEPT_MS) <= now.0)
        .map(|(index, _)| index)
        .max()
}
