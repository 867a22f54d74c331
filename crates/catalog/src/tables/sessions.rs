//! Sessions, and what ends with them.
//!
//! A session ends when it is destroyed, when nobody renews it (the leader counts and writes an
//! entry), with its node, and with its checks. Its keys are then released or deleted and cannot be
//! acquired for the lock-delay, counted in log time.

use crate::keys::{CheckKey, KvRowKey, NodeKey};
use crate::state::{Tx, watched_checks};
use crate::{Refusal, Watch};
use model::{Behavior, KvKey, Nanos, Session, SessionId, Status};

/// The longest that a lost lock stays out of reach; longer delays are stored but count as this.
///
/// Source: Consul, "Sessions", lock-delay between 0 and 60 seconds.
pub const MAX_LOCK_DELAY: Nanos = Nanos::seconds(60);

impl Tx<'_> {
    /// Makes a session if its node and checks are there and none of them is critical.
    pub fn create_session(&mut self, session: Session) -> Result<(), Refusal> {
        let node = NodeKey::new(self.tenant, &session.node);
        if !self.state.nodes.contains_key(&node) {
            return Err(Refusal::SessionWithoutNode);
        }
        for key in watched_checks(self.tenant, &session) {
            let spelled = session
                .node_checks
                .iter()
                .chain(session.service_checks.iter().flatten().map(|check| &check.id))
                .find(|id| id.fold() == key.id)
                .cloned()
                .unwrap_or_default();
            match self.state.check(&key) {
                None => return Err(Refusal::SessionWithoutCheck(spelled)),
                Some(check) if check.status == Status::Critical => {
                    return Err(Refusal::SessionCheckCritical(spelled));
                }
                Some(_) => {}
            }
        }
        let id = session.id;
        let row = self.row(session, None);
        self.write_session(id, Some(row));
        self.sessions_changed();
        Ok(())
    }

    /// Ends a session; one that is not there is no error.
    pub fn end_session(&mut self, id: SessionId) {
        let Some(session) = self.state.sessions.get(&(self.tenant, id)).cloned() else { return };
        self.reap_lock_delays();
        let delay = session.lock_delay.min(MAX_LOCK_DELAY);
        let until = delay.positive().map(|_| self.time.after(delay));
        for key in self.keys_held(id) {
            match session.behavior {
                Behavior::Release => self.kv_unlock_at(&key),
                Behavior::Delete => self.kv_delete_at(&key),
            }
            if until.is_some() {
                self.write_lock_delay(&key, until);
            }
        }
        self.write_session(id, None);
        self.sessions_changed();
    }

    /// Ends the sessions bound to a node.
    pub(super) fn end_sessions_of(&mut self, node: &NodeKey) {
        let first = (node.clone(), SessionId::nil());
        let ended: Vec<SessionId> = self
            .state
            .node_sessions
            .range(first..)
            .take_while(|(key, _)| key == node)
            .map(|(_, id)| *id)
            .collect();
        self.end_all(ended);
    }

    /// Ends the sessions that depend on a check.
    pub(super) fn end_sessions_on(&mut self, check: &CheckKey) {
        let first = (check.clone(), SessionId::nil());
        let ended: Vec<SessionId> = self
            .state
            .check_sessions
            .range(first..)
            .take_while(|(key, _)| key == check)
            .map(|(_, id)| *id)
            .collect();
        self.end_all(ended);
    }

    fn end_all(&mut self, sessions: Vec<SessionId>) {
        for id in sessions {
            self.end_session(id);
        }
    }

    fn keys_held(&self, id: SessionId) -> Vec<KvRowKey> {
        let tenant = self.tenant;
        self.state
            .session_keys
            .range((tenant, id, KvKey::default())..)
            .take_while(|(of, session, _)| *of == tenant && *session == id)
            .map(|(_, _, key)| KvRowKey { tenant, key: key.clone() })
            .collect()
    }

    fn sessions_changed(&mut self) {
        self.state.tables.sessions = self.index;
        self.touched.touch(Watch::Sessions(self.tenant));
    }
}

