//! Why an instance is told, or what keeps it out: the judgement that every door asks.
//!
//! DNS builds its rows through [`Terms::judge`] and HTTP filters its answers by it, so that an
//! explanation is the reason itself and not a second opinion. Whether a token may see a row is not
//! asked here: faces ask the authorizer first, and never explain what may not be seen.
//!
//! | stage | out by | causes |
//! |---|---|---|
//! | 1 | a person, for the node or the instance | [`Cause::NodeMaintenance`], [`Cause::Maintenance`] |
//! | 2 | health of the node, then of the instance | [`Cause::NodeCheck`], [`Cause::Check`] |
//! | 3 | its source | [`Cause::Phase`] |
//! | 4 | who asks: a tag | [`Cause::Tag`] |
//! | 5 | the records asked for | [`Cause::Address`], [`Cause::HostName`] |
//!
//! The first three are known when a row changes, and the fourth and fifth when somebody asks.

mod absence;
mod cause;
mod nearest;
mod remedy;
mod traces;

pub use absence::Absence;
pub use cause::{Cause, Family};
pub use nearest::nearest;
pub use remedy::{Remedy, path_segment, url_word};
pub use traces::{Gone, Trace};

use crate::{Health, NodeKey, View};
use model::{Check, Folded, Instance, Phase, Row, Tenant, Text};
use std::sync::Arc;

/// What a door shows, and what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The worst health that is shown.
    pub worst: Health,
    /// Whether only what runs is shown: not what a source says is starting, leaving or lost (law 1).
    pub running: bool,
    /// Tags that an instance must have, all of them; an empty one is nobody's.
    pub tags: Vec<Folded>,
}

impl Terms {
    /// What DNS shows. Tags are asked of its rows.
    pub fn dns(only_passing: bool) -> Terms {
        let worst = if only_passing { Health::Passing } else { Health::Warning };
        Terms { worst, running: true, tags: Vec::new() }
    }

    /// What HTTP shows of those with these tags: all, or with `?passing` the healthy ones.
    pub fn http(passing: bool, tags: Vec<Folded>) -> Terms {
        let worst = if passing { Health::Passing } else { Health::Critical };
        Terms { worst, running: false, tags }
    }

    /// Whether an instance is shown: with its health, as far as that was looked at.
    pub fn admit(&self, view: &View, tenant: Tenant, instance: &Instance) -> Option<Health> {
        let runs = !self.running || instance.phase == Phase::Running;
        if !runs || !self.tags.iter().all(|tag| has_tag(instance, tag)) {
            return None;
        }
        if self.worst == Health::Critical {
            return Some(Health::Critical);
        }
        Some(view.health(tenant, instance)).filter(|health| *health <= self.worst)
    }

    /// The same, with the first cause of a refusal.
    pub fn judge(
        &self,
        view: &View,
        tenant: Tenant,
        instance: &Instance,
    ) -> Result<Health, Box<Cause>> {
        self.admit(view, tenant, instance).ok_or_else(|| {
            let first = self.causes(view, tenant, instance).next();
            Box::new(first.expect("what is not admitted has a cause"))
        })
    }

    /// All that keeps an instance out, the first first; without any of it, it would be shown.
    pub fn causes<'v>(
        &'v self,
        view: &'v View,
        tenant: Tenant,
        instance: &'v Instance,
    ) -> impl Iterator<Item = Cause> + 'v {
        let node = NodeKey::new(tenant, &instance.node);
        let own = node.instance(&instance.id);
        let on_node = Group { checks: view.node_checks(&node).collect(), of_node: true };
        let on_own = Group { checks: view.instance_checks(&own).collect(), of_node: false };
        let mut found = Vec::new();
        for by_hand in [true, false] {
            on_node.add(self.worst, by_hand, &mut found);
            on_own.add(self.worst, by_hand, &mut found);
        }
        let phase = (self.running && instance.phase != Phase::Running)
            .then_some(Cause::Phase(instance.phase));
        let lacking = self.tags.iter().filter(|tag| !has_tag(instance, tag));
        let tags = lacking.map(|tag| Cause::tag(tag.as_str(), instance));
        found.into_iter().chain(phase).chain(tags)
    }
}

/// Whether an instance has a tag, in any case.
pub fn has_tag(instance: &Instance, tag: &Folded) -> bool {
    !tag.is_empty() && instance.tags.iter().any(|own| Folded::new(own) == *tag)
}

/// The longest sentence about an instance, in bytes: DNS sends it along.
pub const LONGEST_SENTENCE: usize = 120;

/// Which instance is kept out, and by what: the same words in DNS and in an explanation.
pub fn sentence(instance: &Instance, cause: &Cause) -> String {
    let mut text = format!("{} on {}: {cause}", instance.id, instance.node);
    if text.len() > LONGEST_SENTENCE {
        text.truncate(text.floor_char_boundary(LONGEST_SENTENCE - 3));
        text.push('…');
    }
    text
}

/// The checks of a node, or of an instance.
struct Group<'v> {
    checks: Vec<&'v Arc<Row<Check>>>,
    of_node: bool,
}

impl Group<'_> {
    /// Those that are worse than `worst`, the worst first; people's own doing, or else all others.
    fn add(&self, worst: Health, by_hand: bool, found: &mut Vec<Cause>) {
        for health in [Health::Critical, Health::Warning] {
            let bad = self.checks.iter().filter(|check| {
                health > worst && Health::of(check) == health && is_maintenance(check) == by_hand
            });
            found.extend(bad.map(|check| self.cause(check, by_hand)));
        }
    }

    fn cause(&self, check: &Arc<Row<Check>>, by_hand: bool) -> Cause {
        let check = Arc::clone(check);
        match (by_hand, self.of_node) {
            (true, true) => Cause::NodeMaintenance(check),
            (true, false) => Cause::Maintenance(check),
            (false, true) => Cause::NodeCheck(check),
            (false, false) => Cause::Check(check),
        }
    }
}

/// Maintenance is a check by one of these ids, as Consul's agents write it.
fn is_maintenance(check: &Check) -> bool {
    let id = check.id.as_str();
    id == "_node_maintenance" || id.starts_with("_service_maintenance:")
}

/// The tag among an instance's that was perhaps meant.
fn meant(tag: &str, tags: &[Text]) -> Option<Text> {
    nearest(tag, tags.iter().map(Text::as_str)).map(Text::new)
}

#[cfg(test)]
mod tests;
