//! From this node's registrations and a view to the commands that close the gap: pure.

use crate::local::{Held as HeldCheck, Local};
use catalog::{CheckKey, Command, Held, InstanceKey, NodeKey, View, Wanted, additions, reconcile};
use model::{Check, Folded, Instance, Owner, Tenant, Text};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a pass compares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// All that is registered here and all rows that this agent owns.
    pub everything: bool,
    /// Instances that changed here, by folded id.
    pub instances: BTreeSet<Folded>,
    /// Checks that changed here, or whose output is to be sent.
    pub checks: BTreeSet<Folded>,
}

impl Scope {
    /// Whether nothing changed here.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.checks.is_empty()
    }
}

/// A row that this agent wants and another reconciler has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The row.
    pub row: Wants,
    /// Who has it.
    pub owner: Owner,
}

/// A row that is wanted, by folded id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wants {
    /// An instance.
    Instance(Folded),
    /// A check.
    Check(Folded),
}

impl Conflict {
    /// Whether the row is still registered here.
    pub fn is_wanted(&self, local: &Local) -> bool {
        match &self.row {
            Wants::Instance(id) => local.instance(id).is_some(),
            Wants::Check(id) => local.check(id).is_some(),
        }
    }
}

/// An instance whose tags others may change, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTags {
    /// Its folded id.
    pub id: Folded,
    /// How it was registered here when the pass began.
    pub before: Arc<Instance>,
    /// What the catalog says.
    pub tags: Arc<[Text]>,
}

/// What a pass does.
#[derive(Debug, Default)]
pub struct Plan {
    /// The commands, each of which may be proposed alone, in order.
    pub commands: Vec<Command>,
    /// What it cannot have.
    pub conflicts: Vec<Conflict>,
    /// Tags that win over those registered here.
    pub tags: Vec<CatalogTags>,
}

/// Compares; an answer of "not held" says what to obtain first.
pub fn plan(view: &View, local: &Local, owner: &Owner, scope: &Scope) -> Held<Plan> {
    let mut planner = Planner {
        view,
        local,
        owner,
        scope,
        node: NodeKey::new(Tenant::DEFAULT, local.node()),
        lost: BTreeSet::new(),
        conflicts: Vec::new(),
        tags: Vec::new(),
    };
    let instances = planner.instances()?;
    let checks = planner.checks()?;
    let wanted = Wanted { node: local.node().clone(), instances, checks };
    let mut commands = if scope.everything {
        reconcile(view, Tenant::DEFAULT, owner, &wanted)?
    } else {
        let mut commands = additions(view, Tenant::DEFAULT, owner, &wanted)?;
        planner.removals(&mut commands)?;
        commands
    };
    // A node is made for what is on it, not for its own sake.
    if commands.iter().all(|command| matches!(command, Command::EnsureNode(_))) {
        commands.clear();
    }
    Ok(Plan { commands, conflicts: planner.conflicts, tags: planner.tags })
}

struct Planner<'p> {
    view: &'p View,
    local: &'p Local,
    owner: &'p Owner,
    scope: &'p Scope,
    node: NodeKey,
    /// Instances that another reconciler has; their checks are left alone too.
    lost: BTreeSet<Folded>,
    conflicts: Vec<Conflict>,
    tags: Vec<CatalogTags>,
}

impl Planner<'_> {
    fn instances(&mut self) -> Held<Vec<Instance>> {
        let ids: BTreeSet<Folded> = if self.scope.everything {
            self.local.instances().map(|(id, _)| id.clone()).collect()
        } else {
            // The instance goes with its check, which could not stand without it.
            let of_checks = self.scope.checks.iter().filter_map(|id| self.local.check(id));
            let of_checks = of_checks.map(|held| held.check.instance.fold());
            self.scope.instances.iter().cloned().chain(of_checks).collect()
        };
        let mut wanted = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(before) = self.local.instance(&id) else { continue };
            let row = self.view.instance(&self.node.instance(&before.id))?;
            let mut instance = Instance::clone(before);
            if let Some(row) = row {
                if self.is_anothers(&row.owner) {
                    self.conflict(Wants::Instance(id.clone()), &row.owner);
                    self.lost.insert(id);
                    continue;
                }
                let overridden = before.enable_tag_override && before.tags != row.tags;
                if overridden && !self.scope.instances.contains(&id) {
                    instance.tags = row.tags.clone();
                    let (before, tags) = (Arc::clone(before), row.tags.clone());
                    self.tags.push(CatalogTags { id, before, tags });
                }
            }
            wanted.push(instance);
        }
        Ok(wanted)
    }

    fn checks(&mut self) -> Held<Vec<Check>> {
        let ids: Vec<Folded> = if self.scope.everything {
            self.local.checks().map(|(id, _)| id.clone()).collect()
        } else {
            self.scope.checks.iter().cloned().collect()
        };
        let mut wanted = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(held) = self.local.check(&id) else { continue };
            if self.lost.contains(&held.check.instance.fold()) {
                continue;
            }
            let row = self.view.check(&self.node.check(&held.check.id))?;
            if let Some(row) = row.filter(|row| self.is_anothers(&row.owner)) {
                self.conflict(Wants::Check(id), &row.owner);
                continue;
            }
            let stands = row.filter(|row| row.owner == *self.owner).map(|row| &row.claim);
            wanted.push(self.told(held, stands, self.scope.checks.contains(&id)));
        }
        Ok(wanted)
    }

    /// What the catalog is told of a check, given what it says now.
    fn told(&self, held: &HeldCheck, stands: Option<&Check>, changed: bool) -> Check {
        let mut check = held.check.clone();
        let Some(stands) = stands else { return check };
        if held.unproven {
            check.status = stands.status.clone();
            check.output = stands.output.clone();
        } else if !changed && check.status == stands.status {
            check.output = stands.output.clone();
        }
        check
    }

    /// What is no longer registered here and still this agent's in the catalog.
    fn removals(&self, commands: &mut Vec<Command>) -> Held<()> {
        let NodeKey { tenant, node } = self.node.clone();
        let name = self.local.node();
        for id in self.scope.instances.iter().filter(|id| self.local.instance(id).is_none()) {
            let key = InstanceKey { tenant, node: node.clone(), id: id.clone() };
            if let Some(row) = self.view.instance(&key)?.filter(|row| row.owner == *self.owner) {
                commands.push(Command::RemoveInstance(name.clone(), row.id.clone()));
            }
        }
        for id in self.scope.checks.iter().filter(|id| self.local.check(id).is_none()) {
            let key = CheckKey { tenant, node: node.clone(), id: id.clone() };
            if let Some(row) = self.view.check(&key)?.filter(|row| row.owner == *self.owner) {
                commands.push(Command::RemoveCheck(name.clone(), row.id.clone()));
            }
        }
        Ok(())
    }

    fn is_anothers(&self, owner: &Owner) -> bool {
        owner != self.owner && owner.reconciles()
    }

    fn conflict(&mut self, row: Wants, owner: &Owner) {
        self.conflicts.push(Conflict { row, owner: owner.clone() });
    }
}
