//! What only the leader does, one file each; one task drives them all while this server leads.
//!
//! Each duty looks at the newest view and says which commands bring the catalog where it should be,
//! and when it wants to look again. A lost leadership drops all timers; a new one starts them anew.

mod critical;
pub(crate) mod members;
pub(crate) mod sessions;
mod tombstones;

use crate::clock::Clock;
use catalog::{Claim, Command, Watch};
use consensus::Leadership;
use critical::{Critical, Overdue};
use members::ServerRow;
use model::{Author, Door, Owner, Tenant};
use seams::{Doors, Proposal, Subscription};
use sessions::SessionTimers;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// How long after a refused or failed write a duty tries again.
const RETRY: Duration = Duration::from_secs(1);

/// Woken so much too late, the leader was starved, and renewals are still on their way to it.
const STARVED: Duration = Duration::from_millis(200);

/// How many sessions one entry ends at most, so that none grows without bound.
const EXPIRED_AT_ONCE: usize = 256;

/// How many instances one entry deregisters at most, so that none grows without bound.
const OVERDUE_AT_ONCE: usize = 256;

/// The running duties.
pub(crate) struct Duties {
    stop: watch::Sender<bool>,
    ready: watch::Receiver<bool>,
    death: watch::Receiver<Option<String>>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Duties {
    /// Starts to watch for leadership.
    pub fn start(
        doors: Doors,
        leadership: watch::Receiver<Leadership>,
        sessions: Arc<SessionTimers>,
        server: ServerRow,
        clock: Arc<Clock>,
    ) -> Duties {
        let (stop, stopped) = watch::channel(false);
        let (ready_now, ready) = watch::channel(false);
        let (died, death) = watch::channel(None);
        let round = Round { doors, sessions, server, clock, ready: ready_now };
        let work = tokio::spawn(round.run(leadership, stopped));
        let task = tokio::spawn(async move {
            if let Err(error) = work.await {
                died.send_replace(Some(format!("the leader's duties ended: {error}")));
            }
        });
        Duties { stop, ready, death, task: tokio::sync::Mutex::new(Some(task)) }
    }

    /// Waits until the duties broke; without them nothing ever expires.
    pub fn death(&self) -> impl Future<Output = String> + Send + 'static {
        let mut death = self.death.clone();
        async move {
            let message = death.wait_for(Option::is_some).await.map(|told| told.clone());
            match message {
                Ok(told) => told.unwrap_or_default(),
                // Ended in order: there is no death to tell of.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Waits until this server's own rows stand for the first time.
    pub async fn ready(&self) {
        // An error means that the duties ended; whoever waits for readiness then also ends.
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }

    /// Ends the duties and waits for the one under way.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.lock().await.take() {
            // What went wrong inside was told by `death`.
            let _ = task.await;
        }
    }
}

struct Round {
    doors: Doors,
    sessions: Arc<SessionTimers>,
    server: ServerRow,
    clock: Arc<Clock>,
    ready: watch::Sender<bool>,
}

/// When each duty wants its next turn.
struct Turns {
    members: Instant,
    tombstones: Instant,
    critical: Instant,
}

/// What is critical without an owner that would deregister it, and what wakes that duty.
struct Unowned {
    critical: Critical,
    nodes: Option<(BTreeSet<Watch>, Subscription)>,
    /// When it is looked at again because its nodes changed.
    follow: Option<Instant>,
    followed: Instant,
}

impl Round {
    async fn run(
        self,
        mut leadership: watch::Receiver<Leadership>,
        mut stopped: watch::Receiver<bool>,
    ) {
        loop {
            let leads = leadership.borrow_and_update().is_leader;
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                changed = leadership.changed() => if changed.is_err() { return },
                () = self.lead(), if leads => {}
            }
            if leads {
                self.sessions.pause();
            }
        }
    }

    /// Carries out the duties in turn; dropped when leadership ends.
    async fn lead(&self) {
        info!(node = %self.server.node.name, "leadership taken up");
        // A renewal may have come in between two terms; its timer is from the old one.
        self.sessions.pause();
        let subscription = self.doors.reader.subscribe(&[Watch::Sessions(Tenant::DEFAULT)]);
        let now = Instant::now();
        let mut turns = Turns { members: now, tombstones: now + tombstones::PERIOD, critical: now };
        let mut unowned = Unowned::new(now);
        loop {
            let expiry = self.sessions.follow(&self.doors.reader.view(), Instant::now());
            let own = turns.members.min(turns.tombstones).min(turns.critical);
            let next = [expiry, unowned.follow].into_iter().flatten().fold(own, Instant::min);
            let slept = Instant::now();
            tokio::select! {
                () = subscription.changed() => continue,
                () = unowned.moved() => {
                    unowned.follow = Some(unowned.followed + critical::PAUSE);
                    continue;
                }
                () = sleep_until(next) => {}
            }
            let now = Instant::now();
            // What a duty before this took does not count: renewals were heard meanwhile.
            let due = expiry.map(|due| due.max(slept));
            let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
            if late >= STARVED {
                warn!(elapsed_s = late.as_secs_f64(), "leader starved, sessions get the time back");
                self.sessions.prolong(late, now);
            }
            self.take_turns(&mut turns).await;
            self.deregister_critical(&mut turns, &mut unowned).await;
        }
    }

