//! The tables. All are persistent maps: a copy costs nothing, a change copies one path.
//!
//! Only [`Tx`] writes them; what it changes it notes, so that an entry can be taken back whole and
//! history can show every row as it was. Secondary maps (`node_ids`, `members`, `instance_checks` …)
//! are kept by the same functions as the rows they are derived from and are in no snapshot.

use crate::entry::HistoryLimits;
use crate::keys::{CheckKey, InstanceKey, KvRowKey, NodeKey, ServiceKey};
use crate::tables::history::History;
use crate::tables::requests::Requests;
use crate::tables::sorted::{ByCheckId, ById, ByInstance, ByService, Place, Table};
use crate::watch::Noted;
use imbl::{OrdMap, OrdSet};
use model::{
    Check, Folded, Index, Instance, KvEntry, KvKey, Node, NodeId, NodeName, Owner, Row, Session,
    SessionId, Tenant, Timestamp,
};
use std::sync::Arc;

/// All replicated state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) index: Index,
    pub(crate) time: Timestamp,
    pub(crate) tables: TableIndexes,
    pub(crate) nodes: OrdMap<NodeKey, Arc<Row<Node>>>,
    pub(crate) node_marks: OrdMap<NodeKey, Index>,
    pub(crate) node_ids: OrdMap<(Tenant, NodeId), NodeKey>,
    pub(crate) instances: Table<ById>,
    pub(crate) members: Table<ByService>,
    pub(crate) services: OrdMap<ServiceKey, ServiceMark>,
    pub(crate) checks: Table<ByCheckId>,
    pub(crate) instance_checks: Table<ByInstance>,
    pub(crate) kv: OrdMap<KvRowKey, Arc<Row<KvEntry>>>,
    pub(crate) tombstones: OrdMap<KvRowKey, Tombstone>,
    pub(crate) lock_delays: OrdMap<KvRowKey, Timestamp>,
    pub(crate) lock_delay_ends: OrdSet<(Timestamp, KvRowKey)>,
    pub(crate) sessions: OrdMap<(Tenant, SessionId), Arc<Row<Session>>>,
    pub(crate) node_sessions: OrdSet<(NodeKey, SessionId)>,
    pub(crate) check_sessions: OrdSet<(CheckKey, SessionId)>,
    pub(crate) session_keys: OrdSet<(Tenant, SessionId, KvKey)>,
    pub(crate) requests: Requests,
    pub(crate) history: History,
}

/// The index of the last change of each table; they never fall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableIndexes {
    /// Nodes.
    pub nodes: Index,
    /// The last node that was removed.
    pub node_removed: Index,
    /// Instances.
    pub services: Index,
    /// The last service whose last instance went.
    pub service_extinct: Index,
    /// Checks.
    pub checks: Index,
    /// Keys, deletions included.
    pub kv: Index,
    /// The latest deletion whose tombstone was reaped.
    pub kv_reaped: Index,
    /// Sessions.
    pub sessions: Index,
}

/// The indexes of one service that has instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceMark {
    /// Last change of an instance or of its node.
    pub instances: Index,
    /// Last change of one of those or of a check.
    pub health: Index,
    /// How many instances there are.
    pub count: u64,
}

/// A deleted key, kept so that lists under its prefixes do not fall behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// The entry that deleted it.
    pub index: Index,
    /// When that was.
    pub time: Timestamp,
}

/// A row as it was before a change; `None` where there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Before {
    Node(NodeKey, Option<Arc<Row<Node>>>),
    NodeMark(NodeKey, Option<Index>),
    Instance(InstanceKey, Option<Arc<Row<Instance>>>),
    Service(ServiceKey, Option<ServiceMark>),
    Check(CheckKey, Option<Arc<Row<Check>>>),
    Kv(KvRowKey, Option<Arc<Row<KvEntry>>>),
    Tombstone(KvRowKey, Option<Tombstone>),
    LockDelay(KvRowKey, Option<Timestamp>),
    Session(Tenant, SessionId, Option<Arc<Row<Session>>>),
}

/// One entry being applied: where it stands, whose it is, and what it changed so far.
pub(crate) struct Tx<'a> {
    pub state: &'a mut State,
    pub index: Index,
    pub time: Timestamp,
    pub tenant: Tenant,
    pub owner: &'a Owner,
    pub reconciles: bool,
    pub touched: Noted,
    pub before: Vec<Before>,
}

impl State {
    /// Puts a node's row and what is derived from it.
    pub(crate) fn put_node(&mut self, key: &NodeKey, row: Option<Arc<Row<Node>>>) {
        let new = row.as_ref().and_then(|row| row.id);
        let old = replace(&mut self.nodes, key, row).and_then(|old| old.id);
        if let Some(id) = old.filter(|id| Some(*id) != new)
            && self.node_ids.get(&(key.tenant, id)) == Some(key)
        {
            self.node_ids.remove(&(key.tenant, id));
        }
        if let Some(id) = new {
            self.node_ids.insert((key.tenant, id), key.clone());
        }
    }

