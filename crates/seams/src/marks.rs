//! When keys were last touched, about: enough to know that what was made of a view still holds.
//!
//! The publisher marks what a batch touched first, shows the view then, and counts the publication
//! last. Whoever keeps something notes the count *before* he loads the view that he makes it of. It
//! still holds for every view loaded since, as long as no key that it was made of has a mark above
//! that count: a mark is never behind the view that shows the change. Keys share slots, so a mark may
//! come from another key; then something is made again that need not have been.

use catalog::{Touched, Watch};
use model::Tenant;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many slots the keys share. At a hundred changes a second of a few keys each, whatever is kept
/// is lost to a change of another key every twenty seconds or so.
const SLOTS: usize = 8192;

/// How many slots the tables share. They are touched by every write, so they keep to themselves.
const TABLES: usize = 64;

/// The marks of one catalog.
pub struct Marks {
    keys: Box<[AtomicU64]>,
    tables: Box<[AtomicU64]>,
    hasher: RandomState,
    /// How many views were shown, each of which touched something.
    shown: AtomicU64,
    /// The publication that last replaced everything.
    replaced: AtomicU64,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks {
            keys: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            tables: (0..TABLES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            shown: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
        }
    }
}

impl Marks {
    /// Marks what is touched, then has it shown by `show`; one publisher at a time.
    pub fn publish(&self, touched: &Touched, show: impl FnOnce()) {
        if touched.is_empty() {
            return show();
        }
        let number = self.shown.load(Ordering::Relaxed) + 1;
        if touched.is_everything() {
            self.replaced.store(number, Ordering::SeqCst);
        }
        for watch in touched.keys() {
            self.slot(watch).store(number, Ordering::SeqCst);
            if let Watch::Kv(row) = watch {
                self.prefixes(row.tenant).store(number, Ordering::SeqCst);
            }
        }
        show();
        self.shown.store(number, Ordering::SeqCst);
    }

    /// How many views were shown; to be asked before a view is loaded to make something of.
    pub fn shown(&self) -> u64 {
        self.shown.load(Ordering::SeqCst)
    }

    /// Whether none of these keys was touched since so many views were shown.
    pub fn untouched(&self, watches: &[Watch], since: u64) -> bool {
        self.replaced.load(Ordering::SeqCst) <= since
            && watches.iter().all(|watch| self.slot(watch).load(Ordering::SeqCst) <= since)
    }

    fn slot(&self, watch: &Watch) -> &AtomicU64 {
        match watch {
            Watch::KvPrefix(row) => self.prefixes(row.tenant),
            Watch::Node(_) | Watch::Service(_) | Watch::Kv(_) => at(&self.keys, self.hash(watch)),
            Watch::Nodes(_) | Watch::Services(_) | Watch::Checks(_) | Watch::Sessions(_) => {
                at(&self.tables, self.hash(watch))
            }
        }
    }

    /// All prefixes of keys share one mark.
    fn prefixes(&self, tenant: Tenant) -> &AtomicU64 {
        at(&self.tables, self.hash(&tenant))
    }

    fn hash(&self, key: &impl Hash) -> usize {
        usize::try_from(self.hasher.hash_one(key)).unwrap_or_default()
    }
}

fn at(slots: &[AtomicU64], hash: usize) -> &AtomicU64 {
    &slots[hash % slots.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::touched_by_put;
    use catalog::KvRowKey;

    fn row(key: &str) -> KvRowKey {
        KvRowKey::new(Tenant::DEFAULT, key.as_bytes())
    }

    #[track_caller]
    fn check(touched: &Touched, watch: Watch, untouched: bool) {
        let marks = Marks::default();
        let since = marks.shown();
        let watches = [watch];
        assert!(marks.untouched(&watches, since));
        marks.publish(touched, || assert_eq!(marks.untouched(&watches, since), untouched));
        assert_eq!(marks.untouched(&watches, since), untouched, "{watches:?}");
        assert!(marks.untouched(&watches, marks.shown()), "what is made now holds");
    }

    #[test]
    fn a_touched_key_is_marked_before_its_view_is_shown() {
        check(&touched_by_put("a/b"), Watch::Kv(row("a/b")), false);
        check(&touched_by_put("a/b"), Watch::KvPrefix(row("a/")), false);
        check(&touched_by_put("a/b"), Watch::Sessions(Tenant::DEFAULT), true);
        check(&Touched::everything(), Watch::Sessions(Tenant::DEFAULT), false);
        check(&Touched::default(), Watch::Kv(row("a/b")), true);
    }
}
