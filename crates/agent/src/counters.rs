//! What an agent has done so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Registrations and removals taken.
    pub changes: u64,
    /// Reports on TTL checks taken.
    pub reports: u64,
    /// Syncs of the agent's store.
    pub store_syncs: u64,
    /// Probes run.
    pub check_runs: u64,
    /// Passes of anti-entropy that ended well.
    pub sync_passes: u64,
    /// Passes that failed and are repeated.
    pub sync_failures: u64,
    /// Entries written to the catalog's log.
    pub sync_entries: u64,
    /// Rows wanted here that another reconciler has, as of the last look.
    pub conflicts: u64,
    /// Instances removed because they were critical for too long.
    pub reaped: u64,
}

/// The same, while it is counted.
#[derive(Debug, Default)]
pub struct Meters {
    pub changes: AtomicU64,
    pub reports: AtomicU64,
    pub store_syncs: AtomicU64,
    pub check_runs: AtomicU64,
    pub sync_passes: AtomicU64,
    pub sync_failures: AtomicU64,
    pub sync_entries: AtomicU64,
    pub conflicts: AtomicU64,
    pub reaped: AtomicU64,
}

/// Counts one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Meters {
    /// The counts now.
    pub fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            changes: read(&self.changes),
            reports: read(&self.reports),
            store_syncs: read(&self.store_syncs),
            check_runs: read(&self.check_runs),
            sync_passes: read(&self.sync_passes),
            sync_failures: read(&self.sync_failures),
            sync_entries: read(&self.sync_entries),
            conflicts: read(&self.conflicts),
            reaped: read(&self.reaped),
        }
    }
}
