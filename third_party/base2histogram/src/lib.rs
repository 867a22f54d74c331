//! Histograms as openraft and raft-log call them, in one kibibyte each.
//!
//! They count latencies and batch sizes that rutter never asks for. The published crate keeps tables
//! for sixteen precisions of which its callers use one: 26 MB in every process. This one has no table:
//! a bucket is a value's highest bit and the two bits after it.

use std::fmt;
use std::marker::PhantomData;

/// Sub-buckets of a power of two.
const PARTS: usize = 4;
const BUCKETS: usize = 64 * PARTS;

/// Counts of values, to within a quarter of each.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Box<[u32]>,
    kind: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// Nothing counted.
    pub fn new() -> Histogram<T> {
        Histogram { counts: vec![0; BUCKETS].into(), kind: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value several times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        let count = &mut self.counts[bucket(value)];
        *count = count.saturating_add(times);
    }

    /// The values below which so many lie.
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let at = |thousandths: u64| {
            let wanted = (samples * thousandths).div_ceil(1000).max(1);
            let mut seen = 0;
            let found = self.counts.iter().position(|count| {
                seen += u64::from(*count);
                seen >= wanted
            });
            found.map_or(0, least)
        };
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }
}

/// The bucket of a value; nothing is counted as one.
fn bucket(value: u64) -> usize {
    let value = value.max(1);
    let bit = value.ilog2() as usize;
    let part = match bit {
        0 | 1 => (value as usize) << (2 - bit) & (PARTS - 1),
        _ => (value >> (bit - 2)) as usize & (PARTS - 1),
    };
    bit * PARTS + part
}

/// The least value of a bucket.
fn least(bucket: usize) -> u64 {
    let (bit, parts) = (bucket / PARTS, (PARTS + bucket % PARTS) as u64);
    if bit < 2 { parts >> (2 - bit) } else { parts << (bit - 2) }
}

impl<T> Default for Histogram<T> {
    fn default() -> Histogram<T> {
        Histogram::new()
    }
}

impl<T> fmt::Debug for Histogram<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.percentile_stats().fmt(f)
    }
}

/// Some percentiles of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many values were counted.
    pub samples: u64,
    /// The 0.1th percentile.
    pub p0_1: u64,
    /// The 1st.
    pub p1: u64,
    /// The 5th.
    pub p5: u64,
    /// The 10th.
    pub p10: u64,
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th.
    pub p99: u64,
    /// The 99.9th.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples, median {}, 99 % below {}", self.samples, self.p50, self.p99)
    }
}

/// Several histograms to be shown together: a line each.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart(Vec<(String, PercentileStats)>);

impl AsciiChart {
    /// None.
    pub fn new() -> AsciiChart {
        AsciiChart::default()
    }

    /// One more.
    #[must_use]
    pub fn add<T>(mut self, name: impl Into<String>, histogram: Histogram<T>) -> AsciiChart {
        self.0.push((name.into(), histogram.percentile_stats()));
        self
    }

    /// What is shown.
    pub fn detailed(&self) -> &AsciiChart {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, stats)| writeln!(f, "{name}: {stats}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_into_the_bucket_that_begins_at_most_a_quarter_below_it() {
        let around = |bit: u32| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1, (1 << bit) / 4 * 5];
        for value in (2..62).flat_map(around).chain([1, u64::MAX]) {
            let least = least(bucket(value));
            assert!(least <= value && value - least <= value / 5 + 1, "{value} {least}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values_counted() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p99, 0);
        histogram.record_n(64, 98);
        histogram.record(1024);
        histogram.record(4096);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p50, stats.p99, stats.p99_9), (100, 64, 1024, 4096));
    }
}
