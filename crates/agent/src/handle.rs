//! The agent from outside: starting it, asking it, ending it.

use crate::checks::MAX_PROBES;
use crate::counters::{Counters, Meters, Told};
use crate::local::{Local, Operation};
use crate::owner::{Ask, Owner};
use crate::store::{Done, StartError, Store};
use crate::time::WallTime;
use model::{Author, Check, CheckId, Instance, InstanceId, NodeName, Registration, Status};
use prometheus_client::registry::Registry;
use seams::{BoxFuture, Doors, ExistingChecks, RegisterError, Registrar};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Changes that may wait for the agent, and as many reports, which have a line of their own; beyond,
/// callers wait to hand theirs over.
pub const MAX_ASKED: usize = 1024;

/// How an agent runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node it registers on.
    pub node: NodeName,
    /// The data directory; `None` keeps nothing beyond this process.
    pub data: Option<PathBuf>,
    /// After how long the catalog hears that only a check's output changed; 5 minutes. Less makes
    /// the log grow with every run of a talkative check; zero tells it at once.
    pub check_update_interval: Duration,
    /// The most bytes of output kept of a check that does not ask for less; 4096.
    pub output_max_size: usize,
    /// How often everything is compared with the catalog, plus a random time up to as much again;
    /// 1 minute. More leaves rows that others changed wrong for longer, less costs a look at all
    /// rows of this node.
    pub full_sync_interval: Duration,
    /// The most bytes one registration may have as it is stored; 1 MiB. More may not fit into an
    /// entry of the log (4 MiB by default), and what does not never shows in the catalog; less
    /// refuses long meta data and check bodies.
    pub registration_max_size: usize,
    /// Which scripts are run; none. More lets whoever may register here run programs as this
    /// agent's user.
    pub scripts: Scripts,
    /// Whether what checks say is thrown away; it is kept. Operators then see statuses alone.
    pub discard_output: bool,
    /// How many checks run at a time; 512. Those due beyond wait. Each has up to three files open.
    pub most_probes: usize,
}

/// What the agent's files say: services with their checks, and checks of the node or of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definitions {
    /// Services; of two with one id the later counts.
    pub services: Vec<Registration>,
    /// Checks that stand by themselves.
    pub checks: Vec<Check>,
}

/// Which checks may run programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scripts {
    /// None.
    #[default]
    Off,
    /// Those of the agent's own files, not those registered through its doors.
    Local,
    /// All.
    On,
}

impl Config {
    /// The defaults for a node, keeping nothing.
    pub fn new(node: NodeName) -> Config {
        Config {
            node,
            data: None,
            check_update_interval: Duration::from_secs(300),
            output_max_size: 4096,
            full_sync_interval: Duration::from_secs(60),
            registration_max_size: 1 << 20,
            scripts: Scripts::Off,
            discard_output: false,
            most_probes: MAX_PROBES,
        }
    }
}

/// Starts an agent: reads its store, then syncs and runs checks until it is shut down.
///
/// Opens `DATA/agent/`; the data directory's lock is the caller's. Must be called in a runtime.
pub fn start(config: Config, doors: Doors) -> BoxFuture<'static, Result<Agent, StartError>> {
    Box::pin(async move {
        let mut local = Local::new(config.node.clone());
        let (store, done) = match config.data.clone() {
            None => Store::memory(),
            Some(data) => {
                let directory = data.join("agent");
                let path = directory.clone();
                let opened = tokio::task::spawn_blocking(move || Store::open(&directory));
                let (store, operations, done) =
                    opened.await.expect("opening the store does not panic")?;
                for operation in operations {
                    // What was refused when it was taken is refused again: the state is the same.
                    if let Err(RegisterError::UnsupportedCheck(_)) = local.apply(operation) {
                        return Err(StartError::Newer { path });
                    }
                }
                local.restored(WallTime::now());
                (store, done)
            }
        };
        Ok(launch(config, doors, local, store, done))
    })
}

fn launch(
    config: Config,
    doors: Doors,
    local: Local,
    store: Store,
    done: mpsc::UnboundedReceiver<Done>,
) -> Agent {
    let (asks, asked) = mpsc::channel(MAX_ASKED);
    let (reports, reported) = mpsc::channel(MAX_ASKED);
    let (publish, published) = watch::channel(local.clone());
    let meters = Arc::new(Meters::default());
    let stop = CancellationToken::new();
    let (died, fatal) = watch::channel(None);
    let told = Arc::clone(&meters);
    let owner = Owner::new(config, doors, local, store, publish, told, died.clone());
    let work = tokio::spawn(owner.run(asked, reported, done, stop.clone()));
    let task = tokio::spawn(async move {
        if let Err(lost) = work.await {
            died.send_replace(Some(format!("the agent ended: {lost}")));
        }
    });
    let registrar = Arc::new(Handle { asks, reports, published });
    Agent { registrar, meters, stop, fatal, task: Mutex::new(Some(task)) }
}

