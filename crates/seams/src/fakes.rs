//! A catalog and an agent in memory, for the tests of faces.
//!
//! [`FakeCatalog`] applies what is proposed with `catalog::apply` and publishes before it answers, as
//! a server does; it can also hold nothing at first, as an agent will, so that a face proves that it
//! obtains what it lacks.

use crate::{
    BoxFuture, Committed, Consistency, Datacenters, Doors, ExistingChecks, Leadership, Lifecycle,
    LogPosition, Marks, Projection, Proposal, ReadError, Reader, RegisterError, Registrar,
    ReloadError, Sessions, Subscription, Waiters, WriteError, Writer,
};
use catalog::{
    Acl, Command, Entry, Holdings, Interest, KvCondition, KvWrite, Outcome, Touched, View, Watch,
    apply,
};
use model::{
    Author, Check, CheckId, Folded, Index, Instance, InstanceId, KvKey, Node, NodeName, Owner,
    Registration, Row, Session, SessionId, Status, Tenant, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// An entry as the HTTP door writes them, at the same time in every run.
pub fn entry(commands: Vec<Command>) -> Entry {
    Entry {
        time: Timestamp(1_000),
        author: Author::default(),
        owner: Owner::http(),
        claim: Default::default(),
        tenant: Tenant::DEFAULT,
        request: None,
        commands,
    }
}

/// What is touched by putting this key.
pub fn touched_by_put(key: &str) -> Touched {
    let write = KvWrite {
        key: KvKey::new(key.as_bytes()),
        value: Arc::from(*b"v"),
        flags: 0,
        condition: KvCondition::Always,
    };
    let entry = entry(vec![Command::KvPut(write)]);
    apply(&View::new(Acl::Off), [(Index(1), entry)]).touched
}

/// A catalog in memory: reader, writer and sessions at once.
pub struct FakeCatalog {
    inner: Mutex<Inner>,
    waiters: Waiters,
    marks: Marks,
    projections: Vec<Arc<dyn Projection>>,
}

struct Inner {
    view: Arc<View>,
    held: Option<BTreeSet<Interest>>,
    leadership: Leadership,
    failing: Option<WriteError>,
    held_on_demand: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis().try_into().unwrap_or(u64::MAX))
}

impl FakeCatalog {
    /// An empty catalog that holds everything, under these rules.
    pub fn new(acl: Acl) -> Arc<FakeCatalog> {
        FakeCatalog::with(View::new(acl), Vec::new())
    }

    /// A catalog that begins with this view and tells these projections of each new one.
    pub fn with(view: View, projections: Vec<Arc<dyn Projection>>) -> Arc<FakeCatalog> {
        let view = Arc::new(view);
        for projection in &projections {
            projection.publish(&view, &Touched::everything());
        }
        let leadership = Leadership {
            leader: Some("127.0.0.1:8300".to_owned()),
            is_leader: true,
            last_contact: Duration::ZERO,
        };
        let inner = Inner { view, held: None, leadership, failing: None, held_on_demand: 0 };
        let (waiters, marks) = (Waiters::default(), Marks::default());
        Arc::new(FakeCatalog { inner: Mutex::new(inner), waiters, marks, projections })
    }

    /// From now on only what is asked for is held, as on an agent; nothing at first.
    pub fn hold_nothing(&self) {
        lock(&self.inner).held = Some(BTreeSet::new());
    }

    /// How often something was obtained that was not held.
    pub fn held_on_demand(&self) -> usize {
        lock(&self.inner).held_on_demand
    }

    /// Changes who leads; without a leader, reads other than stale ones and writes are refused.
    pub fn set_leadership(&self, leadership: Leadership) {
        lock(&self.inner).leadership = leadership;
    }

    /// From now on writes fail like this, unapplied; `None` ends that.
    pub fn fail_writes(&self, error: Option<WriteError>) {
        lock(&self.inner).failing = error;
    }

    /// The waiters, to count those who wait and those woken.
    pub fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// The doors that lead here.
    pub fn doors(self: &Arc<FakeCatalog>) -> Doors {
        Doors {
            reader: Arc::clone(self) as Arc<dyn Reader>,
            writer: Arc::clone(self) as Arc<dyn Writer>,
            sessions: Arc::clone(self) as Arc<dyn Sessions>,
        }
    }