#[cfg(test)]
mod tests {
    use crate::Refusal;
    use crate::entry::{Command, KvCondition};
    use crate::tables::rig::{Rig, put_check, put_instance, put_kv, put_node, session_id};
    use model::{Behavior, CheckId, ServiceCheck, Session, Text};

    fn rig() -> Rig {
        let mut rig = Rig::new();
        rig.does(put_node("n1", 0, ""));
        rig.does(put_instance("n1", "web-1", "web"));
        rig.does(put_check("n1", "alive", "", "passing"));
        rig.does(put_check("n1", "http", "web-1", "warning"));
        rig.does(put_check("n1", "down", "", "critical"));
        rig
    }

    fn session(
        node: &str,
        checks: &[&str],
        service_checks: &[&str],
        behavior: Behavior,
    ) -> Command {
        let of_service = |id: &&str| ServiceCheck { id: (*id).into(), namespace: Text::default() };
        Command::CreateSession(Box::new(Session {
            id: session_id(1),
            node: node.into(),
            node_checks: checks.iter().map(|id| CheckId::from(*id)).collect(),
            service_checks: Some(service_checks.iter().map(of_service).collect()),
            behavior,
            ..Session::default()
        }))
    }

    /// Story 11.
    #[test]
    fn a_session_needs_its_node_and_checks_that_are_not_critical() {
        let refuse = |node, checks: &[&str], services: &[&str]| {
            rig().refuses(session(node, checks, services, Behavior::Release))
        };
        assert_eq!(refuse("nope", &[], &[]), Refusal::SessionWithoutNode);
        let missing = |id: &str| Refusal::SessionWithoutCheck(id.into());
        assert_eq!(refuse("n1", &["Nope"], &[]), missing("Nope"));
        assert_eq!(refuse("n1", &["alive"], &["nope"]), missing("nope"));
        let critical = Refusal::SessionCheckCritical("Down".into());
        assert_eq!(refuse("n1", &["Down"], &[]), critical);
        rig().does(session("N1", &["Alive"], &["http"], Behavior::Release));
    }

    /// What ends a session on `n1` with the checks `alive` and `http`, and what does not.
    #[test]
    fn a_session_ends_with_its_node_and_its_checks() {
        let remove_check = |id: &str| Command::RemoveCheck("n1".into(), id.into());
        for (command, ends) in [
            (Command::DestroySession(session_id(1)), true),
            (Command::ExpireSession(session_id(1)), true),
            (Command::DestroySession(session_id(9)), false),
            (put_check("n1", "alive", "", "critical"), true),
            (put_check("n1", "http", "web-1", "critical"), true),
            (put_check("n1", "alive", "", "warning"), false),
            (put_check("n1", "other", "", "critical"), false),
            (remove_check("ALIVE"), true),
            (remove_check("down"), false),
            (Command::RemoveInstance("n1".into(), "web-1".into()), true),
            (Command::RemoveNode("n1".into()), true),
        ] {
            for behavior in [Behavior::Release, Behavior::Delete] {
                let mut rig = rig();
                rig.does(session("n1", &["alive"], &["http"], behavior));
                rig.does(put_kv("k", "v", KvCondition::Acquire(session_id(1))));
                let before = rig.view.tables().sessions;
                let at = rig.does(command.clone());
                assert_eq!(rig.session(1).is_none(), ends, "{command:?}");
                assert_eq!(rig.view.tables().sessions, if ends { at } else { before });
                let held = rig.kv("k").map(|row| row.session.is_some());
                let expected = match (ends, behavior) {
                    (false, _) => Some(true),
                    (true, Behavior::Release) => Some(false),
                    (true, Behavior::Delete) => None,
                };
                assert_eq!(held, expected, "{command:?}");
            }
        }
    }
}
