//! The one task that owns the agent's state; all that can wake it is an [`Event`].
//!
//! A change is stored first and applied when the store has answered, in the order of the log; so
//! nobody sees a registration that a crash could still take away, and what is read again after one
//! is folded in the same order. Its caller hears of it then, or, while this node leads, once the
//! catalog shows it.

mod aliases;
mod changes;
mod observations;

use crate::alias::Aliases;
use crate::checks::{Checks, Input};
use crate::counters::Meters;
use crate::handle::{Config, Definitions, MAX_ASKED};
use crate::local::{Local, Operation};
use crate::probe::Observation;
use crate::store::{Done, Store};
use crate::sync::{self, CatalogTags, Conflict, Failure, Report, Syncer};
use crate::time::{Jitter, Moment};
use aliases::{Aliased, Round};
use model::{Author, CheckId, Folded, Status};
use seams::{Doors, RegisterError};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long a caller waits for the catalog while this node leads.
const VISIBLE_LIMIT: Duration = Duration::from_secs(5);
/// Changes handed to the store and not answered; beyond, callers wait.
const MAX_STORING: usize = 1024;

/// Woken so much too late, the agent was starved, and what clients said is still on its way to it.
const STARVED: Duration = Duration::from_millis(200);

/// Who is told what became of a change.
pub type Reply = oneshot::Sender<Result<(), RegisterError>>;

/// Where the answers to several changes come.
pub type Answers = Vec<oneshot::Receiver<Result<(), RegisterError>>>;

/// What is asked of the agent.
#[derive(Debug)]
pub enum Ask {
    /// A change of what is registered.
    Change {
        /// The change.
        operation: Operation,
        /// Who asks; `None`: the agent itself.
        author: Option<Author>,
        /// Who is told.
        reply: Option<Reply>,
    },
    /// A report on a TTL check.
    Observe {
        /// The check.
        id: CheckId,
        /// Its status.
        status: Status,
        /// What is said.
        output: String,
        /// Who is told.
        reply: Reply,
    },
    /// What the agent's files say now, all of it.
    Follow {
        /// The definitions.
        files: Box<Definitions>,
        /// Told whether they are taken, and where the answer to each change will come.
        reply: oneshot::Sender<Result<Answers, RegisterError>>,
    },
}

/// All that can wake the agent.
enum Event {
    Asked(Ask),
    Stored(Done),
    StoreEnded,
    Ended(Result<(Id, Task), JoinError>),
    AliasedMoved,
    Due,
    Stop,
}

/// What a task of the agent brought.
enum Task {
    Probed(Observation),
    Synced(Result<Report, Failure>),
    Looked(Round),
}

/// The state and what it is driven with.
pub struct Owner {
    config: Config,
    doors: Doors,
    local: Local,
    checks: Checks,
    aliases: Aliases,
    aliased: Aliased,
    /// The round that looks at the catalog for aliases.
    looking: Option<Id>,
    syncer: Syncer,
    store: Store,
    publish: watch::Sender<Local>,
    meters: Arc<Meters>,
    jitter: Jitter,
    started: Instant,
    tickets: u64,
    /// Handed to the store, oldest first.
    storing: VecDeque<Storing>,
    /// The store is to be written anew as soon as nothing is being stored.
    rewrite: Rewrite,
    /// Callers who wait for the catalog, oldest first.
    waiting: VecDeque<Waiting>,
    /// Checks with a report that the store has not got.
    reported: BTreeSet<Folded>,
    report_due: Option<Moment>,
    tasks: JoinSet<Task>,
    probes: HashMap<Id, (Folded, u64)>,
    conflicts: BTreeSet<Conflict>,
    /// Told what the process must end with.
    fatal: watch::Sender<Option<String>>,
    /// Why nothing more is stored.
    broken: Option<String>,
    store_is_gone: bool,
}

struct Storing {
    ticket: u64,
    operation: Operation,
    author: Option<Author>,
    reply: Option<Reply>,
}

