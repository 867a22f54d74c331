//! An agent, the catalog it syncs with, and what both say.

use agent::{Agent, Config};
use catalog::{Acl, Command, NodeKey, Outcome, Refusal};
use model::{
    Author, Check, CheckDefinition, CheckDetails, Index, Instance, InstanceId, Nanos, Node, Owner,
    Registration, Status, Tenant,
};
use seams::fakes::FakeCatalog;
use seams::{
    BoxFuture, Committed, Doors, ExistingChecks, Leadership, Proposal, Reader, RegisterError,
    Registrar, WriteError, Writer,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub struct World {
    pub catalog: Arc<FakeCatalog>,
    pub agent: Agent,
    pub registrar: Arc<dyn Registrar>,
}

/// A catalog that knows the node.
pub fn catalog() -> Arc<FakeCatalog> {
    let catalog = FakeCatalog::new(Acl::default());
    catalog.write(vec![Command::PutNode(Node {
        name: "n1".into(),
        address: "10.0.0.1".into(),
        ..Node::default()
    })]);
    catalog
}

impl World {
    pub async fn new() -> World {
        World::with(catalog(), Config::new("n1".into())).await
    }

    /// An agent that keeps its registrations in `data`.
    pub async fn on(data: &Path, catalog: Arc<FakeCatalog>) -> World {
        let config = Config { data: Some(data.to_owned()), ..Config::new("n1".into()) };
        World::with(catalog, config).await
    }

    pub async fn with(catalog: Arc<FakeCatalog>, config: Config) -> World {
        let doors = catalog.doors();
        World::behind(doors, catalog, config).await
    }

    /// An agent that reaches the catalog by these doors.
    pub async fn behind(doors: Doors, catalog: Arc<FakeCatalog>, config: Config) -> World {
        let agent = agent::start(config, doors).await.unwrap();
        let registrar = agent.registrar();
        World { catalog, agent, registrar }
    }

    pub async fn register(&self, id: &str, checks: Vec<Check>) -> Result<(), RegisterError> {
        let instance = Instance { id: id.into(), service: id.into(), ..Instance::default() };
        let registration = Registration { instance, checks };
        self.registrar.register(registration, ExistingChecks::Keep, Author::default()).await
    }

    pub async fn deregister(&self, id: &str) -> Result<(), RegisterError> {
        self.registrar.deregister(id.into(), Author::default()).await
    }

    pub async fn observe(
        &self,
        id: &str,
        status: Status,
        output: &str,
    ) -> Result<(), RegisterError> {
        self.registrar.observe(id.into(), status, output.to_owned()).await
    }

    /// `owner id` of each instance and `owner id status output` of each check in the catalog.
    pub fn rows(&self) -> Vec<String> {
        rows(&self.catalog)
    }

    /// `id status output` of each check as the agent says.
    pub fn checks(&self) -> Vec<String> {
        let line = |check: Check| format!("{} {} {}", check.id, check.status, check.output);
        self.registrar.checks().into_iter().map(line).collect()
    }

    pub fn instances(&self) -> Vec<String> {
        self.registrar.instances().iter().map(|instance| instance.id.to_string()).collect()
    }

    /// Waits until the catalog's rows are these; a clock that stands still runs on meanwhile.
    #[track_caller]
    pub fn becomes(&self, expected: &[&str]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            for _ in 0..2_000 {
                if self.rows() == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("{caller}: not {expected:?} but {:?}", self.rows());
        }
    }
}

/// A log that takes only so much in one entry, and refuses every entry that names a word.
pub struct Narrow {
    pub catalog: Arc<FakeCatalog>,
    pub limit: usize,
    pub refused: &'static str,
}

impl Narrow {
    pub fn doors(self) -> Doors {
        let doors = self.catalog.doors();
        Doors { writer: Arc::new(self), ..doors }
    }
}

impl Writer for Narrow {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, WriteError>> {
        let said = format!("{:?}", proposal.commands);
        if said.len() > self.limit {
            let too_large = WriteError::TooLarge { size: said.len(), limit: self.limit };
            return Box::pin(async { Err(too_large) });
        }
        if !self.refused.is_empty() && said.contains(self.refused) {
            let refusal = Refusal::MissingNode("n1".into());
            let outcome = Outcome::Refused(refusal);
            return Box::pin(async { Ok(Committed { index: Index(1), outcome }) });
        }
        self.catalog.propose(proposal)
    }
}

pub fn rows(catalog: &FakeCatalog) -> Vec<String> {
    let view = catalog.view();
    let node = NodeKey::new(Tenant::DEFAULT, &"n1".into());
    let instances = view.instances_on(&node).unwrap().into_iter();
    let instances = instances.map(|row| format!("{} {}", row.owner, row.id));
    let checks = view.checks_on(&node).unwrap().value.into_iter();
    let checks =
        checks.map(|row| format!("{} {} {} {}", row.owner, row.id, row.status, row.output));
    instances.chain(checks).collect()
}

pub fn leading(is_leader: bool) -> Leadership {
    Leadership { leader: Some("10.0.0.9:8300".to_owned()), is_leader, last_contact: Duration::ZERO }
}

pub fn ttl(id: &str, seconds: i64) -> Check {
    let ttl = Nanos::seconds(seconds);
    defined(id, "ttl", CheckDefinition { ttl, ..CheckDefinition::default() })
}

pub fn http(id: &str, url: &str, interval: Nanos) -> Check {
    defined(id, "http", CheckDefinition { http: url.into(), interval, ..Default::default() })
}

pub fn defined(id: &str, kind: &str, definition: CheckDefinition) -> Check {
    let definition = Some(Box::new(definition));
    Check {
        id: id.into(),
        definition,
        details: CheckDetails { kind: kind.into(), ..CheckDetails::default() }.into(),
        ..Check::default()
    }
}

pub fn put_instance(id: &str) -> Command {
    let id: InstanceId = id.into();
    Command::PutInstance(Box::new(Instance {
        node: "n1".into(),
        service: id.as_str().into(),
        id,
        ..Instance::default()
    }))
}

pub fn marathon() -> Owner {
    Owner::new("source/marathon/main")
}