    /// A node that reaches only this catalog, as datacenter `dc1`.
    pub fn datacenters(self: &Arc<FakeCatalog>) -> Datacenters {
        Datacenters::only("dc1", self.doors())
    }

    /// Applies commands at once, as the HTTP door would write them.
    pub fn write(&self, commands: Vec<Command>) -> Committed {
        self.apply(Proposal {
            author: Author::default(),
            owner: Owner::http(),
            claim: Default::default(),
            tenant: Tenant::DEFAULT,
            request: None,
            commands,
        })
    }

    fn apply(&self, proposal: Proposal) -> Committed {
        let mut inner = lock(&self.inner);
        let index = Index(inner.view.index().0 + 1);
        let entry = Entry {
            time: now(),
            author: proposal.author,
            owner: proposal.owner,
            claim: proposal.claim,
            tenant: proposal.tenant,
            request: proposal.request,
            commands: proposal.commands,
        };
        let applied = apply(&inner.view, [(index, entry)]);
        self.marks.publish(&applied.touched, || inner.view = Arc::new(applied.view));
        for projection in &self.projections {
            projection.publish(&inner.view, &applied.touched);
        }
        drop(inner);
        self.waiters.wake(&applied.touched);
        let outcome = applied.outcomes.into_iter().next().unwrap_or(Outcome::Done(Vec::new()));
        Committed { index, outcome }
    }
}

impl Inner {
    fn shown(&self) -> Arc<View> {
        match &self.held {
            None => Arc::clone(&self.view),
            Some(held) => Arc::new(self.view.restricted(Holdings::Only(Arc::new(held.clone())))),
        }
    }
}

impl Reader for FakeCatalog {
    fn view(&self) -> Arc<View> {
        lock(&self.inner).shown()
    }

    fn marks(&self) -> Option<&Marks> {
        lock(&self.inner).held.is_none().then_some(&self.marks)
    }

    fn leased(&self) -> Option<Arc<View>> {
        let inner = lock(&self.inner);
        inner.leadership.leader.is_some().then(|| inner.shown())
    }

    fn current(&self, _: Consistency) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        Box::pin(async move {
            let inner = lock(&self.inner);
            match inner.leadership.leader {
                Some(_) => Ok(inner.shown()),
                None => Err(ReadError::NoLeader),
            }
        })
    }

    fn subscribe(&self, watches: &[Watch]) -> Subscription {
        self.waiters.subscribe(watches)
    }

    fn hold(&self, interest: Interest, _: Duration) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        Box::pin(async move {
            let mut inner = lock(&self.inner);
            inner.held_on_demand += 1;
            if let Some(held) = &mut inner.held {
                held.insert(interest);
            }
            Ok(inner.shown())
        })
    }

    fn leadership(&self) -> Leadership {
        lock(&self.inner).leadership.clone()
    }

    fn log_position(&self) -> LogPosition {
        let index = lock(&self.inner).view.index().0;
        LogPosition {
            term: 1,
            last_index: index,
            last_term: 1,
            commit_index: index,
            applied_index: index,
            ..LogPosition::default()
        }
    }
}

impl Writer for FakeCatalog {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, WriteError>> {
        Box::pin(async move {
            let inner = lock(&self.inner);
            if let Some(error) = inner.failing.clone() {
                return Err(error);
            }
            if inner.leadership.leader.is_none() {
                return Err(WriteError::NoLeader);
            }
            drop(inner);
            Ok(self.apply(proposal))
        })
    }
}

impl Sessions for FakeCatalog {
    fn renew(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Arc<Row<Session>>>, WriteError>> {
        Box::pin(async move {
            let view = Arc::clone(&lock(&self.inner).view);
            Ok(view.session(Tenant::DEFAULT, id).ok().and_then(|found| found.value.cloned()))
        })
    }
}

/// An agent in memory: it takes registrations and puts them into a [`FakeCatalog`] at once.
pub struct FakeAgent {
    node: NodeName,
    catalog: Arc<FakeCatalog>,
    rows: Mutex<Rows>,
    changed: watch::Sender<()>,
    gate: Mutex<()>,
    at_gate: AtomicUsize,
}

/// Keeps those busy who list the instances, as a large agent would.
pub struct Shut<'a> {
    _gate: MutexGuard<'a, ()>,
}

