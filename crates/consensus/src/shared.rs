//! What the parts of one running server tell each other.
//!
//! The first fatal message wins: what the machine or the disk said is worth more to the operator
//! than the engine's account of having stopped because of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use crate::space::Space;

/// What is counted, for the operator.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Appends of entries that were synced.
    pub appends: AtomicU64,
    /// Microseconds from an append to the end of its sync, of all of them.
    pub append_us: AtomicU64,
    /// Snapshots taken.
    pub snapshots: AtomicU64,
    /// Microseconds that they took.
    pub snapshot_us: AtomicU64,
}

impl Counts {
    pub(crate) fn appended(&self, took: Duration) {
        self.appends.fetch_add(1, Relaxed);
        self.append_us.fetch_add(took.as_micros() as u64, Relaxed);
    }

    pub(crate) fn took_snapshot(&self, took: Duration) {
        self.snapshots.fetch_add(1, Relaxed);
        self.snapshot_us.fetch_add(took.as_micros() as u64, Relaxed);
    }
}

/// One server's shared state.
pub(crate) struct Shared {
    /// Where the data is, for messages.
    pub place: Option<PathBuf>,
    pub space: Option<Space>,
    pub stopping: AtomicBool,
    /// The index of the last applied entry; set before its proposer is answered.
    pub applied: AtomicU64,
    /// Bytes of log applied since the last snapshot, replayed ones included.
    pub since_snapshot: AtomicU64,
    /// The bytes of log after which the next snapshot is due.
    pub snapshot_due: AtomicU64,
    pub counts: Counts,
    /// Wakes the keeper: something was synced, or a snapshot is due.
    pub wake: Arc<Notify>,
    fatal: watch::Sender<Option<String>>,
}

impl Shared {
    pub(crate) fn new(place: Option<PathBuf>, space: Option<Space>, wake: Arc<Notify>) -> Shared {
        Shared {
            place,
            space,
            stopping: AtomicBool::new(false),
            applied: AtomicU64::new(0),
            since_snapshot: AtomicU64::new(0),
            snapshot_due: AtomicU64::new(u64::MAX),
            counts: Counts::default(),
            wake,
            fatal: watch::Sender::new(None),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Records why the process must end, unless that is already known.
    pub(crate) fn fail(&self, message: String) {
        let first = self.fatal.send_if_modified(|held| {
            let first = held.is_none();
            held.get_or_insert(message);
            first
        });
        if first && let Some(message) = &*self.fatal.borrow() {
            error!(%message, "consensus cannot go on");
        }
    }

    /// Records that the log cannot be written or read; that is nothing new once it is being closed.
    pub(crate) fn fail_log(&self, doing: &str, problem: &io::Error) {
        let place = match &self.place {
            Some(place) => format!("the log in {}", place.display()),
            None => "the log in memory".into(),
        };
        let full = is_full(problem);
        if full
            && let Some(space) = &self.space
            && let Err(error) = space.give_up()
        {
            error!(%error, "cannot give up the reserve file");
        }
        if self.is_stopping() {
            // The log is being closed under what the engine still had to write.
            warn!(%problem, doing, place, "log not written while stopping");
            return;
        }
        if full {
            return self.fail(format!(
                "cannot {doing} {place}: the disk is full; make room and start again, nothing \
                 that was acknowledged is lost"
            ));
        }
        self.fail(format!(
            "cannot {doing} {place}: {problem}; look at the disk and start again, nothing that was \
             acknowledged is lost"
        ));
    }

    pub(crate) fn failed(&self) -> Option<String> {
        self.fatal.borrow().clone()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.fatal.borrow().is_some()
    }

    /// Resolves once something failed.
    pub(crate) async fn wait_failed(&self) -> String {
        let mut watcher = self.fatal.subscribe();
        let held = watcher.wait_for(Option::is_some).await;
        held.expect("the sender lives in self").clone().expect("waited for it")
    }

    /// Counts a log entry of `bytes` and wakes the keeper when a snapshot is due.
    pub(crate) fn count_applied(&self, bytes: u64) {
        let before = self.since_snapshot.fetch_add(bytes, Relaxed);
        if before + bytes >= self.snapshot_due.load(Relaxed) {
            self.wake.notify_one();
        }
    }
}

/// Whether there is no room, on the disk or for this user.
fn is_full(problem: &io::Error) -> bool {
    matches!(problem.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_full_quota_are_told_alike() {
        for (problem, full) in [
            (io::ErrorKind::StorageFull.into(), true),
            (io::ErrorKind::QuotaExceeded.into(), true),
            (io::Error::from(nix::errno::Errno::EDQUOT), true),
            (io::Error::from(nix::errno::Errno::EIO), false),
        ] {
            let shared = Shared::new(None, None, Arc::default());
            shared.fail_log("write", &problem);
            let said = shared.failed().unwrap();
            assert_eq!(said.contains("the disk is full; make room"), full, "{said}");
        }
    }

    #[test]
    fn a_log_that_is_closed_by_a_stop_has_not_failed() {
        let shared = Shared::new(None, None, Arc::default());
        shared.stopping.store(true, Relaxed);
        shared.fail_log("write", &io::Error::other("the log is closed"));
        assert_eq!(shared.failed(), None);
    }
}
