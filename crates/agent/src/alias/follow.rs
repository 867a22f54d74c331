//! When aliases look: pure.
//!
//! Whoever drives this looks at once for those of [`Aliases::due_here`], and for those of
//! [`Aliases::begin_there`] in one round at a time, however many rows of the catalog move.

use super::Target;
use crate::time::Moment;
use model::{Folded, NodeName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An alias looks at least so often.
const REFRESH: Duration = Duration::from_secs(60);
/// Aliases of the catalog look no more often than this, however often it changes.
const SPACING: Duration = Duration::from_millis(100);
/// The first wait after the catalog could not be looked at; it doubles up to [`REFRESH`].
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// All alias checks of an agent.
#[derive(Debug, Default)]
pub struct Aliases {
    targets: BTreeMap<Folded, Target>,
    here: Here,
    there: There,
}

/// Those of this agent's instances.
#[derive(Debug, Default)]
struct Here {
    /// (instance, alias).
    followers: BTreeSet<(Folded, Folded)>,
    due: BTreeMap<Folded, Moment>,
    timers: BTreeSet<(Moment, Folded)>,
}

/// Those of nodes in the catalog.
#[derive(Debug, Default)]
struct There {
    aliases: BTreeSet<Folded>,
    due: Option<Moment>,
    /// Not before.
    earliest: Moment,
    looking: bool,
    failures: u32,
}

impl Aliases {
    /// An alias is there, or follows something else now; it looks at once.
    pub fn watch(&mut self, id: &Folded, target: Target, now: Moment) {
        self.forget(id);
        if target.is_here() {
            self.here.followers.insert((target.instance.fold(), id.clone()));
            self.here.set(id, now);
        } else {
            self.there.aliases.insert(id.clone());
            self.there.wants(now);
        }
        self.targets.insert(id.clone(), target);
    }

    /// A check is gone, or no alias any more.
    pub fn forget(&mut self, id: &Folded) {
        let Some(target) = self.targets.remove(id) else { return };
        self.here.followers.remove(&(target.instance.fold(), id.clone()));
        if let Some(due) = self.here.due.remove(id) {
            self.here.timers.remove(&(due, id.clone()));
        }
        self.there.aliases.remove(id);
    }

    /// An instance of this agent changed, came or went, or one of its checks did.
    pub fn stirred(&mut self, instance: &Folded, now: Moment) {
        let first = (instance.clone(), Folded::default());
        let followers = self.here.followers.range(first..).take_while(|(of, _)| of == instance);
        let followers: Vec<Folded> = followers.map(|(_, alias)| alias.clone()).collect();
        followers.iter().for_each(|alias| self.here.set(alias, now));
    }

    /// A row of a node that is followed changed in the catalog.
    pub fn moved(&mut self, now: Moment) {
        self.there.wants(now);
    }

    /// When something is to be looked at.
    pub fn next_due(&self) -> Option<Moment> {
        let here = self.here.timers.first().map(|(due, _)| *due);
        let there = self.there.due.filter(|_| !self.there.looking);
        here.into_iter().chain(there).min()
    }

    /// What an alias follows.
    pub fn target(&self, id: &Folded) -> Option<&Target> {
        self.targets.get(id)
    }

    /// The aliases that are to look at this agent's instances now.
    pub fn due_here(&mut self, now: Moment) -> Vec<Folded> {
        let due = self.here.timers.iter().take_while(|(due, _)| *due <= now);
        let due: Vec<Folded> = due.map(|(_, id)| id.clone()).collect();
        due.iter().for_each(|id| self.here.set(id, now + REFRESH));
        due
    }

    /// Begins a round over the aliases of the catalog, if one is due.
    pub fn begin_there(&mut self, now: Moment) -> Option<Vec<(Folded, Target)>> {
        self.there.due.take_if(|due| *due <= now && !self.there.looking)?;
        if self.there.aliases.is_empty() {
            return None;
        }
        self.there.looking = true;
        let aliases = self.there.aliases.iter();
        Some(aliases.map(|id| (id.clone(), self.targets[id].clone())).collect())
    }

    /// The round has ended; says whether the one before failed too.
    pub fn ended_there(&mut self, failed: bool, now: Moment) -> bool {
        let there = &mut self.there;
        there.looking = false;
        let again = there.failures > 0;
        there.failures = if failed { there.failures.saturating_add(1) } else { 0 };
        let pause = match there.failures {
            0 => SPACING,
            failures => FIRST_RETRY.saturating_mul(1 << (failures - 1).min(8)).min(REFRESH),
        };
        there.earliest = now + pause;
        let next = if failed { now + pause } else { now + REFRESH };
        there.due = Some(there.due.map_or(next, |due| due.max(there.earliest).min(next)));
        failed && again
    }

    /// Whether any of them follows something in the catalog.
    pub fn follow_the_catalog(&self) -> bool {
        !self.there.aliases.is_empty()
    }

    /// The nodes that are followed in the catalog.
    pub fn nodes(&self) -> BTreeMap<Folded, NodeName> {
        let targets = self.there.aliases.iter().map(|id| &self.targets[id].node);
        targets.map(|node| (node.fold(), node.clone())).collect()
    }
}

impl Here {
    fn set(&mut self, id: &Folded, due: Moment) {
        if let Some(old) = self.due.insert(id.clone(), due) {
            self.timers.remove(&(old, id.clone()));
        }
        self.timers.insert((due, id.clone()));
    }
}

impl There {
    fn wants(&mut self, now: Moment) {
        let due = now.max(self.earliest);
        self.due = Some(self.due.map_or(due, |old| old.min(due)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    fn target(node: &str, instance: &str) -> Target {
        Target { node: node.into(), instance: instance.into() }
    }

    fn id(name: &str) -> Folded {
        Folded::new(name)
    }

    #[test]
    fn an_alias_here_looks_when_its_instance_stirs_and_every_minute() {
        let mut aliases = Aliases::default();
        aliases.watch(&id("a"), target("", "Web"), at(5));
        assert_eq!(aliases.next_due(), Some(at(5)));
        assert_eq!(aliases.due_here(at(5)), [id("a")]);
        assert_eq!(aliases.next_due(), Some(at(60_005)));
        aliases.stirred(&id("web2"), at(7));
        aliases.stirred(&id(""), at(7));
        assert!(aliases.due_here(at(7)).is_empty());
        aliases.stirred(&id("web"), at(8));
        aliases.stirred(&id("web"), at(9));
        assert_eq!(aliases.due_here(at(9)), [id("a")]);
        assert_eq!(aliases.due_here(at(60_009)), [id("a")]);
        aliases.forget(&id("a"));
        aliases.stirred(&id("web"), at(60_010));
        assert_eq!(aliases.next_due(), None);
    }

    #[test]
    fn an_alias_that_follows_something_else_now_forgets_what_it_followed() {
        let mut aliases = Aliases::default();
        aliases.watch(&id("a"), target("", "web"), at(0));
        aliases.watch(&id("a"), target("n2", "web"), at(0));
        assert!(aliases.due_here(at(0)).is_empty());
        assert_eq!(aliases.target(&id("a")), Some(&target("n2", "web")));
        assert_eq!(aliases.nodes().into_keys().collect::<Vec<_>>(), [id("n2")]);
        aliases.watch(&id("a"), target("", "db"), at(0));
        assert!(aliases.nodes().is_empty() && aliases.begin_there(at(0)).is_none());
        assert_eq!(aliases.due_here(at(0)), [id("a")]);
    }

    #[test]
    fn aliases_of_the_catalog_look_together_and_not_without_pause() {
        let mut aliases = Aliases::default();
        aliases.watch(&id("a"), target("n2", "web"), at(0));
        aliases.watch(&id("b"), target("N2", ""), at(0));
        assert_eq!(aliases.nodes().len(), 1);
        assert_eq!(aliases.begin_there(at(0)).map(|round| round.len()), Some(2));
        aliases.moved(at(1));
        assert_eq!(aliases.begin_there(at(1)), None, "one round at a time");
        assert_eq!(aliases.next_due(), None);
        assert!(!aliases.ended_there(false, at(2)));
        assert_eq!(aliases.next_due(), Some(at(102)));
        assert!(aliases.begin_there(at(101)).is_none() && aliases.begin_there(at(102)).is_some());
        aliases.ended_there(false, at(103));
        assert_eq!(aliases.next_due(), Some(at(60_103)));
        aliases.moved(at(900));
        assert_eq!(aliases.next_due(), Some(at(900)));
    }

    #[test]
    fn a_round_that_failed_is_repeated_later_and_later() {
        let mut aliases = Aliases::default();
        aliases.watch(&id("a"), target("n2", "web"), at(0));
        let mut now = at(0);
        let mut waits = Vec::new();
        for round in 0..9 {
            assert!(aliases.begin_there(now).is_some());
            assert_eq!(aliases.ended_there(true, now), round > 0, "told from the second on");
            let due = aliases.next_due().expect("it is repeated");
            waits.push(due.since(now).as_secs());
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(aliases.begin_there(now).is_some());
        assert!(!aliases.ended_there(false, now));
        assert_eq!(aliases.next_due(), Some(now + REFRESH));
    }
}
