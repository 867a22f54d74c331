//! Instances, and the marks of their services.
//!
//! A service's mark lives as long as it has instances; then the table's last extinction stands in
//! for it, so that no index falls and nothing is kept for ever.

use crate::keys::InstanceKey;
use crate::state::Tx;
use crate::{Refusal, ServiceKey, ServiceMark, Watch};
use model::{Instance, InstanceId, NodeName, Owner, Row};
use std::sync::Arc;

impl Tx<'_> {
    /// Writes an instance; a rewrite of the same changes nothing.
    pub fn put_instance(&mut self, mut instance: Instance) -> Result<(), Refusal> {
        let (node, node_row) = self.need_node(&instance.node)?;
        instance.details.settle();
        instance.node.share(node_row.name.text());
        let key = node.instance(&instance.id);
        let service = ServiceKey::new(self.tenant, &instance.service);
        if let Some((held, _)) = self.state.services.get_key_value(&service) {
            instance.service.share(held.service.text());
        }
        self.share_tags(&service, &mut instance);
        let old = self.state.instance(&key).cloned();
        let mut count = 1;
        if let Some(old) = &old {
            self.may_write(&old.owner, || {
                format!("instance {} on {}", instance.id, instance.node)
            })?;
            if old.claim == instance {
                self.take_over_instance(&key, old);
                return Ok(());
            }
            let left = ServiceKey::new(self.tenant, &old.service);
            if left == service {
                count = 0;
            } else {
                self.service_changed(&left, true, -1);
            }
        }
        let row = self.row(instance, old.as_deref());
        self.write_instance(&key, Some(row));
        self.service_changed(&service, true, count);
        self.instances_changed(&key);
        Ok(())
    }

    /// Instances of a service mostly have the same tags: they keep them once.
    fn share_tags(&self, service: &ServiceKey, instance: &mut Instance) {
        if let Some(first) = self.state.members_of(service).next()
            && !instance.tags.is_empty()
            && first.tags == instance.tags
        {
            instance.tags = Arc::clone(&first.tags);
        }
    }

    /// Removes an instance and its checks; one that is not there is no error.
    pub fn remove_instance(&mut self, node: &NodeName, id: &InstanceId) {
        let key = crate::NodeKey::new(self.tenant, node).instance(id);
        let Some(row) = self.state.instance(&key) else { return };
        if self.may_remove(&row.owner) {
            self.remove_instance_at(&key);
        }
    }

    pub(super) fn remove_instance_at(&mut self, key: &InstanceKey) {
        let Some(row) = self.state.instance(key).cloned() else { return };
        let node = key.node_key();
        let checks: Vec<_> = self
            .state
            .checks_of_instance(key.tenant, key.node.as_str(), key.id.as_str())
            .map(|check| node.check(&check.id))
            .collect();
        for check in checks {
            self.remove_check_at(&check);
        }
        self.write_instance(key, None);
        self.service_changed(&ServiceKey::new(self.tenant, &row.service), true, -1);
        self.instances_changed(key);
    }

    /// Moves the mark of a service: `health` always, `instances` too where its rows changed.
    pub(super) fn service_changed(&mut self, key: &ServiceKey, rows: bool, instances: i64) {
        let mut mark = self.state.services.get(key).copied().unwrap_or(ServiceMark {
            instances: self.index,
            health: self.index,
            count: 0,
        });
        mark.health = self.index;
        if rows {
            mark.instances = self.index;
        }
        mark.count = mark.count.saturating_add_signed(instances);
        if mark.count == 0 {
            self.state.tables.service_extinct = self.index;
        }
        self.mark_service(key, (mark.count > 0).then_some(mark));
        self.touched.touch(Watch::Service(key.clone()));
    }

    fn instances_changed(&mut self, key: &InstanceKey) {
        let node = key.node_key();
        self.state.tables.services = self.index;
        self.mark_node(&node, Some(self.index));
        self.touched.touch(Watch::Node(node));
        self.touched.touch(Watch::Services(self.tenant));
    }

    /// A reconciler that claims word for word what a door wrote becomes its owner; readers see no change.
    fn take_over_instance(&mut self, key: &InstanceKey, old: &Row<Instance>) {
        if self.reconciles && old.owner != *self.owner {
            self.write_instance(key, Some(Row { owner: self.owner.clone(), ..old.clone() }));
        }
    }

    /// Law 1: a reconciler may replace what doors wrote, not what another reconciler keeps up.
    pub(super) fn may_write(
        &self,
        owner: &Owner,
        what: impl FnOnce() -> String,
    ) -> Result<(), Refusal> {
        if self.reconciles && owner != self.owner && owner.reconciles() {
            return Err(Refusal::OwnedByOther { what: what(), owner: owner.clone() });
        }
        Ok(())
    }

    /// Law 1: a reconciler removes only its own rows.
    pub(super) fn may_remove(&self, owner: &Owner) -> bool {
        !self.reconciles || owner == self.owner
    }
}