    /// Puts an instance's row and what is derived from it.
    pub(crate) fn put_instance(&mut self, key: &InstanceKey, row: Option<Arc<Row<Instance>>>) {
        let old = self.instances.put(key.tenant, key.place(), row.clone());
        self.members.replace(key.tenant, old, row);
    }

    /// Puts a check's row and what is derived from it.
    pub(crate) fn put_check(&mut self, key: &CheckKey, row: Option<Arc<Row<Check>>>) {
        let old = self.checks.put(key.tenant, key.place(), row.clone());
        self.instance_checks.replace(key.tenant, old, row);
    }

    /// Puts a value's row and what is derived from it.
    pub(crate) fn put_kv(&mut self, key: &KvRowKey, row: Option<Arc<Row<KvEntry>>>) {
        let new = row.as_ref().and_then(|row| row.session);
        let old = replace(&mut self.kv, key, row).and_then(|old| old.session);
        if old == new {
            return;
        }
        if let Some(session) = old {
            self.session_keys.remove(&(key.tenant, session, key.key.clone()));
        }
        if let Some(session) = new {
            self.session_keys.insert((key.tenant, session, key.key.clone()));
        }
    }

    /// Puts the end of a lock-delay and what is derived from it.
    pub(crate) fn put_lock_delay(&mut self, key: &KvRowKey, until: Option<Timestamp>) {
        if let Some(old) = replace(&mut self.lock_delays, key, until) {
            self.lock_delay_ends.remove(&(old, key.clone()));
        }
        if let Some(until) = until {
            self.lock_delay_ends.insert((until, key.clone()));
        }
    }

    /// Puts a session's row and what is derived from it.
    pub(crate) fn put_session(
        &mut self,
        tenant: Tenant,
        id: SessionId,
        row: Option<Arc<Row<Session>>>,
    ) {
        if let Some(old) = replace(&mut self.sessions, &(tenant, id), row.clone()) {
            self.node_sessions.remove(&(NodeKey::new(tenant, &old.node), id));
            for check in watched_checks(tenant, &old) {
                self.check_sessions.remove(&(check, id));
            }
        }
        if let Some(row) = row {
            self.node_sessions.insert((NodeKey::new(tenant, &row.node), id));
            for check in watched_checks(tenant, &row) {
                self.check_sessions.insert((check, id));
            }
        }
    }

    /// Puts a row back as it was.
    pub(crate) fn restore(&mut self, before: Before) {
        match before {
            Before::Node(key, row) => self.put_node(&key, row),
            Before::NodeMark(key, mark) => {
                replace(&mut self.node_marks, &key, mark);
            }
            Before::Instance(key, row) => self.put_instance(&key, row),
            Before::Service(key, mark) => {
                replace(&mut self.services, &key, mark);
            }
            Before::Check(key, row) => self.put_check(&key, row),
            Before::Kv(key, row) => self.put_kv(&key, row),
            Before::Tombstone(key, stone) => {
                replace(&mut self.tombstones, &key, stone);
            }
            Before::LockDelay(key, until) => self.put_lock_delay(&key, until),
            Before::Session(tenant, id, row) => self.put_session(tenant, id, row),
        }
    }

    /// One instance.
    pub(crate) fn instance(&self, key: &InstanceKey) -> Option<&Arc<Row<Instance>>> {
        self.instances.get(key.tenant, key.place())
    }

    /// One check.
    pub(crate) fn check(&self, key: &CheckKey) -> Option<&Arc<Row<Check>>> {
        self.checks.get(key.tenant, key.place())
    }

    /// The instances of a node, by folded id.
    pub(crate) fn instances_of(&self, node: &NodeKey) -> impl Iterator<Item = &Arc<Row<Instance>>> {
        let name = node.node.as_str();
        let rows = self.instances.from(node.tenant, Place([name, "", ""]));
        rows.take_while(move |row| Folded::same(row.node.as_str(), name))
    }

    /// The checks of a node, by folded id; those of its instances included.
    pub(crate) fn checks_of(&self, node: &NodeKey) -> impl Iterator<Item = &Arc<Row<Check>>> {
        let name = node.node.as_str();
        let rows = self.checks.from(node.tenant, Place([name, "", ""]));
        rows.take_while(move |row| Folded::same(row.node.as_str(), name))
    }

    /// The checks of one instance, or with an empty id those of the node itself, by folded id.
    pub(crate) fn checks_of_instance(
        &self,
        tenant: Tenant,
        node: &str,
        id: &str,
    ) -> impl Iterator<Item = &Arc<Row<Check>>> {
        let rows = self.instance_checks.from(tenant, Place([node, id, ""]));
        rows.take_while(move |row| {
            Folded::same(row.instance.as_str(), id) && Folded::same(row.node.as_str(), node)
        })
    }

    /// The instances of a service, by folded node name, then folded id.
    pub(crate) fn members_of(
        &self,
        service: &ServiceKey,
    ) -> impl Iterator<Item = &Arc<Row<Instance>>> {
        let name = service.service.as_str();
        let rows = self.members.from(service.tenant, Place([name, "", ""]));
        rows.take_while(move |row| Folded::same(row.service.as_str(), name))
    }

