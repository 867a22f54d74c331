//! Writing: a proposal becomes a stamped entry, and an answer that was lost is asked for again.
//!
//! Every entry carries a request key. If the log says "outcome unknown", the same entry is proposed
//! again under that key: the state machine applies it once and repeats the first outcome (law 6).

use crate::clock::Clock;
use crate::log::Log;
use crate::meters::Meters;
use crate::under_way::UnderWay;
use catalog::{Command, Entry, Outcome, Refusal, format};
use consensus::{Priority, ProposeError};
use model::{Index, RequestKey};
use seams::{BoxFuture, Committed, Proposal, WriteError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tracing::debug;
use uuid::Uuid;

/// How often a proposal whose answer was lost is repeated.
///
/// All of it stays far below [`catalog::REQUEST_WINDOW`], within which a repetition is recognised;
/// if many other writes pushed its outcome out, the repetition is refused and told as unknown.
const REPEATS: usize = 3;

/// The writer of a server.
pub(crate) struct Writer {
    log: Arc<dyn Log>,
    clock: Arc<Clock>,
    client: Uuid,
    sequence: AtomicU64,
    under_way: Arc<UnderWay>,
    meters: Meters,
}

impl Writer {
    /// A writer with a client id of its own; the machine finds what it proposes in `under_way`.
    pub fn new(
        log: Arc<dyn Log>,
        clock: Arc<Clock>,
        under_way: Arc<UnderWay>,
        meters: Meters,
    ) -> Writer {
        let sequence = AtomicU64::new(0);
        Writer { log, clock, client: Uuid::new_v4(), sequence, under_way, meters }
    }

    async fn propose_counted(&self, entry: Entry) -> Result<Committed, WriteError> {
        let began = Instant::now();
        let (request, door) = (entry.author.request.clone(), entry.author.door);
        let done = self.propose_entry(entry).await;
        match &done {
            Ok(committed) => {
                debug!(index = committed.index.0, %request, ?door, "entry committed");
                self.meters.commit.observe(began.elapsed().as_secs_f64());
            }
            Err(_) => {
                self.meters.failed.inc();
            }
        }
        done
    }

    async fn propose_entry(&self, entry: Entry) -> Result<Committed, WriteError> {
        let (bytes, priority) = (format::encode_entry(&entry), priority(&entry.commands));
        let _held_until_it_is_answered = self.under_way.hold(entry, &bytes);
        let mut repeats = 0;
        loop {
            match self.log.propose(priority, bytes.clone()).await {
                Ok(applied) => {
                    let outcome = format::decode_outcome(&applied.response)
                        .map_err(|error| WriteError::Unknown(error.to_string()))?;
                    if outcome == Outcome::Refused(Refusal::TooLateToKnow) {
                        return Err(WriteError::Unknown(Refusal::TooLateToKnow.to_string()));
                    }
                    return Ok(Committed { index: Index(applied.index), outcome });
                }
                Err(ProposeError::Unknown) if repeats < REPEATS => repeats += 1,
                // An earlier try may have come to stand in the log, whatever this one met.
                Err(error) if repeats > 0 => return Err(WriteError::Unknown(error.to_string())),
                Err(error) => return Err(refusal(error)),
            }
        }
    }

    fn request(&self) -> RequestKey {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        RequestKey { client: self.client, sequence }
    }
}

impl seams::Writer for Writer {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, WriteError>> {
        let entry = Entry {
            time: self.clock.now(),
            author: proposal.author,
            owner: proposal.owner,
            claim: proposal.claim,
            tenant: proposal.tenant,
            request: Some(proposal.request.unwrap_or_else(|| self.request())),
            commands: proposal.commands,
        };
        Box::pin(self.propose_counted(entry))
    }
}

/// What tells how things stand goes before what asks for more: results of checks, and the end of
/// sessions. Giving up a lock keeps its place: it must not overtake the taking of it.
fn priority(commands: &[Command]) -> Priority {
    let ends_or_reports = |command: &Command| {
        matches!(
            command,
            Command::PutCheck(_) | Command::ExpireSession(_) | Command::DestroySession(_)
        )
    };
    let urgent = commands.iter().all(ends_or_reports);
    if urgent { Priority::Urgent } else { Priority::Usual }
}

fn refusal(error: ProposeError) -> WriteError {
    match error {
        ProposeError::TooLarge { bytes, limit } => WriteError::TooLarge { size: bytes, limit },
        ProposeError::QueueFull => WriteError::Busy,
        ProposeError::DiskFull { free, needed } => WriteError::DiskFull { free, reserve: needed },
        ProposeError::NoLeader => WriteError::NoLeader,
        ProposeError::Unknown => WriteError::Unknown("the log lost the answer".to_owned()),
        ProposeError::Stopped => WriteError::Stopped,
    }
}

#[cfg(test)]
mod tests;
