//! Sessions' time to live: counted here by the leader, ended by an entry (law 3).
//!
//! A renewal touches its timer and not the log. A new leader gives every session its full time, so a
//! session outlives the loss of a leader; and while nobody leads, nothing runs out. The clock is
//! monotonic: a jump of the wall clock ends no session.

use catalog::View;
use model::{Row, Session, SessionId, Tenant};
use seams::{BoxFuture, ReadError, Reader, Sessions, WriteError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A session lives this many times its TTL after its last renewal.
///
/// Source: Consul, "Sessions": the TTL is a lower bound; its leader counts twice as long.
const GRACE: u32 = 2;

/// No more time than this is given back to a session.
const LONGEST_GIFT: Duration = Duration::from_secs(60);

/// The timers of all sessions that have a TTL.
pub(crate) struct SessionTimers {
    reader: Arc<dyn Reader>,
    timers: Mutex<Timers>,
}

/// The pure part: what runs out when.
#[derive(Debug, Default)]
struct Timers {
    deadlines: BTreeMap<SessionId, Instant>,
    order: BTreeSet<(Instant, SessionId)>,
    /// Those whose end is being written; they cannot be renewed any more.
    ending: BTreeSet<SessionId>,
    /// Those whose time was prolonged since their last renewal.
    prolonged: BTreeSet<SessionId>,
}

impl SessionTimers {
    /// No timers yet; they start with leadership.
    pub fn new(reader: Arc<dyn Reader>) -> SessionTimers {
        SessionTimers { reader, timers: Mutex::default() }
    }

    /// Starts timers of new sessions, drops those of ended ones; says when the next runs out.
    pub fn follow(&self, view: &View, now: Instant) -> Option<Instant> {
        let Ok(sessions) = view.sessions(Tenant::DEFAULT) else { return None };
        let mut timers = self.lock();
        timers.follow(&sessions.value, now);
        timers.next()
    }

    /// Gives sessions that ran out while the process was starved that time back, once for each
    /// renewal: what was sent in time may not have been heard yet.
    pub fn prolong(&self, lost: Duration, now: Instant) {
        self.lock().prolong(lost, now);
    }

    /// The sessions that ran out; they can no longer be renewed.
    pub fn expired(&self, now: Instant) -> Vec<SessionId> {
        self.lock().expired(now)
    }

    /// Tries again later to end a session whose end could not be written.
    pub fn retry(&self, id: SessionId, at: Instant) {
        self.lock().retry(id, at);
    }

    /// Drops all timers: this server leads no more.
    pub fn pause(&self) {
        *self.lock() = Timers::default();
    }

    fn lock(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions for SessionTimers {
    fn renew(&self, id: SessionId) -> BoxFuture<'_, Result<Option<Arc<Row<Session>>>, WriteError>> {
        Box::pin(async move {
            let view =
                self.reader.current(Default::default()).await.map_err(|error| match error {
                    ReadError::Stopped => WriteError::Stopped,
                    ReadError::NoLeader | ReadError::NotHeld(_) => WriteError::NoLeader,
                })?;
            let Ok(session) = view.session(Tenant::DEFAULT, id) else { return Ok(None) };
            let Some(row) = session.value.cloned() else { return Ok(None) };
            let alive = self.lock().renew(&row, Instant::now());
            Ok(alive.then_some(row))
        })
    }
}

impl Timers {
    fn follow(&mut self, sessions: &[&Arc<Row<Session>>], now: Instant) {
        let alive: BTreeSet<SessionId> = sessions.iter().map(|row| row.id).collect();
        let gone: Vec<SessionId> =
            self.deadlines.keys().filter(|id| !alive.contains(id)).copied().collect();
        for id in gone {
            self.set(id, None);
        }
        self.ending.retain(|id| alive.contains(id));
        self.prolonged.retain(|id| alive.contains(id));
        for row in sessions {
            let known = self.deadlines.contains_key(&row.id) || self.ending.contains(&row.id);
            if let (false, Some(life)) = (known, life(row)) {
                self.set(row.id, Some(now + life));
            }
        }
    }

    fn renew(&mut self, session: &Session, now: Instant) -> bool {
        if self.ending.contains(&session.id) {
            return false;
        }
        if let Some(life) = life(session) {
            self.set(session.id, Some(now + life));
            self.prolonged.remove(&session.id);
        }
        true
    }

    fn over(&self, now: Instant) -> Vec<SessionId> {
        let over = self.order.iter().take_while(|(deadline, _)| *deadline <= now);
        over.map(|(_, id)| *id).collect()
    }

    fn prolong(&mut self, lost: Duration, now: Instant) {
        for id in self.over(now) {
            if self.prolonged.insert(id) {
                self.set(id, Some(now + lost.min(LONGEST_GIFT)));
            }
        }
    }

    fn expired(&mut self, now: Instant) -> Vec<SessionId> {
        let over = self.over(now);
        for id in &over {
            self.set(*id, None);
            self.ending.insert(*id);
        }
        over
    }

    fn retry(&mut self, id: SessionId, at: Instant) {
        self.set(id, Some(at));
    }

    fn next(&self) -> Option<Instant> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    fn set(&mut self, id: SessionId, deadline: Option<Instant>) {
        let old = match deadline {
            Some(deadline) => self.deadlines.insert(id, deadline),
            None => self.deadlines.remove(&id),
        };
        if let Some(old) = old {
            self.order.remove(&(old, id));
        }
        if let Some(deadline) = deadline {
            self.order.insert((deadline, id));
        }
    }
}

fn life(session: &Session) -> Option<Duration> {
    session.ttl_nanos.positive().map(|ttl| ttl.saturating_mul(GRACE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Index, Nanos, Owner};

    fn session(id: u128, ttl: i64) -> Arc<Row<Session>> {
        let claim = Session {
            id: SessionId::from_u128(id),
            ttl_nanos: Nanos::seconds(ttl),
            ..Session::default()
        };
        Arc::new(Row { claim, owner: Owner::http(), created: Index(1), modified: Index(1) })
    }

    #[test]
    fn a_session_ends_after_twice_its_ttl_unless_it_is_renewed() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let (short, endless) = (session(1, 10), session(2, 0));
        let mut timers = Timers::default();
        timers.follow(&[&short, &endless], start);
        assert_eq!(timers.next(), Some(start + 20 * second));
        assert!(timers.renew(&short, start + 15 * second));
        assert!(timers.expired(start + 34 * second).is_empty());
        assert_eq!(timers.expired(start + 35 * second), vec![short.id]);
        assert!(!timers.renew(&short, start + 35 * second), "its end is being written");
        assert!(timers.renew(&endless, start));
        timers.follow(&[&short, &endless], start + 36 * second);
        assert_eq!(timers.next(), None, "no second life while it ends");
        timers.retry(short.id, start + 40 * second);
        assert_eq!(timers.expired(start + 40 * second), vec![short.id]);
        timers.follow(&[&endless], start + 41 * second);
        assert!(timers.ending.is_empty() && timers.deadlines.is_empty());
    }
    #[test]
    fn time_in_which_nobody_was_heard_is_given_back_once_for_each_renewal() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let short = session(1, 10);
        let mut timers = Timers::default();
        timers.follow(&[&short], start);
        timers.prolong(5 * second, start + 25 * second);
        assert!(timers.expired(start + 29 * second).is_empty());
        assert!(timers.renew(&short, start + 29 * second));
        assert!(timers.expired(start + 48 * second).is_empty());
        timers.prolong(second, start + 50 * second);
        timers.prolong(9 * second, start + 51 * second);
        assert_eq!(timers.expired(start + 51 * second), vec![short.id], "only once");
        timers.follow(&[], start + 52 * second);
        assert!(timers.prolonged.is_empty());
    }
}
