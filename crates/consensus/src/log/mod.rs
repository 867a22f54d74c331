//! The log: what a store of it must do, and how openraft uses one.
//!
//! [`Wal`] is our trait, free of openraft's callbacks and runtime, with three users: raft-log's
//! files, memory, and the simulation's disk. Votes and entries are one ordered stream; `done` is
//! called after the sync that covers the call, and never before.

mod chunks;
mod inspect;
mod mark;
mod memory;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::{AsyncRuntime, Instant, LogState, OptionalSend};
use tokio::sync::{Semaphore, oneshot};

use crate::shared::Shared;
use crate::types::{Entry, LogId, Types, Vote};

pub(crate) use chunks::Chunks;
pub(crate) use inspect::inspect;
pub(crate) use mark::Mark;
pub(crate) use memory::Memory;

/// Most bytes of entries read at once.
const READ_BYTES: usize = 1 << 20;
/// Most appends that may wait for their sync. raft-log's queue holds 1,024 requests, and a full one
/// would block the runtime's thread; an append is one, and two for each file that it fills.
const APPENDS: usize = 256;

/// Called once, when what it was given with is synced, or cannot be.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What a log knows without reading entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct WalState {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub last: Option<LogId>,
}

/// Sizes and counts of a log.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WalFigures {
    /// Bytes held, on disk or in memory.
    pub bytes: u64,
    /// Syncs since it was opened.
    pub syncs: u64,
}

/// A store of the log. An error means that it cannot be used any longer.
pub(crate) trait Wal: Send + 'static {
    fn state(&self) -> WalState;
    fn append(&mut self, entries: Vec<Entry>, done: Done) -> io::Result<()>;
    fn save_vote(&mut self, vote: &Vote, done: Done) -> io::Result<()>;
    /// Remembers what is committed; a hint that needs no sync.
    fn commit(&mut self, committed: &LogId) -> io::Result<()>;
    /// Removes what comes after `last`.
    fn truncate(&mut self, last: Option<&LogId>, done: Done) -> io::Result<()>;
    /// Removes what is not after `upto`.
    fn purge(&mut self, upto: &LogId, done: Done) -> io::Result<()>;
    /// The entries of a range from its start, at least one, about `most` bytes.
    fn read(&self, range: Range<u64>, most: usize) -> io::Result<Vec<Entry>>;
    fn figures(&self) -> WalFigures;
    /// Syncs and lets go of the files; every later call fails.
    fn close(&mut self) -> io::Result<()>;
}

/// A log as openraft uses it.
pub(crate) struct LogStore<Rt> {
    wal: Arc<Mutex<Box<dyn Wal>>>,
    shared: Arc<Shared>,
    appends: Arc<Semaphore>,
    runtime: PhantomData<fn() -> Rt>,
}

impl<Rt> Clone for LogStore<Rt> {
    fn clone(&self) -> Self {
        LogStore {
            wal: self.wal.clone(),
            shared: self.shared.clone(),
            appends: self.appends.clone(),
            runtime: PhantomData,
        }
    }
}

impl<Rt> LogStore<Rt> {
    pub(crate) fn new(wal: Box<dyn Wal>, shared: Arc<Shared>) -> Self {
        let appends = Arc::new(Semaphore::new(APPENDS));
        LogStore { wal: Arc::new(Mutex::new(wal)), shared, appends, runtime: PhantomData }
    }

    pub(crate) fn figures(&self) -> WalFigures {
        self.wal().figures()
    }

    pub(crate) fn close(&self) -> io::Result<()> {
        self.wal().close()
    }

    fn wal(&self) -> MutexGuard<'_, Box<dyn Wal>> {
        self.wal.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Runs a write and waits for its sync.
    async fn synced(
        &self,
        doing: &'static str,
        write: impl FnOnce(&mut dyn Wal, Done) -> io::Result<()>,
    ) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let done: Done = Box::new(move |result| {
            let _nobody_waits_any_more = sender.send(result);
        });
        let started = write(self.wal().as_mut(), done);
        let result = match started {
            Ok(()) => {
                receiver.await.unwrap_or_else(|_| Err(io::Error::other("the log was closed")))
            }
            failed => failed,
        };
        result.inspect_err(|error| self.shared.fail_log(doing, error))
    }

    fn read(&self, range: Range<u64>, most: usize) -> io::Result<Vec<Entry>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.wal().read(range, most);
        entries.inspect_err(|error| self.shared.fail_log("read", error))
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index + 1,
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl<Rt: AsyncRuntime> RaftLogReader<Types<Rt>> for LogStore<Rt> {
    /// In slices, so that a long catch-up is never whole in memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let start = (self.clone(), bounds(&range), VecDeque::new());
        stream::unfold(start, |(log, mut range, mut slice)| async move {
            if slice.is_empty() {
                match log.read(range.clone(), READ_BYTES) {
                    Ok(entries) => slice = entries.into(),
                    Err(error) => return Some((Err(error), (log, 0..0, slice))),
                }
            }
            let entry: Entry = slice.pop_front()?;
            range.start = entry.log_id.index + 1;
            Some((Ok(entry), (log, range, slice)))
        })
    }

    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(bounds(&range), usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, READ_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.wal().state().vote)
    }
}

impl<Rt: AsyncRuntime> RaftLogStorage<Types<Rt>> for LogStore<Rt> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<Rt>>> {
        let state = self.wal().state();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.synced("write", |wal, done| wal.save_vote(vote, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(committed) = committed else { return Ok(()) };
        let result = self.wal().commit(&committed);
        result.inspect_err(|error| self.shared.fail_log("write", error))
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.wal().state().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<Rt>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (shared, began) = (self.shared.clone(), Rt::Instant::now());
        let turn = self.appends.clone().acquire_owned().await.expect("it is never closed");
        let done: Done = Box::new(move |result| {
            drop(turn);
            match &result {
                Ok(()) => shared.counts.appended(began.elapsed()),
                Err(error) => shared.fail_log("write", error),
            }
            callback.io_completed(result);
        });
        let result = self.wal().append(entries.into_iter().collect(), done);
        result.inspect_err(|error| self.shared.fail_log("write", error))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.synced("write", |wal, done| wal.truncate(last.as_ref(), done)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.synced("write", |wal, done| wal.purge(&upto, done)).await
    }
}
