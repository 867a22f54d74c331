//! One registration (a node, an instance, a check) applied to a catalog of 10,000 instances.

use crate::world;
use anyhow::{Result, ensure};
use catalog::{Outcome, apply};
use model::Index;
use seams::fakes::entry;

const ROUNDS: usize = 500;

/// Half of them are new instances, half change the output of a check that is there.
pub fn run() -> Result<usize> {
    let mut view = world::view(1_000, 10);
    let first = view.index().0 + 1;
    let entries = (0..ROUNDS).map(|round| {
        let number = round * 19 % 10_000;
        let commands = match round % 2 {
            0 => world::registration("new", number, 1_000, "HTTP GET: 200 OK"),
            _ => world::registration(&format!("service-{}", number / 10), number, 1_000, "new"),
        };
        (Index(first + round as u64), entry(commands))
    });
    let entries: Vec<_> = entries.collect();
    let mut done = 0;
    crate::measured(|| {
        for (index, entry) in entries.iter().cloned() {
            let applied = apply(&view, [(index, entry)]);
            done += usize::from(matches!(applied.outcomes[..], [Outcome::Done(_)]));
            view = applied.view;
        }
    });
    ensure!(done == ROUNDS, "{done} of {ROUNDS} were applied");
    Ok(ROUNDS)
}
