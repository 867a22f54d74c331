//! The one place that reads the wall clock for the log (law 3).

use model::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970; a clock before that counts as 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
