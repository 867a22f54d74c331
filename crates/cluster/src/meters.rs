//! What the replicated log and the catalog count.
//!
//! Histograms are filled where the time is spent; sizes are read from the newest view when somebody
//! asks for the numbers, so that counting costs the writers nothing.

use crate::machine::Published;
use catalog::View;
use consensus::{Consensus, Status};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;

/// The numbers of a server; clones are the same.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Seconds from a proposal to its answer, refusals of the log left out.
    pub(crate) commit: Histogram,
    /// Entries applied at once.
    pub(crate) batch: Histogram,
    /// Seconds from the start of applying a batch until its view and DNS answers are shown.
    pub(crate) publish: Histogram,
    /// Proposals that did not come to stand in the log.
    pub(crate) failed: Counter,
}

impl Default for Meters {
    fn default() -> Meters {
        let seconds = || Histogram::new(exponential_buckets(0.000_05, 2.0, 18));
        Meters {
            commit: seconds(),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            publish: seconds(),
            failed: Counter::default(),
        }
    }
}

impl Meters {
    pub(crate) fn register(&self, registry: &mut Registry, sizes: Sizes) {
        registry.register_with_unit(
            "commit",
            "Time from a proposal to its answer",
            Unit::Seconds,
            self.commit.clone(),
        );
        registry.register("commit_batch_entries", "Entries applied at once", self.batch.clone());
        registry.register_with_unit(
            "publish",
            "Time from the start of applying a batch until its view and DNS answers are shown",
            Unit::Seconds,
            self.publish.clone(),
        );
        registry.register(
            "proposals_failed",
            "Proposals that did not come to stand in the log, or whose outcome is unknown",
            self.failed.clone(),
        );
        registry.register_collector(Box::new(sizes));
    }
}

/// What is counted when it is asked for: the view's rows, the log's position, who waits.
pub(crate) struct Sizes {
    pub published: Arc<Published>,
    pub consensus: Consensus,
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sizes")
    }
}

impl Collector for Sizes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (view, status) = (self.published.view.load(), self.consensus.status());
        encode_rows(&mut encoder, &view)?;
        let waiters = &self.published.waiters;
        let gauges = [
            ("log_index", "The index of the newest entry applied", view.index().0),
            ("leader", "1 while this server leads", u64::from(status.is_leader)),
            ("term", "The term of the log's leader", status.term),
            (
                "log_first_index",
                "The index of the first entry still in the log",
                status.first_log_index,
            ),
            (
                "log_snapshot_index",
                "The index of the last entry in the newest snapshot",
                status.last_snapshot_index,
            ),
            ("proposals_queued", "Proposals under way", status.queued as u64),
            (
                "waiters",
                "Keys waited for, counted once for each who waits",
                waiters.waiting() as u64,
            ),
        ];
        for (name, help, value) in gauges {
            gauge(&mut encoder, name, help, None, value)?;
        }
        let bytes = Some(&Unit::Bytes);
        gauge(&mut encoder, "log_size", "What the log takes on the disk", bytes, status.log_bytes)?;
        let queued = status.queued_bytes as u64;
        gauge(&mut encoder, "proposals_queued_size", "Proposals under way", bytes, queued)?;
        let signals = "Signals given to waiters because a key of theirs was touched";
        counter(&mut encoder, "waiters_signalled", signals, None, waiters.woken())?;
        encode_log(&mut encoder, &status)
    }
}

fn encode_rows(encoder: &mut DescriptorEncoder<'_>, view: &View) -> Result<(), fmt::Error> {
    let sizes = view.sizes();
    let rows = [
        ("checks", sizes.checks),
        ("instances", sizes.instances),
        ("kv", sizes.kv),
        ("nodes", sizes.nodes),
        ("services", sizes.services),
        ("sessions", sizes.sessions),
    ];
    let help = "Rows of the catalog by table";
    let mut family = encoder.encode_descriptor("catalog_rows", help, None, MetricType::Gauge)?;
    for (table, count) in rows {
        ConstGauge::new(count as u64).encode(family.encode_family(&[("table", table)])?)?;
    }
    Ok(())
}

/// What the log counted since the start.
fn encode_log(encoder: &mut DescriptorEncoder<'_>, status: &Status) -> Result<(), fmt::Error> {
    let counts = [
        ("log_appends", "Appends of entries to the log that were synced", status.appends.0),
        ("log_syncs", "Syncs of the log; one serves many appends", status.log_syncs),
        ("snapshots", "Snapshots taken", status.snapshots.0),
        (
            "proposals_refused",
            "Proposals refused because too many were under way",
            status.refused as u64,
        ),
    ];
    for (name, help, value) in counts {
        counter(encoder, name, help, None, value)?;
    }
    let seconds = Some(&Unit::Seconds);
    let help = "Time from an append until it is synced, of all of them";
    counter(encoder, "log_append", help, seconds, status.appends.1.as_secs_f64())?;
    let help = "Time that taking snapshots took";
    counter(encoder, "snapshot", help, seconds, status.snapshots.1.as_secs_f64())
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> Result<(), fmt::Error> {
    let gauge = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    ConstGauge::new(value).encode(gauge)
}

fn counter<N>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: N,
) -> Result<(), fmt::Error>
where
    ConstCounter<N>: EncodeMetric,
{
    let counter = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
    ConstCounter::new(value).encode(counter)
}
