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
            match self.state.checks.get(&key) {
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