#[derive(Default)]
struct Rows {
    instances: BTreeMap<Folded, Instance>,
    checks: BTreeMap<Folded, Check>,
}

impl FakeAgent {
    /// The agent of this node, which it puts into the catalog.
    pub fn new(node: &str, catalog: Arc<FakeCatalog>) -> Arc<FakeAgent> {
        let node = NodeName::from(node);
        catalog.write(vec![Command::PutNode(Node {
            name: node.clone(),
            address: "127.0.0.1".into(),
            ..Node::default()
        })]);
        let changed = watch::Sender::new(());
        let (rows, gate) = (Mutex::default(), Mutex::default());
        Arc::new(FakeAgent { node, catalog, rows, changed, gate, at_gate: AtomicUsize::new(0) })
    }

    /// How many wait for a change just now.
    pub fn watchers(&self) -> usize {
        self.changed.receiver_count()
    }

    /// Until this is dropped, whoever lists the instances keeps a thread busy.
    pub fn shut(&self) -> Shut<'_> {
        Shut { _gate: lock(&self.gate) }
    }

    /// How many list the instances just now.
    pub fn listing(&self) -> usize {
        self.at_gate.load(Ordering::SeqCst)
    }

    fn tell(&self, commands: Vec<Command>) {
        self.catalog.write(commands);
        self.changed.send_replace(());
    }

    fn put_check(&self, rows: &mut Rows, mut check: Check) -> Command {
        check.node = self.node.clone();
        if let Some(instance) = rows.instances.get(&check.instance.fold()) {
            check.service = instance.service.clone();
            check.service_tags = Arc::clone(&instance.tags);
        }
        if let Some(old) = rows.checks.get(&check.id.fold()) {
            check.status = old.status.clone();
            check.output = old.output.clone();
        }
        rows.checks.insert(check.id.fold(), check.clone());
        check.definition = None;
        Command::PutCheck(Box::new(check))
    }

    fn add(&self, registration: Registration, existing: ExistingChecks) {
        let mut rows = lock(&self.rows);
        let mut instance = registration.instance;
        instance.node = self.node.clone();
        let id = instance.id.clone();
        rows.instances.insert(id.fold(), instance.clone());
        let mut commands = vec![Command::PutInstance(Box::new(instance))];
        let named: BTreeSet<Folded> =
            registration.checks.iter().map(|check| check.id.fold()).collect();
        for check in registration.checks {
            let command = self.put_check(&mut rows, check);
            commands.push(command);
        }
        if existing == ExistingChecks::Replace {
            let gone: Vec<CheckId> = rows
                .checks
                .values()
                .filter(|check| check.instance == id && !named.contains(&check.id.fold()))
                .map(|check| check.id.clone())
                .collect();
            for check in gone {
                rows.checks.remove(&check.fold());
                commands.push(Command::RemoveCheck(self.node.clone(), check));
            }
        }
        self.tell(commands);
    }

    fn remove(&self, id: &InstanceId) -> Result<(), RegisterError> {
        let mut rows = lock(&self.rows);
        if rows.instances.remove(&id.fold()).is_none() {
            return Err(RegisterError::UnknownInstance(id.as_str().to_owned()));
        }
        rows.checks.retain(|_, check| check.instance.fold() != id.fold());
        self.tell(vec![Command::RemoveInstance(self.node.clone(), id.clone())]);
        Ok(())
    }

    fn report(&self, id: &CheckId, status: Status, output: String) -> Result<(), RegisterError> {
        let mut rows = lock(&self.rows);
        let Some(check) = rows.checks.get_mut(&id.fold()) else {
            return Err(RegisterError::UnknownCheck(id.as_str().to_owned()));
        };
        if check.kind != "ttl" {
            return Err(RegisterError::NotTtl(id.as_str().to_owned()));
        }
        check.status = status;
        check.output = output.into();
        let shown = Check { definition: None, ..check.clone() };
        self.tell(vec![Command::PutCheck(Box::new(shown))]);
        Ok(())
    }
}

