//! Who waits for which key, and waking exactly those.
//!
//! The publisher swaps the view first and wakes then; a reader subscribes first, looks at a view
//! then, and sleeps last: so no change falls between. Nobody waits on a channel shared by all.

use catalog::{KvRowKey, Touched, Watch};
use model::KvKey;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

const SHARDS: usize = 16;

/// All waiters of one catalog. Cloning shares them.
#[derive(Clone, Default)]
pub struct Waiters {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    /// How many subscriptions wait for prefixes of each length, so that a key is looked up only
    /// under those.
    prefix_lengths: Mutex<BTreeMap<usize, usize>>,
    hasher: RandomState,
    next: AtomicU64,
    woken: AtomicU64,
}

type Shard = HashMap<Watch, HashMap<u64, Arc<Notify>>>;

/// One reader's interest in some keys; it ends when this is dropped.
pub struct Subscription {
    waiters: Waiters,
    id: u64,
    watches: Vec<Watch>,
    signal: Arc<Notify>,
}

impl Waiters {
    /// Waits for these keys from now on.
    pub fn subscribe(&self, watches: &[Watch]) -> Subscription {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let signal = Arc::new(Notify::new());
        for watch in watches {
            if let Watch::KvPrefix(prefix) = watch {
                let mut lengths = lock(&self.inner.prefix_lengths);
                *lengths.entry(prefix.key.as_bytes().len()).or_default() += 1;
            }
            let mut shard = lock(self.shard(watch));
            shard.entry(watch.clone()).or_default().insert(id, Arc::clone(&signal));
        }
        Subscription { waiters: self.clone(), id, watches: watches.to_vec(), signal }
    }

    /// Wakes those who wait for what was touched; says how many signals were given.
    pub fn wake(&self, touched: &Touched) -> usize {
        let woken = if touched.is_everything() {
            self.wake_all()
        } else {
            touched.keys().map(|watch| self.wake_key(watch)).sum()
        };
        self.inner.woken.fetch_add(woken as u64, Ordering::Relaxed);
        woken
    }

    /// How many signals were given so far.
    pub fn woken(&self) -> u64 {
        self.inner.woken.load(Ordering::Relaxed)
    }

    /// How many keys are waited for.
    pub fn watched(&self) -> usize {
        self.inner.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// How many subscriptions there are, counted once for each key that they wait for.
    pub fn waiting(&self) -> usize {
        let of_shard = |shard: &Mutex<Shard>| lock(shard).values().map(HashMap::len).sum::<usize>();
        self.inner.shards.iter().map(of_shard).sum()
    }

    fn wake_all(&self) -> usize {
        let shards = self.inner.shards.iter();
        shards.map(|shard| lock(shard).values().map(notify).sum::<usize>()).sum()
    }

    fn wake_key(&self, watch: &Watch) -> usize {
        let exact = lock(self.shard(watch)).get(watch).map_or(0, notify);
        let Watch::Kv(row) = watch else { return exact };
        let key = row.key.as_bytes();
        let lengths: Vec<usize> =
            lock(&self.inner.prefix_lengths).range(..=key.len()).map(|(len, _)| *len).collect();
        let of_prefixes = lengths.into_iter().map(|len| {
            let prefix = KvRowKey { tenant: row.tenant, key: KvKey::new(&key[..len]) };
            let watch = Watch::KvPrefix(prefix);
            lock(self.shard(&watch)).get(&watch).map_or(0, notify)
        });
        exact + of_prefixes.sum::<usize>()
    }

    fn shard(&self, watch: &Watch) -> &Mutex<Shard> {
        let hash = self.inner.hasher.hash_one(watch);
        &self.inner.shards[(hash % SHARDS as u64) as usize]
    }
}

fn notify(waiting: &HashMap<u64, Arc<Notify>>) -> usize {
    waiting.values().for_each(|signal| signal.notify_one());
    waiting.len()
}

/// A panic elsewhere leaves these maps whole: each change is one insert or remove.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscription {
    /// Waits until one of the keys was touched since the last call, or since subscribing.
    ///
    /// Dropping the future loses no wake-up.
    pub async fn changed(&self) {
        self.signal.notified().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for watch in &self.watches {
            let mut shard = lock(self.waiters.shard(watch));
            if let Some(waiting) = shard.get_mut(watch) {
                waiting.remove(&self.id);
                if waiting.is_empty() {
                    shard.remove(watch);
                }
            }
            drop(shard);
            if let Watch::KvPrefix(prefix) = watch {
                let mut lengths = lock(&self.waiters.inner.prefix_lengths);
                let length = prefix.key.as_bytes().len();
                if let Some(count) = lengths.get_mut(&length) {
                    *count -= 1;
                    if *count == 0 {
                        lengths.remove(&length);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::touched_by_put;
    use model::Tenant;

    #[track_caller]
    fn check(watch: Watch, key: &str, woken: usize) {
        let waiters = Waiters::default();
        let subscription = waiters.subscribe(std::slice::from_ref(&watch));
        assert_eq!(waiters.wake(&touched_by_put(key)), woken, "{watch:?} by {key}");
        drop(subscription);
        assert_eq!(waiters.watched(), 0);
        assert_eq!(waiters.wake(&touched_by_put(key)), 0);
    }

    #[test]
    fn a_key_wakes_who_waits_for_it_or_for_a_prefix_of_it() {
        let row = |key: &str| KvRowKey::new(Tenant::DEFAULT, key.as_bytes());
        check(Watch::Kv(row("a/b")), "a/b", 1);
        check(Watch::Kv(row("a/b")), "a/bc", 0);
        check(Watch::KvPrefix(row("a/")), "a/b", 1);
        check(Watch::KvPrefix(row("")), "a/b", 1);
        check(Watch::KvPrefix(row("a/b")), "a/b", 1);
        check(Watch::KvPrefix(row("a/b/")), "a/b", 0);
        check(Watch::KvPrefix(row("b")), "a/b", 0);
        check(Watch::Sessions(Tenant::DEFAULT), "a/b", 0);
    }

    #[tokio::test]
    async fn a_wake_up_before_the_sleep_is_not_lost() {
        let waiters = Waiters::default();
        let key = Watch::Kv(KvRowKey::new(Tenant::DEFAULT, b"k"));
        let subscription = waiters.subscribe(&[key]);
        waiters.wake(&touched_by_put("k"));
        subscription.changed().await;
    }
}