/// A running agent.
pub struct Agent {
    registrar: Arc<Handle>,
    meters: Arc<Meters>,
    stop: CancellationToken,
    fatal: watch::Receiver<Option<String>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Agent {
    /// The way to register on this node.
    pub fn registrar(&self) -> Arc<dyn Registrar> {
        Arc::clone(&self.registrar) as Arc<dyn Registrar>
    }

    /// The way to have it follow files.
    pub fn files(&self) -> Files {
        Files(Arc::clone(&self.registrar))
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.meters.read()
    }

    /// Adds what it counts to a registry; `docs/manual/metrics.md` lists it.
    pub fn register(&self, registry: &mut Registry) {
        let published = self.registrar.published.clone();
        let told = Told { meters: Arc::clone(&self.meters), published };
        registry.register_collector(Box::new(told));
    }

    /// Waits until the agent cannot go on; the process must then end with this message.
    pub fn fatal(&self) -> BoxFuture<'static, String> {
        let mut fatal = self.fatal.clone();
        Box::pin(async move {
            let told = fatal.wait_for(Option::is_some).await.map(|told| told.clone());
            match told {
                Ok(told) => told.unwrap_or_default(),
                // Ended in order: there is nothing to tell.
                Err(_) => std::future::pending().await,
            }
        })
    }

    /// Ends it: running probes are dropped, what was acknowledged is on disk.
    pub fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.stop.cancel();
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                // A panic of the agent was told by `fatal`; there is nothing left to end.
                let _ = task.await;
            }
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Has the agent follow what its files say.
#[derive(Clone)]
pub struct Files(Arc<Handle>);

impl Files {
    /// Registers what the files define and deregisters what they defined before and no longer do;
    /// what did not change keeps its status, and what clients registered is left alone.
    ///
    /// An error that says so leaves everything as it was; one of the store may leave some of it done.
    pub async fn follow(&self, files: Definitions) -> Result<(), RegisterError> {
        let stopped = || RegisterError::Store("the agent is shutting down".to_owned());
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Follow { files: Box::new(files), reply };
        self.0.asks.send(ask).await.map_err(|_| stopped())?;
        for answer in answer.await.map_err(|_| stopped())?? {
            answer.await.map_err(|_| stopped())??;
        }
        Ok(())
    }
}

struct Handle {
    asks: mpsc::Sender<Ask>,
    /// Reports do not wait behind changes, which wait for the disk.
    reports: mpsc::Sender<Ask>,
    published: watch::Receiver<Local>,
}

impl Handle {
    fn change(
        &self,
        operation: Operation,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let author = Some(author);
            let ask = Ask::Change { operation, author, reply: Some(reply) };
            self.ask(&self.asks, ask, answer).await
        })
    }

    async fn ask(
        &self,
        line: &mpsc::Sender<Ask>,
        ask: Ask,
        answer: oneshot::Receiver<Result<(), RegisterError>>,
    ) -> Result<(), RegisterError> {
        let stopped = || RegisterError::Store("the agent is shutting down".to_owned());
        line.send(ask).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Registrar for Handle {
    fn register(
        &self,
        registration: Registration,
        existing: ExistingChecks,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.change(Operation::Register(Box::new(registration), existing), author)
    }

    fn deregister(
        &self,
        id: InstanceId,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.change(Operation::Deregister(id), author)
    }

    fn register_check(
        &self,
        check: Check,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.change(Operation::RegisterCheck(Box::new(check)), author)
    }

    fn deregister_check(
        &self,
        id: CheckId,
        author: Author,
    ) -> BoxFuture<'_, Result<(), RegisterError>> {
        self.change(Operation::DeregisterCheck(id), author)
    }

    fn observe(
        &self,
        id: CheckId,
        status: Status,
        output: String,
    ) -> BoxFuture<'_, Result<(), RegisterError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let ask = Ask::Observe { id, status, output, reply };
            self.ask(&self.reports, ask, answer).await
        })
    }

    fn instances(&self) -> Vec<Instance> {
        self.published.borrow().instances().map(|(_, held)| Instance::clone(held)).collect()
    }

    /// The others are not copied.
    fn instances_of(&self, service: &str) -> Vec<Instance> {
        let published = self.published.borrow();
        let of_name = published.instances().filter(|(_, held)| held.service.as_str() == service);
        of_name.map(|(_, held)| Instance::clone(held)).collect()
    }

    fn checks(&self) -> Vec<Check> {
        self.published.borrow().checks().map(|(_, held)| held.check.clone()).collect()
    }

    fn instance(&self, id: &InstanceId) -> Option<Instance> {
        self.published.borrow().instance(&id.fold()).map(|held| Instance::clone(held))
    }

    fn check(&self, id: &CheckId) -> Option<Check> {
        self.published.borrow().check(&id.fold()).map(|held| held.check.clone())
    }

    fn checks_of(&self, instance: &InstanceId) -> Vec<Check> {
        let instance = instance.fold();
        self.published.borrow().checks_of(&instance).map(|(_, held)| held.check.clone()).collect()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut published = self.published.clone();
        published.mark_unchanged();
        Box::pin(async move {
            if published.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests;
