//! From what an owner wants and what stands in the view to the commands that close the gap.
//!
//! Shared by every reconciler: an agent's anti-entropy and, later, each source. It looks only at
//! rows of that owner and at the keys it wants; it never removes what somebody else brought.

use crate::entry::Command;
use crate::keys::NodeKey;
use crate::view::{Held, View};
use model::{Check, Folded, Instance, NodeName, Owner, Row, Tenant};
use std::collections::{BTreeMap, BTreeSet};

/// What an owner wants on one node.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The node.
    pub node: NodeName,
    /// The instances it should have.
    pub instances: Vec<Instance>,
    /// The checks it should have.
    pub checks: Vec<Check>,
}

/// The commands that make the owner's rows on a node what it wants; each may be proposed alone.
///
/// Order: instances before the checks that watch them, then removals.
pub fn reconcile(
    view: &View,
    tenant: Tenant,
    owner: &Owner,
    wanted: &Wanted,
) -> Held<Vec<Command>> {
    let mut commands = additions(view, tenant, owner, wanted)?;
    let node = NodeKey::new(tenant, &wanted.node);
    let instances: BTreeSet<Folded> = wanted.instances.iter().map(|row| row.id.fold()).collect();
    let checks: BTreeSet<Folded> = wanted.checks.iter().map(|row| row.id.fold()).collect();
    for row in view.instances_on(&node)? {
        if row.owner == *owner && !instances.contains(&row.id.fold()) {
            commands.push(Command::RemoveInstance(wanted.node.clone(), row.id.clone()));
        }
    }
    for row in view.checks_on(&node)?.value {
        if row.owner == *owner && !checks.contains(&row.id.fold()) {
            commands.push(Command::RemoveCheck(wanted.node.clone(), row.id.clone()));
        }
    }
    Ok(commands)
}

/// Those of [`reconcile`] that write; it looks at nothing but what is wanted, so a part of what an
/// owner wants costs no more than that part.
pub fn additions(
    view: &View,
    tenant: Tenant,
    owner: &Owner,
    wanted: &Wanted,
) -> Held<Vec<Command>> {
    let node = NodeKey::new(tenant, &wanted.node);
    let mut commands = Vec::new();
    if view.node(&node)?.value.is_none() {
        commands.push(Command::EnsureNode(wanted.node.clone()));
    }
    let mut instances = BTreeMap::new();
    for instance in &wanted.instances {
        let key = node.instance(&instance.id);
        let stands = view.instance(&key)?;
        if !stands.is_some_and(|row| row.claim == *instance && row.owner == *owner) {
            commands.push(Command::PutInstance(Box::new(instance.clone())));
        }
        instances.insert(key.id, instance);
    }
    for check in &wanted.checks {
        let key = node.check(&check.id);
        let stands = view.check(&key)?;
        let watched = filled_in_from(view, owner, &node, &instances, check)?;
        let same = |row: &Row<Check>| same_check(row, check, watched) && row.owner == *owner;
        if !stands.is_some_and(|row| same(row)) {
            commands.push(Command::PutCheck(Box::new(check.clone())));
        }
    }
    Ok(commands)
}

/// The instance whose service and tags the catalog will fill in: the one wanted, unless another
/// reconciler has its row.
fn filled_in_from<'a>(
    view: &'a View,
    owner: &Owner,
    node: &NodeKey,
    wanted: &BTreeMap<Folded, &'a Instance>,
    check: &Check,
) -> Held<Option<&'a Instance>> {
    let key = node.instance(&check.instance);
    let stands = view.instance(&key)?;
    let is_anothers = stands.is_some_and(|row| row.owner != *owner && row.owner.reconciles());
    let wanted = wanted.get(&key.id).copied().filter(|_| !is_anothers);
    Ok(wanted.or(stands.map(|row| &row.claim)))
}

/// Whether a check stands as it would be written: the catalog fills in what its instance says.
fn same_check(stands: &Check, wanted: &Check, watched: Option<&Instance>) -> bool {
    let mut wanted = wanted.clone();
    wanted.service = watched.map(|instance| instance.service.clone()).unwrap_or_default();
    wanted.service_tags = watched.map_or_else(model::empty_tags, |instance| instance.tags.clone());
    *stands == wanted
}
