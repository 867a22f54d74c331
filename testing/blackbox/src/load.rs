//! A load of writes that keeps books: what was acknowledged, and what may have happened.
//!
//! Each item of a book is written by one client, one write after another. So after a restart an item is as its last
//! acknowledged write left it, or as a later write of unknown outcome did; anything else is a loss.

mod book;
mod clients;
mod verify;

pub use verify::Verified;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use anyhow::Result;

use crate::history::Histories;
use crate::http::Http;
use crate::rng::Rng;
use book::Book;

/// All books of one cluster, over any number of kills.
#[derive(Debug, Default)]
pub struct Load {
    ledger: Book<String>,
    blobs: Book<String>,
    sessions: Book<bool>,
    nodes: Book<u32>,
    services: Book<u32>,
    histories: Histories,
    /// Ids of the two sessions that fight for locks.
    fighters: Mutex<Vec<String>>,
    numbers: AtomicU32,
    acknowledged: AtomicUsize,
    refused: Mutex<Vec<String>>,
}

/// What a client does again and again.
type Work = fn(&mut Client) -> Result<()>;

/// One client's way into a storm.
struct Client<'a> {
    load: &'a Load,
    number: usize,
    http: Http,
    rng: Rng,
    over: &'a AtomicBool,
}

impl Load {
    /// A number never given before.
    fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Answers other than 200 since the last call, for the report.
    pub fn take_refused(&self) -> Vec<String> {
        std::mem::take(&mut *self.refused.lock().expect("no thread panics while it holds this"))
    }

    /// Makes the sessions that fight for locks, if there are none.
    pub fn prepare(&self, addr: SocketAddr) -> Result<()> {
        let mut fighters = self.fighters.lock().expect("no thread panics while it holds this");
        while fighters.len() < 2 {
            let body = r#"{"LockDelay":"0s","Name":"fighter"}"#;
            let made = Http::new(addr).put_ok("/v1/session/create", body)?.json()?;
            fighters.push(made["ID"].as_str().unwrap_or_default().to_owned());
        }
        Ok(())
    }

    /// Writes from all sides until `over`, or until the server is gone. `wait` decides when it is over; it runs on the
    /// caller's thread. A heavy storm is of large values, so that the log is cut into files and snapshots are taken.
    pub fn storm(
        &self,
        addr: SocketAddr,
        seed: u64,
        heavy: bool,
        wait: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let over = AtomicBool::new(false);
        let several: Work = if heavy { clients::blobs } else { clients::fight };
        let works: [Work; 9] = [
            several,
            several,
            several,
            several,
            clients::blobs,
            clients::ledger,
            clients::sessions,
            clients::nodes,
            clients::services,
        ];
        std::thread::scope(|scope| {
            for (n, work) in works.into_iter().enumerate() {
                let rng = Rng::new(seed.wrapping_add(n as u64 * 7919));
                let mut client =
                    Client { load: self, number: n, http: Http::new(addr), rng, over: &over };
                scope.spawn(move || {
                    while !client.over.load(Ordering::SeqCst) && work(&mut client).is_ok() {}
                });
            }
            let waited = wait();
            over.store(true, Ordering::SeqCst);
            waited
        })
    }
}
