//! What ends an agent that cannot go on.

use super::*;
use crate::store::Disk;
use catalog::{Acl, Interest, View, Watch};
use model::{CheckDefinition, Nanos};
use seams::fakes::FakeCatalog;
use seams::{Consistency, Leadership, ReadError, Reader, Subscription};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// An agent whose disk syncs once, at the start, and never again.
fn agent_on(directory: &Path, doors: Doors) -> Agent {
    static SYNCS: AtomicUsize = AtomicUsize::new(0);
    let sync_data = |_: &File| match SYNCS.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(()),
        _ => Err(io::Error::other("the disk is gone")),
    };
    let disk = Disk { sync_data, ..Disk::REAL };
    let (store, _, done) = Store::open_on(disk, directory).unwrap();
    launch(Config::new("n1".into()), doors, Local::new("n1".into()), store, done)
}

async fn register(agent: &Agent) -> Result<(), RegisterError> {
    let registration = Registration::default();
    let existing = ExistingChecks::Keep;
    agent.registrar().register(registration, existing, Author::default()).await
}

#[tokio::test]
async fn a_store_that_broke_ends_the_process_with_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let agent = agent_on(directory.path(), FakeCatalog::new(Acl::default()).doors());
    let fatal = agent.fatal();
    let why = || "the disk is gone".to_owned();
    assert_eq!(register(&agent).await, Err(RegisterError::Unknown(why())));
    let message = fatal.await;
    assert!(message.contains("store failed (the disk is gone)"), "{message}");
    assert_eq!(register(&agent).await, Err(RegisterError::Store(why())));
    assert!(agent.registrar().instances().is_empty());
    agent.shutdown().await;
}

#[tokio::test]
async fn an_agent_that_ends_in_order_is_not_fatal() {
    let (store, done) = Store::memory();
    let doors = FakeCatalog::new(Acl::default()).doors();
    let agent = launch(Config::new("n1".into()), doors, Local::new("n1".into()), store, done);
    let mut fatal = agent.fatal();
    agent.shutdown().await;
    drop(agent);
    let waker = std::task::Waker::noop();
    let waiting = fatal.as_mut().poll(&mut std::task::Context::from_waker(waker));
    assert!(waiting.is_pending());
}

#[tokio::test]
async fn an_agent_that_panics_ends_the_process_with_a_message() {
    let (store, done) = Store::memory();
    let catalog = FakeCatalog::new(Acl::default());
    let doors = Doors { reader: Arc::new(Panics(Arc::clone(&catalog))), ..catalog.doors() };
    let agent = launch(Config::new("n1".into()), doors, Local::new("n1".into()), store, done);
    assert!(register(&agent).await.is_err());
    let message = agent.fatal().await;
    assert!(message.contains("the agent ended") && message.contains("nobody knows"), "{message}");
    agent.shutdown().await;
}

/// An agent whose disk hangs from its third sync on, for as long as this is true.
fn agent_on_hanging_disk(directory: &Path, doors: Doors) -> (Agent, &'static AtomicBool) {
    static SYNCS: AtomicUsize = AtomicUsize::new(0);
    static HANGS: AtomicBool = AtomicBool::new(true);
    let sync_data = |_: &File| {
        let syncs = SYNCS.fetch_add(1, Ordering::SeqCst);
        while syncs > 1 && HANGS.load(Ordering::SeqCst) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(())
    };
    let disk = Disk { sync_data, ..Disk::REAL };
    let (store, _, done) = Store::open_on(disk, directory).unwrap();
    let config = Config::new("n1".into());
    (launch(config, doors, Local::new("n1".into()), store, done), &HANGS)
}

fn check(id: &str, ttl: i64) -> Check {
    let definition = CheckDefinition { ttl: Nanos::seconds(ttl), ..CheckDefinition::default() };
    Check { id: id.into(), definition: Some(Box::new(definition)), ..Check::default() }
}

#[tokio::test]
async fn a_report_does_not_wait_behind_changes_that_wait_for_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let doors = FakeCatalog::new(Acl::default()).doors();
    let (agent, hangs) = agent_on_hanging_disk(directory.path(), doors);
    let registrar = agent.registrar();
    registrar.register_check(check("alive", 1000), Author::default()).await.unwrap();
    let changes: Vec<_> = (0..2 * MAX_ASKED + 100)
        .map(|n| {
            let registrar = agent.registrar();
            let more = check(&format!("more{n}"), 1000);
            tokio::spawn(async move { registrar.register_check(more, Author::default()).await })
        })
        .collect();
    let handle = Arc::clone(&agent.registrar);
    let full = async {
        while handle.asks.capacity() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), full).await.expect("the line is full");
    registrar.observe("alive".into(), Status::Passing, String::new()).await.unwrap();
    assert_eq!(registrar.check(&"alive".into()).map(|check| check.status), Some(Status::Passing));
    hangs.store(false, Ordering::SeqCst);
    changes.iter().for_each(|change| change.abort());
    agent.shutdown().await;
}

/// A catalog that breaks the agent's own task.
struct Panics(Arc<FakeCatalog>);

impl Reader for Panics {
    fn view(&self) -> Arc<View> {
        self.0.view()
    }

    fn current(&self, consistency: Consistency) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        self.0.current(consistency)
    }

    fn subscribe(&self, watches: &[Watch]) -> Subscription {
        self.0.subscribe(watches)
    }

    fn hold(
        &self,
        interest: Interest,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        self.0.hold(interest, limit)
    }

    fn leadership(&self) -> Leadership {
        panic!("nobody knows who leads")
    }

    fn log_position(&self) -> seams::LogPosition {
        self.0.log_position()
    }
}
