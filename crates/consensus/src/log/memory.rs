//! The log of a server that keeps nothing: everything is synced at once, into memory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use openraft::EntryPayload;

use super::{Done, Wal, WalFigures, WalState};
use crate::types::{Entry, LogId, Vote};

/// Entries in memory, by index.
#[derive(Default)]
pub(crate) struct Memory {
    state: WalState,
    entries: BTreeMap<u64, Entry>,
    bytes: u64,
}

/// What an entry weighs.
pub(crate) fn weigh(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.bytes.len(),
        _ => 0,
    }
}

impl Memory {
    fn drop_entries(&mut self, range: Range<u64>) {
        let gone: Vec<u64> = self.entries.range(range).map(|(index, _)| *index).collect();
        for index in gone {
            let entry = self.entries.remove(&index).expect("it was just listed");
            self.bytes -= weigh(&entry) as u64;
        }
    }
}

impl Wal for Memory {
    fn state(&self) -> WalState {
        self.state.clone()
    }

    fn append(&mut self, entries: Vec<Entry>, done: Done) -> io::Result<()> {
        for mut entry in entries {
            if let EntryPayload::Normal(proposal) = &mut entry.payload {
                proposal.ticket = None;
            }
            self.state.last = Some(entry.log_id);
            self.bytes += weigh(&entry) as u64;
            self.entries.insert(entry.log_id.index, entry);
        }
        done(Ok(()));
        Ok(())
    }

    fn save_vote(&mut self, vote: &Vote, done: Done) -> io::Result<()> {
        self.state.vote = Some(*vote);
        done(Ok(()));
        Ok(())
    }

    fn commit(&mut self, committed: &LogId) -> io::Result<()> {
        self.state.committed = Some(*committed);
        Ok(())
    }

    fn truncate(&mut self, last: Option<&LogId>, done: Done) -> io::Result<()> {
        self.drop_entries(last.map_or(0, |id| id.index + 1)..u64::MAX);
        self.state.last = last.copied();
        done(Ok(()));
        Ok(())
    }

    fn purge(&mut self, upto: &LogId, done: Done) -> io::Result<()> {
        self.drop_entries(0..upto.index + 1);
        self.state.purged = Some(*upto);
        self.state.last = self.state.last.max(Some(*upto));
        done(Ok(()));
        Ok(())
    }

    fn read(&self, range: Range<u64>, most: usize) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for entry in self.entries.range(range).map(|(_, entry)| entry) {
            bytes += weigh(entry);
            found.push(entry.clone());
            if bytes >= most {
                break;
            }
        }
        Ok(found)
    }

    fn figures(&self) -> WalFigures {
        WalFigures { bytes: self.bytes, syncs: 0 }
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
