//! Keys and values, their locks, and the tombstones of deleted keys.
//!
//! Source: Consul, "KV store HTTP API"; observed on Consul 1.21 (stories 04 to 10).

use crate::entry::{KvCondition, KvWrite, Reply};
use crate::keys::KvRowKey;
use crate::state::{Tombstone, Tx};
use crate::{Refusal, Watch};
use model::{Index, KvEntry, KvKey, Row, SessionId};
use std::sync::Arc;

impl Tx<'_> {
    /// Writes a value if its condition holds; a rewrite of the same changes nothing.
    pub fn kv_put(&mut self, write: KvWrite) -> Result<Reply, Refusal> {
        let key = KvRowKey { tenant: self.tenant, key: write.key };
        let old = self.state.kv.get(&key).cloned();
        let old = old.as_deref();
        let Some((session, lock_index)) = self.lock_after(&key, old, write.condition)? else {
            return Ok(Reply::ConditionFailed);
        };
        let value = KvEntry { value: write.value, flags: write.flags, lock_index, session };
        if old.is_some_and(|old| old.claim == value) {
            return Ok(Reply::Done);
        }
        let row = self.row(value, old);
        self.write_kv(&key, Some(row));
        self.kv_changed(&key);
        Ok(Reply::Done)
    }

    /// The holder and the lock count that a write leaves behind; `None` if its condition fails.
    fn lock_after(
        &self,
        key: &KvRowKey,
        old: Option<&Row<KvEntry>>,
        condition: KvCondition,
    ) -> Result<Option<(Option<SessionId>, u64)>, Refusal> {
        let held = old.and_then(|old| old.session);
        let locked = old.map_or(0, |old| old.lock_index);
        Ok(match condition {
            // A plain write keeps the lock but, as in Consul, not its count.
            KvCondition::Always => Some((held, 0)),
            KvCondition::Unchanged(index) => {
                let stands = old.map_or(Index(0), |old| old.modified);
                (stands == index).then_some((held, 0))
            }
            KvCondition::Acquire(session) => {
                if self.state.lock_delays.get(key).is_some_and(|until| self.time < *until) {
                    return Ok(None);
                }
                if !self.state.sessions.contains_key(&(self.tenant, session)) {
                    return Err(Refusal::InvalidSession(session));
                }
                match held {
                    None => Some((Some(session), locked + 1)),
                    Some(holder) => (holder == session).then_some((held, locked)),
                }
            }
            KvCondition::Release(session) => (held == Some(session)).then_some((None, locked)),
        })
    }

    /// Deletes a key; with an index, only if it was last changed there. An absent key is deleted.
    pub fn kv_delete(&mut self, key: KvKey, unchanged: Option<Index>) -> Reply {
        let key = KvRowKey { tenant: self.tenant, key };
        let Some(row) = self.state.kv.get(&key) else { return Reply::Done };
        if unchanged.is_some_and(|index| index != row.modified) {
            return Reply::ConditionFailed;
        }
        self.kv_delete_at(&key);
        Reply::Done
    }

    /// Deletes all keys that begin with these bytes.
    pub fn kv_delete_tree(&mut self, prefix: KvKey) {
        let first = KvRowKey { tenant: self.tenant, key: prefix };
        let keys: Vec<KvRowKey> = self
            .state
            .kv
            .range(first.clone()..)
            .map(|(key, _)| key)
            .take_while(|key| {
                key.tenant == first.tenant && key.key.starts_with(first.key.as_bytes())
            })
            .cloned()
            .collect();
        for key in keys {
            self.kv_delete_at(&key);
        }
    }

    pub(super) fn kv_delete_at(&mut self, key: &KvRowKey) {
        self.write_kv(key, None);
        self.write_tombstone(key, Some(Tombstone { index: self.index, time: self.time }));
        self.state.tables.kv = self.index;
        self.touched.touch(Watch::Kv(key.clone()));
    }

    /// Frees a lock whose session ended; the value and the lock count stay.
    pub(super) fn kv_unlock_at(&mut self, key: &KvRowKey) {
        let Some(old) = self.state.kv.get(key).cloned() else { return };
        let free = KvEntry { session: None, ..old.claim.clone() };
        let row = Row { owner: old.owner.clone(), ..self.row(free, Some(&old)) };
        self.write_kv(key, Some(row));
        self.kv_changed(key);
    }

    /// Forgets deletions up to `index`; lists that counted them stand at `kv_reaped` from then on.
    pub fn reap_tombstones(&mut self, index: Index) {
        let reaped: Vec<(KvRowKey, Index)> = self
            .state
            .tombstones
            .iter()
            .filter(|(_, stone)| stone.index <= index)
            .map(|(key, stone)| (key.clone(), stone.index))
            .collect();
        for (key, deleted) in reaped {
            self.write_tombstone(&key, None);
            self.state.tables.kv_reaped = self.state.tables.kv_reaped.max(deleted);
        }
        self.reap_lock_delays();
    }

    /// Forgets the lock-delays that are over.
    pub(super) fn reap_lock_delays(&mut self) {
        let time = self.time;
        let over: Vec<KvRowKey> = self
            .state
            .lock_delay_ends
            .iter()
            .take_while(|(until, _)| *until <= time)
            .map(|(_, key)| key.clone())
            .collect();
        for key in over {
            self.write_lock_delay(&key, None);
        }
    }

    fn kv_changed(&mut self, key: &KvRowKey) {
        self.write_tombstone(key, None);
        self.state.tables.kv = self.index;
        self.touched.touch(Watch::Kv(key.clone()));
    }
}

/// An empty value.
pub(crate) fn no_value() -> Arc<[u8]> {
    Arc::from([])
}
