//! What a server costs while nobody asks: `rutter dev` against its limits for a minute, then one that
//! holds 10,000 instances beside an empty etcd in the same seconds.

use std::time::Duration;

use anyhow::Result;

use crate::load;
use crate::measure;
use crate::memory;
use crate::process::Server;

const LIMIT_SHARE: f64 = 0.003;
const LIMIT_BYTES: f64 = 30e6;
const WATCHED: Duration = Duration::from_secs(60);

const INSTANCES: u64 = 10_000;
const WATCHED_TOGETHER: Duration = Duration::from_secs(15);
const SETTLE: Duration = Duration::from_secs(3);

/// The row against the limits, then the one against the peer.
pub fn run() -> Result<()> {
    alone()?;
    beside_etcd()
}

fn alone() -> Result<()> {
    let dev = Server::dev()?;
    std::thread::sleep(SETTLE);
    let before = measure::cpu_seconds(dev.pid())?;
    std::thread::sleep(WATCHED);
    let share = (measure::cpu_seconds(dev.pid())? - before) / WATCHED.as_secs_f64();
    let resident = measure::resident_bytes(dev.pid())?;
    let seconds = WATCHED.as_secs();
    println!(
        "  rutter dev for {seconds} s: {:.2} % of a core, × {:.2} of the limit of {:.1} %",
        share * 1e2,
        share / LIMIT_SHARE,
        LIMIT_SHARE * 1e2
    );
    println!(
        "  resident {:.1} MB, × {:.2} of the limit of {:.0} MB",
        resident / 1e6,
        resident / LIMIT_BYTES,
        LIMIT_BYTES / 1e6
    );
    Ok(())
}

/// Watches both at once: idle processes do not disturb each other.
fn beside_etcd() -> Result<()> {
    let (ours, etcd) = (Server::rutter()?, Server::etcd()?);
    load::fill(ours.http_port, INSTANCES, memory::registration)?;
    std::thread::sleep(SETTLE);
    let pids = [ours.pid(), etcd.pid()];
    let before = [measure::cpu_seconds(pids[0])?, measure::cpu_seconds(pids[1])?];
    std::thread::sleep(WATCHED_TOGETHER);
    for (index, name) in ["rutter", "etcd"].into_iter().enumerate() {
        let cpu = measure::cpu_seconds(pids[index])? - before[index];
        let resident = measure::resident_bytes(pids[index])? / 1e6;
        let per_second = cpu * 1e3 / WATCHED_TOGETHER.as_secs_f64();
        println!("  {name:8} CPU {per_second:.2} ms a second, {resident:.1} MB resident");
    }
    println!("  rutter holds {INSTANCES} instances, etcd holds nothing");
    Ok(())
}