#[cfg(test)]
mod tests {
    use crate::entry::Command;
    use crate::tables::rig::{HELD, Rig, put_check, put_instance, put_node, service_key};
    use crate::{Refusal, ServiceMark};
    use model::Index;

    #[track_caller]
    fn check_mark(rig: &Rig, service: &str, instances: u64, health: u64, count: u64) {
        let (instances, health) = (Index(instances), Index(health));
        let mark = rig.view.service_mark(&service_key(service)).expect(HELD);
        assert_eq!(mark, ServiceMark { instances, health, count }, "{service}");
    }

    #[test]
    fn an_instance_needs_its_node() {
        let refusal = Rig::new().refuses(put_instance("n1", "web", "web"));
        assert_eq!(refusal, Refusal::MissingNode("n1".into()));
    }

    /// Story 25: what moves the index of a service, for `catalog/service` and for `health/service`.
    #[test]
    fn a_service_is_moved_by_its_instances_their_nodes_and_their_checks() {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 0, "10.0.0.1"));
        rig.does(put_node("n2", 0, "10.0.0.2"));
        rig.does(put_instance("n1", "web-1", "web"));
        check_mark(&rig, "web", 3, 3, 1);
        rig.does(put_instance("n2", "cache", "cache"));
        rig.does(put_instance("n1", "web-1", "Web"));
        check_mark(&rig, "web", 5, 5, 1);
        rig.does(put_check("n1", "http", "web-1", "passing"));
        check_mark(&rig, "WEB", 5, 6, 1);
        rig.does(put_check("n1", "alive", "", "passing"));
        check_mark(&rig, "web", 5, 7, 1);
        rig.does(put_check("n2", "alive", "", "passing"));
        check_mark(&rig, "web", 5, 7, 1);
        rig.does(put_node("n1", 0, "10.0.0.9"));
        check_mark(&rig, "web", 9, 9, 1);
        rig.does(put_instance("n2", "web-2", "web"));
        check_mark(&rig, "web", 10, 10, 2);
        rig.does(Command::RemoveInstance("n1".into(), "WEB-1".into()));
        check_mark(&rig, "web", 11, 11, 1);
        assert!(rig.check("n1", "http").is_none(), "its checks go with it");
        assert!(rig.check("n1", "alive").is_some(), "the node's stay");
    }

    #[test]
    fn a_service_that_is_not_there_stands_at_the_last_one_that_went() {
        let mut rig = Rig::new();
        check_mark(&rig, "web", 1, 1, 0);
        rig.does(put_node("n1", 0, "10.0.0.1"));
        rig.does(put_instance("n1", "a", "web"));
        check_mark(&rig, "never", 2, 2, 0);
        rig.does(Command::RemoveInstance("n1".into(), "a".into()));
        rig.does(put_instance("n1", "b", "cache"));
        check_mark(&rig, "web", 3, 3, 0);
        check_mark(&rig, "never", 3, 3, 0);
        check_mark(&rig, "cache", 4, 4, 1);
    }

    #[test]
    fn an_instance_that_changes_its_service_leaves_the_old_one() {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 0, "10.0.0.1"));
        rig.does(put_instance("n1", "a", "web"));
        rig.does(put_check("n1", "http", "a", "passing"));
        rig.does(put_instance("n1", "a", "cache"));
        check_mark(&rig, "web", 4, 4, 0);
        check_mark(&rig, "cache", 4, 4, 1);
        rig.does(Command::RemoveCheck("n1".into(), "http".into()));
        check_mark(&rig, "cache", 4, 5, 1);
    }
}
