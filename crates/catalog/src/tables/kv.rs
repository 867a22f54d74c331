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

#[cfg(test)]
mod tests {
    use crate::Refusal;
    use crate::entry::{
        Command,
        KvCondition::{Acquire, Always, Release, Unchanged},
    };
    use crate::tables::rig::{HELD, Rig, delete_kv, kv_key, put_kv, put_node, session_id};
    use model::{Index, KvKey, Nanos, Session};

    fn session(rig: &mut Rig, number: u128, lock_delay: Nanos) {
        let node = "n1".into();
        let session = Session { id: session_id(number), node, lock_delay, ..Session::default() };
        rig.does(Command::CreateSession(Box::new(session)));
    }

    /// A rig with a node, and two sessions without lock-delay.
    fn rig() -> Rig {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 0, ""));
        session(&mut rig, 1, Nanos(0));
        session(&mut rig, 2, Nanos(0));
        rig
    }

    #[track_caller]
    fn check_row(rig: &Rig, key: &str, value: &str, lock_index: u64, holder: Option<u128>) {
        let row = rig.kv(key).expect("written");
        assert_eq!(&*row.value, value.as_bytes());
        assert_eq!((row.lock_index, row.session), (lock_index, holder.map(session_id)));
    }

    /// Story 06.
    #[test]
    fn a_value_is_set_only_if_it_was_last_changed_there() {
        let mut rig = rig();
        rig.fails(put_kv("c", "no", Unchanged(Index(1))));
        let made = rig.does(put_kv("c", "one", Unchanged(Index(0))));
        rig.fails(put_kv("c", "two", Unchanged(Index(0))));
        let changed = rig.does(put_kv("c", "three", Unchanged(made)));
        rig.fails(put_kv("c", "four", Unchanged(made)));
        rig.does(put_kv("c", "three", Unchanged(changed)));
        let row = rig.kv("c").expect("written");
        assert_eq!((row.created, row.modified), (made, changed), "the same again changes nothing");
        rig.fails(delete_kv("c", Some(0)));
        rig.fails(delete_kv("c", Some(made.0)));
        rig.does(delete_kv("c", Some(changed.0)));
        rig.does(delete_kv("c", Some(changed.0)));
        rig.does(delete_kv("c", Some(0)));
        assert!(rig.kv("c").is_none());
    }

    /// Story 07.
    #[test]
    fn a_lock_is_held_by_one_and_counted() {
        let mut rig = rig();
        rig.does(put_kv("l", "a", Acquire(session_id(1))));
        check_row(&rig, "l", "a", 1, Some(1));
        rig.does(put_kv("l", "a2", Acquire(session_id(1))));
        check_row(&rig, "l", "a2", 1, Some(1));
        rig.fails(put_kv("l", "b", Acquire(session_id(2))));
        rig.fails(put_kv("l", "b", Release(session_id(2))));
        rig.does(put_kv("l", "plain", Always));
        check_row(&rig, "l", "plain", 0, Some(1));
        rig.does(put_kv("l", "freed", Release(session_id(1))));
        check_row(&rig, "l", "freed", 0, None);
        rig.fails(put_kv("l", "again", Release(session_id(1))));
        rig.fails(put_kv("absent", "x", Release(session_id(1))));
        let taken = rig.does(put_kv("l", "b", Acquire(session_id(2))));
        check_row(&rig, "l", "b", 1, Some(2));
        rig.does(put_kv("l", "cas", Unchanged(taken)));
        check_row(&rig, "l", "cas", 0, Some(2));
        rig.does(delete_kv("l", None));
        rig.does(put_kv("l", "a", Acquire(session_id(1))));
        rig.does(Command::DestroySession(session_id(1)));
        check_row(&rig, "l", "a", 1, None);
        rig.does(put_kv("l", "b", Acquire(session_id(2))));
        check_row(&rig, "l", "b", 2, Some(2));
        let refusal = rig.refuses(put_kv("l", "a", Acquire(session_id(1))));
        assert_eq!(refusal, Refusal::InvalidSession(session_id(1)));
    }

    #[test]
    fn a_lost_lock_is_out_of_reach_for_the_lock_delay() {
        // delay of the session, how long nobody can acquire
        for (delay, held) in [(2_000, 2_000), (600_000, 60_000), (0, 0), (-1_000, 0)] {
            let mut rig = rig();
            session(&mut rig, 3, Nanos(delay * 1_000_000));
            rig.does(put_kv("l", "x", Acquire(session_id(3))));
            rig.does(Command::DestroySession(session_id(3)));
            let lost = rig.now;
            if held > 0 {
                rig.now = lost + held - 1;
                rig.fails(put_kv("l", "y", Acquire(session_id(2))));
                rig.does(put_kv("l", "plain", Always));
            }
            rig.now = lost + held;
            rig.does(put_kv("l", "y", Acquire(session_id(2))));
            assert_eq!(rig.view.state().lock_delays.len(), usize::from(held > 0));
            rig.does(Command::DestroySession(session_id(2)));
            assert!(rig.view.state().lock_delays.is_empty(), "what is over is forgotten");
        }
    }

    #[test]
    fn a_release_leaves_no_lock_delay() {
        let mut rig = rig();
        session(&mut rig, 3, Nanos::seconds(60));
        rig.does(put_kv("e", "x", Acquire(session_id(3))));
        rig.does(put_kv("e", "y", Release(session_id(3))));
        rig.does(put_kv("e", "z", Acquire(session_id(2))));
    }

    #[track_caller]
    fn check_lists(rig: &Rig, expected: &[(&str, usize, u64)]) {
        for (prefix, count, index) in expected {
            let list = rig.view.kv_list(&kv_key(prefix)).expect(HELD);
            assert_eq!((list.value.len(), list.index), (*count, Index(*index)), "list of {prefix}");
        }
    }

    /// Story 09, but for one thing: where Consul leaves one tombstone at a deleted prefix, and a
    /// longer prefix does not see it, each deleted key leaves its own here.
    #[test]
    fn the_index_of_a_list_is_its_last_change_deletions_included() {
        let mut rig = Rig::new();
        check_lists(&rig, &[("", 0, 1), ("x", 0, 1)]);
        rig.does(put_kv("a/1", "1", Always));
        rig.does(put_kv("b/1", "1", Always));
        check_lists(&rig, &[("a/", 1, 1), ("b/", 1, 2), ("", 2, 2), ("x", 0, 2)]);
        rig.does(put_kv("a/1", "1", Always));
        check_lists(&rig, &[("a/", 1, 1), ("", 2, 2)]);
        rig.does(put_kv("a/2", "2", Always));
        rig.does(delete_kv("a/2", None));
        check_lists(&rig, &[("a/", 1, 5), ("b/", 1, 2), ("", 2, 5), ("x", 0, 5)]);
        rig.does(Command::KvDeleteTree(KvKey::new(b"a")));
        check_lists(&rig, &[("a/", 0, 6), ("b/", 1, 2), ("", 1, 6)]);
        rig.does(Command::ReapTombstones(Index(5)));
        check_lists(&rig, &[("a/", 0, 6), ("b/", 1, 5), ("", 1, 6)]);
        rig.does(Command::ReapTombstones(Index(6)));
        check_lists(&rig, &[("a/", 0, 6), ("b/", 1, 6), ("", 1, 6)]);
        assert_eq!(rig.view.tombstones().count(), 0);
    }
}
