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
mod waiters;
mod watchers;

use anyhow::{Result, bail, ensure};
use std::time::Instant;

/// A benchmark by its name.
type Bench = (&'static str, fn() -> Result<()>);

/// Every benchmark. To add one: a file beside this, a line here and one in [`ABOUT`].
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
];

/// Of a benchmark: about how many seconds it takes, and the programs it calls with the Debian package of each.
type About = (&'static str, u64, &'static [(&'static str, &'static str)]);

const KNOT: (&str, &str) = ("knotd", "knot");
const NGINX: (&str, &str) = ("nginx", "nginx-light");
const ETCD: (&str, &str) = ("etcd", "etcd-server");

/// What is to be known before one begins.
const ABOUT: &[About] = &[
    ("dns", 60, &[KNOT]),
    ("dns-large", 60, &[]),
    ("register", 60, &[ETCD]),
    ("kv", 90, &[ETCD]),
    ("health", 90, &[NGINX]),
    ("memory", 60, &[]),
    ("idle", 60, &[ETCD]),
    ("waiters", 120, &[]),
    ("shared", 60, &[]),
    ("checks", 60, &[]),
];

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| !BENCHES.iter().any(|(held, _)| held == name)) {
        let all: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("no benchmark {unknown}; there are {}", all.join(", "));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let chosen: Vec<&Bench> = BENCHES.iter().filter(|(name, _)| wanted(name)).collect();
    let about: Vec<&About> = ABOUT.iter().filter(|(name, ..)| wanted(name)).collect();
    refuse_without_peers(&about)?;
    let seconds: u64 = about.iter().map(|(_, seconds, _)| seconds).sum();
    println!("machine: {}", measure::machine());
    println!("{} benchmarks, about {} min in all", chosen.len(), seconds.div_ceil(60));
    for (number, (name, run)) in chosen.iter().enumerate() {
        let began = Instant::now();
        println!("\n{name} ({} of {})", number + 1, chosen.len());
        run()?;
        println!("{name} took {} s", began.elapsed().as_secs());
    }
    Ok(())
}

/// Nothing begins while a program is missing that will be called later.
fn refuse_without_peers(about: &[&About]) -> Result<()> {
    let mut packages: Vec<&str> = about
        .iter()
        .flat_map(|(_, _, needs)| *needs)
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    ensure!(
        packages.is_empty(),
        "peers are missing; on Debian: apt-get install {}",
        packages.join(" ")
    );
    Ok(())
}

/// Whether a program is in a directory of `PATH`, or where Debian's servers lie.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    directories.any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_benchmark_says_what_is_to_be_known_of_it() {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        let known: Vec<&str> = ABOUT.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, known);
    }
}
