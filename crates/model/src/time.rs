//! Times and durations as the log carries them.

use std::fmt;

/// Wall-clock time in milliseconds since 1970, stamped once by the leader (law 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `delay` later; saturates at the end of time.
    pub fn after(self, delay: Nanos) -> Timestamp {
        let ms = u64::try_from(delay.0.saturating_add(999_999) / 1_000_000).unwrap_or(0);
        Timestamp(self.0.saturating_add(ms))
    }
}

/// A duration in nanoseconds as Go counts it: signed, 0 where none was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub i64);

impl Nanos {
    /// So many whole seconds.
    pub const fn seconds(seconds: i64) -> Nanos {
        Nanos(seconds * 1_000_000_000)
    }

    /// The duration, or `None` if it is zero or negative.
    pub fn positive(self) -> Option<std::time::Duration> {
        u64::try_from(self.0).ok().filter(|n| *n > 0).map(std::time::Duration::from_nanos)
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_rounded_up_and_a_negative_one_is_none() {
        assert_eq!(Timestamp(5).after(Nanos(1)), Timestamp(6));
        assert_eq!(Timestamp(5).after(Nanos::seconds(1)), Timestamp(1005));
        assert_eq!(Timestamp(5).after(Nanos::seconds(-1)), Timestamp(5));
        assert_eq!(Nanos(-1).positive(), None);
    }
}