struct Waiting {
    change: u64,
    until: Moment,
    reply: Reply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rewrite {
    No,
    /// Wanted: nothing new is taken until what is being stored is answered.
    Wanted,
    Running,
}

impl Owner {
    /// Takes what the store held.
    pub fn new(
        config: Config,
        doors: Doors,
        local: Local,
        store: Store,
        publish: watch::Sender<Local>,
        meters: Arc<Meters>,
        fatal: watch::Sender<Option<String>>,
    ) -> Owner {
        let now = Moment::default();
        let mut owner = Owner {
            syncer: Syncer::new(now, config.full_sync_interval),
            checks: Checks::new(now, config.most_probes),
            config,
            doors,
            local,
            aliases: Aliases::default(),
            aliased: Aliased::default(),
            looking: None,
            store,
            publish,
            meters,
            jitter: Jitter::new(uuid::Uuid::new_v4().as_u128() as u64),
            started: Instant::now(),
            tickets: 0,
            storing: VecDeque::new(),
            rewrite: Rewrite::No,
            waiting: VecDeque::new(),
            reported: BTreeSet::new(),
            report_due: None,
            tasks: JoinSet::new(),
            probes: HashMap::new(),
            conflicts: BTreeSet::new(),
            fatal,
            broken: None,
            store_is_gone: false,
        };
        let all: Vec<Folded> = owner.local.checks().map(|(id, _)| id.clone()).collect();
        for id in &all {
            owner.watch(id, true);
            owner.follow(id);
        }
        owner
    }

    /// Runs until it is stopped or nobody can ask any more.
    pub async fn run(
        mut self,
        mut asked: Receiver<Ask>,
        mut reports: Receiver<Ask>,
        mut done: UnboundedReceiver<Done>,
        stop: CancellationToken,
    ) {
        loop {
            self.proceed();
            let due = self.started + self.next_due().0;
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => Event::Stop,
                done = done.recv(), if !self.store_is_gone => {
                    done.map_or(Event::StoreEnded, Event::Stored)
                }
                Some(ended) = self.tasks.join_next_with_id() => Event::Ended(ended),
                () = self.aliased.moved() => Event::AliasedMoved,
                () = tokio::time::sleep_until(due) => Event::Due,
                Some(report) = reports.recv() => Event::Asked(report),
                ask = asked.recv(), if self.takes_more() => {
                    ask.map_or(Event::Stop, Event::Asked)
                }
            };
            match event {
                Event::Asked(ask) => self.asked(ask),
                Event::Stored(done) => self.stored(done),
                Event::StoreEnded => self.store_ended(),
                Event::Ended(ended) => self.ended(ended),
                Event::AliasedMoved => self.aliased_moved(),
                Event::Due => {
                    self.hear(&mut reports);
                    self.due();
                }
                Event::Stop => break,
            }
        }
        self.close().await;
    }

    fn now(&self) -> Moment {
        Moment(self.started.elapsed())
    }

    fn takes_more(&self) -> bool {
        self.storing.len() < MAX_STORING && self.rewrite != Rewrite::Wanted
    }

    fn next_due(&self) -> Moment {
        let mut due = self.checks.next_due();
        for other in [
            self.syncer.next_due(),
            self.aliases.next_due(),
            self.waiting.front().map(|waiting| waiting.until),
            self.report_due,
        ] {
            due = other.map_or(due, |other| other.min(due));
        }
        due
    }

