//! What became of recent requests, so that a repetition is answered and not applied again (law 6).
//!
//! Bounded by log time and by count; the oldest goes first. What transactions showed is bounded in
//! bytes too ([`RESULTS_KEPT`]): a repetition of one whose results went is told that it is too late
//! to know, and is not applied again. The bounds decide which entries are applied, so they are part of
//! the format: changing one is a change of the format.
//!
//! How far it forgot is kept: a repetition carries the bytes of the first try and so its stamp, and
//! one whose stamp lies there is refused ([`Refusal::TooLateToKnow`]) instead of applied a second time.
//!
//! A fresh entry does not lie there. The leader's clock never stamps below the state's time, so an
//! outcome that is forgotten by age is a minute older; and to be forgotten by count,
//! [`REQUESTS_KEPT`] others must have come after the stamp and before the entry, while fewer than
//! half as many proposals may be under way. Were one ever hit, it is refused and nothing is lost.

use crate::Refusal;
use crate::entry::{Outcome, Reply};
use imbl::OrdMap;
use model::{RequestKey, Timestamp};
use std::sync::{Arc, LazyLock};

/// How long an outcome is remembered, in milliseconds of log time.
pub const REQUEST_WINDOW: u64 = 60_000;

/// How many outcomes are remembered at most; more than proposals may be under way.
pub const REQUESTS_KEPT: usize = 16_384;

/// How many bytes of what transactions showed, or why they failed, are remembered at most; an
/// estimate. More would let a client who reads whole trees in its writes fill the memory.
pub const RESULTS_KEPT: u64 = 8 << 20;

/// What became of nearly every entry: its one command was carried out.
static DONE: LazyLock<Arc<Outcome>> = LazyLock::new(|| Arc::new(Outcome::Done(vec![Reply::Done])));

static TOO_LATE: LazyLock<Arc<Outcome>> =
    LazyLock::new(|| Arc::new(Outcome::Refused(Refusal::TooLateToKnow)));

/// Recent outcomes by request; those that say the same share it, as copies of the map do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    outcomes: OrdMap<RequestKey, (Timestamp, Arc<Outcome>)>,
    order: OrdMap<(Timestamp, RequestKey), ()>,
    /// The transactions among them whose results are still there, with their weight.
    results: OrdMap<(Timestamp, RequestKey), u64>,
    results_bytes: u64,
    /// The time of the newest outcome that was forgotten.
    pub forgotten: Option<Timestamp>,
}

impl Requests {
    /// What became of a request, if it is remembered.
    pub fn outcome(&self, request: &RequestKey) -> Option<&Outcome> {
        self.outcomes.get(request).map(|(_, outcome)| &**outcome)
    }

    /// Whether an entry of this stamp may be one whose outcome was forgotten.
    pub fn may_have_forgotten(&self, stamp: Timestamp) -> bool {
        self.forgotten.is_some_and(|forgotten| stamp <= forgotten)
    }

    /// Remembers an outcome; the oldest goes where there are too many.
    pub fn remember(&mut self, request: RequestKey, time: Timestamp, outcome: &Outcome) {
        let weight = outcome.weight_v1();
        let outcome = match outcome {
            _ if weight > RESULTS_KEPT => Arc::clone(&TOO_LATE),
            outcome if *outcome == **DONE => Arc::clone(&DONE),
            outcome => Arc::new(outcome.clone()),
        };
        self.outcomes.insert(request, (time, outcome));
        self.order.insert((time, request), ());
        if (1..=RESULTS_KEPT).contains(&weight) {
            self.results.insert((time, request), weight);
            self.results_bytes += weight;
            self.forget_results();
        }
        self.forget(Timestamp(0));
    }

    /// Forgets the oldest results until the rest keeps within its limit; that there was a request
    /// stays known.
    fn forget_results(&mut self) {
        while self.results_bytes > RESULTS_KEPT
            && let Some(((time, request), weight)) = self.results.get_min().cloned()
        {
            self.results.remove(&(time, request));
            self.results_bytes -= weight;
            self.outcomes.insert(request, (time, Arc::clone(&TOO_LATE)));
        }
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
            if let Some(weight) = self.results.remove(&(time, request)) {
                self.results_bytes -= weight;
            }
            self.outcomes.remove(&request);
            self.forgotten = self.forgotten.max(Some(time));
            forgotten += 1;
        }
        forgotten
    }

    /// Every remembered outcome, by request.
    pub fn iter(&self) -> impl Iterator<Item = (&RequestKey, Timestamp, &Outcome)> {
        self.outcomes.iter().map(|(request, (time, outcome))| (request, *time, &**outcome))
    }
}
