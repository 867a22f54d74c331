//! Proposals gathered: what comes while a batch is under way is the next batch.
//!
//! Handing over to the engine, an append, a sync and a call of the machine cost nearly the same for
//! one proposal as for a hundred. So one task hands over all that wait, and only when the batch
//! before is answered the next: a lone writer waits for nobody, and many share everything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::StreamExt;
use openraft::errors::ClientWriteError;
use tokio::sync::{Notify, oneshot};
use tracing::debug;

use crate::engine::{Host, Node};
use crate::handle::Applied;
use crate::options::Limits;
use crate::queue::Priority;
use crate::types::Proposal;

/// Why the engine did not apply a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It does not stand in the log; who leads, if that is known.
    NotLeader(Option<u64>),
    /// It may stand in the log, or come to.
    Unknown,
}

/// What became of a proposal.
pub(crate) type Answer = Result<Applied, Refused>;

/// How often the task that hands over lets others go first, before it takes a batch.
///
/// Each time, what is ready on its thread runs once, and what has come in is made ready: those who
/// were just answered and ask again are then in this batch and not in the next. More often gathers
/// no more; less often, half as many share a sync.
const STEPS_ASIDE: usize = 3;

/// Of so many places of a batch one is not for what is urgent, so that nothing waits for ever.
const EVERY: usize = 8;

/// Proposals that are not handed over yet.
pub(crate) struct Gathered {
    /// None once nothing is handed over any more.
    waiting: Mutex<Option<Line>>,
    wake: Notify,
    most_entries: usize,
    most_bytes: usize,
}

/// Who waits: what is urgent is in the next batch, but for every eighth place while others wait.
#[derive(Default)]
struct Line {
    urgent: VecDeque<Waiting>,
    usual: VecDeque<Waiting>,
}

impl Line {
    /// Whose turn the place of this number in a batch is.
    fn turn(&mut self, place: usize) -> &mut VecDeque<Waiting> {
        let is_usuals = place % EVERY == EVERY - 1 && !self.usual.is_empty();
        if self.urgent.is_empty() || is_usuals { &mut self.usual } else { &mut self.urgent }
    }
}

struct Waiting {
    proposal: Proposal,
    answer: oneshot::Sender<Answer>,
}

impl Gathered {
    /// None yet; a batch is at most what the machine is given at once.
    pub(crate) fn new(limits: &Limits) -> Arc<Gathered> {
        Arc::new(Gathered {
            waiting: Mutex::new(Some(Line::default())),
            wake: Notify::new(),
            most_entries: limits.apply_entries,
            most_bytes: limits.apply_bytes,
        })
    }

    /// Puts a proposal into the next batch and waits for what becomes of it.
    ///
    /// Dropping the future does not take the proposal back.
    pub(crate) async fn propose(&self, priority: Priority, proposal: Proposal) -> Answer {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { proposal, answer };
        match (self.lock().as_mut(), priority) {
            (Some(line), Priority::Urgent) => line.urgent.push_back(waiting),
            (Some(line), Priority::Usual) => line.usual.push_back(waiting),
            (None, _) => return Err(Refused::NotLeader(None)),
        }
        self.wake.notify_one();
        answered.await.unwrap_or(Err(Refused::Unknown))
    }

    /// Hands over nothing more; who still waits is refused.
    pub(crate) fn close(&self) {
        let mut line = self.lock().take().unwrap_or_default();
        while let Some(waiting) = line.turn(0).pop_front() {
            let _who_asked_may_be_gone = waiting.answer.send(Err(Refused::NotLeader(None)));
        }
        self.wake.notify_one();
    }

    /// The next batch; none when closed.
    async fn next(&self) -> Option<Vec<Waiting>> {
        loop {
            // Who was just answered is about to ask again, and others stand in line on this thread.
            for _ in 0..STEPS_ASIDE {
                tokio::task::yield_now().await;
            }
            match self.take() {
                Some(batch) if batch.is_empty() => self.wake.notified().await,
                batch => return batch,
            }
        }
    }

