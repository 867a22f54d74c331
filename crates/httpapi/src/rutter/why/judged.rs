//! What the doors say of instances, and which of them are laid out.
//!
//! A service may have any number of instances. All are judged and counted; laying them out costs much more,
//! so it is done to as many as somebody can want, the ones that are left out first.

use super::shapes::{CauseShape, InstanceShape, UNSPEAKABLE, Verdict};
use crate::consul::blocking::Scene;
use catalog::Offer;
use catalog::why::{Absence, Cause};
use model::Folded;
use seams::NameAnswer;
use std::collections::BTreeMap;

/// The most instances that are laid out.
pub const MOST_INSTANCES: usize = 1_000;

/// An instance, and what each door that is asked says of it.
pub struct Judged<'v> {
    /// The instance.
    pub offer: Offer<'v>,
    /// What DNS says.
    pub dns: Option<Said>,
    /// What keeps it out of HTTP's answer.
    pub http: Option<Said>,
}

/// What a door says of an instance.
pub enum Said {
    /// What keeps it out; nothing where it is served.
    Causes(Vec<Cause>),
    /// It is left out by something that is no fault of its own.
    Strange(CauseShape),
}

impl Said {
    /// Whether the instance is among those of which the answer is made.
    pub fn is_served(&self) -> bool {
        matches!(self, Said::Causes(causes) if causes.is_empty())
    }

    fn verdict(self, scene: &Scene, door: &'static str, offer: &Offer<'_>) -> Verdict {
        match self {
            Said::Causes(causes) => Verdict::new(scene, door, offer, &causes),
            Said::Strange(cause) => Verdict::out(door, cause),
        }
    }
}

impl Judged<'_> {
    fn is_served(&self) -> bool {
        [&self.dns, &self.http].into_iter().flatten().all(Said::is_served)
    }

    fn shape(self, scene: &Scene) -> InstanceShape {
        let mut shape = InstanceShape::of(scene, &self.offer);
        for (door, said) in [("dns", self.dns), ("http", self.http)] {
            shape.verdicts.extend(said.map(|said| said.verdict(scene, door, &self.offer)));
        }
        shape
    }
}

/// Lays them out in their order, and tells how many more there are: those that are left out come before
/// those that are served where there are more than [`MOST_INSTANCES`].
pub fn lay_out(scene: &Scene, judged: Vec<Judged<'_>>) -> (Vec<InstanceShape>, usize) {
    let more = judged.len().saturating_sub(MOST_INSTANCES);
    let out = judged.iter().filter(|instance| !instance.is_served()).count();
    let mut places = MOST_INSTANCES.saturating_sub(out);
    let mut has_place = |instance: &Judged<'_>| {
        let has_place = !instance.is_served() || places > 0;
        places -= usize::from(instance.is_served() && has_place);
        has_place
    };
    let chosen = judged.into_iter().filter(|instance| has_place(instance));
    (chosen.take(MOST_INSTANCES).map(|instance| instance.shape(scene)).collect(), more)
}

/// What DNS says of instances, each to be looked up once.
pub struct DnsSaid {
    /// `None` where it cannot be asked.
    absence: Option<Option<Absence>>,
    instances: BTreeMap<(Folded, Folded), Vec<Cause>>,
    /// The usual name of what was asked for.
    usual: Option<String>,
}

impl DnsSaid {
    /// Takes the instances out of an answer.
    pub fn of(answer: Option<&mut NameAnswer>, usual: Option<String>) -> DnsSaid {
        let absence = answer.as_ref().map(|answer| answer.absence);
        let told = answer.map(|answer| std::mem::take(&mut answer.instances));
        let told = told.into_iter().flatten();
        let instances = told.map(|(node, id, causes)| ((node.fold(), id.fold()), causes)).collect();
        DnsSaid { absence, instances, usual }
    }

    /// What it says of this one. One of which it says nothing is not served.
    pub fn said(&mut self, offer: &Offer<'_>) -> Said {
        let row = offer.instance;
        if let Some(causes) = self.instances.remove(&(row.node.fold(), row.id.fold())) {
            return Said::Causes(causes);
        }
        Said::Strange(match self.absence {
            None => {
                let remedy = "register it under a name of at most 63 bytes without a dot";
                CauseShape::plain("name", UNSPEAKABLE, remedy)
            }
            Some(None) => {
                let remedy = "let DNS read its service and its node";
                CauseShape::plain("unseen", "DNS does not see it", remedy)
            }
            Some(Some(absence)) => {
                let usual = self.usual.as_ref();
                let remedy = match absence {
                    Absence::Unreachable => "ask again".to_owned(),
                    _ => usual.map_or_else(String::new, |name| format!("ask for {name}")),
                };
                CauseShape::plain(absence.name(), absence.text(), remedy)
            }
        })
    }
}