    /// Begins what can begin now.
    fn proceed(&mut self) {
        if self.rewrite == Rewrite::No && self.store.is_overgrown() {
            self.rewrite = Rewrite::Wanted;
        }
        if self.rewrite == Rewrite::Wanted && self.storing.is_empty() {
            self.rewrite = Rewrite::Running;
            self.store.rewrite(&self.local.operations());
        }
        if let Some(pass) = self.syncer.begin(self.now()) {
            let (doors, local) = (self.doors.clone(), self.local.clone());
            self.tasks.spawn(async move { Task::Synced(sync::run(doors, local, pass).await) });
        }
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Change { operation, author, reply } => self.change(operation, author, reply),
            Ask::Observe { id, status, output, reply } => {
                self.observe(id, status, output, reply);
            }
            // Who asked and is gone is the process that ends.
            Ask::Follow { files, reply } => drop(reply.send(self.follow_files(&files))),
        }
    }

    /// Takes the reports that wait, so that no TTL runs out whose report came in time.
    fn hear(&mut self, reports: &mut Receiver<Ask>) {
        for _ in 0..MAX_ASKED {
            let Ok(report) = reports.try_recv() else { return };
            self.asked(report);
        }
    }

    fn due(&mut self) {
        let now = self.now();
        let late = now.since(self.checks.next_due());
        if late >= STARVED {
            debug!(elapsed_s = late.as_secs_f64(), "agent starved, TTL checks get the time back");
            self.checks.step(Input::Starved(late), now);
        }
        if self.checks.next_due() <= now {
            let outputs = self.checks.step(Input::Tick, now);
            self.carry_out(outputs);
        }
        if self.aliases.next_due().is_some_and(|due| due <= now) {
            self.look();
        }
        while self.waiting.front().is_some_and(|waiting| waiting.until <= now) {
            if let Some(waiting) = self.waiting.pop_front() {
                answer(Some(waiting.reply), Ok(()));
            }
        }
        if self.report_due.is_some_and(|due| due <= now) {
            self.store_reports();
        }
    }

    fn ended(&mut self, ended: Result<(Id, Task), JoinError>) {
        let (task, brought) = match ended {
            Ok((task, brought)) => (task, Some(brought)),
            Err(lost) => {
                warn!(error = %lost, "a task of the agent was lost");
                (lost.id(), None)
            }
        };
        match (brought, self.probes.remove(&task)) {
            (Some(Task::Synced(result)), _) => self.synced(result),
            (Some(Task::Probed(observation)), Some((id, run))) => self.probed(id, run, observation),
            (None, Some((id, run))) => {
                self.probed(id, run, Observation::critical("the check could not be run"));
            }
            (Some(Task::Looked(round)), _) => self.looked(round),
            (None, None) if self.looking == Some(task) => self.round_lost(),
            // What is neither is a pass.
            (None, None) => {
                let now = self.now();
                self.syncer.failed(now, &mut self.jitter);
            }
            (Some(Task::Probed(_)), None) => {}
        }
    }

    fn synced(&mut self, result: Result<Report, Failure>) {
        let now = self.now();
        match result {
            Ok(report) => {
                self.meters.synced();
                self.meters.sync_entries.fetch_add(report.entries as u64, Ordering::Relaxed);
                debug!(commands = report.commands, "catalog synced");
                self.note_conflicts(report.conflicts, report.everything);
                self.take_tags(report.tags);
                let up_to = self.syncer.succeeded(now, &mut self.jitter);
                if report.refused > 0 {
                    self.syncer.look_again(now);
                }
                while self.waiting.front().is_some_and(|waiting| waiting.change <= up_to) {
                    if let Some(waiting) = self.waiting.pop_front() {
                        answer(Some(waiting.reply), Ok(()));
                    }
                }
            }
            Err(failure) => {
                self.meters.sync_failures.fetch_add(1, Ordering::Relaxed);
                debug!(error = %failure, "catalog not synced");
                self.syncer.failed(now, &mut self.jitter);
            }
        }
    }

    /// Takes what others wrote as the tags of instances that let them.
    fn take_tags(&mut self, found: Vec<CatalogTags>) {
        for CatalogTags { id, before, tags } in found {
            self.local.take_tags(&id, &before, tags);
            self.publish.send_replace(self.local.clone());
        }
    }

    /// Says once of each row that another reconciler has it.
    ///
    /// A pass over everything knows all conflicts; one over a change adds its own.
    fn note_conflicts(&mut self, found: Vec<Conflict>, everything: bool) {
        let found: BTreeSet<Conflict> = found.into_iter().collect();
        for Conflict { row, owner } in found.difference(&self.conflicts) {
            warn!(?row, %owner, "row wanted here is owned by another, left alone");
        }
        if everything {
            self.conflicts = found;
        } else {
            self.conflicts.extend(found);
            let local = &self.local;
            self.conflicts.retain(|conflict| conflict.is_wanted(local));
        }
        self.meters.conflicts.store(self.conflicts.len() as u64, Ordering::Relaxed);
    }

    /// Answers a caller when the catalog shows the change, if this node leads; else now.
    fn answer_when_visible(&mut self, change: u64, reply: Option<Reply>) {
        let Some(reply) = reply else { return };
        if !self.doors.reader.leadership().is_leader {
            return answer(Some(reply), Ok(()));
        }
        let until = self.now() + VISIBLE_LIMIT;
        self.waiting.push_back(Waiting { change, until, reply });
    }

    async fn close(mut self) {
        self.tasks.shutdown().await;
        self.store_reports();
        let store = self.store;
        // Joins the store's thread, which syncs what it was given.
        let closed = tokio::task::spawn_blocking(move || drop(store)).await;
        if closed.is_err() {
            warn!("the agent's store did not close cleanly");
        }
        info!("agent stopped");
    }
}

/// Tells a caller; one that is gone does not mind.
fn answer(reply: Option<Reply>, result: Result<(), RegisterError>) {
    if let Some(reply) = reply {
        let _ = reply.send(result);
    }
}
