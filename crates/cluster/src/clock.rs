//! The time that the leader stamps on entries (law 3).
//!
//! It runs with the monotonic clock and follows the wall clock at most one part in [`SLEW`]: so a
//! wall clock that jumps a day forward ends no lock-delay, and one that jumps back stretches none.
//! It never stands behind what the catalog has seen.

use model::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How slowly the wall clock is followed: one second in so many.
const SLEW: u32 = 20;

/// The clock of one server.
pub(crate) struct Clock(Mutex<Hands>);

/// The pure part: what was shown last, and when that was.
#[derive(Debug, Clone, Copy)]
struct Hands {
    shown: Duration,
    read: Instant,
}

impl Clock {
    /// A clock that begins at the wall clock's time, or at `seen` if that is later.
    pub fn new(seen: Timestamp) -> Clock {
        let shown = wall().max(Duration::from_millis(seen.0));
        Clock(Mutex::new(Hands { shown, read: Instant::now() }))
    }

    /// Now, in milliseconds since 1970; never less than before.
    pub fn now(&self) -> Timestamp {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hands.follow(wall(), Instant::now());
        Timestamp(u64::try_from(hands.shown.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The wall clock, since 1970; one before that counts as 1970.
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Hands {
    fn follow(&mut self, wall: Duration, now: Instant) {
        let elapsed = now.saturating_duration_since(self.read);
        let straight = self.shown + elapsed;
        let most = elapsed / SLEW;
        self.shown = wall.clamp(straight - most, straight + most);
        self.read = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[track_caller]
    fn check(wall_after: Duration, elapsed: Duration, expected: Duration) {
        let read = Instant::now();
        let mut hands = Hands { shown: 10 * DAY, read };
        hands.follow(wall_after, read + elapsed);
        assert_eq!(hands.shown, expected);
    }

    #[test]
    fn a_jump_of_the_wall_clock_is_followed_slowly() {
        let second = Duration::from_secs(1);
        check(10 * DAY + 20 * second, 20 * second, 10 * DAY + 20 * second);
        check(11 * DAY, 20 * second, 10 * DAY + 21 * second);
        check(9 * DAY, 20 * second, 10 * DAY + 19 * second);
        check(9 * DAY, Duration::ZERO, 10 * DAY);
    }

    #[test]
    fn a_clock_is_never_behind_what_was_seen() {
        let far = Timestamp(u64::MAX / 4_000_000);
        assert!(Clock::new(far).now() >= far);
    }
}
