//! An immutable picture of the state: what DNS answers, blocking queries and sinks are made from.
//!
//! A look-up has three answers: found, absent, and *not held here*. A server holds everything; an
//! agent will hold what it was asked for (law 5), so every look-up says so in its type, and whoever
//! asks obtains what is missing with `Reader::hold`.

use crate::acl::{Acl, Authorizer, Token};
use crate::keys::{CheckKey, InstanceKey, KvRowKey, NodeKey, ServiceKey};
use crate::state::{ServiceMark, State, TableIndexes};
use crate::transaction::{Failure, Operation, Shown};
use model::{
    Check, Folded, Index, Instance, KvEntry, KvKey, Node, NodeId, NodeName, Row, Session,
    SessionId, Status, Tenant, Timestamp,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An immutable picture of the state at one index.
#[derive(Debug, Clone, Default)]
pub struct View {
    state: State,
    acl: Acl,
    holdings: Holdings,
}

/// What a view holds.
#[derive(Debug, Clone, Default)]
pub enum Holdings {
    /// Everything: a server.
    #[default]
    Everything,
    /// What was asked for: an agent.
    Only(Arc<BTreeSet<Interest>>),
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interest {
    /// All nodes.
    Nodes(Tenant),
    /// One node with its instances and checks.
    Node(NodeKey),
    /// The names of all services.
    Services(Tenant),
    /// One service with its instances, their nodes and checks.
    Service(ServiceKey),
    /// All checks.
    Checks(Tenant),
    /// All keys that begin with these bytes.
    Kv(KvRowKey),
    /// All sessions.
    Sessions(Tenant),
}

/// This view does not hold what was asked for; it may exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not held here: {0:?}")]
pub struct NotHeld(pub Interest);

/// The answer of a look-up: something, or the word that it is not held here.
pub type Held<T> = Result<T, NotHeld>;

/// Keys with their values, in byte order.
pub type KvRows<'v> = Vec<(&'v KvKey, &'v Arc<Row<KvEntry>>)>;

/// An answer and the index at which it last changed; never 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed<T> {
    /// The answer.
    pub value: T,
    /// The index to wait from.
    pub index: Index,
}

/// An instance together with its node: one row of a service's answer.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'v> {
    /// The node.
    pub node: &'v Arc<Row<Node>>,
    /// The instance.
    pub instance: &'v Arc<Row<Instance>>,
}

/// The worst of a set of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All pass.
    Passing,
    /// At least one warns, or has a status nobody knows.
    Warning,
    /// At least one is critical.
    Critical,
}

impl Health {
    /// The worst of these.
    pub fn worst<'c>(checks: impl Iterator<Item = &'c Arc<Row<Check>>>) -> Health {
        checks.map(|check| Health::of(check)).max().unwrap_or(Health::Passing)
    }

    /// What one check makes of it.
    pub fn of(check: &Check) -> Health {
        match check.status {
            Status::Passing => Health::Passing,
            Status::Critical => Health::Critical,
            Status::Warning | Status::Other(_) => Health::Warning,
        }
    }
}

fn at<T>(value: T, index: Index) -> Indexed<T> {
    Indexed { value, index: index.max(Index(1)) }
}

/// How many rows there are, of all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Nodes.
    pub nodes: usize,
    /// Names of services that have instances.
    pub services: usize,
    /// Instances.
    pub instances: usize,
    /// Checks.
    pub checks: usize,
    /// Keys with a value.
    pub kv: usize,
    /// Sessions.
    pub sessions: usize,
}

impl View {
    /// An empty view under these rules.
    pub fn new(acl: Acl) -> View {
        View { acl, ..View::default() }
    }

    /// The same state, of which only so much counts as held.
    pub fn restricted(&self, holdings: Holdings) -> View {
        View { holdings, ..self.clone() }
    }

    /// Another state under the same rules, as a batch or a snapshot brings it.
    pub fn replaced_by(&self, state: State) -> View {
        View { state, acl: self.acl, holdings: self.holdings.clone() }
    }

    /// The tables.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The index of the last entry applied.
    pub fn index(&self) -> Index {
        self.state.index
    }

    /// The time of the last entry applied.
    pub fn time(&self) -> Timestamp {
        self.state.time
    }

    /// The indexes of the tables.
    pub fn tables(&self) -> TableIndexes {
        self.state.tables
    }

