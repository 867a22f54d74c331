//! The two clocks of an agent: a steady one for timers, the wall's for what must outlive a restart.

use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A steady, local point in time: how long this agent has been running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub Duration);

impl Moment {
    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, delay: Duration) -> Moment {
        Moment(self.0.saturating_add(delay))
    }
}

/// Wall-clock time in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(pub u64);

impl WallTime {
    /// Now.
    pub fn now() -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// How long until then; `None` once it is reached.
    pub fn until(self, then: WallTime) -> Option<Duration> {
        then.0.checked_sub(self.0).filter(|ms| *ms > 0).map(Duration::from_millis)
    }
}

impl Add<Duration> for WallTime {
    type Output = WallTime;

    fn add(self, delay: Duration) -> WallTime {
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        WallTime(self.0.saturating_add(ms))
    }
}

/// Random delays, so that what started together does not stay together.
#[derive(Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// From a seed; any will do.
    pub fn new(seed: u64) -> Jitter {
        Jitter(seed | 1)
    }

    /// A delay in `0..limit`.
    pub fn below(&mut self, limit: Duration) -> Duration {
        // xorshift64*: good enough to spread timers, and its tests repeat.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let fraction =
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64;
        limit.mul_f64(fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_delays_stay_below_their_limit_and_differ() {
        let mut jitter = Jitter::new(7);
        let limit = Duration::from_secs(10);
        let delays: Vec<Duration> = (0..1000).map(|_| jitter.below(limit)).collect();
        assert!(delays.iter().all(|delay| *delay < limit));
        assert!(delays.iter().filter(|delay| **delay < limit / 2).count() > 400);
        assert_eq!(jitter.below(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn the_wall_clock_counts_down_and_stops() {
        let now = WallTime(1_000);
        assert_eq!(now.until(now + Duration::from_secs(1)), Some(Duration::from_secs(1)));
        assert_eq!(now.until(now), None);
        assert_eq!(now.until(WallTime(1)), None);
    }
}
