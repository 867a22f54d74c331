//! A lock of one holder: the key `PREFIX/.lock`, acquired by a session.
//!
//! Source: Consul's documentation of sessions, "application leader election"; the number that marks
//! the key as a lock is that of its client library.

use super::session::Session;
use super::{pause, wait};
use crate::cli::client::{ClientError, path};
use crate::cli::kv::Pair;
use bytes::Bytes;
use http::Method;
use std::time::Duration;
use tokio::time::Instant;

/// The flags of a key that is a lock.
const MARK: u64 = 0x2ddc_cbc0_58a5_0c18;

/// How long between two tries for a lock that nobody holds and nobody gets: its delay is not over.
const DELAY: Duration = Duration::from_secs(5);

/// A lock.
pub struct Mutex<'s> {
    session: &'s Session<'s>,
    key: String,
}

impl<'s> Mutex<'s> {
    /// A lock that is not held yet.
    pub fn new(session: &'s Session<'s>, key: String) -> Mutex<'s> {
        Mutex { session, key }
    }

    fn door(&self) -> String {
        path("/v1/kv/", &self.key)
    }

    async fn read(&self, index: u64, wait: Duration) -> Result<(Option<Pair>, u64), ClientError> {
        let query = self.session.query.clone().with("consistent", "");
        let query = match index {
            0 => query,
            index => query.with("index", index).with("wait", format!("{}ms", wait.as_millis())),
        };
        match self.session.client.send(Method::GET, &self.door(), &query, Bytes::new()).await? {
            answer if answer.status == 404 => Ok((None, answer.index())),
            answer if answer.status.is_success() => {
                Ok((Pair::all(&answer)?.into_iter().next(), answer.index()))
            }
            answer => Err(answer.refusal()),
        }
    }

    /// Waits until it is held; false if the time is over.
    pub async fn take(&self, until: Option<Instant>) -> Result<bool, String> {
        let mut index = 0;
        loop {
            let Some(limit) = wait(until) else { return Ok(false) };
            let read = self.read(index, limit).await;
            let (pair, seen) = read.map_err(|why| format!("failed to read lock: {why}"))?;
            if let Some(pair) = &pair {
                if pair.flags != MARK {
                    return Err("Existing key does not match lock use".to_owned());
                }
                if pair.session == self.session.id {
                    return Ok(true);
                }
                if !pair.session.is_empty() {
                    index = seen;
                    continue;
                }
            }
            if self.acquire().await? {
                return Ok(true);
            }
            // Somebody was faster, or the delay after a holder that failed is not over.
            let read = self.read(0, limit).await;
            let (pair, seen) = read.map_err(|why| format!("failed to read lock: {why}"))?;
            if pair.is_some_and(|pair| !pair.session.is_empty()) {
                index = seen;
            } else {
                index = 0;
                pause(DELAY, until).await;
            }
        }
    }

    async fn acquire(&self) -> Result<bool, String> {
        let Session { client, id, query } = self.session;
        let query = query.clone().with("acquire", id).with("flags", MARK);
        let asked = client.put(&self.door(), &query, "").await;
        asked.map(|answer| answer.is_true()).map_err(|why| format!("failed to acquire lock: {why}"))
    }

    /// Whether it is still held; waits while `index` is what is known. Nothing if it is not.
    pub async fn is_held(&self, index: u64) -> Result<Option<u64>, ClientError> {
        let (pair, seen) = self.read(index, super::WAIT).await?;
        let held = pair.is_some_and(|pair| pair.session == self.session.id);
        Ok(held.then_some(seen))
    }

    /// Gives it back.
    pub async fn release(&self) -> Result<(), String> {
        let Session { client, id, query } = self.session;
        let query = query.clone().with("release", id).with("flags", MARK);
        let released = client.put(&self.door(), &query, "").await;
        released.map(drop).map_err(|why| format!("failed to release lock: {why}"))
    }

    /// Removes the key unless somebody holds it; was it removed?
    pub async fn clean_up(&self) -> Result<bool, String> {
        let read = self.read(0, super::WAIT).await;
        let (pair, _) = read.map_err(|why| format!("failed to read lock: {why}"))?;
        let Some(pair) = pair else { return Ok(true) };
        if pair.flags != MARK {
            return Err("Existing key does not match lock use".to_owned());
        }
        if !pair.session.is_empty() {
            return Ok(false);
        }
        let Session { client, query, .. } = self.session;
        let query = query.clone().with("cas", pair.modify_index);
        let removed = client.ask(Method::DELETE, &self.door(), &query, Bytes::new()).await;
        let removed = removed.map_err(|why| format!("failed to remove lock entry: {why}"))?;
        Ok(removed.is_true())
    }
}
