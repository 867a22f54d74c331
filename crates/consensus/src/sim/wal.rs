//! The simulated log: chunk files as raft-log keeps them, written by a task in virtual time.
//!
//! Like raft-log's: records are gathered, written and synced together, and answered afterwards; a
//! full chunk is synced before the next begins with a checkpoint; chunks whose entries are all
//! purged are removed after the purge is synced; and opening cuts a torn tail. A chunk is named by
//! the position it begins at.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;

use super::disk::SimDisk;
use super::{Dice, Tally};
use crate::codec::{Input, decode_payload, encode_payload, put_count, put_position, put_u64};
use crate::disk::{Disk, DiskFile};
use crate::log::{Done, Mark, Wal, WalFigures, WalState};
use crate::types::{Entry, LogId, Vote};

const CHUNK: usize = 700;
const CHECKPOINT: u8 = 0;
const APPEND: u8 = 1;
const VOTE: u8 = 2;
const COMMIT: u8 = 3;
const TRUNCATE: u8 = 4;
const PURGE: u8 = 5;

#[derive(Clone)]
pub(super) struct SimWal(Arc<Mutex<Held>>);

struct Held {
    disk: SimDisk,
    mark: Arc<Mark>,
    dice: Dice,
    known: Known,
    file: Option<Box<dyn DiskFile>>,
    length: usize,
    /// The position after the last record, written or not.
    end: u64,
    pending: Vec<u8>,
    waiting: Vec<Done>,
    /// Where each chunk begins, with its last index once it is full.
    chunks: BTreeMap<u64, Option<u64>>,
    busy: bool,
    syncs: u64,
    failed: bool,
}

/// What the records say.
#[derive(Default)]
struct Known {
    state: WalState,
    entries: BTreeMap<u64, Entry>,
}

