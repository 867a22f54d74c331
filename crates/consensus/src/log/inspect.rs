//! The look at a log before it is opened, while nothing has been cut yet.
//!
//! raft-log repairs a torn tail by cutting it, and takes some damage for one. So the files are read
//! first, without changing them, and the start is refused when
//! - a record is damaged otherwise than by tearing, or a file between two others is missing;
//! - what can be read ends before the [`Mark`](super::Mark), which was synced and so once readable;
//! - the entries that can be read have a hole.
//!
//! Tearing is: the file ends within the last record, or that is zero from a block of the disk on,
//! since a file's length may be stored before its content. The second raft-log does not know, so
//! such a record is cut here, once all the rest was found sound.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use raft_log::codeq::OffsetSize;
use raft_log::{Dump, DumpApi, RaftLogAction, RaftLogRecord, WALRecord};
use tracing::warn;

use super::chunks::{Shape, config};
use crate::error::StartError;
use crate::options::{LARGEST_ENTRY_BYTES, Limits};

/// The smallest block that a disk stores whole.
const BLOCK: u64 = 512;
/// raft-log's number for an entry, and an entry's length on disk without its bytes.
const APPEND: u64 = 1;
const EMPTY_ENTRY: u64 = 33;

/// Reads the log's files and refuses those that have lost something.
pub(crate) fn inspect(directory: &Path, limits: &Limits, mark: u64) -> Result<(), StartError> {
    let fail = |doing, source| StartError::Io { doing, path: directory.to_owned(), source };
    let dump = Dump::<Shape>::new(config(directory, limits))
        .map_err(|source| fail("lock the log in", source))?;
    let mut seen = Seen::default();
    let read = dump.write_with(|chunk, _, record| {
        let record = record.map(|(segment, record)| (segment.end().0, record));
        seen.record(chunk.0, record);
        Ok(())
    });
    read.map_err(|source| fail("read the log in", source))?;
    let path = |chunk| {
        // The name that raft-log gives the file.
        directory.join(raft_log::chunked_wal::Config::chunk_file_name(raft_log::ChunkId(chunk)))
    };
    let mut torn = None;
    if let Some((chunk, problem)) = &seen.unreadable
        && !seen.runs_out
        && seen.end >= mark
    {
        let (file, from) = (path(*chunk), seen.end.saturating_sub(*chunk));
        match tail(&file, from).map_err(|source| fail("read the log in", source))? {
            Tail::Zero => {}
            Tail::Torn => torn = Some((file, from)),
            Tail::Damaged => {
                return Err(StartError::Damaged { file, problem: problem.clone() });
            }
        }
    }
    let judged = seen.judge(mark);
    judged.map_err(|(chunk, problem)| StartError::Damaged { file: path(chunk), problem })?;
    let Some((file, length)) = torn else { return Ok(()) };
    warn!(file = %file.display(), length, "cutting a torn record off the log");
    cut(&file, length).map_err(|source| fail("cut a torn record off the log in", source))
}

/// What the end of a file looks like, from a record that cannot be read on.
enum Tail {
    /// Nothing of the record was stored, only the file's length; raft-log cuts that.
    Zero,
    /// The record's first blocks were stored, and nothing after them.
    Torn,
    Damaged,
}

fn tail(file: &Path, from: u64) -> io::Result<Tail> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(from))?;
    // At most what is queued for one write and the rest of a chunk.
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    let Some(last) = rest.iter().rposition(|byte| *byte != 0) else { return Ok(Tail::Zero) };
    let stored = (from + last as u64 + 1).next_multiple_of(BLOCK) - from;
    // The record must reach beyond what was stored: else it was there, and was damaged.
    let torn = from > 0 && stored < rest.len() as u64 && stored < claimed(&rest);
    Ok(if torn { Tail::Torn } else { Tail::Damaged })
}

/// How long a record says it is: of an entry, type, position, kind, length, bytes and checksum.
/// Everything else is shorter than an empty entry.
fn claimed(record: &[u8]) -> u64 {
    let word = |at: usize| {
        let bytes = record.get(at..at + 4)?;
        Some(u64::from(u32::from_be_bytes(bytes.try_into().ok()?)))
    };
    let length = if word(0) == Some(APPEND) { word(21).unwrap_or(0) } else { 0 };
    if length > LARGEST_ENTRY_BYTES as u64 { 0 } else { EMPTY_ENTRY + length }
}

