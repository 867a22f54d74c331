//! The log on disk: raft-log's chunk files, told of our types.
//!
//! raft-log batches and syncs on a thread of its own and calls back after the sync. On disk a
//! record is raft-log's (type, content, checksum); the content of an entry is its position, kind,
//! length and bytes. A length beyond what any configuration allows is damage, not a torn tail.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::codeq::{Decode, Encode, OffsetSize};
use raft_log::{Callback, Config, RaftLog};

use super::memory::weigh;
use super::{Done, Mark, Wal, WalFigures, WalState};
use crate::codec::{MEMBERSHIP, decode_payload, encode_payload, invalid};
use crate::options::{LARGEST_ENTRY_BYTES, Limits};
use crate::types::{Entry, LogId, Vote, log_id, term_of};

/// raft-log's table of types.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Shape;

/// A log position as stored; ordered as Raft orders it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub term: u64,
    pub index: u64,
}

/// A vote as stored. In one term, being confirmed by a quorum counts for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredVote {
    term: u64,
    committed: bool,
    node: u64,
}

/// An entry's payload as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    kind: u8,
    bytes: Bytes,
}

/// What is called after a sync.
///
/// raft-log's thread drops what is queued when it fails elsewhere; who waits must hear of that too.
pub(super) struct AfterSync(Option<Done>);

impl Callback for AfterSync {
    fn send(mut self, result: io::Result<()>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for AfterSync {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(io::Error::other("the thread that writes the log has ended")));
        }
    }
}

impl raft_log::Types for Shape {
    type LogId = Position;
    type LogPayload = Content;
    type Vote = StoredVote;
    type Callback = AfterSync;
    type UserData = String;

    fn log_index(position: &Position) -> u64 {
        position.index
    }

    fn payload_size(content: &Content) -> u64 {
        content.bytes.len() as u64
    }
}

impl Encode for Position {
    fn encode<W: Write>(&self, mut out: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut out)? + self.index.encode(&mut out)?)
    }
}

impl Decode for Position {
    fn decode<R: Read>(mut input: R) -> io::Result<Self> {
        Ok(Position { term: u64::decode(&mut input)?, index: u64::decode(&mut input)? })
    }
}

impl Encode for StoredVote {
    fn encode<W: Write>(&self, mut out: W) -> io::Result<usize> {
        let committed = u8::from(self.committed).encode(&mut out)?;
        Ok(committed + self.term.encode(&mut out)? + self.node.encode(&mut out)?)
    }
}

impl Decode for StoredVote {
    fn decode<R: Read>(mut input: R) -> io::Result<Self> {
        let committed = u8::decode(&mut input)? == 1;
        Ok(StoredVote { committed, term: u64::decode(&mut input)?, node: u64::decode(&mut input)? })
    }
}

impl Encode for Content {
    fn encode<W: Write>(&self, mut out: W) -> io::Result<usize> {
        let length = u32::try_from(self.bytes.len()).map_err(|_| invalid("an entry too large"))?;
        let head = self.kind.encode(&mut out)? + length.encode(&mut out)?;
        out.write_all(&self.bytes)?;
        Ok(head + self.bytes.len())
    }
}

impl Decode for Content {
    fn decode<R: Read>(mut input: R) -> io::Result<Self> {
        let kind = u8::decode(&mut input)?;
        let length = u32::decode(&mut input)? as usize;
        if kind > MEMBERSHIP || length > LARGEST_ENTRY_BYTES {
            return Err(invalid(format!("an entry of kind {kind} and {length} bytes")));
        }
        // Grows as it reads, since the length is not to be believed yet.
        let mut bytes = Vec::with_capacity(length.min(64 << 10));
        input.take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Content { kind, bytes: bytes.into() })
    }
}

impl From<&LogId> for Position {
    fn from(id: &LogId) -> Position {
        Position { term: term_of(id), index: id.index }
    }
}

impl Position {
    fn to_log_id(self) -> LogId {
        log_id(self.term, self.index)
    }
}

/// raft-log's settings for a directory.
pub(super) fn config(directory: &Path, limits: &Limits) -> Arc<Config> {
    let mut config = Config::new(directory.display());
    config.wal.chunk_max_size = Some(limits.chunk_bytes);
    config.wal.read_buffer_size = Some(1 << 20);
    // Company was waited for before (`gather`): one append is under way at a time.
    config.wal.flush_batch_wait = Some(Duration::ZERO);
    config.wal.flush_queue_max_bytes = Some(limits.queue_bytes);
    config.log_cache_capacity = Some(limits.cache_bytes);
    Arc::new(config)
}

