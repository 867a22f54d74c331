//! Alias checks: looking where they look, and what that makes of them.

use super::{Owner, Task};
use crate::alias::{self, Seen, Target};
use crate::checks::{Input, cut_output};
use crate::local::Held;
use crate::probe::Observation;
use catalog::{NodeKey, NotHeld, View, Watch};
use model::{Folded, NodeName, Tenant};
use seams::{Doors, ReadError, Subscription};
use std::sync::Arc;
use std::time::Duration;

/// How long a round waits for the rows of one node that this agent does not hold.
const HOLD_LIMIT: Duration = Duration::from_secs(5);
/// How often a round tries to obtain the rows of one node.
const HOLD_TRIES: usize = 2;

/// What a round over the catalog's aliases brought.
#[derive(Debug)]
pub(super) struct Round {
    /// Each alias, what it followed, and what it says; `None` if that cannot be known yet.
    said: Vec<(Folded, Target, Option<Observation>)>,
    /// Those that could not look, and why.
    failed: Vec<(Folded, ReadError)>,
}

impl Owner {
    /// Begins to follow what a check follows, or ends that.
    pub(super) fn follow(&mut self, id: &Folded) {
        let definition = self.local.check(id).and_then(|held| held.definition.clone());
        match definition.and_then(|definition| Target::of(&definition)) {
            Some(target) => {
                let now = self.now();
                self.aliases.watch(id, target, now);
            }
            None => self.aliases.forget(id),
        }
    }

    /// Has the aliases look that are due.
    pub(super) fn look(&mut self) {
        let now = self.now();
        for id in self.aliases.due_here(now) {
            if let Some(observation) = self.look_here(&id) {
                self.concluded(id, observation);
            }
        }
        let Some(round) = self.aliases.begin_there(now) else { return };
        self.subscribe_to_aliased();
        let (doors, here) = (self.doors.clone(), self.config.node.clone());
        let task = async move { Task::Looked(look_there(doors, here, round).await) };
        self.looking = Some(self.tasks.spawn(task).id());
    }

    /// Takes what a round over the catalog brought.
    pub(super) fn looked(&mut self, round: Round) {
        let now = self.now();
        self.looking = None;
        let failed_again = self.aliases.ended_there(!round.failed.is_empty(), now);
        for (id, target, observation) in round.said {
            if let Some(observation) = observation
                && self.aliases.target(&id) == Some(&target)
            {
                self.concluded(id, observation);
            }
        }
        for (id, error) in round.failed.into_iter().filter(|_| failed_again) {
            let text = format!("Failure checking aliased node or service: {error}");
            self.concluded(id, Observation::critical(text));
        }
    }

    /// Rows of nodes that aliases follow have changed.
    pub(super) fn aliased_moved(&mut self) {
        if self.aliases.follow_the_catalog() {
            let now = self.now();
            self.aliases.moved(now);
        } else {
            self.aliased = Aliased::default();
        }
    }

    /// A round was lost with its task.
    pub(super) fn round_lost(&mut self) {
        self.looking = None;
        let now = self.now();
        self.aliases.ended_there(true, now);
    }

    fn look_here(&self, id: &Folded) -> Option<Observation> {
        let (target, alias) = (self.aliases.target(id)?, self.local.check(id)?);
        let (instance, node) = (target.instance.fold(), Folded::default());
        let checks = self.local.checks_of(&instance).chain(self.local.checks_of(&node));
        let seen = checks.map(|(_, held)| seen(held));
        let found = self.local.instance(&instance).is_some();
        alias::conclude(&alias.check.id, target, found, seen)
    }

    fn concluded(&mut self, id: Folded, Observation { status, output }: Observation) {
        let output = cut_output(output, self.output_limit(&id));
        let now = self.now();
        let outputs = self.checks.step(Input::Concluded { id, status, output }, now);
        self.carry_out(outputs);
    }

    /// Waits for the rows of the nodes that are followed now.
    fn subscribe_to_aliased(&mut self) {
        let nodes = self.aliases.nodes();
        if !nodes.keys().eq(self.aliased.nodes.iter()) {
            let watch = |node: &NodeName| Watch::Node(NodeKey::new(Tenant::DEFAULT, node));
            let watches: Vec<Watch> = nodes.values().map(watch).collect();
            let subscription = self.doors.reader.subscribe(&watches);
            let nodes = nodes.into_keys().collect();
            self.aliased = Aliased { nodes, subscription: Some(subscription) };
        }
    }
}

/// The nodes whose rows wake the aliases that follow them.
#[derive(Default)]
pub(super) struct Aliased {
    nodes: Vec<Folded>,
    subscription: Option<Subscription>,
}

impl Aliased {
    /// Waits until a row of one of them changed; for ever if there are none.
    pub async fn moved(&self) {
        match &self.subscription {
            Some(subscription) => subscription.changed().await,
            None => std::future::pending().await,
        }
    }
}

fn seen(held: &Arc<Held>) -> Seen<'_> {
    Seen { check: &held.check, unproven: held.unproven }
}

/// Looks for all of them, at views that hold what they follow.
async fn look_there(doors: Doors, here: NodeName, aliases: Vec<(Folded, Target)>) -> Round {
    let mut view = doors.reader.view();
    let mut round = Round { said: Vec::with_capacity(aliases.len()), failed: Vec::new() };
    for (id, target) in aliases {
        match look_at(&doors, &mut view, &here, &id, &target).await {
            Ok(observation) => round.said.push((id, target, observation)),
            Err(error) => round.failed.push((id, error)),
        }
    }
    round
}

async fn look_at(
    doors: &Doors,
    view: &mut Arc<View>,
    here: &NodeName,
    id: &Folded,
    target: &Target,
) -> Result<Option<Observation>, ReadError> {
    let alias = id.as_str().into();
    for _ in 0..HOLD_TRIES {
        match alias::look_there(view, here, &alias, target) {
            Ok(observation) => return Ok(observation),
            Err(NotHeld(interest)) => *view = doors.reader.hold(interest, HOLD_LIMIT).await?,
        }
    }
    alias::look_there(view, here, &alias, target)
        .map_err(|NotHeld(interest)| ReadError::NotHeld(interest))
}
