//! A lock of several holders: `PREFIX/.lock` names them, and each keeps `PREFIX/SESSION` acquired.
//!
//! Source: Consul's documentation, "semaphore"; the number that marks the keys is that of its client
//! library.

use super::session::Session;
use super::{below, wait};
use crate::cli::client::{ClientError, path};
use crate::cli::kv::Pair;
use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The flags of keys that are a semaphore's.
const MARK: u64 = 0xe0f6_9a2b_aa41_4de0;

/// Who holds it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Holders {
    limit: i64,
    holders: BTreeMap<String, bool>,
}

/// A semaphore.
pub struct Semaphore<'s> {
    session: &'s Session<'s>,
    prefix: String,
    limit: i64,
}

/// What stands below the prefix.
struct Picture {
    holders: Holders,
    /// When `.lock` was last written; 0 if it is not there.
    modified: u64,
    index: u64,
}

impl<'s> Semaphore<'s> {
    /// A semaphore that is not held yet.
    pub fn new(session: &'s Session<'s>, prefix: &str, limit: i64) -> Semaphore<'s> {
        Semaphore { session, prefix: prefix.to_owned(), limit }
    }

    fn lock(&self) -> String {
        below(&self.prefix, ".lock")
    }

    fn contender(&self) -> String {
        path("/v1/kv/", &below(&self.prefix, &self.session.id))
    }

    /// Waits until it is held; false if the time is over.
    pub async fn take(&self, until: Option<Instant>) -> Result<bool, String> {
        let Session { client, id, query } = self.session;
        let query = query.clone().with("acquire", id).with("flags", MARK);
        let entered = client.put(&self.contender(), &query, "").await;
        let entered = entered.map_err(|why| format!("failed to make contender entry: {why}"))?;
        if !entered.is_true() {
            return Err("failed to make contender entry".to_owned());
        }
        let mut index = 0;
        loop {
            let Some(limit) = wait(until) else { return Ok(false) };
            let mut picture = self.look(index, limit).await?;
            let known = picture.holders.limit;
            if picture.modified != 0 && known != self.limit {
                let own = self.limit;
                return Err(format!("semaphore limit conflict (lock: {known}, local: {own})"));
            }
            if picture.holders.holders.contains_key(id) {
                return Ok(true);
            }
            if picture.holders.holders.len() as i64 >= self.limit {
                index = picture.index;
                continue;
            }
            picture.holders.limit = self.limit;
            picture.holders.holders.insert(id.clone(), true);
            if self.write(&picture).await? {
                return Ok(true);
            }
            index = 0;
        }
    }

    async fn look(&self, index: u64, wait: Duration) -> Result<Picture, String> {
        let (pairs, index) =
            self.list(index, wait).await.map_err(|why| format!("failed to read prefix: {why}"))?;
        self.picture(&pairs, index)
    }

    async fn list(&self, index: u64, wait: Duration) -> Result<(Vec<Pair>, u64), ClientError> {
        let query = self.session.query.clone().with("consistent", "").with("recurse", "");
        let query = match index {
            0 => query,
            index => query.with("index", index).with("wait", format!("{}ms", wait.as_millis())),
        };
        let door = path("/v1/kv/", &below(&self.prefix, ""));
        match self.session.client.send(Method::GET, &door, &query, Bytes::new()).await? {
            answer if answer.status == 404 => Ok((Vec::new(), answer.index())),
            answer if answer.status.is_success() => Ok((Pair::all(&answer)?, answer.index())),
            answer => Err(answer.refusal()),
        }
    }

    /// Who holds it, without those whose sessions are gone.
    fn picture(&self, pairs: &[Pair], index: u64) -> Result<Picture, String> {
        let name = self.lock();
        let Some(lock) = pairs.iter().find(|pair| pair.key == name) else {
            return Ok(Picture { holders: Holders::default(), modified: 0, index });
        };
        if lock.flags != MARK {
            return Err("Existing key does not match semaphore use".to_owned());
        }
        let read = serde_json::from_slice(&lock.value);
        let mut holders: Holders =
            read.map_err(|error| format!("lock decoding failed: {error}"))?;
        let lives = |id: &String| pairs.iter().any(|pair| pair.key != name && pair.session == *id);
        holders.holders.retain(|id, _| lives(id));
        Ok(Picture { holders, modified: lock.modify_index, index })
    }

    /// Writes who holds it, if nobody else wrote meanwhile.
    async fn write(&self, picture: &Picture) -> Result<bool, String> {
        let text = serde_json::to_vec(&picture.holders).map_err(|error| error.to_string())?;
        let Session { client, query, .. } = self.session;
        let query = query.clone().with("cas", picture.modified).with("flags", MARK);
        let written = client.put(&path("/v1/kv/", &self.lock()), &query, text).await;
        written
            .map(|answer| answer.is_true())
            .map_err(|why| format!("failed to update lock: {why}"))
    }

    /// Whether it is still held; waits while `index` is what is known. Nothing if it is not.
    pub async fn is_held(&self, index: u64) -> Result<Option<u64>, ClientError> {
        let (pairs, seen) = self.list(index, super::WAIT).await?;
        let picture = self.picture(&pairs, seen).map_err(ClientError::Unreadable)?;
        Ok(picture.holders.holders.contains_key(&self.session.id).then_some(seen))
    }

    /// Gives it back.
    pub async fn release(&self) -> Result<(), String> {
        loop {
            let mut picture = self.look(0, super::WAIT).await?;
            if picture.holders.holders.remove(&self.session.id).is_none() {
                break;
            }
            if self.write(&picture).await? {
                break;
            }
        }
        self.withdraw().await;
        Ok(())
    }

    /// Takes the own entry away; one that stays is nobody's when the session is gone.
    pub async fn withdraw(&self) {
        let Session { client, query, .. } = self.session;
        let _ = client.ask(Method::DELETE, &self.contender(), query, Bytes::new()).await;
    }

    /// Removes the key unless somebody holds it; was it removed?
    pub async fn clean_up(&self) -> Result<bool, String> {
        let picture = self.look(0, super::WAIT).await?;
        if picture.modified == 0 {
            return Ok(true);
        }
        if !picture.holders.holders.is_empty() {
            return Ok(false);
        }
        let Session { client, query, .. } = self.session;
        let query = query.clone().with("cas", picture.modified);
        let door = path("/v1/kv/", &self.lock());
        let removed = client.ask(Method::DELETE, &door, &query, Bytes::new()).await;
        let removed = removed.map_err(|why| format!("failed to remove semaphore entry: {why}"))?;
        Ok(removed.is_true())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holders_are_written_as_consuls_clients_read_them() {
        let mut holders = Holders { limit: 2, ..Holders::default() };
        holders.holders.insert("a".to_owned(), true);
        let text = serde_json::to_string(&holders).expect("is written");
        assert_eq!(text, r#"{"Limit":2,"Holders":{"a":true}}"#);
        assert_eq!(serde_json::from_str::<Holders>(&text).expect("is read"), holders);
    }
}
