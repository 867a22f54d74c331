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

use anyhow::{Result, bail, ensure};
use std::time::Instant;

/// A benchmark.
struct Bench {
    name: &'static str,
    run: fn() -> Result<()>,
    /// About how long it takes.
    seconds: u64,
    /// Programs that it calls, each with its Debian package.
    needs: &'static [(&'static str, &'static str)],
}

const KNOT: (&str, &str) = ("knotd", "knot");
const NGINX: (&str, &str) = ("nginx", "nginx-light");
const ETCD: (&str, &str) = ("etcd", "etcd-server");

/// Every benchmark. To add one: a file beside this and a line here.
const BENCHES: &[Bench] = &[
    Bench { name: "dns", run: dns::run, seconds: 60, needs: &[KNOT] },
    Bench { name: "dns-large", run: dns_large::run, seconds: 60, needs: &[] },
    Bench { name: "register", run: register::run, seconds: 45, needs: &[ETCD] },
    Bench { name: "kv", run: kv::run, seconds: 45, needs: &[ETCD] },
    Bench { name: "health", run: health::run, seconds: 60, needs: &[NGINX] },
    Bench { name: "memory", run: memory::run, seconds: 60, needs: &[] },
    Bench { name: "idle", run: idle::run, seconds: 120, needs: &[ETCD] },
    Bench { name: "waiters", run: waiters::run, seconds: 120, needs: &[] },
    Bench { name: "shared", run: shared::run, seconds: 60, needs: &[] },
    Bench { name: "checks", run: checks::run, seconds: 60, needs: &[] },
    Bench { name: "storm", run: storm::run, seconds: 60, needs: &[] },
];

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = names.iter().find(|name| !BENCHES.iter().any(|held| held.name == **name))
    {
        let all: Vec<_> = BENCHES.iter().map(|held| held.name).collect();
        bail!("no benchmark {unknown}; there are {}", all.join(", "));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let chosen: Vec<&Bench> = BENCHES.iter().filter(|held| wanted(held.name)).collect();
    refuse_without_peers(&chosen)?;
    let seconds: u64 = chosen.iter().map(|held| held.seconds).sum();
    println!("machine: {}", measure::machine());
    println!("{} benchmarks, about {} min in all", chosen.len(), seconds.div_ceil(60));
    for (number, Bench { name, run, .. }) in chosen.iter().enumerate() {
        let began = Instant::now();
        println!("\n{name} ({} of {})", number + 1, chosen.len());
        run()?;
        println!("{name} took {} s", began.elapsed().as_secs());
    }
    Ok(())
}

/// Nothing begins while a program is missing that will be called later.
fn refuse_without_peers(chosen: &[&Bench]) -> Result<()> {
    let mut packages: Vec<&str> = chosen
        .iter()
        .flat_map(|held| held.needs)
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