    /// How many rows each table has.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            nodes: self.state.nodes.len(),
            services: self.state.services.len(),
            instances: self.state.instances.len(),
            checks: self.state.checks.len(),
            kv: self.state.kv.len(),
            sessions: self.state.sessions.len(),
        }
    }

    /// What a token may see and do here.
    pub fn authorizer(&self, token: &Token) -> Authorizer {
        Authorizer::new(self.acl, token)
    }

    fn holds(&self, interest: impl FnOnce() -> Interest) -> Held<()> {
        let Holdings::Only(held) = &self.holdings else { return Ok(()) };
        let interest = interest();
        let covered = held.contains(&interest)
            || match &interest {
                Interest::Kv(asked) => held.iter().any(|have| {
                    matches!(have, Interest::Kv(prefix) if prefix.tenant == asked.tenant
                        && asked.key.starts_with(prefix.key.as_bytes()))
                }),
                _ => false,
            };
        if covered { Ok(()) } else { Err(NotHeld(interest)) }
    }

    /// All nodes, by folded name.
    pub fn nodes(&self, tenant: Tenant) -> Held<Indexed<Vec<&Arc<Row<Node>>>>> {
        self.holds(|| Interest::Nodes(tenant))?;
        let first = NodeKey { tenant, node: Folded::default() };
        let nodes = self
            .state
            .nodes
            .range(first..)
            .take_while(|(key, _)| key.tenant == tenant)
            .map(|(_, row)| row)
            .collect();
        Ok(at(nodes, self.state.tables.nodes.max(self.state.tables.services)))
    }

    /// One node, with the index of its last change or of one of its instances.
    pub fn node(&self, key: &NodeKey) -> Held<Indexed<Option<&Arc<Row<Node>>>>> {
        self.holds(|| Interest::Node(key.clone()))?;
        let row = self.state.nodes.get(key);
        let mark = self.state.node_marks.get(key).copied();
        Ok(at(row, mark.unwrap_or(self.state.tables.node_removed)))
    }

    /// The name of the node that has this id.
    pub fn node_by_id(&self, tenant: Tenant, id: NodeId) -> Held<Option<&NodeKey>> {
        self.holds(|| Interest::Nodes(tenant))?;
        Ok(self.state.node_ids.get(&(tenant, id)))
    }

    /// The instances on a node, by folded id; the index is the node's, see [`View::node`].
    pub fn instances_on(&self, key: &NodeKey) -> Held<Vec<&Arc<Row<Instance>>>> {
        self.holds(|| Interest::Node(key.clone()))?;
        Ok(self.state.instances_of(key).collect())
    }

    /// All checks on a node, by folded id, at the index of the checks' table.
    pub fn checks_on(&self, key: &NodeKey) -> Held<Indexed<Vec<&Arc<Row<Check>>>>> {
        self.holds(|| Interest::Node(key.clone()))?;
        let checks = self.state.checks_of(key).collect();
        Ok(at(checks, self.state.tables.checks))
    }

    /// One instance.
    pub fn instance(&self, key: &InstanceKey) -> Held<Option<&Arc<Row<Instance>>>> {
        self.holds(|| Interest::Node(key.node_key()))?;
        Ok(self.state.instance(key))
    }

    /// One check.
    pub fn check(&self, key: &CheckKey) -> Held<Option<&Arc<Row<Check>>>> {
        self.holds(|| Interest::Node(key.node_key()))?;
        Ok(self.state.check(key))
    }

    /// All instances of all services, service by service, at the index of the services' table.
    pub fn services(&self, tenant: Tenant) -> Held<Indexed<Vec<&Arc<Row<Instance>>>>> {
        self.holds(|| Interest::Services(tenant))?;
        let rows = self.state.members.of(tenant).collect();
        Ok(at(rows, self.state.tables.services))
    }

    /// The keys of all services that have instances.
    pub fn service_keys(&self, tenant: Tenant) -> Held<impl Iterator<Item = &ServiceKey>> {
        self.holds(|| Interest::Services(tenant))?;
        let first = ServiceKey { tenant, service: Folded::default() };
        let keys = self.state.services.range(first..).map(|(key, _)| key);
        Ok(keys.take_while(move |key| key.tenant == tenant))
    }

    /// The instances of a service with their nodes, by folded node name, then folded id.
    ///
    /// Unhealthy ones included; empty if the service does not exist.
    pub fn service(&self, key: &ServiceKey) -> Held<Vec<Offer<'_>>> {
        self.holds(|| Interest::Service(key.clone()))?;
        Ok(self.state.members_of(key).filter_map(|row| self.offer(key.tenant, row)).collect())
    }

    /// The instances of a service on a node.
    pub fn service_on(&self, key: &ServiceKey, node: &NodeName) -> Held<Vec<Offer<'_>>> {
        self.holds(|| Interest::Service(key.clone()))?;
        let rows = self.state.members_on(key, node);
        Ok(rows.filter_map(|row| self.offer(key.tenant, row)).collect())
    }

    fn offer<'v>(&'v self, tenant: Tenant, instance: &'v Arc<Row<Instance>>) -> Option<Offer<'v>> {
        let node = self.state.nodes.get(&NodeKey::new(tenant, &instance.node));
        // An instance without its node would be a broken catalog; apply makes none.
        debug_assert!(node.is_some(), "instance {} without node", instance.id);
        node.map(|node| Offer { node, instance })
    }

    /// The indexes of a service; one that does not exist stands at the last extinction, or where
    /// there was none yet at the table's index.
    pub fn service_mark(&self, key: &ServiceKey) -> Held<ServiceMark> {
        self.holds(|| Interest::Service(key.clone()))?;
        let tables = &self.state.tables;
        Ok(self.state.services.get(key).copied().unwrap_or_else(|| {
            let gone = match tables.service_extinct {
                Index(0) => tables.services,
                extinct => extinct,
            };
            let gone = gone.max(Index(1));
            ServiceMark { instances: gone, health: gone, count: 0 }
        }))
    }

    /// The checks of one instance, by folded id.
    pub fn instance_checks(&self, key: &InstanceKey) -> impl Iterator<Item = &Arc<Row<Check>>> {
        self.state.checks_of_instance(key.tenant, key.node.as_str(), key.id.as_str())
    }

    /// The checks of a node itself, by folded id.
    pub fn node_checks(&self, key: &NodeKey) -> impl Iterator<Item = &Arc<Row<Check>>> {
        self.state.checks_of_instance(key.tenant, key.node.as_str(), "")
    }

    /// What counts for an instance: the checks of its node, then its own.
    pub fn checks_for<'v>(
        &'v self,
        tenant: Tenant,
        instance: &Instance,
    ) -> impl Iterator<Item = &'v Arc<Row<Check>>> {
        let (node, id) = (instance.node.as_str(), instance.id.as_str());
        let own = self.state.checks_of_instance(tenant, node, id);
        self.state.checks_of_instance(tenant, node, "").chain(own)
    }

    /// Whether an instance is to be used: the worst of its node's checks and its own.
    pub fn health(&self, tenant: Tenant, instance: &Instance) -> Health {
        Health::worst(self.checks_for(tenant, instance))
    }

    /// All checks, by node, then folded id.
    pub fn checks(&self, tenant: Tenant) -> Held<Indexed<Vec<&Arc<Row<Check>>>>> {
        self.holds(|| Interest::Checks(tenant))?;
        let rows = self.state.checks.of(tenant).collect();
        Ok(at(rows, self.state.tables.checks))
    }

    /// One key; an absent one stands at the table's index.
    pub fn kv(&self, key: &KvRowKey) -> Held<Indexed<Option<&Arc<Row<KvEntry>>>>> {
        self.holds(|| Interest::Kv(key.clone()))?;
        let row = self.state.kv.get(key);
        Ok(at(row, row.map_or(self.state.tables.kv, |row| row.modified)))
    }

    /// All keys that begin with these bytes, in byte order.
    ///
    /// The index is the latest change or deletion among them, or the table's where there is none.
    pub fn kv_list(&self, prefix: &KvRowKey) -> Held<Indexed<KvRows<'_>>> {
        self.holds(|| Interest::Kv(prefix.clone()))?;
        let under = |key: &KvRowKey| {
            key.tenant == prefix.tenant && key.key.starts_with(prefix.key.as_bytes())
        };
        let rows: Vec<_> = self
            .state
            .kv
            .range(prefix.clone()..)
            .take_while(|(key, _)| under(key))
            .map(|(key, row)| (&key.key, row))
            .collect();
        let stones = self.state.tombstones.range(prefix.clone()..);
        let deleted = stones.take_while(|(key, _)| under(key)).map(|(_, stone)| stone.index).max();
        let changed = rows.iter().map(|(_, row)| row.modified).max();
        let table = self.state.tables.kv;
        let index = match changed.max(deleted) {
            _ if prefix.key.as_bytes().is_empty() => table,
            None => table,
            Some(index) => index.max(self.state.tables.kv_reaped),
        };
        Ok(at(rows, index))
    }

    /// The oldest deletions still remembered, as (index, time), for the leader's reaper.
    pub fn tombstones(&self) -> impl Iterator<Item = (Index, Timestamp)> {
        self.state.tombstones.iter().map(|(_, stone)| (stone.index, stone.time))
    }

    /// Evaluates operations on this view: what they showed, or which failed and why. What they would
    /// do is not done.
    pub fn look(
        &self,
        tenant: Tenant,
        operations: &[Operation],
    ) -> Held<Result<Vec<Shown>, Vec<Failure>>> {
        for interest in operations.iter().flat_map(|operation| operation.interests(tenant)) {
            self.holds(|| interest)?;
        }
        Ok(self.state.look(tenant, operations))
    }

    /// All sessions, by id.
    pub fn sessions(&self, tenant: Tenant) -> Held<Indexed<Vec<&Arc<Row<Session>>>>> {
        self.holds(|| Interest::Sessions(tenant))?;
        let rows = self
            .state
            .sessions
            .range((tenant, SessionId::nil())..)
            .take_while(|((of, _), _)| *of == tenant)
            .map(|(_, row)| row)
            .collect();
        Ok(at(rows, self.state.tables.sessions))
    }

    /// One session, at the index of the sessions' table.
    pub fn session(
        &self,
        tenant: Tenant,
        id: SessionId,
    ) -> Held<Indexed<Option<&Arc<Row<Session>>>>> {
        self.holds(|| Interest::Sessions(tenant))?;
        Ok(at(self.state.sessions.get(&(tenant, id)), self.state.tables.sessions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::rig::{
        Rig, instance_key, kv_key, node_key, put_instance, put_node, service_key,
    };

    fn agents_view(held: &[Interest]) -> View {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 0, "10.0.0.1"));
        rig.does(put_instance("n1", "a", "web"));
        rig.view.restricted(Holdings::Only(Arc::new(held.iter().cloned().collect())))
    }

    /// Whether each look-up is answered: node, instance, service, services, key, keys, sessions.
    #[track_caller]
    fn check(held: &[Interest], expected: [bool; 7]) {
        let view = agents_view(held);
        let tenant = Tenant::DEFAULT;
        let answered = [
            view.node(&node_key("n1")).is_ok(),
            view.instance(&instance_key("n1", "a")).is_ok(),
            view.service(&service_key("web")).is_ok(),
            view.services(tenant).is_ok(),
            view.kv(&kv_key("a/b")).is_ok(),
            view.kv_list(&kv_key("a")).is_ok(),
            view.sessions(tenant).is_ok(),
        ];
        assert_eq!(answered, expected, "{held:?}");
    }

    #[test]
    fn a_view_answers_what_it_holds_and_says_what_it_does_not() {
        let tenant = Tenant::DEFAULT;
        let [y, n] = [true, false];
        check(&[], [n, n, n, n, n, n, n]);
        check(&[Interest::Node(node_key("N1"))], [y, y, n, n, n, n, n]);
        check(&[Interest::Service(service_key("web"))], [n, n, y, n, n, n, n]);
        check(&[Interest::Services(tenant)], [n, n, n, y, n, n, n]);
        check(&[Interest::Kv(kv_key("a/"))], [n, n, n, n, y, n, n]);
        check(&[Interest::Kv(kv_key(""))], [n, n, n, n, y, y, n]);
        check(&[Interest::Sessions(tenant)], [n, n, n, n, n, n, y]);
        let missing = agents_view(&[]).service(&service_key("web")).expect_err("not held");
        assert_eq!(missing, NotHeld(Interest::Service(service_key("web"))));
    }

    #[test]
    fn what_is_held_but_not_there_is_absent() {
        let view = agents_view(&[Interest::Node(node_key("n2"))]);
        assert_eq!(view.node(&node_key("n2")).map(|node| node.value), Ok(None));
        assert!(view.node(&node_key("n1")).is_err());
    }
}
