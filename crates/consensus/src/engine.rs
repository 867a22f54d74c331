//! One running server: openraft put together with our log, machine and keeper.
//!
//! Everything is generic over [`Host`], so the simulation runs this very code on its own runtime.
//! With one voter it makes itself the cluster on an empty log, and stands for election at once
//! after a restart instead of waiting for a timeout.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{Fatal, RaftError};
use openraft::{
    AsyncRuntime, BasicNode, ChangeMembers, Config, Instant, Raft, RaftState, ReadPolicy,
    ServerState, SnapshotPolicy,
};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::error::{ProposeError, ReadError, StartError};
use crate::fsm::Fsm;
use crate::gather::{Gathered, Refused, hand_over};
use crate::handle::{Applied, Consensus, Engine, Leadership, Server, Status};
use crate::home::{Identity, Lock};
use crate::keeper::Keeper;
use crate::log::{LogStore, Mark, Wal};
use crate::machine::Machine;
use crate::network::Peers;
use crate::options::Limits;
use crate::queue::{Priority, Queue, Ticket};
use crate::shared::Shared;
use crate::snapshot::{Recovered, Snapshots};
use crate::types::{LogId, Proposal, StoredMembership, Types, term_of};

/// The first pause before a leader is asked for again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// No term: the engine begins with 1.
const NO_TERM: u64 = 0;

/// What the engine runs on.
pub(crate) trait Host: 'static {
    /// Tasks, timers and randomness.
    type Runtime: AsyncRuntime;

    /// Runs what blocks where it may.
    fn offload<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;
}

/// An openraft node on a host.
pub(crate) type Node<H> = Raft<Types<<H as Host>::Runtime>, Machine<<H as Host>::Runtime>>;

/// What a server is made of, opened and found to fit.
pub(crate) struct Parts {
    pub identity: Identity,
    pub fsm: Box<dyn Fsm>,
    pub wal: Box<dyn Wal>,
    pub snapshots: Snapshots,
    pub recovered: Option<Recovered>,
    pub shared: Shared,
    pub mark: Option<Arc<Mark>>,
    pub lock: Option<Lock>,
    pub address: String,
    pub limits: Limits,
}

struct Running<H: Host> {
    raft: Node<H>,
    log: LogStore<H::Runtime>,
    identity: Identity,
    address: String,
    limits: Limits,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    gathered: Arc<Gathered>,
    leadership: watch::Receiver<Leadership>,
    /// The term in which a read last found this server leading, with all of earlier terms applied.
    confirmed_term: AtomicU64,
    started: <H::Runtime as AsyncRuntime>::Instant,
    /// Makes pauses differ between servers and attempts.
    jitter: AtomicU64,
    stop: watch::Sender<bool>,
    keeper: Mutex<Option<BoxFuture<'static, ()>>>,
    lock: Mutex<Option<Lock>>,
}

/// Runs a server; returns when it is up, and if it is alone, when it leads and has replayed all.
pub(crate) async fn run<H: Host>(parts: Parts) -> Result<Consensus, StartError> {
    let Parts { identity, limits, address, .. } = parts;
    let shared = Arc::new(parts.shared);
    let log = LogStore::<H::Runtime>::new(parts.wal, shared.clone());
    let (meta, size) = parts.recovered.map(|found| (found.meta, found.bytes)).unwrap_or_default();
    shared.snapshot_due.store(size.max(limits.snapshot_log_bytes), Relaxed);
    let snapshots = Arc::new(parts.snapshots);
    let machine = Machine::new(parts.fsm, meta, snapshots.clone(), shared.clone(), &limits);
    let refused = |error: String| StartError::Engine(shared.failed().unwrap_or(error));
    let config = config(&limits).map_err(|error| refused(error.to_string()))?;
    let raft = Raft::new(identity.node, config, Peers, log.clone(), machine)
        .await
        .map_err(|error| refused(error.to_string()))?;

    let (stop, stopped) = watch::channel(false);
    let keeper = Keeper::<H> {
        raft: raft.clone(),
        shared: shared.clone(),
        snapshots,
        mark: parts.mark,
        snapshot_log_bytes: limits.snapshot_log_bytes,
        stop: stopped,
    };
    let keeper = H::Runtime::spawn(keeper.run());
    let keeper = H::Runtime::spawn(or_fail(keeper, shared.clone(), "marking or taking a snapshot"));
    let (tell, leadership) = watch::channel(Leadership::default());
    let own = Server { id: identity.node, address: address.clone() };
    let _ends_with_the_engine =
        H::Runtime::spawn(watch_engine::<H>(raft.clone(), own, tell, shared.clone()));

    let gathered = Gathered::new(&limits);
    let handing = H::Runtime::spawn(hand_over::<H>(raft.clone(), gathered.clone()));
    let (handing, closed) =
        (or_fail(handing, shared.clone(), "handing over proposals"), gathered.clone());
    let _ends_when_closed = H::Runtime::spawn(async move {
        handing.await;
        closed.close();
    });

    let running = Running::<H> {
        raft,
        gathered,
        log,
        queue: Queue::new(limits.queue_entries, limits.queue_bytes),
        shared: shared.clone(),
        leadership,
        confirmed_term: AtomicU64::new(NO_TERM),
        started: <H::Runtime as AsyncRuntime>::Instant::now(),
        jitter: AtomicU64::new(identity.node),
        stop,
        keeper: Mutex::new(Some(Box::pin(async move {
            let _done = keeper.await;
        }))),
        lock: Mutex::new(parts.lock),
        identity,
        address,
        limits,
    };
    match running.take_office().await {
        Ok(()) => Ok(Consensus { engine: Arc::new(running) }),
        Err(error) => {
            running.stop().await;
            Err(StartError::Engine(shared.failed().unwrap_or(error)))
        }
    }
}

