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
        let (node, _) = self.need_node(&check.node)?;
        let key = node.check(&check.id);
        self.fill_in_service(&node, &mut check)?;
        let old = self.state.checks.get(&key).cloned();
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
        let Some(row) = self.state.checks.get(&key) else { return };
        if self.may_remove(&row.owner) {
            self.remove_check_at(&key);
        }
    }

    pub(super) fn remove_check_at(&mut self, key: &CheckKey) {
        let Some(row) = self.state.checks.get(key).cloned() else { return };
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
        let Some(instance) = self.state.instances.get(&node.instance(&check.instance)) else {
            return Err(Refusal::MissingInstance {
                instance: check.instance.clone(),
                check: check.id.clone(),
            });
        };
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
            let instance = self.state.instances.get(&node.instance(&check.instance));
            if let Some(service) = instance.map(|row| ServiceKey::new(self.tenant, &row.service)) {
                self.service_changed(&service, false, 0);
            }
        }
        self.touched.touch(Watch::Checks(self.tenant));
        self.touched.touch(Watch::Node(node));
    }
}