/// A log in files.
pub(crate) struct Chunks {
    log: Option<RaftLog<Shape>>,
    mark: Arc<Mark>,
    /// The position after the last record.
    end: u64,
}

impl Chunks {
    /// Opens a directory that [`inspect`](super::inspect()) has found sound; cuts a torn tail.
    pub(crate) fn open(directory: &Path, limits: &Limits, mark: Arc<Mark>) -> io::Result<Chunks> {
        Ok(Chunks { log: Some(RaftLog::open(config(directory, limits))?), mark, end: 0 })
    }

    fn log(&self) -> io::Result<&RaftLog<Shape>> {
        self.log.as_ref().ok_or_else(closed)
    }

    fn log_mut(&mut self) -> io::Result<&mut RaftLog<Shape>> {
        self.log.as_mut().ok_or_else(closed)
    }

    /// Asks for a sync of everything so far, after which the mark may follow.
    fn flush(&mut self, done: Done) -> io::Result<()> {
        let (end, mark) = (self.end, self.mark.clone());
        let after = AfterSync(Some(Box::new(move |result| {
            if result.is_ok() {
                mark.advance(end);
            }
            done(result);
        })));
        self.log_mut()?.flush(true, Some(after))
    }
}

fn closed() -> io::Error {
    io::Error::other("the log is closed")
}

impl Wal for Chunks {
    fn state(&self) -> WalState {
        let Some(log) = &self.log else { return WalState::default() };
        let state = log.log_state();
        let position = |held: Option<&Position>| held.map(|position| position.to_log_id());
        let vote = state.vote().map(|vote| {
            if vote.committed {
                Vote::new_committed(vote.term, vote.node)
            } else {
                Vote::new(vote.term, vote.node)
            }
        });
        WalState {
            vote,
            committed: position(state.committed()),
            purged: position(state.purged()),
            last: position(state.last()),
        }
    }

    fn append(&mut self, entries: Vec<Entry>, done: Done) -> io::Result<()> {
        let records = entries.iter().map(|entry| {
            let (kind, bytes) = encode_payload(&entry.payload);
            (Position::from(&entry.log_id), Content { kind, bytes })
        });
        self.end = self.log_mut()?.append(records)?.end().0;
        self.flush(done)
    }

    fn save_vote(&mut self, vote: &Vote, done: Done) -> io::Result<()> {
        let stored = StoredVote {
            term: vote.leader_id.term,
            committed: vote.committed,
            node: vote.leader_id.voted_for,
        };
        self.end = self.log_mut()?.save_vote(stored)?.end().0;
        self.flush(done)
    }

    fn commit(&mut self, committed: &LogId) -> io::Result<()> {
        self.end = self.log_mut()?.commit(Position::from(committed))?.end().0;
        Ok(())
    }

    fn truncate(&mut self, last: Option<&LogId>, done: Done) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index + 1);
        self.end = self.log_mut()?.truncate(from)?.end().0;
        self.flush(done)
    }

    fn purge(&mut self, upto: &LogId, done: Done) -> io::Result<()> {
        self.end = self.log_mut()?.purge(Position::from(upto))?.end().0;
        self.flush(done)
    }

    fn read(&self, range: Range<u64>, most: usize) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for record in self.log()?.read(range.start, range.end) {
            let (position, content) = record?;
            let payload = decode_payload(content.kind, content.bytes)?;
            let entry = Entry { log_id: position.to_log_id(), payload };
            bytes += weigh(&entry);
            found.push(entry);
            if bytes >= most {
                break;
            }
        }
        Ok(found)
    }

    fn figures(&self) -> WalFigures {
        let Some(log) = &self.log else { return WalFigures::default() };
        let syncs = log.stat().flush_metrics.sync_batch_count;
        WalFigures { bytes: log.on_disk_size(), syncs }
    }

    fn close(&mut self) -> io::Result<()> {
        if self.log.is_none() {
            return Ok(());
        }
        let flushed = self.flush(Box::new(|_| {}));
        // Dropping it ends its thread and lets go of the directory, whatever the flush said.
        let log = self.log.take();
        flushed?;
        log.map_or(Ok(()), |log| log.wait_worker_idle())
    }
}
