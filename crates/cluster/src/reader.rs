//! Reading: the newest view at once, or one that shows every acknowledged write.
//!
//! A usual read needs no turn of the engine while the lease holds. The others wait for one, and share
//! it: a turn serves all who came before it began.

use crate::log::Log;
use crate::machine::Published;
use catalog::{Interest, View, Watch};
use consensus::Consensus;
use seams::{BoxFuture, Consistency, Leadership, LogPosition, Marks, ReadError, Subscription};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The reader of a server, which holds everything.
pub(crate) struct Reader {
    pub published: Arc<Published>,
    pub log: Arc<dyn Log>,
    pub consensus: Consensus,
    pub leadership: watch::Receiver<consensus::Leadership>,
    pub turns: Turns,
}

/// Who waits for the engine's next turn.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// A turn is under way or about to be, for others than these.
    turning: bool,
    next: Vec<oneshot::Sender<Result<(), ReadError>>>,
}

impl Turns {
    /// Waits for a turn that begins after this call.
    async fn wait(&self, log: &Arc<dyn Log>) -> Result<(), ReadError> {
        let (tell, told) = oneshot::channel();
        if self.join(tell) {
            // A task of its own: whoever asked first may go away while others wait.
            tokio::spawn(self.clone().turn(Arc::clone(log)));
        }
        told.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// Waits from now on; whether somebody must see to the turns.
    fn join(&self, tell: oneshot::Sender<Result<(), ReadError>>) -> bool {
        let mut waiting = self.lock();
        waiting.next.push(tell);
        !std::mem::replace(&mut waiting.turning, true)
    }

    async fn turn(self, log: Arc<dyn Log>) {
        let _refuses = RefusesAfterPanic(&self);
        while let Some(served) = self.next() {
            let done = log.consistent().await.map(|_| ()).map_err(|error| match error {
                consensus::ReadError::NoLeader => ReadError::NoLeader,
                consensus::ReadError::Stopped => ReadError::Stopped,
            });
            for tell in served {
                // Who has gone away needs no answer.
                let _ = tell.send(done.clone());
            }
        }
    }

    fn next(&self) -> Option<Vec<oneshot::Sender<Result<(), ReadError>>>> {
        let mut waiting = self.lock();
        waiting.turning = !waiting.next.is_empty();
        waiting.turning.then(|| std::mem::take(&mut waiting.next))
    }

    /// A panic elsewhere leaves this whole: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever waits for a turn that panicked hears so, and the next to come begins another.
struct RefusesAfterPanic<'t>(&'t Turns);

impl Drop for RefusesAfterPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.lock() = Waiting::default();
        }
    }
}

impl seams::Reader for Reader {
    fn view(&self) -> Arc<View> {
        self.published.view.load_full()
    }

    fn marks(&self) -> Option<&Marks> {
        Some(&self.published.marks)
    }

    fn leased(&self) -> Option<Arc<View>> {
        self.log.has_lease().then(|| self.view())
    }

    /// Through the lease where that is asked for and there is one, else through a turn of the engine,
    /// which asks a quorum.
    fn current(&self, how: Consistency) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        Box::pin(async move {
            if how == Consistency::Default
                && let Some(view) = self.leased()
            {
                return Ok(view);
            }
            self.turns.wait(&self.log).await?;
            Ok(self.view())
        })
    }

    fn subscribe(&self, watches: &[Watch]) -> Subscription {
        self.published.waiters.subscribe(watches)
    }

    fn hold(&self, _: Interest, _: Duration) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        Box::pin(std::future::ready(Ok(self.view())))
    }

    fn leadership(&self) -> Leadership {
        let now = self.leadership.borrow();
        Leadership {
            leader: now.leader.as_ref().map(|server| server.address.clone()),
            is_leader: now.is_leader,
            last_contact: Duration::ZERO,
        }
    }

    fn contact(&self) -> (bool, Duration) {
        (self.leadership.borrow().leader.is_some(), Duration::ZERO)
    }

    fn log_position(&self) -> LogPosition {
        let status = self.consensus.status();
        LogPosition {
            term: status.term,
            last_index: status.last_log_index,
            last_term: status.last_log_term,
            commit_index: status.commit_index,
            applied_index: status.applied_index,
            snapshot_index: status.last_snapshot_index,
            snapshot_term: status.last_snapshot_term,
            peers: status.voters.len().saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use consensus::{Applied, Priority, ProposeError};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    /// A log whose turns end when they are let.
    struct Slow {
        turns: AtomicUsize,
        ends: Semaphore,
    }

    impl Log for Slow {
        fn propose(&self, _: Priority, _: Bytes) -> BoxFuture<'_, Result<Applied, ProposeError>> {
            Box::pin(std::future::ready(Err(ProposeError::Stopped)))
        }

        fn consistent(&self) -> BoxFuture<'_, Result<u64, consensus::ReadError>> {
            self.turns.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                self.ends.acquire().await.expect("never closed").forget();
                Ok(1)
            })
        }
    }

    #[tokio::test]
    async fn reads_that_come_during_a_turn_share_the_next() {
        let slow = Arc::new(Slow { turns: AtomicUsize::new(0), ends: Semaphore::new(0) });
        let log = Arc::clone(&slow) as Arc<dyn Log>;
        let turns = Turns::default();
        let ask = || {
            let (turns, log) = (turns.clone(), Arc::clone(&log));
            tokio::spawn(async move { turns.wait(&log).await })
        };
        let first = ask();
        while slow.turns.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let later: Vec<_> = (0..50).map(|_| ask()).collect();
        while turns.lock().next.len() < 50 {
            tokio::task::yield_now().await;
        }
        slow.ends.add_permits(1);
        assert_eq!(first.await.expect("no panic"), Ok(()));
        later[0].abort();
        slow.ends.add_permits(1);
        for read in later.into_iter().skip(1) {
            assert_eq!(read.await.expect("no panic"), Ok(()));
        }
        assert_eq!(slow.turns.load(Ordering::SeqCst), 2, "one for the first, one for all others");
        assert!(!turns.lock().turning);
    }
}
