//! Filling a server of ours, and pushing it: many connections, each one request at a time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::http::Connection;

/// Connections that fill a server before it is measured.
const FILLERS: u64 = 32;

/// Registers what `body` says for each number below `count`.
pub fn fill(port: u16, count: u64, body: impl Fn(u64) -> String + Sync) -> Result<()> {
    fill_at(port, "/v1/catalog/register", count, body)
}

/// The same by another endpoint.
pub fn fill_at(
    port: u16,
    path: &str,
    count: u64,
    body: impl Fn(u64) -> String + Sync,
) -> Result<()> {
    let next = AtomicU64::new(0);
    let register = || -> Result<()> {
        let mut connection = Connection::open(port)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            connection.put(path, body(number).as_bytes())?;
        }
    };
    std::thread::scope(|scope| {
        let fillers: Vec<_> = (0..FILLERS).map(|_| scope.spawn(register)).collect();
        fillers.into_iter().try_for_each(|filler| filler.join().expect("a filler panicked"))
    })
}

/// Keeps `connections` clients busy for `length`; how many operations they finished.
///
/// `open` makes a client of the connection's number, `once` runs one operation, which gets a
/// number that no other operation of this run has.
pub fn push<C: Send>(
    connections: u64,
    length: Duration,
    open: impl Fn(u64) -> Result<C>,
    once: impl Fn(&mut C, u64) -> Result<()> + Sync,
) -> Result<u64> {
    let clients: Vec<C> = (0..connections).map(open).collect::<Result<_>>()?;
    let (over, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let work = |mut client: C| -> Result<u64> {
        let mut finished = 0;
        while !over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            once(&mut client, number).with_context(|| format!("operation {number}"))?;
            finished += 1;
        }
        Ok(finished)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            clients.into_iter().map(|client| scope.spawn(|| work(client))).collect();
        std::thread::sleep(length);
        over.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("a client panicked")).sum()
    })
}
