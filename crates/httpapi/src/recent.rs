//! Which reads were asked for with `?cached` before.
//!
//! Nothing is cached here: every answer is as fresh as one can be, which is what `Age: 0` says. Clients
//! and their metrics still tell the first of equal reads from the later ones by `X-Cache`, so a hash of
//! each is kept, in a table of a fixed size where a later read may take an earlier one's place; that
//! one is a `MISS` again, which is never untrue.

use crate::target::Query;
use catalog::Token;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many reads are remembered.
const SLOTS: usize = 4096;

/// Parameters that do not make it another read: how it is shown, how fresh, and how long to wait.
const NOT_OF_THE_READ: &[&str] =
    &["cached", "pretty", "index", "wait", "stale", "leader", "max_stale", "token"];

/// The reads that were asked for.
pub struct Recent {
    hasher: RandomState,
    slots: Box<[AtomicU64]>,
}

impl Default for Recent {
    fn default() -> Recent {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Recent { hasher: RandomState::new(), slots }
    }
}

impl Recent {
    /// Whether this read was asked for before with this token; from now on it was.
    pub fn asked_before(&self, path: &str, query: &Query, token: &Token) -> bool {
        let mut pairs: Vec<_> =
            query.pairs().filter(|(name, _)| !NOT_OF_THE_READ.contains(name)).collect();
        // Names in any order; the values of one name in the order given.
        pairs.sort_by_key(|(name, _)| *name);
        let hash = self.hasher.hash_one((path, pairs, token)) | 1;
        let slot = usize::try_from(hash >> 32).unwrap_or_default() % SLOTS;
        self.slots[slot].swap(hash, Ordering::Relaxed) == hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_the_same_whatever_is_said_of_how_to_answer_it() {
        let recent = Recent::default();
        let none = Token::default();
        for (path, query, token, before) in [
            ("/v1/catalog/services", "cached", &none, false),
            ("/v1/catalog/services", "cached&pretty&index=7&wait=1s", &none, true),
            ("/v1/catalog/services", "dc=dc1&cached", &none, false),
            ("/v1/catalog/services", "cached=1&dc=dc1", &none, true),
            ("/v1/catalog/services", "cached", &Token::new("t"), false),
            ("/v1/catalog/service/a", "cached&tag=x&tag=y", &none, false),
            ("/v1/catalog/service/a", "tag=x&cached&tag=y", &none, true),
            ("/v1/catalog/service/a", "tag=y&tag=x", &none, false),
        ] {
            let parsed = Query::parse(query).expect("a query");
            assert_eq!(recent.asked_before(path, &parsed, token), before, "{path}?{query}");
        }
    }
}
