//! When checks run and what their results amount to: one pure state machine for all of them.
//!
//! No task sleeps per check: all their timers stand in one queue, and whoever drives this sleeps
//! until [`Checks::next_due`]. Probes that run are bounded; those due beyond wait their turn.
//!
//! Source: Consul, "Health check configuration".

use crate::time::Moment;
use model::{Check, CheckDefinition, Folded, Status};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// No check runs more often.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// No more probes run at once, unless less is asked for; those due beyond wait.
pub const MAX_PROBES: usize = 512;
/// How often services that stayed critical too long are looked for.
pub const REAP_PERIOD: Duration = Duration::from_secs(30);
/// The least time a service may stay critical before it is deregistered; less is raised to it.
pub const MIN_CRITICAL_LIMIT: Duration = Duration::from_secs(60);

/// How a check comes by its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is told, and turns critical when it is not told for so long.
    Ttl(Duration),
    /// It is run at this interval.
    Probe(Duration),
    /// It says what others say.
    Alias,
    /// None of these: it stays as registered.
    Passive,
}

impl Kind {
    /// The kind of check that a definition describes.
    pub fn of(definition: &CheckDefinition) -> Kind {
        if let Some(ttl) = definition.ttl.positive() {
            return Kind::Ttl(ttl);
        }
        if crate::alias::is_asked(definition) {
            return Kind::Alias;
        }
        match definition.interval.positive() {
            Some(interval) => Kind::Probe(interval.max(MIN_INTERVAL)),
            None => Kind::Passive,
        }
    }
}

/// What scheduling needs to know of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// How it comes by its results.
    pub kind: Kind,
    /// Successes in a row before passing or warning shows.
    pub success_before_passing: u32,
    /// Failures in a row before warning shows.
    pub failures_before_warning: u32,
    /// Failures in a row before critical shows.
    pub failures_before_critical: u32,
    /// How long it may stay critical before its instance goes; `None`: for ever.
    pub critical_limit: Option<Duration>,
    /// The instance it watches; empty for the node.
    pub instance: Folded,
}

