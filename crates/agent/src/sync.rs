//! Anti-entropy: what differs between this node's registrations and the catalog, and when to look.
//!
//! A local change is sent at once, alone. Everything is compared now and then; only that repairs
//! what somebody else changed in the catalog (recorded Consul behaviour). It touches only rows that
//! this agent owns or that nobody reconciles (law 1): unlike Consul's, which removes from the
//! catalog whatever its agent does not know.

mod batches;
mod pass;
mod plan;

pub use pass::{Failure, Report, run};
pub use plan::{CatalogTags, Conflict, Scope};

use crate::local::Touched;
use crate::time::{Jitter, Moment};
use model::{Author, Door, Folded};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The first wait after a failed pass; it doubles up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest wait after a failed pass.
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// A change is not kept waiting longer after a failed pass.
const FRESH_RETRY: Duration = Duration::from_secs(1);

/// When to sync what. One pass runs at a time; what changes meanwhile goes with the next.
#[derive(Debug)]
pub struct Syncer {
    pending: Scope,
    author: Authors,
    /// Counts local changes.
    changes: u64,
    full_due: Moment,
    retry_at: Option<Moment>,
    failures: u32,
    running: Option<Running>,
    noise: Noise,
    interval: Duration,
}

#[derive(Debug)]
struct Running {
    scope: Scope,
    up_to: u64,
}

/// A pass to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// What to compare.
    pub scope: Scope,
    /// Who is behind the changes, if it is one.
    pub author: Option<Author>,
}

/// Whose changes are pending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Authors {
    #[default]
    None,
    One(Author),
    Several,
}

impl Syncer {
    /// Everything is to be compared now, and then about every `interval`.
    pub fn new(now: Moment, interval: Duration) -> Syncer {
        Syncer {
            pending: Scope::default(),
            author: Authors::None,
            changes: 0,
            full_due: now,
            retry_at: None,
            failures: 0,
            running: None,
            noise: Noise::default(),
            interval,
        }
    }

    /// Something changed here; returns the change's number.
    pub fn changed(&mut self, touched: &Touched, author: Option<&Author>, now: Moment) -> u64 {
        self.retry_at = self.retry_at.map(|retry| retry.min(now + FRESH_RETRY));
        for id in &touched.checks {
            self.noise.forget(id);
        }
        self.pending.instances.extend(touched.instances.iter().cloned());
        self.pending.checks.extend(touched.checks.iter().cloned());
        self.author.add(author);
        self.changes += 1;
        self.changes
    }

    /// Only what a check says changed: the catalog hears of it after `delay`.
    pub fn murmured(&mut self, check: &Folded, now: Moment, delay: Duration) {
        self.noise.note(check, now + delay);
    }

    /// When [`Syncer::begin`] has something to do; `None` while a pass runs.
    pub fn next_due(&self) -> Option<Moment> {
        if self.running.is_some() {
            return None;
        }
        let wanted = if self.pending.is_empty() {
            self.noise.next().map_or(self.full_due, |due| due.min(self.full_due))
        } else {
            Moment::default()
        };
        Some(self.retry_at.map_or(wanted, |retry| retry.max(wanted)))
    }

    /// Begins the pass that is due, if one is.
    pub fn begin(&mut self, now: Moment) -> Option<Pass> {
        if self.next_due().is_none_or(|due| due > now) {
            return None;
        }
        self.pending.checks.extend(self.noise.take_due(now));
        let mut scope = std::mem::take(&mut self.pending);
        scope.everything = self.full_due <= now;
        self.running = Some(Running { scope: scope.clone(), up_to: self.changes });
        let author = match std::mem::take(&mut self.author) {
            Authors::One(author) => Some(Author { door: Door::Agent, ..author }),
            Authors::None | Authors::Several => None,
        };
        Some(Pass { scope, author })
    }

    /// The pass that ran has ended well; returns the number of the last change it covered.
    pub fn succeeded(&mut self, now: Moment, jitter: &mut Jitter) -> u64 {
        self.failures = 0;
        self.retry_at = None;
        let Some(running) = self.running.take() else { return 0 };
        if running.scope.everything {
            self.full_due = now + self.interval + jitter.below(self.interval);
        }
        running.up_to
    }

    /// Something was left behind: everything is compared again soon, while changes go on.
    pub fn look_again(&mut self, now: Moment) {
        self.full_due = self.full_due.min(now + LONGEST_RETRY);
    }

    /// The pass that ran has failed: what it was about is pending again, a little later.
    pub fn failed(&mut self, now: Moment, jitter: &mut Jitter) {
        let doublings = self.failures.min(16);
        self.failures += 1;
        let wait = FIRST_RETRY.saturating_mul(1 << doublings).min(LONGEST_RETRY);
        self.retry_at = Some(now + wait / 2 + jitter.below(wait / 2));
        if let Some(running) = self.running.take() {
            self.pending.instances.extend(running.scope.instances);
            self.pending.checks.extend(running.scope.checks);
            self.author = Authors::Several;
        }
    }
}

impl Authors {
    fn add(&mut self, author: Option<&Author>) {
        *self = match (std::mem::take(self), author) {
            (Authors::None, Some(author)) => Authors::One(author.clone()),
            (Authors::One(one), Some(author)) if one == *author => Authors::One(one),
            _ => Authors::Several,
        };
    }
}

/// Checks of which only the output changed, and when the catalog is to hear of it.
#[derive(Debug, Default)]
struct Noise {
    by_check: BTreeMap<Folded, Moment>,
    by_time: BTreeSet<(Moment, Folded)>,
}

impl Noise {
    fn note(&mut self, check: &Folded, due: Moment) {
        if !self.by_check.contains_key(check) {
            self.by_check.insert(check.clone(), due);
            self.by_time.insert((due, check.clone()));
        }
    }

    fn forget(&mut self, check: &Folded) {
        if let Some(due) = self.by_check.remove(check) {
            self.by_time.remove(&(due, check.clone()));
        }
    }

    fn next(&self) -> Option<Moment> {
        self.by_time.first().map(|(due, _)| *due)
    }

    fn take_due(&mut self, now: Moment) -> Vec<Folded> {
        let mut due = Vec::new();
        while let Some((_, check)) = self.by_time.first().filter(|(at, _)| *at <= now).cloned() {
            self.forget(&check);
            due.push(check);
        }
        due
    }
}

#[cfg(test)]
mod tests;
