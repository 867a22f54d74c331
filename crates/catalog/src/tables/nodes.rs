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
use model::{CheckId, Folded, Node, NodeName, Owner, Row, Status};
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
            self.leave_name(&from);
        }
        let row = self.row(node, old.as_deref());
        self.write_node(&key, Some(row));
        self.node_changed(&key);
        Ok(())
    }

    /// Makes sure that the node is there.
    ///
    /// A row made here belongs to nobody, so that whoever knows the node may write it, by whatever
    /// right: what only needs the name must not keep out who knows the address.
    pub fn ensure_node(&mut self, name: NodeName) {
        let key = NodeKey::new(self.tenant, &name);
        if self.state.nodes.contains_key(&key) {
            return;
        }
        let row = self.row(Node { name, ..Node::default() }, None);
        self.write_node(&key, Some(Row { owner: Owner::nobody(), ..row }));
        self.node_changed(&key);
    }

    /// Removes a node with its instances, checks and sessions; one that is not there is no error.
    pub fn remove_node(&mut self, name: &NodeName) {
        let key = NodeKey::new(self.tenant, name);
        let Some(row) = self.state.nodes.get(&key) else { return };
        if self.may_remove(&row.owner) && !(self.reconciles && self.others_stand_on(&key)) {
            self.remove_node_at(&key);
        }
    }

    /// Gives up the name that a renamed node had, and what stood on it; a reconciler only its id where
    /// others still stand on it.
    fn leave_name(&mut self, from: &NodeKey) {
        if !(self.reconciles && self.others_stand_on(from)) {
            return self.remove_node_at(from);
        }
        let Some(old) = self.state.nodes.get(from).cloned() else { return };
        let nameless = Node { id: None, ..old.claim.clone() };
        let row = Row { owner: Owner::nobody(), ..self.row(nameless, Some(&old)) };
        self.write_node(from, Some(row));
        self.node_changed(from);
    }

    /// Law 1: a reconciler leaves a node that carries what somebody else brought.
    fn others_stand_on(&self, key: &NodeKey) -> bool {
        let owner = self.owner;
        self.state.instances_of(key).any(|row| row.owner != *owner)
            || self.state.checks_of(key).any(|row| row.owner != *owner)
    }

    /// A reconciler that claims word for word what a door wrote becomes its owner.
    fn take_over_node(&mut self, key: &NodeKey, old: &Row<Node>) {
        if self.reconciles && old.owner != *self.owner {
            self.write_node(key, Some(Row { owner: self.owner.clone(), ..old.clone() }));
        }
    }

    fn remove_node_at(&mut self, key: &NodeKey) {
        let instances: Vec<InstanceKey> =
            self.state.instances_of(key).map(|row| key.instance(&row.id)).collect();
        for instance in instances {
            self.remove_instance_at(&instance);
        }
        let checks: Vec<_> = self.state.checks_of(key).map(|row| key.check(&row.id)).collect();
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
        // Who keeps the row up may give it another id: a server whose data directory was replaced.
        let is_its_own = self.reconciles && holder.owner == *self.owner;
        if gets_its_first_id || is_its_own || !self.is_alive(key) {
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
        self.state.check(&liveness).is_some_and(|check| check.status != Status::Critical)
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
            // Its key again, of the row's own text: what is registered here shares it.
            Some(row) => Ok((NodeKey::new(self.tenant, &row.name), Arc::clone(row))),
            None => Err(Refusal::MissingNode(name.clone())),
        }
    }

    pub(super) fn services_on(&self, key: &NodeKey) -> Vec<crate::ServiceKey> {
        let mut services: Vec<Folded> =
            self.state.instances_of(key).map(|row| row.service.fold()).collect();
        services.sort_unstable();
        services.dedup();
        services
            .into_iter()
            .map(|service| crate::ServiceKey { tenant: key.tenant, service })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::Refusal;
    use crate::entry::Command;
    use crate::tables::rig::{Rig, node_id, node_key, put_check, put_instance, put_node};
    use model::{Index, Owner, Text};

    #[test]
    fn a_node_written_again_keeps_its_first_index_and_moves_only_when_it_changed() {
        let mut rig = Rig::new();
        let made = rig.does(put_node("n1", 0, "10.0.0.1"));
        rig.does(put_node("n1", 0, "10.0.0.1"));
        assert_eq!(rig.node("N1").map(|row| (row.created, row.modified)), Some((made, made)));
        let moved = rig.does(put_node("N1", 0, "10.0.0.2"));
        assert_eq!(rig.node("n1").map(|row| (row.created, row.modified)), Some((made, moved)));
    }

    #[test]
    fn a_node_without_a_registration_of_its_own_has_no_address() {
        let mut rig = Rig::new();
        rig.does(Command::EnsureNode("new".into()));
        assert_eq!(rig.node("new").map(|row| row.address.as_str()), Some(""));
        rig.does(put_node("new", 0, "10.0.0.1"));
        rig.does(Command::EnsureNode("NEW".into()));
        assert_eq!(rig.node("new").map(|row| row.address.as_str()), Some("10.0.0.1"));
    }

    /// Story 21: the same id under another name is a rename, which starts the node anew.
    #[test]
    fn an_id_under_another_name_renames_its_node_and_drops_what_stood_on_it() {
        let mut rig = Rig::new();
        let made = rig.does(put_node("id1", 7, "10.0.0.1"));
        rig.does(put_instance("id1", "web", "web"));
        let renamed = rig.does(put_node("id2", 7, "10.0.0.2"));
        assert!(rig.node("id1").is_none() && rig.instance("id1", "web").is_none());
        assert_eq!(rig.node("id2").map(|row| (row.created, row.modified)), Some((made, renamed)));
        let another_id = rig.does(put_node("id2", 8, "10.0.0.2"));
        let row = rig.node("id2").expect("it stays");
        assert_eq!((row.id, row.created, row.modified), (Some(node_id(8)), made, another_id));
    }

    #[test]
    fn a_name_is_reserved_while_its_agent_is_alive() {
        // the holder's id, its agent's check, whether the writer's id stands elsewhere, refused
        for (holder, alive, renames, refused) in [
            (1, "passing", false, true),
            (1, "passing", true, true),
            (1, "warning", false, true),
            (1, "critical", false, false),
            (1, "critical", true, false),
            (1, "", false, false),
            (1, "", true, false),
            (0, "passing", false, false),
            (0, "passing", true, true),
            (0, "", true, false),
        ] {
            let mut rig = Rig::new();
            rig.does(put_node("n1", holder, "127.0.0.1"));
            if !alive.is_empty() {
                rig.does(put_check("n1", "serfHealth", "", alive));
            }
            if renames {
                rig.does(put_node("elsewhere", 2, "10.0.0.7"));
            }
            let write = put_node("N1", 2, "10.0.0.7");
            if !refused {
                rig.does(write);
                assert_eq!(rig.node("n1").and_then(|row| row.id), Some(node_id(2)));
                assert!(rig.node("elsewhere").is_none());
                continue;
            }
            let reserved = Refusal::NodeNameReserved {
                id: node_id(2),
                name: "N1".into(),
                renames: renames.then(|| Text::new("10.0.0.7")),
                holder: (holder > 0).then(|| node_id(holder)),
                holder_name: "n1".into(),
                address: Text::new("127.0.0.1"),
            };
            assert_eq!(rig.refuses(write), reserved);
            assert_eq!(rig.node("elsewhere").is_some(), renames, "nothing is half done");
        }
    }

    #[test]
    fn a_node_made_for_its_name_only_keeps_nobody_out() {
        for owner in ["http", "leader", "agent/n1", "source/marathon/main"] {
            let mut rig = Rig::new();
            rig.does(Command::EnsureNode("n1".into()));
            assert_eq!(rig.node("n1").map(|row| &row.owner), Some(&Owner::nobody()));
            rig.reconciles(owner, put_node("n1", 1, "10.0.0.1"));
            assert_eq!(rig.node("n1").map(|row| row.owner.as_str()), Some(owner));
        }
    }

    #[test]
    fn a_reconciler_that_renames_its_node_leaves_the_old_name_to_those_who_stand_on_it() {
        let mut rig = Rig::new();
        rig.reconciles("agent/old", put_node("old", 1, "10.0.0.1"));
        rig.reconciles("source/marathon/main", put_instance("old", "task", "web"));
        rig.reconciles("agent/old", put_node("new", 1, "10.0.0.1"));
        let left = rig.node("old").expect("something stands on it");
        assert_eq!((left.id, left.owner.as_str()), (None, "nobody"));
        assert!(rig.instance("old", "task").is_some());
        assert_eq!(rig.node("new").and_then(|row| row.id), Some(node_id(1)));
    }

    /// A write without an id asks no questions, as in Consul, and takes the id away.
    #[test]
    fn a_write_without_id_takes_the_id_away() {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 1, "127.0.0.1"));
        rig.does(put_check("n1", "serfHealth", "", "passing"));
        rig.does(put_node("n1", 0, "127.0.0.1"));
        assert_eq!(rig.node("n1").map(|row| row.id), Some(None));
        let found = rig.view.node_by_id(model::Tenant::DEFAULT, node_id(1));
        assert_eq!(found.expect("held"), None);
        rig.does(put_node("other", 1, "127.0.0.1"));
        assert!(rig.node("n1").is_some(), "it is nobody's old name any more");
    }

    #[test]
    fn removing_a_node_takes_all_that_stands_on_it() {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 1, "127.0.0.1"));
        rig.does(put_instance("n1", "web", "web"));
        rig.does(put_check("n1", "alive", "", "passing"));
        let gone = rig.does(Command::RemoveNode("N1".into()));
        assert!(rig.node("n1").is_none() && rig.instance("n1", "web").is_none());
        assert!(rig.check("n1", "alive").is_none());
        assert_eq!(rig.view.node(&node_key("n1")).expect("held").index, gone);
        assert_eq!(rig.view.node(&node_key("never")).expect("held").index, gone);
        rig.does(Command::RemoveNode("n1".into()));
        assert_eq!(rig.view.tables().node_removed, Index(4), "removing nothing changes nothing");
    }
}
