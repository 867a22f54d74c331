//! Judges whether a server keeps memory of what it has served.
//!
//! How much a process holds at one moment says little: an allocator fills its reserves for dozens of rounds, by
//! megabytes at once. So the same work is repeated until a window of rounds has added next to nothing. What leaks, adds
//! to every window and never settles.

use anyhow::{Result, bail};

use crate::server::{Launch, Process};

/// Rounds that must add no more than [`NOTHING_KIB`].
pub const WINDOW: usize = 30;

/// What a window may add: noise of the allocator. 4 KiB for each of a hundred things done in each round are three
/// times as much.
pub const NOTHING_KIB: u64 = 4 << 10;

/// After so many rounds the memory is said to grow.
const ROUNDS: usize = 200;

/// The same launch with an allocator that gives back at once what is free, so that what it holds is in use.
pub fn returned_at_once(launch: Launch) -> Launch {
    launch.env("MIMALLOC_PURGE_DELAY", "0")
}

/// Repeats `round` until the process has stopped growing.
pub fn settles(process: &Process, mut round: impl FnMut() -> Result<()>) -> Result<()> {
    let mut held = Vec::new();
    while held.len() < ROUNDS {
        round()?;
        held.push(process.memory_kib("RssAnon")?);
        if settled(&held) {
            return Ok(());
        }
    }
    bail!("memory grows: KiB after each round: {held:?}")
}

/// Did the last [`WINDOW`] rounds add next to nothing?
fn settled(held: &[u64]) -> bool {
    let [.., now] = held else { return false };
    let before = held.len().checked_sub(WINDOW + 1).map(|at| held[at]);
    before.is_some_and(|before| now.saturating_sub(before) <= NOTHING_KIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn ever_settles(held: &[u64]) -> bool {
        (1..=held.len()).any(|rounds| settled(&held[..rounds]))
    }

    #[test]
    fn reserves_that_are_filled_once_are_no_leak() {
        let filling = [72_352, 76_880, 79_072, 81_124, 85_540, 87_736, 89_788, 91_840];
        let mut rng = Rng::new(1);
        let noise = (0..60).map(|_| 91_000 + rng.below(4000));
        assert!(ever_settles(&filling.into_iter().chain(noise).collect::<Vec<_>>()));
        assert!(!settled(&[70_000; WINDOW]), "too few rounds to judge");
        assert!(settled(&[70_000; WINDOW + 1]));
    }

    #[test]
    fn four_kib_a_client_are_a_leak_under_any_noise_seen() {
        for seed in 0..100 {
            let mut rng = Rng::new(seed);
            let leak = |round| 70_000 + 400 * round + rng.below(6000);
            assert!(!ever_settles(&(0..ROUNDS as u64).map(leak).collect::<Vec<_>>()), "{seed}");
        }
    }
}