impl Registrar for FakeAgent {
    fn register(
        &self,
        registration: Registration,
        existing: ExistingChecks,
        _: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.add(registration, existing);
        Box::pin(async { Ok(()) })
    }

    fn deregister(&self, id: InstanceId, _: Author) -> BoxFuture<'_, Result<(), RegisterError>> {
        let done = self.remove(&id);
        Box::pin(async { done })
    }

    fn register_check(&self, check: Check, _: Author) -> BoxFuture<'_, Result<(), RegisterError>> {
        let mut rows = lock(&self.rows);
        let known =
            check.instance.is_empty() || rows.instances.contains_key(&check.instance.fold());
        let done = match known {
            false => Err(RegisterError::UnknownInstance(check.instance.as_str().to_owned())),
            true => {
                let command = self.put_check(&mut rows, check);
                self.tell(vec![command]);
                Ok(())
            }
        };
        Box::pin(async { done })
    }

    fn deregister_check(&self, id: CheckId, _: Author) -> BoxFuture<'_, Result<(), RegisterError>> {
        let known = lock(&self.rows).checks.remove(&id.fold()).is_some();
        if known {
            self.tell(vec![Command::RemoveCheck(self.node.clone(), id.clone())]);
        }
        let done = match known {
            true => Ok(()),
            false => Err(RegisterError::UnknownCheck(id.as_str().to_owned())),
        };
        Box::pin(async { done })
    }

    fn observe(
        &self,
        id: CheckId,
        status: Status,
        output: String,
    ) -> BoxFuture<'_, Result<(), RegisterError>> {
        let done = self.report(&id, status, output);
        Box::pin(async { done })
    }

    fn instances(&self) -> Vec<Instance> {
        self.at_gate.fetch_add(1, Ordering::SeqCst);
        drop(lock(&self.gate));
        self.at_gate.fetch_sub(1, Ordering::SeqCst);
        lock(&self.rows).instances.values().cloned().collect()
    }

    fn instances_of(&self, service: &str) -> Vec<Instance> {
        let rows = lock(&self.rows);
        rows.instances.values().filter(|is| is.service.as_str() == service).cloned().collect()
    }

    fn checks(&self) -> Vec<Check> {
        lock(&self.rows).checks.values().cloned().collect()
    }

    fn instance(&self, id: &InstanceId) -> Option<Instance> {
        lock(&self.rows).instances.get(&id.fold()).cloned()
    }

    fn check(&self, id: &CheckId) -> Option<Check> {
        lock(&self.rows).checks.get(&id.fold()).cloned()
    }

    fn checks_of(&self, instance: &InstanceId) -> Vec<Check> {
        let rows = lock(&self.rows);
        let of = rows.checks.values().filter(|check| check.instance.fold() == instance.fold());
        of.cloned().collect()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut changed = self.changed.subscribe();
        Box::pin(async move {
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// A process in name only: it counts what is asked of it.
#[derive(Default)]
pub struct FakeProcess {
    asked: Mutex<Asked>,
}

/// What was asked of a [`FakeProcess`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// How often it was told to leave.
    pub leaves: usize,
    /// How often it was told to reload.
    pub reloads: usize,
    /// What it says to a reload instead of doing it.
    pub refusal: Option<String>,
}

impl FakeProcess {
    /// What was asked so far.
    pub fn asked(&self) -> Asked {
        lock(&self.asked).clone()
    }

    /// Refuses reloads from now on.
    pub fn refuse(&self, why: &str) {
        lock(&self.asked).refusal = Some(why.to_owned());
    }
}

impl Lifecycle for FakeProcess {
    fn leave(&self) {
        lock(&self.asked).leaves += 1;
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), ReloadError>> {
        let mut asked = lock(&self.asked);
        asked.reloads += 1;
        let done = asked.refusal.clone().map_or(Ok(()), |why| Err(ReloadError(why)));
        Box::pin(async { done })
    }
}