    fn take(&self) -> Option<Vec<Waiting>> {
        let mut held = self.lock();
        let line = held.as_mut()?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.most_entries
            && let Some(next) = line.turn(batch.len()).front()
        {
            bytes += next.proposal.bytes.len();
            if !batch.is_empty() && bytes > self.most_bytes {
                break;
            }
            let place = batch.len();
            batch.extend(line.turn(place).pop_front());
        }
        Some(batch)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Line>> {
        self.waiting.lock().expect("nothing panics while holding it")
    }
}

/// Hands batches over, one after another, until [`Gathered::close`].
pub(crate) async fn hand_over<H: Host>(raft: Node<H>, gathered: Arc<Gathered>) {
    while let Some(batch) = gathered.next().await {
        let (proposals, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.proposal, waiting.answer)).unzip();
        let mut answers = answers.into_iter();
        match raft.client_write_many(proposals).await {
            Ok(mut results) => {
                while let Some(Ok(result)) = results.next().await {
                    let Some(answer) = answers.next() else { break };
                    let told = result
                        .map(|done| Applied { index: done.log_id.index, response: done.response })
                        .map_err(|error| match error {
                            ClientWriteError::ForwardToLeader(to) => {
                                Refused::NotLeader(to.leader_id)
                            }
                            _ => Refused::Unknown,
                        });
                    let _who_asked_may_be_gone = answer.send(told);
                }
            }
            Err(error) => debug!(%error, "a batch was not handed over"),
        }
        for answer in answers {
            let _who_asked_may_be_gone = answer.send(Err(Refused::Unknown));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;
    use Priority::{Urgent, Usual};

    fn proposal(size: usize) -> Proposal {
        Proposal { bytes: Bytes::from(vec![0; size]), ticket: None }
    }

    /// Puts proposals of these sizes and takes batches until there are no more: their sizes.
    #[track_caller]
    fn check(most: (usize, usize), given: &[(Priority, usize)], expected: &[&[usize]]) {
        let limits = Limits { apply_entries: most.0, apply_bytes: most.1, ..Limits::default() };
        let gathered = Gathered::new(&limits);
        let propose = |&(priority, size)| Box::pin(gathered.propose(priority, proposal(size)));
        let mut proposals: Vec<_> = given.iter().map(propose).collect();
        for proposal in &mut proposals {
            assert!(proposal.as_mut().now_or_never().is_none());
        }
        let batches = std::iter::from_fn(|| gathered.take().filter(|batch| !batch.is_empty()));
        let batches: Vec<Vec<usize>> = batches
            .map(|batch| batch.iter().map(|waiting| waiting.proposal.bytes.len()).collect())
            .collect();
        assert_eq!(batches, expected);
    }

    #[test]
    fn a_batch_is_all_that_waits_up_to_its_bounds() {
        let usual = |sizes: &[usize]| sizes.iter().map(|size| (Usual, *size)).collect::<Vec<_>>();
        check((10, 100), &[], &[]);
        check((10, 100), &usual(&[1, 2, 3]), &[&[1, 2, 3]]);
        check((2, 100), &usual(&[1, 2, 3]), &[&[1, 2], &[3]]);
        check((10, 10), &usual(&[4, 6, 1, 99, 1]), &[&[4, 6], &[1], &[99], &[1]]);
    }

    #[test]
    fn what_is_urgent_is_in_the_next_batch() {
        let given = [(Usual, 1), (Usual, 2), (Usual, 3), (Urgent, 4), (Urgent, 5)];
        check((2, 100), &given, &[&[4, 5], &[1, 2], &[3]]);
        check((3, 100), &given, &[&[4, 5, 1], &[2, 3]]);
    }

    #[test]
    fn what_is_urgent_leaves_an_eighth_to_the_others() {
        let urgent = (10..30).map(|size| (Urgent, size));
        let given: Vec<_> = [(Usual, 1), (Usual, 2)].into_iter().chain(urgent).collect();
        let first = [10, 11, 12, 13, 14, 15, 16, 1, 17, 18];
        let second = [19, 20, 21, 22, 23, 24, 25, 2, 26, 27];
        check((10, 1000), &given, &[&first, &second, &[28, 29]]);
    }

    #[tokio::test]
    async fn whoever_waits_when_it_closes_is_refused_and_who_comes_later_too() {
        let gathered = Gathered::new(&Limits::default());
        let mut waits = Box::pin(gathered.propose(Usual, proposal(1)));
        assert!(waits.as_mut().now_or_never().is_none());
        gathered.close();
        assert_eq!(waits.await, Err(Refused::NotLeader(None)));
        assert_eq!(gathered.propose(Urgent, proposal(1)).await, Err(Refused::NotLeader(None)));
        assert!(gathered.next().await.is_none());
    }
}
