//! What happens in the background of a running server.
//!
//! One task: it sleeps until the log has synced something or a snapshot is due. It writes the mark,
//! and beside that, on a thread of its own, the snapshot, while writes go on. A snapshot that fails
//! is no reason to die: the log is whole, and it is tried again later.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::{self, BoxFuture};
use openraft::Instant;
use openraft::async_runtime::AsyncRuntime;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::engine::{Host, Node};
use crate::log::Mark;
use crate::machine::{Machine, Picture};
use crate::shared::Shared;
use crate::snapshot::Snapshots;

/// How long the mark may lag; and how often at most it is synced.
const MARK_EVERY: Duration = Duration::from_millis(50);
const SYNC_MARK_EVERY: Duration = Duration::from_secs(1);
/// How long after a snapshot failed the next is tried.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The background task's belongings.
pub(crate) struct Keeper<H: Host> {
    pub raft: Node<H>,
    pub shared: Arc<Shared>,
    pub snapshots: Arc<Snapshots>,
    pub mark: Option<Arc<Mark>>,
    pub snapshot_log_bytes: u64,
    pub stop: watch::Receiver<bool>,
}

/// Why the keeper woke up.
enum Event {
    Stop,
    /// The snapshot is done; false when it failed.
    Taken(bool),
    Woken,
}

/// What is to be done without being woken, by the time since the start.
#[derive(Default)]
struct Plan {
    /// The mark's file holds what is not synced, or could not be written.
    unsynced: bool,
    synced_at: Option<Duration>,
    /// The last snapshot failed, and is tried again then.
    retry_at: Option<Duration>,
}

impl Plan {
    fn sync_due(&self, now: Duration) -> bool {
        self.synced_at.is_none_or(|at| now.saturating_sub(at) >= SYNC_MARK_EVERY)
    }

    /// How long until then.
    fn next(&self, now: Duration) -> Option<Duration> {
        let sync = self.unsynced.then(|| self.synced_at.unwrap_or(now) + SYNC_MARK_EVERY);
        let first = sync.into_iter().chain(self.retry_at).min()?;
        Some(first.saturating_sub(now))
    }
}

impl<H: Host> Keeper<H> {
    /// Works until told to stop; the mark is then written a last time.
    pub(crate) async fn run(self) {
        let started = <H::Runtime as AsyncRuntime>::Instant::now();
        let mut plan = Plan::default();
        let mut snapshot: Option<BoxFuture<'_, bool>> = None;
        loop {
            let now = started.elapsed();
            if snapshot.is_none() && plan.retry_at.is_none_or(|at| at <= now) && self.is_due() {
                plan.retry_at = None;
                snapshot = Some(Box::pin(self.take_snapshot()));
            }
            match self.wait(&mut snapshot, plan.next(now)).await {
                Event::Stop => break,
                Event::Taken(taken) => {
                    snapshot = None;
                    plan.retry_at = (!taken).then(|| started.elapsed() + RETRY_AFTER);
                    continue;
                }
                Event::Woken => {}
            }
            // Gathers what is synced meanwhile, so that a busy log is marked twenty times a second.
            if !self.sleep(MARK_EVERY).await {
                break;
            }
            let now = started.elapsed();
            let sync = plan.sync_due(now);
            plan.unsynced = !self.write_mark(sync).await;
            if sync {
                plan.synced_at = Some(now);
            }
        }
        if let Some(snapshot) = snapshot {
            // It hears of the stop too; its thread must be done before the directory is let go.
            snapshot.await;
        }
        self.write_mark(true).await;
    }

    /// Sleeps until there is work, or at most `time`.
    async fn wait(
        &self,
        snapshot: &mut Option<BoxFuture<'_, bool>>,
        time: Option<Duration>,
    ) -> Event {
        let mut stop = self.stop.clone();
        let taken = async {
            match snapshot {
                Some(snapshot) => snapshot.await,
                None => future::pending().await,
            }
        };
        let over = async {
            match time {
                Some(time) => H::Runtime::sleep(time).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Event::Stop,
            taken = taken => Event::Taken(taken),
            () = self.shared.wake.notified() => Event::Woken,
            () = over => Event::Woken,
        }
    }

    async fn sleep(&self, time: Duration) -> bool {
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => false,
            () = H::Runtime::sleep(time) => true,
        }
    }

    /// True when the mark is on the disk up to the newest.
    async fn write_mark(&self, sync: bool) -> bool {
        let Some(mark) = self.mark.clone() else { return true };
        match H::offload(move || mark.write(sync)).await {
            Ok(synced) => synced,
            Err(error) => {
                // Without it a damaged tail may look torn; that is no reason to stop now.
                warn!(%error, "cannot mark how far the log is synced");
                false
            }
        }
    }

    fn is_due(&self) -> bool {
        self.shared.since_snapshot.load(Relaxed) >= self.shared.snapshot_due.load(Relaxed)
    }

    /// Takes a snapshot and lets the log go up to the one before; false when it failed.
    async fn take_snapshot(&self) -> bool {
        let covered = self.shared.since_snapshot.load(Relaxed);
        let began = <H::Runtime as AsyncRuntime>::Instant::now();
        let picture = self.raft.with_state_machine(|machine: &mut Machine<H::Runtime>| {
            let picture = machine.picture();
            Box::pin(async move { picture })
        });
        let Ok(Picture { meta, content }) = picture.await else { return false };
        let index = meta.last_log_id.as_ref().map(|id| id.index);
        let snapshots = self.snapshots.clone();
        let shared = self.shared.clone();
        let go_on = move |bytes| {
            if shared.is_stopping() {
                return Err(io::Error::other("the server is stopping"));
            }
            shared.space.as_ref().map_or(Ok(()), |space| space.admit_snapshot(bytes))
        };
        let taken = H::offload(move || snapshots.take(meta, content, &go_on)).await;
        let bytes = match taken {
            Ok(bytes) => bytes,
            Err(error) if self.shared.is_stopping() => {
                debug!(%error, index, "gave up a snapshot");
                return false;
            }
            Err(error) => {
                warn!(%error, index, "cannot take a snapshot");
                return false;
            }
        };
        let took = began.elapsed();
        self.shared.counts.took_snapshot(took);
        let elapsed_s = took.as_secs_f64();
        info!(index, bytes, log_bytes = covered, elapsed_s, "took a snapshot");
        self.shared.since_snapshot.fetch_sub(covered, Relaxed);
        self.shared.snapshot_due.store(bytes.max(self.snapshot_log_bytes), Relaxed);
        let told = self.raft.trigger().snapshot().await;
        let purged = match self.snapshots.purge_upto() {
            Some(upto) if told.is_ok() => self.raft.trigger().purge_log(upto).await,
            _ => told,
        };
        if let Err(error) = purged {
            debug!(%error, "the engine stopped during a snapshot");
        }
        true
    }
}
