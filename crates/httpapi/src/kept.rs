//! What was rendered and may be sent again: whole answers of reads, and single rows.
//!
//! An answer is kept under everything that decides it: path, parameters, and what the caller may see.
//! It is sent again only while none of the keys was touched that it was made of ([`seams::Marks`]), so
//! it is never behind the view of whoever asks. A row is kept under the row itself, which never
//! changes: a change makes another row. All of it together is bounded in bytes; what was not asked for
//! lately goes first.

use crate::consul::blocking::Body;
use crate::target::Query;
use bytes::Bytes;
use catalog::{Authorizer, Watch};
use foldhash::quality::RandomState;
use model::{Check, Index, Instance, Node, Row};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use seams::Marks;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parameters that do not make it another read: how it is shown, how fresh, how long to wait, and the
/// secret, of which only the rights matter.
const NOT_OF_THE_READ: &[&str] =
    &["cached", "consistent", "index", "leader", "max_stale", "pretty", "stale", "token", "wait"];

const SHARDS: usize = 16;

/// How many answers may be made at a time, about.
const MAKING: usize = 64;

/// A read as it is found again.
pub struct ReadKey<'c> {
    /// The path as it was sent.
    pub path: &'c str,
    /// The query.
    pub query: &'c Query,
    /// What the caller may see.
    pub auth: &'c Authorizer,
}

/// The answer of a read.
#[derive(Debug)]
pub struct KeptRead {
    /// What it says.
    pub body: Bytes,
    /// The keys that it was made of.
    pub watches: Vec<Watch>,
    /// Whether rows were left out that the caller may not see.
    pub filtered: bool,
    /// How many views were shown before the one that it was made of was loaded.
    pub since: u64,
    /// The index of that view.
    pub at: Index,
}

/// A row that can be kept.
#[derive(Debug, Clone)]
pub enum AnyRow {
    /// A node.
    Node(Arc<Row<Node>>),
    /// An instance.
    Instance(Arc<Row<Instance>>),
    /// A check.
    Check(Arc<Row<Check>>),
}

/// Everything that is kept.
pub struct Kept {
    budget: usize,
    bytes: AtomicUsize,
    /// The shard that must give something up next.
    hand: AtomicUsize,
    shards: [Mutex<Shard>; SHARDS],
    making: [Mutex<()>; MAKING],
    hasher: RandomState,
    meters: Meters,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<u64, Entry, RandomState>,
    /// Oldest first; each entry stands here once.
    order: VecDeque<u64>,
}

struct Entry {
    what: What,
    size: usize,
    /// Whether it was asked for since it was last passed over.
    used: bool,
}

enum What {
    Read(OwnedKey, Arc<KeptRead>),
    Row(AnyRow, Box<[u8]>),
}

struct OwnedKey {
    path: Box<str>,
    pairs: Vec<(Box<str>, Box<str>)>,
    auth: Authorizer,
}

/// What a kept thing takes besides its bytes, about.
const OVERHEAD: usize = 256;

impl Kept {
    /// Keeps at most so many bytes, counted by these numbers.
    pub fn new(budget: usize, meters: Meters) -> Kept {
        Kept {
            budget,
            bytes: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
            shards: Default::default(),
            making: [const { Mutex::new(()) }; MAKING],
            hasher: RandomState::default(),
            meters,
        }
    }

    /// The answer of a read, if it is kept and what both the view of this index and the newest one say.
    ///
    /// A newer answer would be told with the older view's index, and be missed by who waits for it.
    pub fn read(&self, key: &ReadKey, marks: &Marks, at: Index) -> Option<Arc<KeptRead>> {
        let kept = self.peek(key, marks, at);
        self.meters.looked(Kind::Read, kept.is_some());
        kept
    }

    /// As [`Kept::read`], by who has looked already.
    pub fn peek(&self, key: &ReadKey, marks: &Marks, at: Index) -> Option<Arc<KeptRead>> {
        let hash = self.hash_read(key);
        let kept = self.find(hash, |what| match what {
            What::Read(held, read) if held.is(key) => Some(Arc::clone(read)),
            _ => None,
        });
        kept.filter(|read| read.at <= at && marks.untouched(&read.watches, read.since))
    }

    /// Leave to make this answer while nobody else makes it: who gets it next finds it kept.
    pub fn alone(&self, key: &ReadKey) -> MutexGuard<'_, ()> {
        let hash = usize::try_from(self.hash_read(key)).unwrap_or_default();
        self.making[hash % MAKING].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the answer of a read; one that waits for nothing could never be known to be old.
    pub fn keep_read(&self, key: &ReadKey, read: KeptRead) {
        let size = OVERHEAD + read.body.len() + key.size() + read.watches.len() * OVERHEAD;
        if size > self.budget / 4 || read.watches.is_empty() {
            return;
        }
        self.insert(self.hash_read(key), What::Read(key.to_owned(), Arc::new(read)), size);
    }

    /// Appends a row as it is kept, or as `render` appends it, which is then kept.
    pub fn append(&self, out: &mut Vec<u8>, row: &AnyRow, render: impl FnOnce(&mut Vec<u8>)) {
        let hash = self.hasher.hash_one(row.address());
        let found = self.find(hash, |what| match what {
            What::Row(held, bytes) if held.address() == row.address() => {
                out.extend_from_slice(bytes);
                Some(())
            }
            _ => None,
        });
        self.meters.looked(Kind::Row, found.is_some());
        if found.is_some() {
            return;
        }
        let from = out.len();
        render(out);
        let bytes: Box<[u8]> = out[from..].into();
        // The row stays in memory as long as it is kept here, and is about as large as its picture.
        let size = OVERHEAD + 2 * bytes.len();
        if size <= self.budget / 4 {
            self.insert(hash, What::Row(row.clone(), bytes), size);
        }
    }

