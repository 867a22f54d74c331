//! Benchmarks that print a ratio against a peer in the same run.
//!
//! A figure alone says as much of the machine as of the program, so every run measures ours and a
//! peer in turns, A B A B …, and prints medians, their range and the ratio of the medians. CPU time
//! is what the kernel booked on the process (`/proc/PID/stat`), not what a clock on the wall says.
//!
//! Run by `cargo xtask bench [NAME]`; the figures kept are in `bench/RESULTS.md`.

mod answers;
mod asking;
mod checks;
mod churn;
mod dns;
mod dns_large;
mod grpc;
mod health;
mod http;
mod idle;
mod kv;
mod load;
mod measure;
mod memory;
mod metrics;
mod packets;
mod process;
mod register;
mod shared;
mod storm;
mod waiters;
mod watchers;

use anyhow::{Result, bail};

/// A benchmark by its name.
type Bench = (&'static str, fn() -> Result<()>);

/// Every benchmark. To add one: a file beside this and a line here.
const BENCHES: &[Bench] = &[
    ("dns", dns::run),
    ("dns-large", dns_large::run),
    ("register", register::run),
    ("kv", kv::run),
    ("health", health::run),
    ("memory", memory::run),
    ("idle", idle::run),
    ("waiters", waiters::run),
    ("shared", shared::run),
    ("checks", checks::run),
    ("storm", storm::run),
];

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| !BENCHES.iter().any(|(held, _)| held == name)) {
        bail!("no benchmark {unknown}");
    }
    println!("machine: {}", measure::machine());
    for (name, run) in BENCHES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("\n{name}");
            run()?;
        }
    }
    Ok(())
}
