//! What happens in the background of a running server.
//!
//! One task: it sleeps until the log has synced something or a snapshot is due. Then it writes the
//! mark, and takes the snapshot on a thread of its own while writes go on. A snapshot that fails is
//! no reason to die: the log is whole, and it is tried again later.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

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
const MARK_SYNCS_EVERY: u32 = 20;
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

impl<H: Host> Keeper<H> {
    /// Works until told to stop; the mark is then written a last time.
    pub(crate) async fn run(mut self) {
        let mut round: u32 = 0;
        let mut pause = Duration::ZERO;
        while self.wait().await {
            // Gathers what is synced meanwhile, so that a busy log is marked twenty times a second.
            if !self.sleep(MARK_EVERY).await {
                break;
            }
            round = round.wrapping_add(1);
            self.write_mark(round.is_multiple_of(MARK_SYNCS_EVERY)).await;
            pause = pause.saturating_sub(MARK_EVERY);
            if pause.is_zero() && self.is_due() && !self.take_snapshot().await {
                pause = RETRY_AFTER;
            }
        }
        self.write_mark(true).await;
    }

    /// Sleeps until there is work; false when it is time to stop.
    async fn wait(&mut self) -> bool {
        let (wake, stop) = (self.shared.wake.clone(), &mut self.stop);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => false,
            () = wake.notified() => true,
        }
    }

    async fn sleep(&mut self, time: Duration) -> bool {
        let stop = &mut self.stop;
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => false,
            () = H::Runtime::sleep(time) => true,
        }
    }

    async fn write_mark(&self, sync: bool) {
        let Some(mark) = self.mark.clone() else { return };
        if let Err(error) = H::offload(move || mark.write(sync)).await {
            // Without it a damaged tail may look torn; that is no reason to stop now.
            warn!(%error, "cannot mark how far the log is synced");
        }
    }

    fn is_due(&self) -> bool {
        self.shared.since_snapshot.load(Relaxed) >= self.shared.snapshot_due.load(Relaxed)
    }

    /// Takes a snapshot and lets the log go up to the one before; false when it failed.
    async fn take_snapshot(&self) -> bool {
        let covered = self.shared.since_snapshot.load(Relaxed);
        let picture = self.raft.with_state_machine(|machine: &mut Machine<H::Runtime>| {
            let picture = machine.picture();
            Box::pin(async move { picture })
        });
        let Ok(Picture { meta, content }) = picture.await else { return false };
        let index = meta.last_log_id.as_ref().map(|id| id.index);
        let snapshots = self.snapshots.clone();
        let taken = H::offload(move || snapshots.take(meta, content)).await;
        let bytes = match taken {
            Ok(bytes) => bytes,
            Err(error) => {
                warn!(%error, index, "cannot take a snapshot");
                return false;
            }
        };
        info!(index, bytes, log_bytes = covered, "took a snapshot");
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