fn name(start: u64) -> String {
    format!("log/{start:012}.wal")
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    put_count(&mut record, body.len());
    record.extend_from_slice(&crc32fast::hash(body).to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// The body of the next record, if it is whole.
fn next<'a>(input: &mut Input<'a>) -> io::Result<&'a [u8]> {
    let (length, sum) = (input.u32()? as usize, input.u32()?);
    let body = input.take(length)?;
    if length == 0 || crc32fast::hash(body) != sum {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(body)
}

fn put_vote(body: &mut Vec<u8>, vote: Option<&Vote>) {
    let fields =
        vote.map(|v| (v.leader_id.term, v.leader_id.voted_for, u64::from(v.committed) + 1));
    let (term, node, kind) = fields.unwrap_or_default();
    [term, node, kind].into_iter().for_each(|field| put_u64(body, field));
}

fn take_vote(input: &mut Input<'_>) -> io::Result<Option<Vote>> {
    let (term, node, kind) = (input.u64()?, input.u64()?, input.u64()?);
    Ok(match kind {
        0 => None,
        1 => Some(Vote::new(term, node)),
        _ => Some(Vote::new_committed(term, node)),
    })
}

impl Known {
    fn apply(&mut self, body: &[u8]) -> io::Result<()> {
        let mut input = Input(body);
        match input.u8()? {
            CHECKPOINT => {
                let vote = take_vote(&mut input)?;
                let (committed, purged) = (input.position()?, input.position()?);
                let last = input.position()?;
                self.state = WalState { vote, committed, purged, last };
            }
            APPEND => {
                let log_id = input.position()?.expect("an entry has a position");
                let kind = input.u8()?;
                let payload = decode_payload(kind, Bytes::copy_from_slice(input.0))?;
                self.entries.insert(log_id.index, Entry { log_id, payload });
                self.state.last = Some(log_id);
            }
            VOTE => self.state.vote = take_vote(&mut input)?,
            COMMIT => self.state.committed = input.position()?,
            TRUNCATE => {
                self.state.last = input.position()?;
                let from = self.state.last.map_or(0, |id| id.index + 1);
                self.entries.split_off(&from);
            }
            PURGE => {
                let upto = input.position()?;
                self.state.purged = upto;
                self.state.last = self.state.last.max(upto);
                self.entries = self.entries.split_off(&upto.map_or(0, |id| id.index + 1));
            }
            other => panic!("a record of kind {other}"),
        }
        Ok(())
    }

    fn checkpoint(&self) -> Vec<u8> {
        let WalState { vote, committed, purged, last } = &self.state;
        let mut body = vec![CHECKPOINT];
        put_vote(&mut body, vote.as_ref());
        [committed, purged, last].into_iter().for_each(|at| put_position(&mut body, at.as_ref()));
        frame(&body)
    }
}

impl SimWal {
    /// Opens what is there, or begins; the mark must not be ahead of it.
    pub(super) fn open(
        disk: &SimDisk,
        mark: Arc<Mark>,
        dice: Dice,
        tally: &mut Tally,
    ) -> io::Result<SimWal> {
        let mut held = Held {
            disk: disk.clone(),
            mark,
            dice,
            known: Known::default(),
            file: None,
            length: 0,
            end: 0,
            pending: Vec::new(),
            waiting: Vec::new(),
            chunks: BTreeMap::new(),
            busy: false,
            syncs: 0,
            failed: false,
        };
        held.recover(tally)?;
        Ok(SimWal(Arc::new(Mutex::new(held))))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds a record; with `done`, asks for a sync.
    fn record(&self, body: &[u8], done: Option<Done>) -> io::Result<()> {
        let mut held = self.held();
        if held.failed {
            return Err(io::Error::other("the log is dead"));
        }
        held.add(body)?;
        let Some(done) = done else { return Ok(()) };
        held.waiting.push(done);
        if !std::mem::replace(&mut held.busy, true) {
            let _detached = SimRuntime::spawn(self.clone().write());
        }
        Ok(())
    }

    /// Writes what is pending until nothing is.
    async fn write(self) {
        loop {
            let pause = 20 + self.held().dice.below(400);
            SimRuntime::sleep(Duration::from_micros(pause)).await;
            let (result, waiting) = {
                let mut held = self.held();
                if held.waiting.is_empty() {
                    held.busy = false;
                    return;
                }
                let result = held.flush();
                (result, std::mem::take(&mut held.waiting))
            };
            for done in waiting {
                let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
                let copy = result.as_ref().map_err(again).copied();
                done(copy);
            }
            let mut held = self.held();
            held.failed |= result.is_err() || held.remove_purged().is_err();
        }
    }
}

impl Held {
    fn recover(&mut self, tally: &mut Tally) -> io::Result<()> {
        let mut starts: Vec<u64> = Vec::new();
        for file in self.disk.list("log")? {
            let digits = file.strip_suffix(".wal").expect("only chunks are in the log");
            starts.push(digits.parse().expect("a chunk is named by its position"));
        }
        for (nth, start) in starts.iter().copied().enumerate() {
            assert!(nth == 0 || start == self.end, "a gap at {start}, after {}", self.end);
            let mut bytes = Vec::new();
            self.disk.open(&name(start))?.read_to_end(&mut bytes)?;
            let mut input = Input(&bytes);
            let whole = loop {
                let left = input.0.len();
                match next(&mut input) {
                    Ok(body) => self.known.apply(body)?,
                    Err(_) => break bytes.len() - left,
                }
            };
            self.end = start + whole as u64;
            self.length = whole;
            // Only the last may be torn, or the one before a last that is still empty.
            let rest = &starts[nth + 1..];
            if whole < bytes.len() {
                tally.torn += 1;
                self.disk.truncate(&name(start), whole)?;
            }
            if whole == 0 || (whole < bytes.len() && !rest.is_empty()) {
                assert!(rest.iter().all(|later| self.is_empty(*later)), "damage before {rest:?}");
                for empty in rest {
                    self.disk.remove(&name(*empty))?;
                }
                self.chunks.insert(start, None);
                break;
            }
            self.chunks.insert(start, self.known.state.last.map(|id| id.index));
        }
        assert!(self.end >= self.mark.position(), "the mark is ahead of the log");
        match self.chunks.last_entry() {
            Some(mut last) => {
                let start = *last.key();
                last.insert(None);
                self.file = Some(self.disk.append(&name(start))?);
                if self.length == 0 {
                    self.begin_chunk_content();
                }
                Ok(())
            }
            None => self.begin_chunk(),
        }
    }

    fn is_empty(&self, start: u64) -> bool {
        let mut bytes = Vec::new();
        let read = self.disk.open(&name(start)).and_then(|mut file| file.read_to_end(&mut bytes));
        read.is_ok() && next(&mut Input(&bytes)).is_err()
    }

    fn begin_chunk(&mut self) -> io::Result<()> {
        let last = self.known.state.last.map(|id| id.index);
        if let Some(mut before) = self.chunks.last_entry() {
            before.insert(last.or(Some(0)));
        }
        self.file = Some(self.disk.create(&name(self.end))?);
        self.disk.sync_directory("log")?;
        self.chunks.insert(self.end, None);
        self.length = 0;
        self.begin_chunk_content();
        Ok(())
    }

    fn begin_chunk_content(&mut self) {
        let checkpoint = self.known.checkpoint();
        self.end += checkpoint.len() as u64;
        self.pending.extend_from_slice(&checkpoint);
    }

    fn add(&mut self, body: &[u8]) -> io::Result<()> {
        self.known.apply(body)?;
        let record = frame(body);
        self.end += record.len() as u64;
        self.pending.extend_from_slice(&record);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        let file = self.file.as_mut().expect("a chunk is open");
        file.write_all(&bytes)?;
        file.sync()?;
        self.syncs += 1;
        self.length += bytes.len();
        self.mark.advance(self.end);
        if self.length >= CHUNK { self.begin_chunk() } else { Ok(()) }
    }

    fn remove_purged(&mut self) -> io::Result<()> {
        let Some(purged) = self.known.state.purged else { return Ok(()) };
        let mut removed = false;
        while let Some(first) = self.chunks.first_entry() {
            if first.get().is_none_or(|last| last > purged.index) {
                break;
            }
            let start = first.remove_entry().0;
            self.disk.remove(&name(start))?;
            removed = true;
        }
        if removed { self.disk.sync_directory("log") } else { Ok(()) }
    }
}

impl Wal for SimWal {
    fn state(&self) -> WalState {
        self.held().known.state.clone()
    }

    fn append(&mut self, entries: Vec<Entry>, done: Done) -> io::Result<()> {
        let mut done = Some(done);
        let count = entries.len();
        for (nth, entry) in entries.iter().enumerate() {
            let (kind, bytes) = encode_payload(&entry.payload);
            let mut body = vec![APPEND];
            put_position(&mut body, Some(&entry.log_id));
            body.push(kind);
            body.extend_from_slice(&bytes);
            self.record(&body, if nth + 1 == count { done.take() } else { None })?;
        }
        Ok(())
    }

    fn save_vote(&mut self, vote: &Vote, done: Done) -> io::Result<()> {
        let mut body = vec![VOTE];
        put_vote(&mut body, Some(vote));
        self.record(&body, Some(done))
    }

    fn commit(&mut self, committed: &LogId) -> io::Result<()> {
        let mut body = vec![COMMIT];
        put_position(&mut body, Some(committed));
        self.record(&body, None)
    }

    fn truncate(&mut self, last: Option<&LogId>, done: Done) -> io::Result<()> {
        let mut body = vec![TRUNCATE];
        put_position(&mut body, last);
        self.record(&body, Some(done))
    }

    fn purge(&mut self, upto: &LogId, done: Done) -> io::Result<()> {
        let mut body = vec![PURGE];
        put_position(&mut body, Some(upto));
        self.record(&body, Some(done))
    }

    fn read(&self, range: Range<u64>, most: usize) -> io::Result<Vec<Entry>> {
        let held = self.held();
        // Few at a time where that is allowed, so that reading in slices is exercised.
        let few = if most == usize::MAX { most } else { 5 };
        Ok(held.known.entries.range(range).map(|(_, entry)| entry.clone()).take(few).collect())
    }

    fn figures(&self) -> WalFigures {
        let held = self.held();
        WalFigures { bytes: held.length as u64, syncs: held.syncs }
    }

    fn close(&mut self) -> io::Result<()> {
        let mut held = self.held();
        held.failed = true;
        held.flush()
    }
}
