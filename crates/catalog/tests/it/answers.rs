//! Every question a reader can ask of a view, with the watch it waits on: value and index.

use crate::logs::{CHECKS, INSTANCES, KEYS, NODES, SERVICES};
use catalog::{KvRowKey, NodeKey, ServiceKey, View, Watch};
use model::{
    Check, Index, Instance, KvEntry, KvKey, Node, NodeName, Row, ServiceName, Session, Tenant,
};
use std::sync::Arc;

/// What a reader sees behind a watch.
#[derive(Clone, Default)]
pub struct Answer {
    nodes: Vec<Arc<Row<Node>>>,
    instances: Vec<Arc<Row<Instance>>>,
    checks: Vec<Arc<Row<Check>>>,
    values: Vec<(KvKey, Arc<Row<KvEntry>>)>,
    sessions: Vec<Arc<Row<Session>>>,
    /// The indexes under which faces give it; each must never fall.
    pub indexes: Vec<Index>,
}

impl Answer {
    /// Whether a reader sees the same; who owns a row is not shown.
    pub fn same(&self, other: &Answer) -> bool {
        same(&self.nodes, &other.nodes)
            && same(&self.instances, &other.instances)
            && same(&self.checks, &other.checks)
            && same(&self.sessions, &other.sessions)
            && self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(|(a, b)| a.0 == b.0 && like(&a.1, &b.1))
    }
}

fn same<T: PartialEq>(a: &[Arc<Row<T>>], b: &[Arc<Row<T>>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| like(a, b))
}

fn like<T: PartialEq>(a: &Arc<Row<T>>, b: &Arc<Row<T>>) -> bool {
    Arc::ptr_eq(a, b) || (a.created == b.created && a.modified == b.modified && a.claim == b.claim)
}

/// Every watch that the logs' names allow.
pub fn watches() -> Vec<Watch> {
    let mut all = Vec::new();
    for tenant in [Tenant(0), Tenant(1)] {
        all.extend([
            Watch::Nodes(tenant),
            Watch::Services(tenant),
            Watch::Checks(tenant),
            Watch::Sessions(tenant),
        ]);
        let node = |name: &&str| Watch::Node(NodeKey::new(tenant, &NodeName::from(*name)));
        all.extend(NODES.iter().map(node));
        all.push(node(&"never"));
        let service =
            |name: &&str| Watch::Service(ServiceKey::new(tenant, &ServiceName::from(*name)));
        all.extend(SERVICES.iter().map(service));
        all.push(service(&"never"));
        for key in KEYS.iter().chain(&["never", "a/"]) {
            let key = KvRowKey::new(tenant, key.as_bytes());
            all.extend([Watch::Kv(key.clone()), Watch::KvPrefix(key)]);
        }
    }
    all.sort();
    all.dedup();
    all
}

/// What stands behind a watch in a view.
pub fn answer(view: &View, watch: &Watch) -> Answer {
    const HELD: &str = "a server holds everything";
    let mut answer = Answer::default();
    match watch {
        Watch::Nodes(tenant) => {
            let nodes = view.nodes(*tenant).expect(HELD);
            answer.nodes = nodes.value.into_iter().cloned().collect();
            answer.indexes = vec![nodes.index];
        }
        Watch::Node(key) => {
            let node = view.node(key).expect(HELD);
            let checks = view.checks_on(key).expect(HELD);
            answer.nodes = node.value.into_iter().cloned().collect();
            answer.instances = view.instances_on(key).expect(HELD).into_iter().cloned().collect();
            answer.checks = checks.value.into_iter().cloned().collect();
            answer.indexes = vec![node.index, checks.index];
        }
        Watch::Services(tenant) => {
            let services = view.services(*tenant).expect(HELD);
            answer.instances = services.value.into_iter().cloned().collect();
            answer.indexes = vec![services.index];
        }
        Watch::Service(key) => {
            for offer in view.service(key).expect(HELD) {
                answer.nodes.push(Arc::clone(offer.node));
                answer.instances.push(Arc::clone(offer.instance));
                answer.checks.extend(view.checks_for(key.tenant, offer.instance).cloned());
            }
            let mark = view.service_mark(key).expect(HELD);
            assert_eq!(mark.count, answer.instances.len() as u64, "{key:?}");
            answer.indexes = vec![mark.instances, mark.health];
        }
        Watch::Checks(tenant) => {
            let checks = view.checks(*tenant).expect(HELD);
            answer.checks = checks.value.into_iter().cloned().collect();
            answer.indexes = vec![checks.index];
        }
        Watch::Kv(key) => {
            let row = view.kv(key).expect(HELD);
            answer.values =
                row.value.map(|row| (key.key.clone(), row.clone())).into_iter().collect();
            answer.indexes = vec![row.index];
        }
        Watch::KvPrefix(prefix) => {
            let rows = view.kv_list(prefix).expect(HELD);
            answer.values =
                rows.value.into_iter().map(|(key, row)| (key.clone(), row.clone())).collect();
            answer.indexes = vec![rows.index];
        }
        Watch::Sessions(tenant) => {
            let sessions = view.sessions(*tenant).expect(HELD);
            answer.sessions = sessions.value.into_iter().cloned().collect();
            answer.indexes = vec![sessions.index];
        }
    }
    answer
}

/// Single rows, which have no watch of their own, must be found wherever lists show them.
pub fn check_lookups(view: &View) {
    for tenant in [Tenant(0), Tenant(1)] {
        for name in NODES {
            let node = NodeKey::new(tenant, &NodeName::from(name));
            for id in INSTANCES {
                let key = node.instance(&id.into());
                let found = view.instance(&key).expect("held");
                let listed = view.instances_on(&node).expect("held");
                let listed = listed.into_iter().find(|row| row.id.fold() == key.id);
                assert_eq!(found, listed);
                if found.is_some() {
                    assert!(view.node(&node).expect("held").value.is_some());
                }
            }
            for id in CHECKS {
                let key = node.check(&id.into());
                let found = view.check(&key).expect("held");
                let listed = view.checks_on(&node).expect("held").value;
                assert_eq!(found, listed.into_iter().find(|row| row.id.fold() == key.id));
            }
        }
    }
}
