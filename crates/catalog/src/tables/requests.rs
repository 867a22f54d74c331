//! What became of recent requests, so that a repetition is answered and not applied again (law 6).
//!
//! Bounded by log time and by count; the oldest goes first. Proposers give up long before that.

use crate::entry::Outcome;
use imbl::OrdMap;
use model::{RequestKey, Timestamp};

/// How long an outcome is remembered, in milliseconds of log time.
pub const REQUEST_WINDOW: u64 = 60_000;

/// How many outcomes are remembered at most.
pub const REQUESTS_KEPT: usize = 16_384;

/// Recent outcomes by request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    outcomes: OrdMap<RequestKey, (Timestamp, Outcome)>,
    order: OrdMap<(Timestamp, RequestKey), ()>,
}

impl Requests {
    /// What became of a request, if it is remembered.
    pub fn outcome(&self, request: &RequestKey) -> Option<&Outcome> {
        self.outcomes.get(request).map(|(_, outcome)| outcome)
    }

    /// Remembers an outcome; the oldest goes where there are too many.
    pub fn remember(&mut self, request: RequestKey, time: Timestamp, outcome: Outcome) {
        self.outcomes.insert(request, (time, outcome));
        self.order.insert((time, request), ());
        self.forget(Timestamp(0));
    }

    /// Forgets what is too old or too much at this time; says how many.
    pub fn forget(&mut self, now: Timestamp) -> usize {
        let mut forgotten = 0;
        while let Some(((time, request), ())) = self.order.get_min().cloned() {
            let over = time.0.saturating_add(REQUEST_WINDOW) <= now.0;
            if !over && self.outcomes.len() <= REQUESTS_KEPT {
                break;
            }
            self.order.remove(&(time, request));
            self.outcomes.remove(&request);
            forgotten += 1;
        }
        forgotten
    }

    /// Every remembered outcome, by request.
    pub fn iter(&self) -> impl Iterator<Item = (&RequestKey, &(Timestamp, Outcome))> {
        self.outcomes.iter()
    }
}