    async fn take_turns(&self, turns: &mut Turns) {
        let now = Instant::now();
        for ended in self.sessions.expired(now).chunks(EXPIRED_AT_ONCE) {
            let commands = ended.iter().copied().map(Command::ExpireSession).collect();
            if self.write(commands).await.is_err() {
                ended.iter().for_each(|id| self.sessions.retry(*id, now + RETRY));
            }
        }
        if turns.members <= now {
            let commands = self.server.wanted(&self.doors.reader.view());
            let new = !commands.is_empty();
            let done = !new || self.write(commands).await.is_ok();
            if new && done {
                info!(node = %self.server.node.name, "member alive");
                info!(service = "consul", "service synced");
            }
            turns.members = now + if done { members::PERIOD } else { RETRY };
            if done {
                self.ready.send_replace(true);
            }
        }
        if turns.tombstones <= now {
            turns.tombstones = now + tombstones::PERIOD;
            if let Some(index) = tombstones::reapable(&self.doors.reader.view(), self.clock.now()) {
                // A failure is mended by the next turn.
                let _ = self.write(vec![Command::ReapTombstones(index)]).await;
            }
        }
    }

    /// Deregisters what is overdue, each in the name of its owner: so a row that somebody took over
    /// in the meantime stays.
    async fn deregister_critical(&self, turns: &mut Turns, unowned: &mut Unowned) {
        let now = Instant::now();
        let view = self.doors.reader.view();
        if unowned.follow.is_some_and(|due| due <= now) {
            unowned.follow = None;
            unowned.followed = now;
            unowned.critical.follow(&view);
        }
        if turns.critical <= now {
            turns.critical = now + critical::PERIOD;
            let overdue: Vec<Overdue> = unowned.critical.look(&view, now).into_iter().collect();
            for of_owner in overdue.chunk_by(|one, other| one.owner == other.owner) {
                for gone in of_owner.chunks(OVERDUE_AT_ONCE) {
                    self.deregister(gone).await;
                }
            }
        }
        unowned.subscribe(&self.doors);
    }

    async fn deregister(&self, gone: &[Overdue]) {
        let Some(Overdue { owner, .. }) = gone.first() else { return };
        for Overdue { node, instance, .. } in gone {
            info!(%node, %instance, %owner, "instance critical for too long, deregistered");
        }
        let remove =
            |gone: &Overdue| Command::RemoveInstance(gone.node.clone(), gone.instance.clone());
        // A failure is mended by the next look.
        let _ = self.write_as(owner.clone(), gone.iter().map(remove).collect()).await;
    }

    async fn write(&self, commands: Vec<Command>) -> Result<(), ()> {
        self.write_as(Owner::leader(), commands).await
    }

    async fn write_as(&self, owner: Owner, commands: Vec<Command>) -> Result<(), ()> {
        let author = Author { actor: "leader".into(), door: Door::Leader, ..Author::default() };
        let proposal = Proposal {
            author,
            owner,
            claim: Claim::Reconcile,
            tenant: Tenant::DEFAULT,
            request: None,
            commands,
        };
        match self.doors.writer.propose(proposal).await {
            Ok(committed) => match committed.outcome {
                catalog::Outcome::Done(_) => Ok(()),
                catalog::Outcome::Refused(refusal) => {
                    warn!(%refusal, "leader's duty refused");
                    Err(())
                }
            },
            Err(error) => {
                warn!(%error, "leader's duty not written");
                Err(())
            }
        }
    }
}

impl Unowned {
    fn new(now: Instant) -> Unowned {
        Unowned { critical: Critical::default(), nodes: None, follow: None, followed: now }
    }

    /// Waits for a change of a node that holds something critical; for ever if there is none.
    async fn moved(&self) {
        match &self.nodes {
            // Until it is looked at, further changes are no news.
            Some((_, subscription)) if self.follow.is_none() => subscription.changed().await,
            _ => std::future::pending().await,
        }
    }

    fn subscribe(&mut self, doors: &Doors) {
        let watches = self.critical.watches();
        if self.nodes.as_ref().is_some_and(|(known, _)| *known == watches) {
            return;
        }
        self.nodes = None;
        if !watches.is_empty() {
            let keys: Vec<Watch> = watches.iter().cloned().collect();
            self.nodes = Some((watches, doors.reader.subscribe(&keys)));
            // What changed before this was not waited for.
            self.follow = Some(self.followed + critical::PAUSE);
        }
    }
}

#[cfg(test)]
mod tests;
