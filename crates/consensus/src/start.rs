//! Starting for real: the operating system's files, tokio, randomness.
//!
//! The order matters: nothing is repaired before the log was looked at with its mark, and nothing
//! is believed before the snapshot and the log were found to join.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use openraft::TokioRuntime;
use tokio::sync::Notify;

use crate::disk::{Disk, RealDisk};
use crate::engine::{Host, Parts, run};
use crate::error::StartError;
use crate::fsm::Fsm;
use crate::handle::Consensus;
use crate::home::{self, Identity, claim, identify};
use crate::log::{Chunks, Mark, Memory, inspect};
use crate::options::{LARGEST_ENTRY_BYTES, Options};
use crate::shared::Shared;
use crate::snapshot::{Facts, Snapshots};
use crate::space::Space;

/// tokio, and its threads for blocking work.
pub(crate) struct Tokio;

impl Host for Tokio {
    type Runtime = TokioRuntime;

    async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(work).await {
            Ok(value) => value,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is being shut down: whoever waits here is dropped next.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Starts a server of the log: restores the snapshot, replays the log, and leads if it is alone.
///
/// Must be called within a tokio runtime with timers.
pub fn start(
    options: Options,
    fsm: Box<dyn Fsm>,
) -> BoxFuture<'static, Result<Consensus, StartError>> {
    Box::pin(async move {
        let mut options = options;
        let limits = &mut options.limits;
        limits.max_entry_bytes = limits.max_entry_bytes.min(LARGEST_ENTRY_BYTES);
        limits.queue_bytes = limits.queue_bytes.max(limits.max_entry_bytes);
        let parts = Tokio::offload(move || match options.data.clone() {
            Some(directory) => open_files(&directory, options, fsm),
            None => open_memory(options, fsm),
        });
        run::<Tokio>(parts.await?).await
    })
}

fn open_memory(options: Options, fsm: Box<dyn Fsm>) -> Result<Parts, StartError> {
    let identity = Identity::random(options.format)?;
    Ok(Parts {
        identity,
        fsm,
        wal: Box::new(Memory::default()),
        snapshots: Snapshots::in_memory(),
        recovered: None,
        shared: Shared::new(None, None, Arc::default()),
        mark: None,
        lock: None,
        address: options.address,
        limits: options.limits,
    })
}

fn open_files(
    directory: &Path,
    options: Options,
    mut fsm: Box<dyn Fsm>,
) -> Result<Parts, StartError> {
    let Options { format, address, limits, .. } = options;
    let lock = claim(directory)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(directory.to_owned()));
    let identity = identify(disk.as_ref(), Identity::random(format)?)?;
    let (log, snapshots) = (directory.join("log"), directory.join("snapshots"));
    for path in [&log, &snapshots] {
        home::make_directories(path).map_err(|source| StartError::Io {
            doing: "make the directory",
            path: path.clone(),
            source,
        })?;
    }
    let space = Space::new(disk.clone(), limits.disk_reserve_bytes);
    let fail = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| StartError::Io { doing, path, source }
    };
    space.prepare().map_err(fail("write the reserve file in", directory))?;

    let wake = Arc::new(Notify::new());
    let mark = Mark::load(disk.clone(), wake.clone())
        .map_err(fail("read the position of the last sync in", directory))?;
    let mark = Arc::new(mark);
    inspect(&log, &limits, mark.position())?;
    let wal = Chunks::open(&log, &limits, mark.clone()).map_err(fail("open the log in", &log))?;

    let snapshots = Snapshots::in_files(disk, Facts { format, cluster: identity.cluster });
    let state = crate::log::Wal::state(&wal);
    let (purged, last) = (state.purged.as_ref(), state.last.as_ref());
    let recovered = snapshots.recover(fsm.as_mut(), purged, last)?;
    Ok(Parts {
        identity,
        fsm,
        wal: Box::new(wal),
        snapshots,
        recovered,
        shared: Shared::new(Some(directory.to_owned()), Some(space), wake),
        mark: Some(mark),
        lock: Some(lock),
        address,
        limits,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::ops::Range;
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::fsm::{Command, FsmError, FsmSnapshot};
    use crate::log::{Done, Wal, WalFigures, WalState};
    use crate::options::Limits;
    use crate::types::{Entry, LogId, Vote};

    struct Echo;

    impl Fsm for Echo {
        fn apply(&mut self, batch: Vec<Command>) -> Result<Vec<Bytes>, FsmError> {
            Ok(batch.into_iter().map(|command| command.bytes).collect())
        }
        fn snapshot(&self) -> Box<dyn FsmSnapshot> {
            Box::new(Echo)
        }
        fn restore(&mut self, _: &mut dyn Read) -> Result<(), FsmError> {
            Ok(())
        }
    }

    impl FsmSnapshot for Echo {
        fn write_to(&self, _: &mut dyn Write) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log whose appends are synced when the test says so, once it has begun to hold them.
    struct Stalling(Memory, Arc<Mutex<Option<Vec<Done>>>>);

    impl Wal for Stalling {
        fn state(&self) -> WalState {
            self.0.state()
        }
        fn append(&mut self, entries: Vec<Entry>, done: Done) -> io::Result<()> {
            match self.1.lock().unwrap().as_mut() {
                None => self.0.append(entries, done),
                Some(held) => {
                    held.push(done);
                    self.0.append(entries, Box::new(|_| {}))
                }
            }
        }
        fn save_vote(&mut self, vote: &Vote, done: Done) -> io::Result<()> {
            self.0.save_vote(vote, done)
        }
        fn commit(&mut self, committed: &LogId) -> io::Result<()> {
            self.0.commit(committed)
        }
        fn truncate(&mut self, last: Option<&LogId>, done: Done) -> io::Result<()> {
            self.0.truncate(last, done)
        }
        fn purge(&mut self, upto: &LogId, done: Done) -> io::Result<()> {
            self.0.purge(upto, done)
        }
        fn read(&self, range: Range<u64>, most: usize) -> io::Result<Vec<Entry>> {
            self.0.read(range, most)
        }
        fn figures(&self) -> WalFigures {
            self.0.figures()
        }
        fn close(&mut self) -> io::Result<()> {
            self.0.close()
        }
    }

    async fn until(what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..100_000 {
            if is_so() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("not seen: {what}");
    }

    #[tokio::test]
    async fn on_a_stalled_disk_one_batch_is_under_way_and_reads_go_on() {
        let limits = Limits::default();
        let options = Options { data: None, format: 1, address: "a:1".into(), limits };
        let mut parts = open_memory(options, Box::new(Echo)).unwrap();
        let held = Arc::<Mutex<Option<Vec<Done>>>>::default();
        parts.wal = Box::new(Stalling(Memory::default(), held.clone()));
        let server = run::<Tokio>(parts).await.unwrap();
        *held.lock().unwrap() = Some(Vec::new());
        let count = || held.lock().unwrap().as_ref().map_or(0, Vec::len);
        let mut proposals = Vec::new();
        let mut propose = || {
            let server = server.clone();
            let propose = async move { server.propose(Bytes::from_static(b"x")).await };
            proposals.push(tokio::spawn(propose));
        };
        propose();
        until("the first is appended", || count() == 1).await;
        (1..300).for_each(|_| propose());
        until("all are under way", || server.status().queued == 300).await;
        server.consistent().await.unwrap();
        assert_eq!(count(), 1);
        let released = held.lock().unwrap().take().unwrap();
        released.into_iter().for_each(|done| done(Ok(())));
        for proposal in proposals {
            proposal.await.unwrap().unwrap();
        }
        server.consistent().await.unwrap();
        server.shutdown().await;
    }
}
