//! One server in virtual time on a disk that loses power, from one seed.
//!
//! The engine, keeper, snapshots, mark and identity are the real ones; the runtime, the disk and
//! the log's chunks are simulated ([`disk`], [`wal`]). A seed is a few lives of one server: each
//! ends in the middle of some operation of the disk, or with the disk full, or in order. After each
//! the next must hold every acknowledged command, at its index, exactly once, and no half of one.
//!
//! `RUTTER_SIM_SEEDS=n` sets how many seeds are run, `RUTTER_SIM_SEED=s` runs one.

mod disk;
mod life;
mod wal;

use std::collections::BTreeMap;

use disk::SimDisk;
use life::{Ending, Model, live};

/// Operations that a life seldom makes, so that the power is aimed at them.
const SELDOM: [&str; 12] = [
    "create log",
    "remove log",
    "sync directory log",
    "create snapshots",
    "write snapshots",
    "sync snapshots",
    "rename snapshots",
    "remove snapshots",
    "sync directory snapshots",
    "append synced",
    "write synced",
    "sync synced",
];

/// Numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn split(&mut self) -> Dice {
        Dice(self.roll())
    }
}

/// Says which seed it was when a test panics.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}: RUTTER_SIM_SEED={0} runs it alone", self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// What happened over all seeds, so that a change which stops reaching something is noticed.
#[derive(Debug, Default)]
struct Tally {
    /// How often the power failed inside which operation.
    cut_in: BTreeMap<String, u64>,
    acknowledged: u64,
    unknown: u64,
    refused_full: u64,
    snapshots: u64,
    purges: u64,
    torn: u64,
    died_full: u64,
}

fn run_seed(seed: u64, tally: &mut Tally) {
    let _guard = Guard(seed);
    let mut dice = Dice(seed);
    let mut model = Model::default();
    let mut disk = SimDisk::new(dice.split());
    for nth in 0..3 + dice.below(4) {
        let first = nth == 0 && dice.one_in(3);
        let ending = match dice.below(12) {
            _ if first => Ending::PowerFails { after: dice.below(20) },
            0 => Ending::InOrder,
            1 => Ending::DiskFull { after: dice.below(300) },
            // Early in the start, or somewhere in the load, or where it is seldom.
            2 => Ending::PowerFails { after: dice.below(25) },
            3..8 => Ending::PowerFails { after: dice.below(400) },
            _ => {
                let operation = SELDOM[dice.below(SELDOM.len() as u64) as usize];
                Ending::PowerFailsIn { operation, nth: dice.below(6) }
            }
        };
        live(&mut dice, &disk, &mut model, ending, tally);
        disk = disk.after_power_failure();
    }
    live(&mut dice, &disk, &mut model, Ending::InOrder, tally);
    tally.acknowledged += model.acknowledged();
}

/// A fresh directory's first life, with the power failing when it first does something seldom.
///
/// Some of that is done once in a directory, so that seeds alone would hardly ever meet it.
fn run_aimed(operation: &'static str, tally: &mut Tally) {
    let mut dice = Dice(0);
    let mut model = Model::default();
    let disk = SimDisk::new(dice.split());
    live(&mut dice, &disk, &mut model, Ending::PowerFailsIn { operation, nth: 0 }, tally);
    let disk = disk.after_power_failure();
    live(&mut dice, &disk, &mut model, Ending::InOrder, tally);
    tally.acknowledged += model.acknowledged();
}

#[test]
fn whatever_moment_the_power_fails_at_nothing_acknowledged_is_lost() {
    let mut tally = Tally::default();
    if let Some(seed) = number("RUTTER_SIM_SEED") {
        run_seed(seed, &mut tally);
        println!("{tally:#?}");
        return;
    }
    SELDOM.into_iter().for_each(|operation| run_aimed(operation, &mut tally));
    let seeds = number("RUTTER_SIM_SEEDS").unwrap_or(200);
    for seed in 0..seeds {
        run_seed(seed, &mut tally);
    }
    println!("{tally:#?}");
    if seeds < 200 {
        return;
    }
    let anywhere = ["write log", "sync log", "create identity", "rename identity"];
    for operation in SELDOM.into_iter().chain(anywhere) {
        assert!(tally.cut_in.contains_key(operation), "never cut in: {operation}");
    }
    let Tally { acknowledged, unknown, refused_full, snapshots, purges, torn, died_full, .. } =
        tally;
    for (what, count) in [
        ("acknowledged", acknowledged),
        ("unknown", unknown),
        ("refused", refused_full),
        ("snapshots", snapshots),
        ("purges", purges),
        ("torn", torn),
        ("died full", died_full),
    ] {
        assert!(count > 20, "{what}: {count}");
    }
}

#[test]
fn the_same_seed_is_the_same_story() {
    let story = |seed| {
        let mut tally = Tally::default();
        run_seed(seed, &mut tally);
        format!("{tally:?}")
    };
    for seed in [3, 14, 15] {
        assert_eq!(story(seed), story(seed), "seed {seed}");
    }
}
