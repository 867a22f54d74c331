//! Deregistering what has been critical for too long and has no agent that would do it.
//!
//! | row | who deregisters its instance |
//! |---|---|
//! | an agent's or a source's (it reconciles) | its owner, which would write it again |
//! | written through a door (`catalog/register`) with a check that has `DeregisterCriticalServiceAfter` | the leader, here |
//!
//! The time runs on the leader's monotonic clock from when this leader first saw the check critical,
//! and anew under a new leader: an instance may stay longer than it asked for, never shorter. Every
//! change of a node with such a check is looked at, at most once a second; a recovery shorter than
//! that may be missed.
//!
//! Source: Consul, "Health check configuration", `deregister_critical_service_after`; its minimum and
//! period are those of its agent. Consul's own leader leaves such rows to `consul-esm`.

use catalog::{CheckKey, Held, InstanceKey, NodeKey, View, Watch};
use model::{Check, InstanceId, NodeName, Owner, Row, Status, Tenant};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How often all checks are looked through.
pub(crate) const PERIOD: Duration = Duration::from_secs(30);
/// How often what is critical is looked at when its nodes change.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// The least time an instance may stay critical; less is raised to it.
const LEAST: Duration = Duration::from_secs(60);

/// The checks that are critical, and since when.
#[derive(Debug, Default)]
pub(crate) struct Critical {
    since: BTreeMap<CheckKey, Instant>,
}

/// An instance that is to go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Overdue {
    /// Who owns its row, and in whose name alone it may be removed.
    pub owner: Owner,
    /// Its node.
    pub node: NodeName,
    /// Its id.
    pub instance: InstanceId,
}

impl Critical {
    /// Looks through all checks; says which instances are to go, those of one owner together.
    pub fn look(&mut self, view: &View, now: Instant) -> BTreeSet<Overdue> {
        let Ok(checks) = view.checks(Tenant::DEFAULT) else { return BTreeSet::new() };
        let mut since = BTreeMap::new();
        let mut overdue = BTreeSet::new();
        for row in checks.value {
            let Ok(Some((limit, owner))) = concerned(view, row) else { continue };
            let key = NodeKey::new(Tenant::DEFAULT, &row.node).check(&row.id);
            let from = self.since.get(&key).copied().unwrap_or(now);
            since.insert(key, from);
            if now.saturating_duration_since(from) >= limit {
                let (node, instance) = (row.node.clone(), row.instance.clone());
                overdue.insert(Overdue { owner, node, instance });
            }
        }
        self.since = since;
        overdue
    }

    /// Forgets what is no longer critical, so that its time begins anew.
    pub fn follow(&mut self, view: &View) {
        self.since.retain(|key, _| {
            let row = view.check(key).ok().flatten();
            row.is_some_and(|row| matches!(concerned(view, row), Ok(Some(_))))
        });
    }

    /// What to wait for: the nodes of those that are critical.
    pub fn watches(&self) -> BTreeSet<Watch> {
        self.since.keys().map(|key| Watch::Node(key.node_key())).collect()
    }
}

