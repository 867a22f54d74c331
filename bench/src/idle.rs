//! What a server costs while nobody asks: CPU and memory, against etcd in the same seconds.

use std::time::Duration;

use anyhow::Result;

use crate::load;
use crate::measure;
use crate::memory;
use crate::process::Server;

const INSTANCES: u64 = 10_000;
const WATCHED: Duration = Duration::from_secs(15);
const SETTLE: Duration = Duration::from_secs(3);

/// Watches both at once: idle processes do not disturb each other.
pub fn run() -> Result<()> {
    let (ours, etcd) = (Server::rutter()?, Server::etcd()?);
    load::fill(ours.http_port, INSTANCES, memory::registration)?;
    std::thread::sleep(SETTLE);
    let pids = [ours.pid(), etcd.pid()];
    let before = [measure::cpu_seconds(pids[0])?, measure::cpu_seconds(pids[1])?];
    std::thread::sleep(WATCHED);
    for (index, name) in ["rutter", "etcd"].into_iter().enumerate() {
        let cpu = measure::cpu_seconds(pids[index])? - before[index];
        let resident = measure::resident_bytes(pids[index])? / 1e6;
        let per_second = cpu * 1e3 / WATCHED.as_secs_f64();
        println!("  {name:8} CPU {per_second:.2} ms a second, {resident:.1} MB resident");
    }
    println!("  rutter holds {INSTANCES} instances, etcd holds nothing");
    Ok(())
}