fn cut(file: &Path, length: u64) -> io::Result<()> {
    let file = File::options().write(true).open(file)?;
    file.set_len(length)?;
    file.sync_all()
}

/// What was read so far.
#[derive(Default)]
struct Seen {
    /// The file being read, by the position it begins at.
    chunk: u64,
    /// The position after the last whole record.
    end: u64,
    started: bool,
    /// The first record that could not be read, as (file, problem).
    unreadable: Option<(u64, String)>,
    /// That record ran past the end of the file, as a torn one does.
    runs_out: bool,
    /// The first thing that cannot be a torn tail.
    damage: Option<(u64, String)>,
    first: Option<u64>,
    last: Option<u64>,
    purged: Option<u64>,
}

impl Seen {
    fn record(&mut self, chunk: u64, record: io::Result<(u64, RaftLogRecord<Shape>)>) {
        if self.damage.is_some() {
            return;
        }
        let (length, record) = match record {
            Ok(whole) => whole,
            Err(error) => {
                if self.unreadable.is_none() {
                    self.runs_out = error.kind() == io::ErrorKind::UnexpectedEof;
                    self.unreadable = Some((chunk, format!("a record cannot be read ({error})")));
                }
                return;
            }
        };
        if let Some(unreadable) = self.unreadable.take() {
            self.damage = Some(unreadable);
            return;
        }
        if self.started && chunk != self.chunk && chunk != self.end {
            let (end, before) = (self.end, self.chunk);
            let problem = format!("it ends at {end}, and the next file begins at {chunk}");
            self.damage = Some((before, problem));
            return;
        }
        (self.started, self.chunk, self.end) = (true, chunk, chunk + length);
        if let Err(problem) = self.follow(record) {
            self.damage = Some((chunk, problem));
        }
    }

    /// Follows which entries are there.
    fn follow(&mut self, record: RaftLogRecord<Shape>) -> Result<(), String> {
        match record {
            WALRecord::Action(RaftLogAction::Append(position, _)) => {
                let index = position.index;
                if let Some(last) = self.last
                    && index != last + 1
                {
                    return Err(format!("entry {index} follows entry {last}"));
                }
                self.last = Some(index);
                self.first.get_or_insert(index);
            }
            WALRecord::Action(RaftLogAction::TruncateAfter(kept)) => {
                self.last = kept.map(|position| position.index);
                self.first = self.first.filter(|first| Some(*first) <= self.last);
            }
            WALRecord::Action(RaftLogAction::PurgeUpto(upto)) => self.purge(upto.index),
            WALRecord::Checkpoint(state) => {
                if self.first.is_none() {
                    self.last = state.last().map(|position| position.index);
                }
                if let Some(purged) = state.purged() {
                    self.purge(purged.index);
                }
            }
            WALRecord::Action(RaftLogAction::SaveVote(_) | RaftLogAction::Commit(_)) => {}
        }
        Ok(())
    }

    fn purge(&mut self, upto: u64) {
        self.purged = self.purged.max(Some(upto));
        self.last = self.last.max(Some(upto));
        self.first = self.first.map(|first| first.max(upto + 1));
        self.first = self.first.filter(|first| Some(*first) <= self.last);
    }

    fn judge(self, mark: u64) -> Result<(), (u64, String)> {
        if let Some(damage) = self.damage {
            return Err(damage);
        }
        let end = self.end;
        if end < mark {
            let (chunk, problem) =
                self.unreadable.unwrap_or((self.chunk, "a file is missing after it".into()));
            return Err((
                chunk,
                format!("{problem}: the log can be read up to {end}, and was synced up to {mark}"),
            ));
        }
        let from = self.purged.map_or(0, |index| index + 1);
        match (self.first, self.last) {
            (Some(first), _) if first > from => {
                Err((self.chunk, format!("entries {from} to {} are missing", first - 1)))
            }
            (None, Some(last)) if last >= from => {
                Err((self.chunk, format!("entries {from} to {last} are missing")))
            }
            _ => Ok(()),
        }
    }
}