/// Waits for a task, without which the engine cannot go on.
async fn or_fail<E: Display>(
    task: impl Future<Output = Result<(), E>>,
    shared: Arc<Shared>,
    what: &'static str,
) {
    if let Err(error) = task.await {
        shared.fail(format!("{what} went wrong: {error}; start again"));
    }
}

fn config(limits: &Limits) -> Result<Arc<Config>, openraft::ConfigError> {
    let config = Config {
        cluster_name: "rutter".into(),
        heartbeat_interval: 100,
        election_timeout_min: 500,
        election_timeout_max: 1000,
        enable_pre_vote: Some(true),
        // A restarted leader is elected anew, as Raft has it: what it had committed is not synced.
        enable_leader_restore: Some(false),
        // The keeper decides by bytes when to take a snapshot and how far to purge.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // Our queue refuses before the engine's channel could block.
        api_channel_size: Some(limits.queue_entries as u64 + 1024),
        ..Config::default()
    };
    config.validate().map(Arc::new)
}

/// How often, and how long together.
fn counted(times: &AtomicU64, microseconds: &AtomicU64) -> (u64, Duration) {
    (times.load(Relaxed), Duration::from_micros(microseconds.load(Relaxed)))
}

/// Follows who leads; and when the engine has ended, whether it should have.
async fn watch_engine<H: Host>(
    raft: Node<H>,
    own: Server,
    tell: watch::Sender<Leadership>,
    shared: Arc<Shared>,
) {
    let mut metrics = raft.server_metrics();
    loop {
        let now = {
            let seen = metrics.borrow_watched();
            let leader = seen.current_leader;
            let address = |id| seen.membership_config.get_node(&id).map(|node| node.addr.clone());
            let leader = leader.map(|id| match id == own.id {
                true => own.clone(),
                false => Server { id, address: address(id).unwrap_or_default() },
            });
            let is_leader = seen.state == ServerState::Leader;
            // A leader without others has nobody to send heartbeats to and no election to begin, and
            // would wake fifty times a second for that. The engine publishes a change of members or
            // of its own part before it handles the next message: then the clock goes on.
            let is_alone = is_leader && seen.membership_config.nodes().all(|(id, _)| *id == own.id);
            raft.runtime_config().tick(!is_alone);
            Leadership { leader, is_leader, term: seen.vote.leader_id.term }
        };
        tell.send_if_modified(|held| {
            let changed = *held != now;
            if changed {
                let leader = now.leader.as_ref().map(|leader| leader.address.as_str());
                info!(term = now.term, leader, "leadership changed");
                *held = now;
            }
            changed
        });
        if metrics.changed().await.is_err() {
            break;
        }
    }
    tell.send_modify(|held| *held = Leadership { term: held.term, ..Leadership::default() });
    if !shared.is_stopping() {
        let state = raft.metrics().borrow_watched().running_state.clone();
        let reason = state.err().map_or_else(|| "it stopped".into(), |fatal| fatal.to_string());
        shared.fail(format!("the consensus engine has died: {reason}; start again"));
    }
}

