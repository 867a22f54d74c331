//! The state as it was: undoing history back to an index.

use crate::keys::KvRowKey;
use crate::state::State;
use crate::tables::history::PastRow;
use model::Index;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What is kept of a value in the past: enough to say whether it was another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValuePrint {
    /// The first 16 bytes of its SHA-256.
    pub hash: [u8; 16],
    /// Its length in bytes.
    pub size: u64,
}

impl ValuePrint {
    /// The print of a value.
    pub fn of(value: &[u8]) -> ValuePrint {
        let digest = Sha256::digest(value);
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        ValuePrint { hash, size: value.len() as u64 }
    }
}

/// A state of the past. Values of keys changed since are known by their print only.
#[derive(Debug, Clone)]
pub struct PastView {
    /// The tables as they were; a key in `prints` has an empty value here. Its time is that of the
    /// last change known, and its history and requests are the present's.
    pub state: State,
    /// The prints of the values that are not known any more.
    pub prints: BTreeMap<KvRowKey, ValuePrint>,
}

/// The indexes whose state can still be shown, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("history reaches from index {oldest} to {newest}")]
pub struct Window {
    /// The oldest.
    pub oldest: Index,
    /// The newest: the present.
    pub newest: Index,
}

impl State {
    /// The indexes whose state can be shown.
    pub fn window(&self) -> Window {
        Window { oldest: self.history.dropped, newest: self.index }
    }

    /// The state as it was after the entry at `index`; an error names the window.
    pub fn as_of(&self, index: Index) -> Result<PastView, Window> {
        let window = self.window();
        if index < window.oldest || index > window.newest {
            return Err(window);
        }
        let mut past = PastView { state: self.clone(), prints: BTreeMap::new() };
        let later: Vec<_> = self.history.entries.range(Index(index.0 + 1)..).collect();
        if let Some((_, first)) = later.first() {
            let last = self.history.entries.range(..=index).next_back();
            past.state.time = last.map_or(first.time, |(_, entry)| entry.time);
        }
        for (_, entry) in later.into_iter().rev() {
            for row in entry.rows.iter().rev() {
                past.undo(row);
            }
            past.state.tables = entry.tables;
        }
        past.state.index = index;
        Ok(past)
    }
}

impl PastView {
    fn undo(&mut self, row: &PastRow) {
        match row {
            PastRow::Row(before) => self.state.restore(before.clone()),
            PastRow::Kv(key, None) => {
                self.prints.remove(key);
                self.state.put_kv(key, None);
            }
            PastRow::Kv(key, Some(past)) => {
                let (row, print) = &**past;
                self.prints.insert(key.clone(), *print);
                self.state.put_kv(key, Some(std::sync::Arc::new(row.clone())));
            }
        }
    }
}
