//! What the tables' tests stand on: a view, and short words for what is done to it.

use crate::entry::{Claim, Command, Entry, KvCondition, KvWrite, Outcome, Reply};
use crate::{CheckKey, InstanceKey, KvRowKey, NodeKey, Refusal, ServiceKey, View, apply};
use model::{
    Author, Check, Index, Instance, KvEntry, KvKey, Node, NodeId, Owner, Row, Session, SessionId,
    Status, Tenant, Text, Timestamp,
};

pub const HELD: &str = "a server holds everything";

/// A view, the time of the next entry in milliseconds, and the entries' owner.
pub struct Rig {
    pub view: View,
    pub now: u64,
}

impl Rig {
    pub fn new() -> Rig {
        Rig { view: View::default(), now: 1_000 }
    }

    /// Applies one entry of these commands.
    pub fn run(&mut self, commands: impl IntoIterator<Item = Command>) -> Outcome {
        self.run_as(Owner::http(), Claim::Explicit, commands)
    }

    /// Applies one command of a reconciler, which must be carried out.
    #[track_caller]
    pub fn reconciles(&mut self, owner: &str, command: Command) {
        let outcome = self.run_as(Owner::new(owner), Claim::Reconcile, [command]);
        assert_eq!(outcome, Outcome::Done(vec![Reply::Done]));
    }

    fn run_as(
        &mut self,
        owner: Owner,
        claim: Claim,
        commands: impl IntoIterator<Item = Command>,
    ) -> Outcome {
        let entry = Entry {
            time: Timestamp(self.now),
            author: Author::default(),
            owner,
            claim,
            tenant: Tenant::DEFAULT,
            request: None,
            commands: commands.into_iter().collect(),
        };
        let mut applied = apply(&self.view, [(Index(self.view.index().0 + 1), entry)]);
        self.view = applied.view;
        applied.outcomes.remove(0)
    }

    /// Applies one command that must be carried out; says at which index.
    #[track_caller]
    pub fn does(&mut self, command: Command) -> Index {
        assert_eq!(self.run([command]), Outcome::Done(vec![Reply::Done]));
        self.view.index()
    }

    /// Applies one command whose condition must not hold.
    #[track_caller]
    pub fn fails(&mut self, command: Command) {
        assert_eq!(self.run([command]), Outcome::Done(vec![Reply::ConditionFailed]));
    }

    /// Applies one command that must be refused.
    #[track_caller]
    pub fn refuses(&mut self, command: Command) -> Refusal {
        match self.run([command]) {
            Outcome::Refused(refusal) => refusal,
            Outcome::Done(_) => panic!("it was carried out"),
        }
    }

    pub fn node(&self, name: &str) -> Option<&Row<Node>> {
        self.view.node(&node_key(name)).expect(HELD).value.map(|row| &**row)
    }

    pub fn instance(&self, node: &str, id: &str) -> Option<&Row<Instance>> {
        self.view.instance(&instance_key(node, id)).expect(HELD).map(|row| &**row)
    }

    pub fn check(&self, node: &str, id: &str) -> Option<&Row<Check>> {
        self.view.check(&check_key(node, id)).expect(HELD).map(|row| &**row)
    }

    pub fn kv(&self, key: &str) -> Option<&Row<KvEntry>> {
        self.view.kv(&kv_key(key)).expect(HELD).value.map(|row| &**row)
    }

    pub fn session(&self, number: u128) -> Option<&Row<Session>> {
        let found = self.view.session(Tenant::DEFAULT, session_id(number)).expect(HELD);
        found.value.map(|row| &**row)
    }
}

pub fn node_key(name: &str) -> NodeKey {
    NodeKey::new(Tenant::DEFAULT, &name.into())
}

pub fn instance_key(node: &str, id: &str) -> InstanceKey {
    node_key(node).instance(&id.into())
}

pub fn check_key(node: &str, id: &str) -> CheckKey {
    node_key(node).check(&id.into())
}

pub fn service_key(name: &str) -> ServiceKey {
    ServiceKey::new(Tenant::DEFAULT, &name.into())
}

pub fn kv_key(key: &str) -> KvRowKey {
    KvRowKey::new(Tenant::DEFAULT, key.as_bytes())
}

pub fn node_id(number: u128) -> NodeId {
    NodeId::from_u128(number)
}

pub fn session_id(number: u128) -> SessionId {
    SessionId::from_u128(number)
}

/// Writes a node; 0 stands for no id.
pub fn put_node(name: &str, id: u128, address: &str) -> Command {
    let id = (id > 0).then(|| node_id(id));
    Command::PutNode(Node { name: name.into(), id, address: Text::new(address), ..Node::default() })
}

pub fn put_instance(node: &str, id: &str, service: &str) -> Command {
    Command::PutInstance(Box::new(Instance {
        node: node.into(),
        id: id.into(),
        service: service.into(),
        tags: [Text::new(service)].into(),
        ..Instance::default()
    }))
}

/// Writes a check; an empty instance makes it the node's.
pub fn put_check(node: &str, id: &str, instance: &str, status: &str) -> Command {
    Command::PutCheck(Box::new(Check {
        node: node.into(),
        id: id.into(),
        instance: instance.into(),
        status: Status::parse(status),
        ..Check::default()
    }))
}

pub fn put_kv(key: &str, value: &str, condition: KvCondition) -> Command {
    let (key, value) = (KvKey::new(key.as_bytes()), value.as_bytes().into());
    Command::KvPut(KvWrite { key, value, flags: 0, condition })
}

pub fn delete_kv(key: &str, unchanged: Option<u64>) -> Command {
    Command::KvDelete(KvKey::new(key.as_bytes()), unchanged.map(Index))
}