impl<H: Host> Running<H> {
    /// Makes this server the cluster on an empty log, and the leader if it is the only voter.
    async fn take_office(&self) -> Result<(), String> {
        let own = BasicNode::new(&self.address);
        let node = self.identity.node;
        let fatal = |error: Fatal<_>| error.to_string();
        let fresh = !self.raft.is_initialized().await.map_err(fatal)?;
        if fresh {
            let first = BTreeMap::from([(node, own.clone())]);
            // This elects, too.
            self.raft.initialize(first).await.map_err(|error| error.to_string())?;
        }
        // From the engine itself: what it publishes may not be there yet.
        let effective = |state: &RaftState<_>| state.membership_state.effective().clone();
        let members = self.raft.with_raft_state(effective).await.map_err(fatal)?;
        if members.voter_ids().ne([node]) {
            return Ok(());
        }
        if !fresh {
            self.raft.trigger().elect(false).await.map_err(fatal)?;
        }
        let leads = |seen: &openraft::RaftMetrics<_>| {
            let applied = seen.last_applied.map(|id| id.index);
            seen.state == ServerState::Leader && applied.is_some() && applied >= seen.last_log_index
        };
        let wait = self.raft.wait(None);
        let led = wait.metrics(leads, "leads and has replayed").await;
        led.map_err(|error| error.to_string())?;
        let told = self.leadership.clone().wait_for(|seen| seen.is_leader).await.map(|_| ());
        told.map_err(|_| "the engine stopped at once".to_owned())?;
        if members.get_node(&node) != Some(&own) {
            let change = ChangeMembers::SetNodes(BTreeMap::from([(node, own)]));
            let changed = self.raft.change_membership(change, false).await;
            changed.map_err(|error| format!("cannot record the new address: {error}"))?;
        }
        Ok(())
    }

    fn members(&self) -> Arc<StoredMembership> {
        self.raft.server_metrics().borrow_watched().membership_config.clone()
    }

    fn refuse(&self) -> bool {
        self.shared.is_stopping() || self.shared.has_failed()
    }

    /// The term in which this server leads, by what the engine published last.
    fn leads_in(&self) -> Option<u64> {
        let metrics = self.raft.server_metrics();
        let seen = metrics.borrow_watched();
        (seen.state == ServerState::Leader).then_some(seen.vote.leader_id.term)
    }

    /// The engine publishes a change of members before it handles the next message. Whoever joins
    /// needs this server's vote until the joint configuration is committed, which takes messages: so
    /// a lease that is seen here is one.
    fn has_lease(&self) -> bool {
        if self.refuse() {
            return false;
        }
        let metrics = self.raft.server_metrics();
        let seen = metrics.borrow_watched();
        let voters = seen.membership_config.get_joint_config();
        let is_alone =
            |voters: &BTreeSet<u64>| voters.len() == 1 && voters.contains(&self.identity.node);
        seen.state == ServerState::Leader
            && seen.vote.leader_id.term == self.confirmed_term.load(Acquire)
            && !voters.is_empty()
            && voters.iter().all(is_alone)
    }

    /// Everything that can be refused before the engine hears of it.
    fn admit(&self, bytes: usize, priority: Priority) -> Result<Arc<Ticket>, ProposeError> {
        let limit = self.limits.max_entry_bytes;
        if bytes > limit {
            return Err(ProposeError::TooLarge { bytes, limit });
        }
        if self.refuse() {
            return Err(ProposeError::Stopped);
        }
        if let Some(space) = &self.shared.space {
            space.admit(bytes, self.started.elapsed())?;
        }
        self.queue.admit(bytes, priority)
    }

    async fn propose(&self, command: Bytes, priority: Priority) -> Result<Applied, ProposeError> {
        let ticket = self.admit(command.len(), priority)?;
        let mut patience = Patience::new(self);
        loop {
            let proposal = Proposal { bytes: command.clone(), ticket: Some(ticket.clone()) };
            match self.gathered.propose(priority, proposal).await {
                Ok(applied) => return Ok(applied),
                Err(Refused::NotLeader(leader)) => {
                    // A fresh leader says this of itself until its first entry is acknowledged.
                    if leader.is_some_and(|id| id != self.identity.node) {
                        return Err(ProposeError::NoLeader);
                    }
                }
                Err(Refused::Unknown) => return Err(ProposeError::Unknown),
            }
            if !patience.pause().await {
                return Err(ProposeError::NoLeader);
            }
            if self.refuse() {
                return Err(ProposeError::Stopped);
            }
        }
    }

    /// At most `leader_wait`: on a disk that stalls, the engine itself may not answer.
    async fn consistent(&self) -> Result<u64, ReadError> {
        let confirmed = H::Runtime::timeout(self.limits.leader_wait, self.confirmed());
        confirmed.await.unwrap_or(Err(ReadError::NoLeader))
    }

