//! Nodes: keyed by name, told apart by id.
//!
//! A write that carries the id of a node with another name renames that node, which loses what was
//! registered on it; the name of a node with another id is reserved while that node is alive, that is
//! while its agent's check says so. A node that no agent keeps alive gives its name to any id.
//!
//! Source: observed on Consul 1.21 (stories 21 and 22).

use crate::keys::{InstanceKey, NodeKey};
use crate::state::Tx;
use crate::{Refusal, Watch};
use model::{CheckId, Folded, Node, NodeName, Row, Status};
use std::sync::Arc;

/// The check that says whether a node's agent is alive.
const LIVENESS_CHECK: &str = "serfhealth";

impl Tx<'_> {
    /// Writes a node; a rewrite of the same changes nothing.
    pub fn put_node(&mut self, node: Node) -> Result<(), Refusal> {
        let key = NodeKey::new(self.tenant, &node.name);
        let renamed = node.id.and_then(|id| {
            self.state.node_ids.get(&(self.tenant, id)).filter(|held| **held != key).cloned()
        });
        self.check_name(&key, &node, renamed.is_some())?;
        let mut old = self.state.nodes.get(&key).cloned();
        if let Some(old) = &old {
            self.may_write(&old.owner, || format!("node {}", old.name))?;
            if old.claim == node {
                self.take_over_node(&key, old);
                return Ok(());
            }
        }
        if let Some(from) = renamed {
            old = self.state.nodes.get(&from).cloned();
            if let Some(old) = &old {
                self.may_write(&old.owner, || format!("node {}", old.name))?;
            }
            self.remove_node_at(&from);
        }
        let row = self.row(node, old.as_deref());
        self.write_node(&key, Some(row));
        self.node_changed(&key);
        Ok(())
    }

    /// Makes sure that the node is there.
    pub fn ensure_node(&mut self, name: NodeName) -> Result<(), Refusal> {
        if self.state.nodes.contains_key(&NodeKey::new(self.tenant, &name)) {
            return Ok(());
        }
        self.put_node(Node { name, ..Node::default() })
    }

    /// Removes a node with its instances, checks and sessions; one that is not there is no error.
    pub fn remove_node(&mut self, name: &NodeName) {
        let key = NodeKey::new(self.tenant, name);
        let Some(row) = self.state.nodes.get(&key) else { return };
        if self.may_remove(&row.owner) && !(self.reconciles && self.others_stand_on(&key)) {
            self.remove_node_at(&key);
        }
    }

    /// Law 1: a reconciler leaves a node that carries what somebody else brought.
    fn others_stand_on(&self, key: &NodeKey) -> bool {
        let owner = self.owner;
        self.state.instances_of(key).any(|(_, row)| row.owner != *owner)
            || self.state.checks_of(key).any(|(_, row)| row.owner != *owner)
    }

    /// A reconciler that claims word for word what a door wrote becomes its owner.
    fn take_over_node(&mut self, key: &NodeKey, old: &Row<Node>) {
        if self.reconciles && old.owner != *self.owner {
            self.write_node(key, Some(Row { owner: self.owner.clone(), ..old.clone() }));
        }
    }

    fn remove_node_at(&mut self, key: &NodeKey) {
        let instances: Vec<InstanceKey> =
            self.state.instances_of(key).map(|(instance, _)| instance.clone()).collect();
        for instance in instances {
            self.remove_instance_at(&instance);
        }
        let checks: Vec<_> = self.state.checks_of(key).map(|(check, _)| check.clone()).collect();
        for check in checks {
            self.remove_check_at(&check);
        }
        self.end_sessions_of(key);
        self.write_node(key, None);
        self.mark_node(key, None);
        self.state.tables.nodes = self.index;
        self.state.tables.node_removed = self.index;
        self.touched.touch(Watch::Node(key.clone()));
        self.touched.touch(Watch::Nodes(self.tenant));
    }

    fn check_name(&self, key: &NodeKey, node: &Node, renames: bool) -> Result<(), Refusal> {
        let Some(id) = node.id else { return Ok(()) };
        let Some(holder) = self.state.nodes.get(key).filter(|row| row.id != node.id) else {
            return Ok(());
        };
        let gets_its_first_id = holder.id.is_none() && !renames;
        if gets_its_first_id || !self.is_alive(key) {
            return Ok(());
        }
        Err(Refusal::NodeNameReserved {
            id,
            name: node.name.clone(),
            renames: renames.then(|| node.address.clone()),
            holder: holder.id,
            holder_name: holder.name.clone(),
            address: holder.address.clone(),
        })
    }

    fn is_alive(&self, key: &NodeKey) -> bool {
        let liveness = key.check(&CheckId::from(LIVENESS_CHECK));
        self.state.checks.get(&liveness).is_some_and(|check| check.status != Status::Critical)
    }

    /// Moves the indexes of the node and of every service on it.
    fn node_changed(&mut self, key: &NodeKey) {
        self.state.tables.nodes = self.index;
        self.mark_node(key, Some(self.index));
        self.touched.touch(Watch::Node(key.clone()));
        self.touched.touch(Watch::Nodes(self.tenant));
        for service in self.services_on(key) {
            self.service_changed(&service, true, 0);
        }
    }

    /// The node that must be there for something to be registered on it.
    pub fn need_node(&self, name: &NodeName) -> Result<(NodeKey, Arc<Row<Node>>), Refusal> {
        let key = NodeKey::new(self.tenant, name);
        match self.state.nodes.get(&key) {
            Some(row) => Ok((key, Arc::clone(row))),
            None => Err(Refusal::MissingNode(name.clone())),
        }
    }

    pub(super) fn services_on(&self, key: &NodeKey) -> Vec<crate::ServiceKey> {
        let mut services: Vec<Folded> =
            self.state.instances_of(key).map(|(_, row)| row.service.fold()).collect();
        services.sort_unstable();
        services.dedup();
        services
            .into_iter()
            .map(|service| crate::ServiceKey { tenant: key.tenant, service })
            .collect()
    }
}
