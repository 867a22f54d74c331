//! Checks: definitions and statuses; nothing is run here.
//!
//! A check that turns critical, or goes, ends the sessions that depend on it.

use crate::keys::{CheckKey, NodeKey};
use crate::state::Tx;
use crate::{Refusal, ServiceKey, Watch};
use model::{Check, CheckId, NodeName, Row, Status, empty_tags};

impl Tx<'_> {
    /// Writes a check; a rewrite of the same changes nothing.
    pub fn put_check(&mut self, mut check: Check) -> Result<(), Refusal> {
        let (node, node_row) = self.need_node(&check.node)?;
        let key = node.check(&check.id);
        check.details.settle();
        check.node.share(node_row.name.text());
        self.fill_in_service(&node, &mut check)?;
        let old = self.state.check(&key).cloned();
        if let Some(old) = &old {
            self.may_write(&old.owner, || format!("check {} on {}", check.id, check.node))?;
            if old.claim == check {
                if self.reconciles && old.owner != *self.owner {
                    let row = Row { owner: self.owner.clone(), ..(**old).clone() };
                    self.write_check(&key, Some(row));
                }
                return Ok(());
            }
            if old.instance != check.instance {
                self.check_changed(&key, old);
            }
        }
        let row = self.row(check, old.as_deref());
        self.check_changed(&key, &row);
        let critical = row.status == Status::Critical;
        self.write_check(&key, Some(row));
        if critical {
            self.end_sessions_on(&key);
        }
        Ok(())
    }

    /// Removes a check; one that is not there is no error.
    pub fn remove_check(&mut self, node: &NodeName, id: &CheckId) {
        let key = NodeKey::new(self.tenant, node).check(id);
        let Some(row) = self.state.check(&key) else { return };
        if self.may_remove(&row.owner) {
            self.remove_check_at(&key);
        }
    }

    pub(super) fn remove_check_at(&mut self, key: &CheckKey) {
        let Some(row) = self.state.check(key).cloned() else { return };
        self.check_changed(key, &row);
        self.write_check(key, None);
        self.end_sessions_on(key);
    }

    fn fill_in_service(&self, node: &NodeKey, check: &mut Check) -> Result<(), Refusal> {
        if check.instance.is_empty() {
            check.service = Default::default();
            check.service_tags = empty_tags();
            return Ok(());
        }
        let Some(instance) = self.state.instance(&node.instance(&check.instance)) else {
            return Err(Refusal::MissingInstance {
                instance: check.instance.clone(),
                check: check.id.clone(),
            });
        };
        check.instance.share(instance.id.text());
        check.service = instance.service.clone();
        check.service_tags = instance.tags.clone();
        Ok(())
    }

    /// Moves the indexes that a check's readers look at: its service's, or all of its node's.
    ///
    /// The service is the one its instance has now, which may have changed since the check was written.
    fn check_changed(&mut self, key: &CheckKey, check: &Check) {
        let node = key.node_key();
        self.state.tables.checks = self.index;
        if check.instance.is_empty() {
            for service in self.services_on(&node) {
                self.service_changed(&service, false, 0);
            }
        } else {
            let instance = self.state.instance(&node.instance(&check.instance));
            if let Some(service) = instance.map(|row| ServiceKey::new(self.tenant, &row.service)) {
                self.service_changed(&service, false, 0);
            }
        }
        self.touched.touch(Watch::Checks(self.tenant));
        self.touched.touch(Watch::Node(node));
    }
}

#[cfg(test)]
mod tests {
    use crate::entry::Command;
    use crate::tables::rig::{
        HELD, Rig, instance_key, node_key, put_check, put_instance, put_node,
    };
    use crate::{Health, Refusal};
    use model::Tenant;

    fn rig() -> Rig {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 0, "10.0.0.1"));
        rig.does(put_instance("n1", "web-1", "web"));
        rig
    }

    #[test]
    fn a_check_needs_its_node_and_its_instance() {
        let refusal = rig().refuses(put_check("n2", "c", "", "passing"));
        assert_eq!(refusal, Refusal::MissingNode("n2".into()));
        let refusal = rig().refuses(put_check("n1", "c", "none", "passing"));
        let (instance, check) = ("none".into(), "c".into());
        assert_eq!(refusal, Refusal::MissingInstance { instance, check });
    }

    #[test]
    fn a_check_of_an_instance_says_its_service_and_tags() {
        let mut rig = rig();
        rig.does(put_check("n1", "c", "WEB-1", "passing"));
        let check = rig.check("N1", "C").expect("written");
        assert_eq!((check.service.as_str(), &*check.service_tags), ("web", &["web".into()][..]));
        rig.does(put_check("n1", "c", "", "passing"));
        let check = rig.check("n1", "c").expect("written");
        assert_eq!((check.service.as_str(), check.service_tags.len()), ("", 0));
    }

    #[test]
    fn the_worst_check_of_an_instance_and_its_node_decides() {
        for (node, own, expected) in [
            ("passing", "passing", Health::Passing),
            ("passing", "warning", Health::Warning),
            ("odd", "passing", Health::Warning),
            ("passing", "critical", Health::Critical),
            ("critical", "passing", Health::Critical),
        ] {
            let mut rig = rig();
            rig.does(put_check("n1", "node", "", node));
            rig.does(put_check("n1", "own", "web-1", own));
            let instance = rig.instance("n1", "web-1").expect("written");
            assert_eq!(rig.view.health(Tenant::DEFAULT, instance), expected, "{node} {own}");
        }
    }

    #[test]
    fn a_check_is_listed_with_what_it_watches_now() {
        let mut rig = rig();
        let count = |rig: &Rig| {
            let own = rig.view.instance_checks(&instance_key("n1", "web-1")).count();
            (rig.view.node_checks(&node_key("n1")).count(), own)
        };
        rig.does(put_check("n1", "c", "", "passing"));
        assert_eq!(count(&rig), (1, 0));
        rig.does(put_check("n1", "c", "web-1", "passing"));
        assert_eq!(count(&rig), (0, 1));
        let gone = rig.does(Command::RemoveCheck("N1".into(), "C".into()));
        assert_eq!(count(&rig), (0, 0));
        rig.does(Command::RemoveCheck("n1".into(), "c".into()));
        assert_eq!(rig.view.checks_on(&node_key("n1")).expect(HELD).index, gone);
    }
}
