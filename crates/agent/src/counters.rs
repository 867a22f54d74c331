//! What an agent has done so far, for metrics.

use crate::local::Local;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

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
    synced: Mutex<Option<Instant>>,
}

/// Counts one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Meters {
    /// Notes a pass of anti-entropy that ended well just now.
    pub fn synced(&self) {
        count(&self.sync_passes);
        *self.synced.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long ago the last one was.
    fn synced_ago(&self) -> Option<Duration> {
        let synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        synced.map(|synced| synced.elapsed())
    }

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

/// The counts and what is registered, as a registry of metrics reads them.
#[derive(Debug)]
pub(crate) struct Told {
    pub meters: Arc<Meters>,
    pub published: watch::Receiver<Local>,
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = self.meters.read();
        for (name, help, value) in counters.told() {
            let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(counter)?;
        }
        let conflicts = encoder.encode_descriptor(
            "agent_conflicts",
            "Rows wanted here that another reconciler has, as of the last look",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(counters.conflicts).encode(conflicts)?;
        if let Some(ago) = self.meters.synced_ago() {
            let help = "Time since the last pass of anti-entropy that ended well";
            let unit = Some(&Unit::Seconds);
            let gauge =
                encoder.encode_descriptor("agent_synced_ago", help, unit, MetricType::Gauge)?;
            ConstGauge::new(ago.as_secs_f64()).encode(gauge)?;
        }
        let local = self.published.borrow().clone();
        let instances = encoder.encode_descriptor(
            "agent_instances",
            "Instances registered on this node",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(local.instances().count() as u64).encode(instances)?;
        let mut checks = encoder.encode_descriptor(
            "agent_checks",
            "Checks registered on this node by kind and status",
            None,
            MetricType::Gauge,
        )?;
        for ((kind, status), count) in by_kind_and_status(&local) {
            let labels = [("kind", kind.as_str()), ("status", status.as_str())];
            ConstGauge::new(count).encode(checks.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn by_kind_and_status(local: &Local) -> BTreeMap<(String, String), u64> {
    let mut counts = BTreeMap::new();
    for (_, held) in local.checks() {
        let kind = match held.check.kind.as_str() {
            "" => "none",
            kind => kind,
        };
        let key = (kind.to_owned(), held.check.status.as_str().to_owned());
        *counts.entry(key).or_default() += 1;
    }
    counts
}

impl Counters {
    /// All that only grows: name, help, value.
    fn told(&self) -> [(&'static str, &'static str, u64); 8] {
        [
            ("agent_changes", "Registrations and removals taken", self.changes),
            ("agent_reports", "Reports on TTL checks taken", self.reports),
            ("agent_store_syncs", "Syncs of the agent's own store", self.store_syncs),
            ("agent_check_runs", "Runs of checks", self.check_runs),
            ("agent_sync_passes", "Passes of anti-entropy that ended well", self.sync_passes),
            ("agent_sync_failures", "Passes of anti-entropy that are repeated", self.sync_failures),
            ("agent_sync_entries", "Entries that anti-entropy wrote to the log", self.sync_entries),
            ("agent_reaped", "Instances removed for being critical too long", self.reaped),
        ]
    }
}