    async fn confirmed(&self) -> Result<u64, ReadError> {
        let mut patience = Patience::new(self);
        let mut policy = ReadPolicy::LeaseRead;
        loop {
            if self.refuse() {
                return Err(ReadError::Stopped);
            }
            let term = self.leads_in();
            let error = match self.raft.ensure_linearizable(policy).await {
                Ok(read) => {
                    // Terms only grow: the same before and after, it was this one meanwhile.
                    if let Some(term) = term.filter(|_| self.leads_in() == term) {
                        self.confirmed_term.store(term, Release);
                    }
                    return Ok(read.log_id().index);
                }
                Err(RaftError::Fatal(_)) => return Err(ReadError::Stopped),
                Err(error) => error,
            };
            let leader = error.forward_to_leader().and_then(|to| to.leader_id);
            if leader.is_some_and(|id| id != self.identity.node) {
                return Err(ReadError::NoLeader);
            }
            // The lease has run out, or a quorum was not heard: ask it.
            policy = ReadPolicy::ReadIndex;
            if !patience.pause().await {
                return Err(ReadError::NoLeader);
            }
        }
    }

    fn status(&self) -> Status {
        let data = self.raft.data_metrics().borrow_watched().clone();
        let (server, members) = (self.leadership.borrow().clone(), self.members());
        let log = self.log.figures();
        let (queued, queued_bytes) = self.queue.held();
        // The engine's own figures are published a moment after the machine's.
        let applied = self.shared.applied.load(Relaxed);
        let index = |id: &Option<LogId>| id.as_ref().map_or(0, |id| id.index);
        let term = |id: &Option<LogId>| id.as_ref().map_or(0, term_of);
        let voters = members.voter_ids().map(|id| {
            let address = members.get_node(&id).map(|node| node.addr.clone());
            Server { id, address: address.unwrap_or_default() }
        });
        Status {
            node_id: self.identity.node,
            cluster_id: self.identity.cluster,
            is_leader: server.is_leader,
            term: server.term,
            voters: voters.collect(),
            last_log_index: index(&data.last_log).max(applied),
            last_log_term: term(&data.last_log),
            commit_index: index(&data.local_committed).max(applied),
            applied_index: applied,
            last_snapshot_index: index(&data.snapshot),
            last_snapshot_term: term(&data.snapshot),
            first_log_index: data.purged.map_or(0, |id| id.index + 1),
            log_bytes: log.bytes,
            log_syncs: log.syncs,
            appends: counted(&self.shared.counts.appends, &self.shared.counts.append_us),
            snapshots: counted(&self.shared.counts.snapshots, &self.shared.counts.snapshot_us),
            queued,
            queued_bytes,
            refused: self.queue.refused(),
        }
    }

    async fn stop(&self) {
        self.shared.stopping.store(true, Relaxed);
        self.gathered.close();
        if let Err(error) = self.raft.shutdown().await {
            warn!(%error, "the engine did not stop cleanly");
        }
        let log = self.log.clone();
        if let Err(error) = H::offload(move || log.close()).await {
            warn!(%error, "the log was not closed cleanly");
        }
        self.stop.send_replace(true);
        let keeper = self.keeper.lock().expect("nothing panics while holding it").take();
        if let Some(keeper) = keeper {
            keeper.await;
        }
        self.lock.lock().expect("nothing panics while holding it").take();
    }
}

/// Pauses that grow, jittered, until the wait for a leader is over.
struct Patience<'a, H: Host> {
    running: &'a Running<H>,
    until: Duration,
    pause: Duration,
}

impl<'a, H: Host> Patience<'a, H> {
    fn new(running: &'a Running<H>) -> Self {
        let until = running.started.elapsed() + running.limits.leader_wait;
        Patience { running, until, pause: FIRST_PAUSE }
    }

    /// Waits a little; false when the time is over.
    async fn pause(&mut self) -> bool {
        if self.running.started.elapsed() >= self.until {
            return false;
        }
        let roll = mix(self.running.jitter.fetch_add(1, Relaxed)) % 1024;
        let jittered = self.pause / 2 + self.pause * roll as u32 / 1024;
        H::Runtime::sleep(jittered).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}

/// Spreads a counter over all bits (SplitMix64's finisher).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl<H: Host> Engine for Running<H> {
    fn propose(
        &self,
        command: Bytes,
        priority: Priority,
    ) -> BoxFuture<'_, Result<Applied, ProposeError>> {
        Box::pin(Running::propose(self, command, priority))
    }

    fn consistent(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        Box::pin(Running::consistent(self))
    }

    fn has_lease(&self) -> bool {
        Running::has_lease(self)
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    fn status(&self) -> Status {
        Running::status(self)
    }

    fn fatal(&self) -> BoxFuture<'static, String> {
        let shared = self.shared.clone();
        Box::pin(async move { shared.wait_failed().await })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.stop())
    }
}