    /// What tells an answer from others of the same read; a thousand who wait for a large one each ask.
    pub fn print(&self, body: &Body) -> u64 {
        self.hasher.hash_one(body)
    }

    /// The bytes of all that is kept.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn find<T>(&self, hash: u64, take: impl FnOnce(&What) -> Option<T>) -> Option<T> {
        let mut shard = self.shard(hash);
        let entry = shard.entries.get_mut(&hash)?;
        let taken = take(&entry.what);
        entry.used |= taken.is_some();
        taken
    }

    fn insert(&self, hash: u64, what: What, size: usize) {
        let mut shard = self.shard(hash);
        let old = shard.entries.insert(hash, Entry { what, size, used: false });
        if old.is_none() {
            shard.order.push_back(hash);
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.bytes.fetch_sub(old.as_ref().map_or(0, |old| old.size), Ordering::Relaxed);
        drop(shard);
        drop(old);
        self.shrink();
        self.meters.bytes.set(i64::try_from(self.bytes()).unwrap_or(i64::MAX));
    }

    /// Gives up one thing of each shard in turn until the rest fits.
    fn shrink(&self) {
        while self.bytes() > self.budget {
            let at = self.hand.fetch_add(1, Ordering::Relaxed) % SHARDS;
            let gone = lock(&self.shards[at]).give_up();
            if let Some(entry) = gone {
                self.bytes.fetch_sub(entry.size, Ordering::Relaxed);
                self.meters.dropped.inc();
            }
        }
    }

    fn hash_read(&self, key: &ReadKey) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        key.path.hash(&mut hasher);
        key.pairs().for_each(|pair| pair.hash(&mut hasher));
        key.auth.hash(&mut hasher);
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[usize::try_from(hash).unwrap_or_default() % SHARDS])
    }
}

/// A panic elsewhere leaves a shard whole enough: at worst an entry is in no order and stays.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    /// Takes out the oldest entry that was not asked for since it was last passed over; where all were,
    /// there is none this time.
    fn give_up(&mut self) -> Option<Entry> {
        for _ in 0..self.order.len() {
            let hash = self.order.pop_front()?;
            match self.entries.get_mut(&hash) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.push_back(hash);
                }
                Some(_) => return self.entries.remove(&hash),
                None => {}
            }
        }
        None
    }
}

impl<'c> ReadKey<'c> {
    fn pairs(&self) -> impl Iterator<Item = (&'c str, &'c str)> {
        self.query.pairs().filter(|(name, _)| !NOT_OF_THE_READ.contains(name))
    }

    fn size(&self) -> usize {
        self.path.len()
            + self.pairs().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>()
    }

    fn to_owned(&self) -> OwnedKey {
        let pairs = self.pairs().map(|(name, value)| (name.into(), value.into()));
        OwnedKey { path: self.path.into(), pairs: pairs.collect(), auth: self.auth.clone() }
    }
}

impl OwnedKey {
    fn is(&self, key: &ReadKey) -> bool {
        let pairs = self.pairs.iter().map(|(name, value)| (&**name, &**value));
        *self.path == *key.path && self.auth == *key.auth && pairs.eq(key.pairs())
    }
}

impl AnyRow {
    /// What tells it from every other row for as long as it is held.
    fn address(&self) -> (u8, usize) {
        match self {
            AnyRow::Node(row) => (0, Arc::as_ptr(row).addr()),
            AnyRow::Instance(row) => (1, Arc::as_ptr(row).addr()),
            AnyRow::Check(row) => (2, Arc::as_ptr(row).addr()),
        }
    }
}

/// What is counted of what is kept; clones are the same.
#[derive(Debug, Clone)]
pub struct Meters {
    looked: Family<Looked, Counter>,
    /// By kind, then hit and miss.
    handles: [[Counter; 2]; 2],
    dropped: Counter,
    bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Looked {
    kind: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Read,
    Row,
}

impl Default for Meters {
    fn default() -> Meters {
        let looked: Family<Looked, Counter> = Family::default();
        let counter = |kind, result| looked.get_or_create(&Looked { kind, result }).clone();
        let handles = ["read", "row"].map(|kind| [counter(kind, "hit"), counter(kind, "miss")]);
        Meters { looked, handles, dropped: Counter::default(), bytes: Gauge::default() }
    }
}

impl Meters {
    /// Adds these numbers to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_kept_looked",
            "How often rendered answers and rows were looked for, by whether they were kept",
            self.looked.clone(),
        );
        registry.register(
            "http_kept_dropped",
            "Rendered answers and rows given up to make room",
            self.dropped.clone(),
        );
        registry.register_with_unit(
            "http_kept",
            "Size of all rendered answers and rows that are kept",
            Unit::Bytes,
            self.bytes.clone(),
        );
    }

    fn looked(&self, kind: Kind, hit: bool) {
        self.handles[kind as usize][usize::from(!hit)].inc();
    }
}

#[cfg(test)]
mod tests;
