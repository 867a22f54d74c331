//! A random subset of a service's instances, without allocation and without touching the rest.
//!
//! How many rows are wanted, and in which chunk the nth stands, the service knows itself; only a tag
//! is looked for in every chunk.
//!
//! Picking k of n is the first k steps of a Fisher-Yates shuffle. The array that it permutes is
//! kept as the identity between two answers: each answer undoes its own swaps, so that an answer
//! costs its records and not its service.

use crate::encoded::{Chunk, Row, ServiceRow};
use dnswire::rtype;
use std::hash::{BuildHasher, Hasher, RandomState};

/// What a thread keeps between answers.
#[derive(Debug)]
pub(crate) struct Scratch {
    random: u64,
    /// The identity, at least as long as the largest selection so far.
    order: Vec<u32>,
    /// Where each step swapped to, to be undone.
    swaps: Vec<u32>,
    /// What is selected where no tag is asked for.
    untagged: Option<Want>,
    /// Selected rows up to and with each chunk, where one is.
    sums: Vec<u32>,
    /// Selected rows in each chunk.
    masks: Vec<u64>,
    total: u32,
    /// How many rows in this selection gave nothing new.
    repeats: u32,
    seen: Seen,
    /// SRV records written so far.
    pub accepted: Vec<Accepted>,
}

/// An SRV record that was written, to send its glue after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted {
    pub at: Place,
    /// Offset of the target in the message.
    pub target_at: usize,
    /// Length that the message has without compression with this record and its glue.
    pub plain: usize,
    pub before: dnswire::Mark,
    /// Whether its glue fits.
    pub glue: bool,
}

/// So many repeats are taken as they come: whoever has more instances is more often first.
const REPEATS: u32 = 64;

/// Where a row stands in its service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    chunk: u32,
    row: u32,
}

impl Place {
    pub fn find(self, service: &ServiceRow) -> (&Chunk, &Row) {
        let chunk = &service.chunks[self.chunk as usize];
        (chunk, &chunk.rows()[self.row as usize])
    }
}

/// Which rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    V4,
    V6,
    /// Any address.
    Ip,
    Srv,
    Host,
    Nothing,
}

impl Want {
    /// All, in order.
    pub const ALL: [Want; 6] = [Want::V4, Want::V6, Want::Ip, Want::Srv, Want::Host, Want::Nothing];

    /// What a question of this type wants of a service.
    pub fn of(qtype: u16) -> Want {
        match qtype {
            rtype::A => Want::V4,
            rtype::AAAA => Want::V6,
            rtype::ANY | rtype::TXT => Want::Ip,
            rtype::SRV => Want::Srv,
            rtype::CNAME => Want::Host,
            _ => Want::Nothing,
        }
    }

    /// Whether an alias is an answer where nothing else is.
    pub fn may_be_alias(self) -> bool {
        matches!(self, Want::V4 | Want::V6 | Want::Ip | Want::Host)
    }
}

/// How many rows a selection has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Selected {
    /// With the tag.
    pub offered: u32,
    /// Of these, wanted.
    pub wanted: u32,
    /// Of the offered, those whose address is a host name.
    pub hosts: u32,
}

impl Scratch {
    pub fn new() -> Scratch {
        let seed = RandomState::new().build_hasher().finish();
        Scratch {
            random: seed | 1,
            order: (0..8192).collect(),
            swaps: Vec::with_capacity(8192),
            untagged: None,
            sums: Vec::with_capacity(1024),
            masks: Vec::with_capacity(1024),
            total: 0,
            repeats: 0,
            seen: Seen::new(),
            accepted: Vec::with_capacity(1024),
        }
    }

