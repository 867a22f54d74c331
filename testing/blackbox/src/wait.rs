//! Waits for a state, with a limit, and says what was last seen.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Long enough for anything that should happen at once, on a busy machine.
pub const SOON: Duration = Duration::from_secs(15);

/// Asks `probe` until it succeeds or `limit` is over; the error then tells what was last seen.
pub fn until<T>(what: &str, limit: Duration, probe: impl FnMut() -> Result<T>) -> Result<T> {
    until_at_ease(what, limit, Duration::from_millis(10), probe)
}

/// Like [`until`], for a probe that costs so much that it would slow down what it waits for: `pause` lies between two.
pub fn until_at_ease<T>(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut probe: impl FnMut() -> Result<T>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        match probe() {
            Ok(found) => return Ok(found),
            Err(seen) if began.elapsed() > limit => {
                return Err(anyhow!("{what}: not within {limit:?}; last seen: {seen:#}"));
            }
            Err(_) => std::thread::sleep(pause),
        }
    }
}

/// Like [`until`], for a condition that is only true or false.
pub fn until_true(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    until(what, limit, || if holds() { Ok(()) } else { Err(anyhow!("it does not hold")) })
}

/// Lets real time pass, and is no wait for anything: for a test whose subject is time that passes for a process, which
/// has no other clock.
pub fn let_pass(time: Duration) {
    std::thread::sleep(time);
}
