//! Reading: the newest view at once, or one that shows every acknowledged write.

use crate::log::Log;
use crate::machine::Published;
use catalog::{Interest, View, Watch};
use consensus::Consensus;
use seams::{BoxFuture, Consistency, Leadership, LogPosition, ReadError, Subscription};
use std::sync::Arc;
use std::time::Duration;

/// The reader of a server, which holds everything.
pub(crate) struct Reader {
    pub published: Arc<Published>,
    pub log: Arc<dyn Log>,
    pub consensus: Consensus,
}

impl seams::Reader for Reader {
    fn view(&self) -> Arc<View> {
        self.published.view.load_full()
    }

    /// One voter's lease and its quorum round are the same thing, so both modes take one way.
    fn current(&self, _: Consistency) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        Box::pin(async move {
            match self.log.consistent().await {
                Ok(_) => Ok(self.view()),
                Err(consensus::ReadError::NoLeader) => Err(ReadError::NoLeader),
                Err(consensus::ReadError::Stopped) => Err(ReadError::Stopped),
            }
        })
    }

    fn subscribe(&self, watches: &[Watch]) -> Subscription {
        self.published.waiters.subscribe(watches)
    }

    fn hold(&self, _: Interest, _: Duration) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        Box::pin(std::future::ready(Ok(self.view())))
    }

    fn leadership(&self) -> Leadership {
        let now = self.consensus.leadership().borrow().clone();
        Leadership {
            leader: now.leader.map(|server| server.address),
            is_leader: now.is_leader,
            last_contact: Duration::ZERO,
        }
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