    /// A random number below `bound` (xorshift64*, scaled; the bias is below 2^-32).
    pub fn below(&mut self, bound: u32) -> u32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        ((high * u64::from(bound)) >> 32) as u32
    }

    /// Selects the rows that have `tag` and are wanted; [`Scratch::pick`] gives them.
    pub fn select(&mut self, service: &ServiceRow, tag: Option<u64>, want: Want) -> Selected {
        self.undo();
        self.seen.clear();
        self.repeats = 0;
        let selected = match tag {
            None => Selected {
                offered: service.offered(),
                wanted: service.wanted(want),
                hosts: service.wanted(Want::Host),
            },
            Some(tag) => self.select_tagged(service, tag, want),
        };
        self.untagged = tag.is_none().then_some(want);
        self.total = selected.wanted;
        let known = self.order.len() as u32;
        self.order.extend(known..self.total.max(known));
        selected
    }

    fn select_tagged(&mut self, service: &ServiceRow, tag: u64, want: Want) -> Selected {
        self.sums.clear();
        self.masks.clear();
        let mut selected = Selected::default();
        for chunk in &service.chunks {
            let offered = chunk.offered(Some(tag));
            let wanted = offered & chunk.wanted(want);
            selected.offered += offered.count_ones();
            selected.hosts += (offered & chunk.host).count_ones();
            selected.wanted += wanted.count_ones();
            self.sums.push(selected.wanted);
            self.masks.push(wanted);
        }
        selected
    }

    /// The next row of the selection, at random, each once; `service` is the one selected from.
    pub fn pick(&mut self, service: &ServiceRow) -> Option<Place> {
        let step = self.swaps.len() as u32;
        if step == self.total {
            return None;
        }
        let other = step + self.below(self.total - step);
        self.order.swap(step as usize, other as usize);
        self.swaps.push(other);
        let nth = self.order[step as usize];
        let (chunk, row) = match self.untagged {
            Some(want) => {
                let (chunk, nth) = service.nth(want, nth);
                (chunk, nth_bit(service.chunks[chunk].wanted(want), nth))
            }
            None => {
                let chunk = self.sums.partition_point(|sum| *sum <= nth);
                let before = if chunk == 0 { 0 } else { self.sums[chunk - 1] };
                (chunk, nth_bit(self.masks[chunk], nth - before))
            }
        };
        Some(Place { chunk: chunk as u32, row })
    }

    /// Whether what a row gives, known by `key`, is not in the answer yet; from now on it is.
    ///
    /// Where many rows give the same (5,000 instances with their node's address), only the first of
    /// each chunk that give it are picked from then on.
    pub fn is_new(&mut self, service: &ServiceRow, key: u128) -> bool {
        if self.seen.insert(key) {
            return true;
        }
        self.repeats += 1;
        if let (REPEATS, Some(want)) = (self.repeats, self.untagged) {
            self.untagged = None;
            self.select_different(service, want);
        }
        false
    }

    fn select_different(&mut self, service: &ServiceRow, want: Want) {
        self.undo();
        self.sums.clear();
        self.masks.clear();
        for chunk in &service.chunks {
            let different = chunk.different(want);
            self.total += different.count_ones();
            self.sums.push(self.total);
            self.masks.push(different);
        }
    }

    fn undo(&mut self) {
        while let Some(other) = self.swaps.pop() {
            self.order.swap(self.swaps.len(), other as usize);
        }
        self.total = 0;
    }
}

/// The place of the `nth` set bit.
fn nth_bit(mut mask: u64, nth: u32) -> u32 {
    let trailing = mask.trailing_ones();
    if nth < trailing {
        return nth;
    }
    for _ in 0..nth {
        mask &= mask - 1;
    }
    mask.trailing_zeros()
}

/// Which records an answer has already. Forgets by counting up, not by clearing.
#[derive(Debug)]
pub(crate) struct Seen {
    keys: Box<[u128]>,
    rounds: Box<[u32]>,
    round: u32,
    entries: usize,
}

/// More than twice the most records of an answer.
const SEEN: usize = 16384;

impl Seen {
    fn new() -> Seen {
        let (keys, rounds) = (vec![0; SEEN].into(), vec![0; SEEN].into());
        Seen { keys, rounds, round: 1, entries: 0 }
    }

    pub fn clear(&mut self) {
        self.entries = 0;
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.rounds.fill(0);
            self.round = 1;
        }
    }

    /// Whether `key` is new; from now on it is not. Past half its room nothing is new.
    pub fn insert(&mut self, key: u128) -> bool {
        let folded = (key ^ key >> 64) as u64;
        let mut at = (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50) as usize;
        while self.rounds[at] == self.round {
            if self.keys[at] == key {
                return false;
            }
            at = (at + 1) % SEEN;
        }
        if self.entries == SEEN / 2 {
            return false;
        }
        self.entries += 1;
        (self.keys[at], self.rounds[at]) = (key, self.round);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_set_bit_is_found() {
        for (mask, nth, expected) in [
            (1, 0, 0),
            (u64::MAX, 63, 63),
            (0b1010_0111, 2, 2),
            (0b1010_0111, 4, 7),
            (1 << 63, 0, 63),
        ] {
            assert_eq!(nth_bit(mask, nth), expected, "{mask:b} {nth}");
        }
    }

    #[test]
    fn what_was_seen_is_not_new_until_it_is_forgotten() {
        let mut seen = Seen::new();
        for _ in 0..3 {
            seen.clear();
            for key in 0..4096u128 {
                assert!(seen.insert(key << 7), "{key}");
            }
            assert!(!seen.insert(5 << 7));
            assert!(seen.insert(1));
        }
        seen.round = u32::MAX;
        seen.clear();
        assert!(seen.insert(1));
    }

    #[test]
    fn numbers_are_spread() {
        let mut scratch = Scratch::new();
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[scratch.below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