    /// Those of them that are on a node.
    pub(crate) fn members_on(
        &self,
        service: &ServiceKey,
        node: &NodeName,
    ) -> impl Iterator<Item = &Arc<Row<Instance>>> {
        let (name, node) = (service.service.as_str(), node.as_str());
        let rows = self.members.from(service.tenant, Place([name, node, ""]));
        rows.take_while(move |row| {
            Folded::same(row.service.as_str(), name) && Folded::same(row.node.as_str(), node)
        })
    }
}

/// Puts or removes a value; gives the one that stood there.
fn replace<K: Ord + Clone, V: Clone>(
    map: &mut OrdMap<K, V>,
    key: &K,
    value: Option<V>,
) -> Option<V> {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    }
}

/// The checks on which a session's life hangs.
pub(crate) fn watched_checks(tenant: Tenant, session: &Session) -> Vec<CheckKey> {
    let node = NodeKey::new(tenant, &session.node);
    let of_services = session.service_checks.iter().flatten().map(|check| &check.id);
    session.node_checks.iter().chain(of_services).map(|id| node.check(id)).collect()
}

/// The writes: each notes what was there.
impl Tx<'_> {
    pub fn write_node(&mut self, key: &NodeKey, row: Option<Row<Node>>) {
        self.touched.touch_whole_node(key.clone());
        self.before.push(Before::Node(key.clone(), self.state.nodes.get(key).cloned()));
        self.state.put_node(key, row.map(Arc::new));
    }

    pub fn mark_node(&mut self, key: &NodeKey, mark: Option<Index>) {
        let old = self.state.node_marks.get(key).copied();
        if old != mark {
            self.before.push(Before::NodeMark(key.clone(), old));
            replace(&mut self.state.node_marks, key, mark);
        }
    }

    pub fn write_instance(&mut self, key: &InstanceKey, row: Option<Row<Instance>>) {
        let old = self.state.instance(key).cloned();
        self.touched.touch_instance(key, old.clone());
        self.before.push(Before::Instance(key.clone(), old));
        self.state.put_instance(key, row.map(Arc::new));
    }

    pub fn mark_service(&mut self, key: &ServiceKey, mark: Option<ServiceMark>) {
        let old = self.state.services.get(key).copied();
        if old != mark {
            self.before.push(Before::Service(key.clone(), old));
            replace(&mut self.state.services, key, mark);
        }
    }

    pub fn write_check(&mut self, key: &CheckKey, row: Option<Row<Check>>) {
        let old = self.state.check(key).cloned();
        self.touch_health(key, old.as_deref(), row.as_ref());
        self.before.push(Before::Check(key.clone(), old));
        self.state.put_check(key, row.map(Arc::new));
    }

    /// Notes whose health a check's new row may change; a new output changes nobody's.
    fn touch_health(&mut self, key: &CheckKey, old: Option<&Row<Check>>, new: Option<&Row<Check>>) {
        let decides = |row: &Row<Check>| (row.status.clone(), row.instance.fold());
        if old.map(decides) == new.map(decides) {
            return;
        }
        let node = key.node_key();
        for row in old.into_iter().chain(new) {
            if row.instance.is_empty() {
                self.touched.touch_whole_node(node.clone());
            } else {
                let instance = node.instance(&row.instance);
                let before = self.state.instance(&instance).cloned();
                self.touched.touch_instance(&instance, before);
            }
        }
    }

    pub fn write_kv(&mut self, key: &KvRowKey, row: Option<Row<KvEntry>>) {
        self.before.push(Before::Kv(key.clone(), self.state.kv.get(key).cloned()));
        self.state.put_kv(key, row.map(Arc::new));
    }

    pub fn write_tombstone(&mut self, key: &KvRowKey, stone: Option<Tombstone>) {
        let old = self.state.tombstones.get(key).copied();
        if old != stone {
            self.before.push(Before::Tombstone(key.clone(), old));
            replace(&mut self.state.tombstones, key, stone);
        }
    }

    pub fn write_lock_delay(&mut self, key: &KvRowKey, until: Option<Timestamp>) {
        let old = self.state.lock_delays.get(key).copied();
        if old != until {
            self.before.push(Before::LockDelay(key.clone(), old));
            self.state.put_lock_delay(key, until);
        }
    }

    pub fn write_session(&mut self, id: SessionId, row: Option<Row<Session>>) {
        let old = self.state.sessions.get(&(self.tenant, id)).cloned();
        self.before.push(Before::Session(self.tenant, id, old));
        self.state.put_session(self.tenant, id, row.map(Arc::new));
    }

    /// The row that `claim` becomes, given the one that stands there.
    pub fn row<T>(&self, claim: T, old: Option<&Row<T>>) -> Row<T> {
        let created = old.map_or(self.index, |old| old.created);
        Row { claim, owner: self.owner.clone(), created, modified: self.index }
    }
}

impl Default for History {
    fn default() -> History {
        History::new(HistoryLimits::default())
    }
}
