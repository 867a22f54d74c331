//! 1,000 clients wait for one answer of 1,000 instances; then one instance changes.
//!
//! All of them get the same bytes, so these should be in memory once, however slowly a client reads.
//! There is no peer: the peak of resident memory may grow by 10 MB.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::http::Connection;
use crate::load;
use crate::measure::{self, Spread};
use crate::metrics::Scrape;
use crate::process::Server;
use crate::watchers::Watchers;

const CLIENTS: usize = 1_000;
const INSTANCES: u64 = 1_000;
const LIMIT_BYTES: f64 = 10e6;
const ROUNDS: u64 = 5;
const SETTLE: Duration = Duration::from_secs(3);
/// How long a gigabyte may take.
const ANSWERS_LIMIT: Duration = Duration::from_secs(60);

/// Lets the clients wait, then changes an instance, a few times.
pub fn run() -> Result<()> {
    let server = Server::rutter()?;
    load::fill(server.http_port, INSTANCES, |number| registration(number, 0))?;
    let mut connection = Connection::open(server.http_port)?;
    // The clients know the index: answers before the first round would leave their memory behind.
    let index = Scrape::of(server.http_port)?.sum("rutter_log_index", &[]) as u64;
    let path = |_| "/v1/health/service/web".to_owned();
    let watchers = Watchers::from_index(server.http_port, CLIENTS, index, path)?;
    let (mut grown, mut took, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let mut length = 0;
    for round in 0..ROUNDS {
        std::thread::sleep(SETTLE);
        let waiting = Scrape::of(server.http_port)?.sum("rutter_http_blocked_queries", &[]);
        ensure!(waiting == CLIENTS as f64, "{waiting} queries wait");
        measure::forget_peak(server.pid())?;
        let before = measure::resident_bytes(server.pid())?;
        let (began, cpu_before) = (Instant::now(), measure::cpu_seconds(server.pid())?);
        let changed = registration(round * 7 % INSTANCES, round + 1);
        connection.put("/v1/catalog/register", changed.as_bytes())?;
        let answers = watchers.take(CLIENTS, ANSWERS_LIMIT)?;
        ensure!(answers.len() == CLIENTS, "{} clients heard of the change", answers.len());
        ensure!(answers.iter().all(|answered| answered.differs), "an answer without a change");
        length = answers[0].length;
        took.push(began.elapsed().as_secs_f64() * 1e3);
        cpu.push((measure::cpu_seconds(server.pid())? - cpu_before) * 1e3);
        grown.push((measure::peak_bytes(server.pid())? - before) / 1e6);
    }
    let grown = Spread::of(grown);
    println!("  bytes of the answer: {length}, of all of them: {:.0} MB", {
        length as f64 * CLIENTS as f64 / 1e6
    });
    println!("  ms from a change to the last answer   {}", Spread::of(took).show(0));
    println!("  CPU ms of a change   {}", Spread::of(cpu).show(0));
    println!("  peak of memory grows by MB   {}", grown.show(1));
    println!("  to the limit of 10 MB: × {:.2}", grown.median * 1e6 / LIMIT_BYTES);
    Ok(())
}

fn registration(number: u64, version: u64) -> String {
    let address = format!("10.3.{}.{}", number / 250, number % 250 + 1);
    format!(
        r#"{{"Node":"node-{number:04}","Address":"{address}","Service":{{"ID":"web-{number:04}","Service":"web","Port":8080,"Tags":["v1"],"Meta":{{"version":"{version}"}}}},"Check":{{"CheckID":"service:web-{number:04}","Name":"up","ServiceID":"web-{number:04}","Status":"passing"}}}}"#
    )
}