/// How long an instance may stay critical by this check, and who owns it; `None` if the check does
/// not say so, is not critical, or is somebody's who reconciles.
fn concerned(view: &View, row: &Row<Check>) -> Held<Option<(Duration, Owner)>> {
    let definition = row.definition.as_deref();
    let limit =
        definition.and_then(|definition| definition.deregister_critical_service_after.positive());
    let Some(limit) = limit else { return Ok(None) };
    if row.status != Status::Critical || row.instance.is_empty() || row.owner.reconciles() {
        return Ok(None);
    }
    let key: InstanceKey = NodeKey::new(Tenant::DEFAULT, &row.node).instance(&row.instance);
    let owner = view.instance(&key)?.map(|instance| instance.owner.clone());
    let owner = owner.filter(|owner| !owner.reconciles());
    Ok(owner.map(|owner| (limit.max(LEAST), owner)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{Acl, Claim, Command, Entry, apply};
    use model::{Author, CheckDefinition, Index, Instance as Row, Nanos, Node, Timestamp};

    /// A catalog that entries are applied to, one after the other.
    struct Rows {
        view: View,
        now: Instant,
    }

    impl Rows {
        fn new() -> Rows {
            let mut rows = Rows { view: View::new(Acl::Off), now: Instant::now() };
            rows.write("http", Command::PutNode(Node { name: "n".into(), ..Node::default() }));
            rows
        }

        fn write(&mut self, owner: &str, command: Command) {
            let owner = Owner::new(owner);
            let claim = if owner.reconciles() { Claim::Reconcile } else { Claim::Explicit };
            let entry = Entry {
                time: Timestamp(1),
                author: Author::default(),
                owner,
                claim,
                tenant: Tenant::DEFAULT,
                request: None,
                commands: vec![command],
            };
            let index = Index(self.view.index().0 + 1);
            self.view = apply(&self.view, [(index, entry)]).view;
        }

        fn instance(&mut self, owner: &str, id: &str) {
            let row =
                Row { node: "n".into(), id: id.into(), service: "s".into(), ..Row::default() };
            self.write(owner, Command::PutInstance(Box::new(row)));
        }

        /// A check `c-ID` of the instance that lets it be critical for so many seconds.
        fn check(&mut self, owner: &str, id: &str, status: &str, limit: i64) {
            let definition = CheckDefinition {
                deregister_critical_service_after: Nanos::seconds(limit),
                ..CheckDefinition::default()
            };
            let row = Check {
                node: "n".into(),
                id: format!("c-{id}").as_str().into(),
                instance: id.into(),
                status: Status::parse(status),
                definition: Some(Box::new(definition)),
                ..Check::default()
            };
            self.write(owner, Command::PutCheck(Box::new(row)));
        }

        fn look(&mut self, critical: &mut Critical, after: u64) -> Vec<String> {
            self.now += Duration::from_secs(after);
            let overdue = critical.look(&self.view, self.now);
            overdue.into_iter().map(|row| format!("{} {}", row.owner, row.instance)).collect()
        }
    }

    #[test]
    fn what_nobody_reconciles_goes_after_its_time_and_a_minute_at_least() {
        let mut rows = Rows::new();
        let mut critical = Critical::default();
        for (id, limit) in [("long", 300), ("never", 0), ("short", 1)] {
            rows.instance("http", id);
            rows.check("http", id, "critical", limit);
        }
        rows.check("http", "", "critical", 1);
        assert!(rows.look(&mut critical, 0).is_empty());
        assert!(rows.look(&mut critical, 59).is_empty());
        assert_eq!(rows.look(&mut critical, 1), ["http short"]);
        assert_eq!(rows.look(&mut critical, 240), ["http long", "http short"]);
    }

    #[test]
    fn what_an_agent_or_a_source_owns_is_left_to_it() {
        let mut rows = Rows::new();
        let mut critical = Critical::default();
        rows.instance("agent/n", "a");
        rows.check("agent/n", "a", "critical", 60);
        rows.instance("source/marathon/main", "b");
        rows.check("http", "b", "critical", 60);
        rows.instance("http", "c");
        rows.check("agent/n", "c", "critical", 60);
        rows.instance("http", "taken");
        rows.check("http", "taken", "critical", 60);
        assert!(rows.look(&mut critical, 0).is_empty());
        rows.instance("agent/n", "taken");
        assert!(rows.look(&mut critical, 600).is_empty());
        assert!(critical.watches().is_empty());
    }

    #[test]
    fn a_recovery_between_two_looks_begins_the_time_anew() {
        let mut rows = Rows::new();
        let mut critical = Critical::default();
        rows.instance("http", "a");
        rows.check("http", "a", "critical", 60);
        rows.look(&mut critical, 0);
        assert_eq!(critical.watches().len(), 1);
        rows.check("http", "a", "passing", 60);
        critical.follow(&rows.view);
        assert!(critical.watches().is_empty());
        rows.check("http", "a", "critical", 60);
        assert!(rows.look(&mut critical, 30).is_empty());
        assert!(rows.look(&mut critical, 59).is_empty());
        assert_eq!(rows.look(&mut critical, 1), ["http a"]);
    }

    #[test]
    fn a_new_leader_counts_anew() {
        let mut rows = Rows::new();
        let mut old = Critical::default();
        rows.instance("http", "a");
        rows.check("http", "a", "critical", 60);
        rows.look(&mut old, 0);
        let mut new = Critical::default();
        assert!(rows.look(&mut new, 59).is_empty());
        assert!(rows.look(&mut new, 59).is_empty());
        assert_eq!(rows.look(&mut new, 1), ["http a"]);
    }

    /// Random histories: nothing goes before its time or while it is owned, all goes soon after.
    #[test]
    fn at_every_time_just_what_was_critical_for_long_enough_goes() {
        for seed in 1..=200 {
            history(seed);
        }
    }

    fn history(seed: u64) {
        const LIMIT: u64 = 90;
        let mut random = seed;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let mut rows = Rows::new();
        let mut critical = Critical::default();
        // Since when each instance is critical and nobody's, in seconds.
        let mut since: [Option<u64>; 3] = [None; 3];
        for id in ["0", "1", "2"] {
            rows.instance("http", id);
        }
        let start = rows.now;
        for second in 0..2_000 {
            rows.now = start + Duration::from_secs(second);
            if next(40) == 0 {
                let at = next(3) as usize;
                let id = at.to_string();
                let owner = ["http", "http", "agent/n"][next(3) as usize];
                let status = ["passing", "critical", "critical", "critical"][next(4) as usize];
                rows.write("http", Command::RemoveInstance("n".into(), id.as_str().into()));
                critical.follow(&rows.view);
                rows.instance(owner, &id);
                rows.check(owner, &id, status, LIMIT as i64);
                since[at] = (status == "critical" && owner == "http").then_some(second);
            }
            if second % PERIOD.as_secs() != 0 {
                continue;
            }
            let overdue = rows.look(&mut critical, 0);
            for (at, since) in since.iter_mut().enumerate() {
                let lasted = since.map_or(0, |since| second - since);
                if overdue.contains(&format!("http {at}")) {
                    assert!(lasted >= LIMIT, "seed {seed}: {at} went after {lasted} s");
                    let gone = at.to_string().as_str().into();
                    rows.write("http", Command::RemoveInstance("n".into(), gone));
                    *since = None;
                } else {
                    let latest = LIMIT + 2 * PERIOD.as_secs();
                    assert!(lasted < latest, "seed {seed}: {at} is here after {lasted} s");
                }
            }
        }
    }
}