impl Spec {
    /// Of a check and its definition.
    pub fn new(check: &Check, definition: Option<&CheckDefinition>) -> Spec {
        let count = |given: i64| u32::try_from(given.max(0)).unwrap_or(u32::MAX);
        let fallback = CheckDefinition::default();
        let definition = definition.unwrap_or(&fallback);
        let critical = count(definition.failures_before_critical);
        let warning = count(definition.failures_before_warning);
        let limit = definition.deregister_critical_service_after.positive();
        Spec {
            kind: Kind::of(definition),
            success_before_passing: count(definition.success_before_passing),
            failures_before_warning: if warning == 0 { critical } else { warning },
            failures_before_critical: critical,
            critical_limit: limit
                .filter(|_| !check.instance.is_empty())
                .map(|limit| limit.max(MIN_CRITICAL_LIMIT)),
            instance: check.instance.fold(),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A check is to be watched from now on, or differently.
    Watch {
        /// The check.
        id: Folded,
        /// How.
        spec: Spec,
        /// How it stands.
        status: Status,
        /// When it is first due: a random part of the interval, or what is left of the TTL.
        first: Duration,
    },
    /// A check is gone.
    Forget(Folded),
    /// A client reported on a TTL check.
    Reported {
        /// The check.
        id: Folded,
        /// Its status.
        status: Status,
        /// What was said.
        output: String,
    },
    /// A probe ended.
    Ran {
        /// The check.
        id: Folded,
        /// Which run.
        run: u64,
        /// Its status.
        status: Status,
        /// What was said.
        output: String,
    },
    /// An alias has looked.
    Concluded {
        /// The check.
        id: Folded,
        /// Its status.
        status: Status,
        /// What it says.
        output: String,
    },
    /// The process stood still or was starved for so long: who reported in time may not have been
    /// heard yet, so TTLs that ran out meanwhile get that time back, once for each report.
    Starved(Duration),
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Run this check's probe and report with [`Input::Ran`] under this number.
    Run {
        /// The check.
        id: Folded,
        /// Which run.
        run: u64,
    },
    /// This is how the check stands now.
    Result {
        /// The check.
        id: Folded,
        /// Its status.
        status: Status,
        /// What was said.
        output: String,
    },
    /// This instance was critical for too long.
    Reap {
        /// The instance.
        instance: Folded,
        /// The check that says so.
        check: Folded,
    },
}

/// All checks of an agent.
#[derive(Debug, Default)]
pub struct Checks {
    /// How many run at once.
    most_probes: usize,
    watched: BTreeMap<Folded, Watched>,
    timers: BTreeSet<(Moment, Folded)>,
    /// Due, but too many run already.
    waiting: VecDeque<Folded>,
    /// Runs under way, those of forgotten checks too.
    running: BTreeSet<u64>,
    runs: u64,
    next_reap: Moment,
}

#[derive(Debug)]
struct Watched {
    spec: Spec,
    status: Status,
    /// What the last report on a TTL check said.
    reported: String,
    due: Option<Moment>,
    /// Its time was prolonged since the last report.
    prolonged: bool,
    run: Option<u64>,
    successes: u32,
    failures: u32,
    critical_since: Option<Moment>,
}

impl Checks {
    /// Nothing to watch yet.
    pub fn new(now: Moment, most_probes: usize) -> Checks {
        let next_reap = now + REAP_PERIOD;
        Checks { most_probes: most_probes.clamp(1, MAX_PROBES), next_reap, ..Checks::default() }
    }

    /// When [`Input::Tick`] is next wanted.
    pub fn next_due(&self) -> Moment {
        self.timers.first().map_or(self.next_reap, |(due, _)| self.next_reap.min(*due))
    }

    /// Takes what happened; what is returned is to be done in order.
    pub fn step(&mut self, input: Input, now: Moment) -> Vec<Output> {
        match input {
            Input::Watch { id, spec, status, first } => {
                self.watch(id, spec, status, now + first);
                Vec::new()
            }
            Input::Forget(id) => {
                self.forget(&id);
                Vec::new()
            }
            Input::Reported { id, status, output } => self.reported(id, status, output, now),
            Input::Ran { id, run, status, output } => self.ran(id, run, status, output, now),
            Input::Concluded { id, status, output } => {
                let watched = self.watched.get_mut(&id);
                watched
                    .map(|watched| watched.becomes(id, status, output, now))
                    .into_iter()
                    .collect()
            }
            Input::Starved(lost) => {
                self.prolong(lost, now);
                Vec::new()
            }
            Input::Tick => self.tick(now),
        }
    }

    /// A probe whose definition is the same goes on as it was; a TTL begins anew.
    fn watch(&mut self, id: Folded, spec: Spec, status: Status, first: Moment) {
        if let Some(watched) = self.watched.get_mut(&id)
            && watched.spec == spec
            && matches!(spec.kind, Kind::Probe(_))
        {
            return;
        }
        let earlier = self.forget(&id);
        let since = earlier.and_then(|earlier| earlier.critical_since);
        let due = matches!(spec.kind, Kind::Ttl(_) | Kind::Probe(_)).then_some(first);
        self.timers.extend(due.map(|due| (due, id.clone())));
        let watched = Watched {
            // Counters start at their thresholds, so that the very first result shows at once.
            successes: spec.success_before_passing,
            failures: spec.failures_before_critical,
            // Until its first result nobody knows how it stands: its time begins with that.
            critical_since: since.filter(|_| status == Status::Critical),
            spec,
            status,
            reported: String::new(),
            due,
            prolonged: false,
            run: None,
        };
        self.watched.insert(id, watched);
    }

    fn forget(&mut self, id: &Folded) -> Option<Watched> {
        let watched = self.watched.remove(id)?;
        if let Some(due) = watched.due {
            self.timers.remove(&(due, id.clone()));
        }
        self.waiting.retain(|waiting| waiting != id);
        Some(watched)
    }

    fn reported(&mut self, id: Folded, status: Status, output: String, now: Moment) -> Vec<Output> {
        let Some(watched) = self.watched.get_mut(&id) else { return Vec::new() };
        let Kind::Ttl(ttl) = watched.spec.kind else { return Vec::new() };
        if let Some(due) = watched.due.replace(now + ttl) {
            self.timers.remove(&(due, id.clone()));
        }
        self.timers.insert((now + ttl, id.clone()));
        watched.reported.clone_from(&output);
        watched.prolonged = false;
        vec![watched.becomes(id, status, output, now)]
    }

    fn ran(
        &mut self,
        id: Folded,
        run: u64,
        status: Status,
        output: String,
        now: Moment,
    ) -> Vec<Output> {
        self.running.remove(&run);
        let mut outputs = Vec::new();
        if let Some(watched) = self.watched.get_mut(&id)
            && watched.run == Some(run)
            && let Kind::Probe(interval) = watched.spec.kind
        {
            watched.run = None;
            watched.due = Some(now + interval);
            self.timers.insert((now + interval, id.clone()));
            if let Some(status) = watched.counted(status) {
                outputs.push(watched.becomes(id, status, output, now));
            }
        }
        self.start_waiting(&mut outputs);
        outputs
    }

    fn prolong(&mut self, lost: Duration, now: Moment) {
        let over = self.timers.iter().take_while(|(due, _)| *due <= now).cloned();
        for (due, id) in over.collect::<Vec<_>>() {
            let watched = self.watched.get_mut(&id).expect("a timer goes with its check");
            let Kind::Ttl(ttl) = watched.spec.kind else { continue };
            if std::mem::replace(&mut watched.prolonged, true) {
                continue;
            }
            let later = now + lost.min(ttl);
            watched.due = Some(later);
            self.timers.remove(&(due, id.clone()));
            self.timers.insert((later, id));
        }
    }

    fn tick(&mut self, now: Moment) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some((due, id)) = self.timers.first().filter(|(due, _)| *due <= now).cloned() {
            self.timers.remove(&(due, id.clone()));
            let watched = self.watched.get_mut(&id).expect("a timer goes with its check");
            watched.due = None;
            if matches!(watched.spec.kind, Kind::Probe(_)) {
                self.waiting.push_back(id);
            } else {
                let output = watched.expired_text();
                outputs.push(watched.becomes(id, Status::Critical, output, now));
            }
        }
        self.start_waiting(&mut outputs);
        if self.next_reap <= now {
            self.next_reap = now + REAP_PERIOD;
            self.reap(now, &mut outputs);
        }
        outputs
    }

    fn start_waiting(&mut self, outputs: &mut Vec<Output>) {
        while self.running.len() < self.most_probes
            && let Some(id) = self.waiting.pop_front()
        {
            let watched = self.watched.get_mut(&id).expect("a forgotten check waits no more");
            self.runs += 1;
            watched.run = Some(self.runs);
            self.running.insert(self.runs);
            outputs.push(Output::Run { id, run: self.runs });
        }
    }

    fn reap(&self, now: Moment, outputs: &mut Vec<Output>) {
        let mut reaped = BTreeSet::new();
        for (id, watched) in &self.watched {
            let (Some(limit), Some(since)) = (watched.spec.critical_limit, watched.critical_since)
            else {
                continue;
            };
            if now.since(since) >= limit && reaped.insert(&watched.spec.instance) {
                let instance = watched.spec.instance.clone();
                outputs.push(Output::Reap { instance, check: id.clone() });
            }
        }
    }
}

impl Watched {
    fn becomes(&mut self, id: Folded, status: Status, output: String, now: Moment) -> Output {
        self.critical_since =
            (status == Status::Critical).then(|| self.critical_since.unwrap_or(now));
        self.status = status.clone();
        Output::Result { id, status, output }
    }

    /// What a run's status amounts to under the thresholds; below them nothing changes.
    fn counted(&mut self, status: Status) -> Option<Status> {
        if matches!(status, Status::Passing | Status::Warning) {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
            return (self.successes >= self.spec.success_before_passing).then_some(status);
        }
        self.failures = self.failures.saturating_add(1);
        self.successes = 0;
        if self.failures >= self.spec.failures_before_critical {
            return Some(Status::Critical);
        }
        (self.failures >= self.spec.failures_before_warning).then_some(Status::Warning)
    }

    /// What a TTL check says when nobody reported in time.
    fn expired_text(&self) -> String {
        if self.reported.is_empty() {
            return "TTL expired".to_owned();
        }
        format!("TTL expired (last output before timeout follows): {}", self.reported)
    }
}

/// Cuts what a check says to `limit` bytes and says so, as Consul does.
pub fn cut_output(output: String, limit: usize) -> String {
    if output.len() <= limit {
        return output;
    }
    let mut end = limit;
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ... (captured {end} of {} bytes)", &output[..end], output.len())
}

#[cfg(test)]
mod tests;
