//! Tables whose rows are their own keys.
//!
//! Instances and checks are the many: a key of two or three names beside each row takes six times what
//! the pointer to the row does, and is copied with it at each change. So their tables hold the
//! pointers alone, and compare what the rows say. What separates the nodes of a tree is such a pointer
//! too: about a tenth of the rows may be held so for a while after they were replaced.

use equivalent::{Comparable, Equivalent};
use imbl::{OrdMap, OrdSet};
use model::{Check, Folded, Instance, Row, Tenant};
use std::cmp::Ordering;
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::Arc;

/// Three names, compared one after the other by what they fold to; what is left empty comes first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a>(pub [&'a str; 3]);

/// By what rows of a table are sorted.
pub(crate) trait Order: Debug + Clone + 'static {
    /// What the rows claim.
    type Claim: Debug + Clone;

    /// Where a row stands.
    fn place(claim: &Self::Claim) -> Place<'_>;
}

/// Instances by node, then id.
#[derive(Debug, Clone)]
pub(crate) struct ById;

/// Checks by node, then id.
#[derive(Debug, Clone)]
pub(crate) struct ByCheckId;

/// Instances by service, then node and id: the order of every answer.
#[derive(Debug, Clone)]
pub(crate) struct ByService;

/// Checks by node, then instance, then id; an empty instance is the node itself.
#[derive(Debug, Clone)]
pub(crate) struct ByInstance;

impl Order for ById {
    type Claim = Instance;

    #[inline]
    fn place(instance: &Instance) -> Place<'_> {
        Place([instance.node.as_str(), instance.id.as_str(), ""])
    }
}

impl Order for ByCheckId {
    type Claim = Check;

    #[inline]
    fn place(check: &Check) -> Place<'_> {
        Place([check.node.as_str(), check.id.as_str(), ""])
    }
}

impl Order for ByService {
    type Claim = Instance;

    #[inline]
    fn place(instance: &Instance) -> Place<'_> {
        Place([instance.service.as_str(), instance.node.as_str(), instance.id.as_str()])
    }
}

impl Order for ByInstance {
    type Claim = Check;

    #[inline]
    fn place(check: &Check) -> Place<'_> {
        Place([check.node.as_str(), check.instance.as_str(), check.id.as_str()])
    }
}

/// A row among others of its table; equal to the one that stands in the same place.
#[derive(Debug, Clone)]
pub(crate) struct Sorted<O: Order>(Arc<Row<O::Claim>>);

impl Place<'_> {
    #[inline]
    fn order(self, other: Place<'_>) -> Ordering {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        Folded::order(a, x).then_with(|| Folded::order(b, y)).then_with(|| Folded::order(c, z))
    }
}

impl<O: Order> Ord for Sorted<O> {
    fn cmp(&self, other: &Self) -> Ordering {
        O::place(&self.0).order(O::place(&other.0))
    }
}

impl<O: Order> PartialOrd for Sorted<O> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<O: Order> PartialEq for Sorted<O> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<O: Order> Eq for Sorted<O> {}

impl<O: Order> Equivalent<Sorted<O>> for Place<'_> {
    fn equivalent(&self, row: &Sorted<O>) -> bool {
        self.compare(row).is_eq()
    }
}

impl<O: Order> Comparable<Sorted<O>> for Place<'_> {
    fn compare(&self, row: &Sorted<O>) -> Ordering {
        self.order(O::place(&row.0))
    }
}

/// A table of each tenant, so that no row of the largest tables carries its tenant.
#[derive(Debug, Clone)]
pub(crate) struct Table<O: Order>(OrdMap<Tenant, OrdSet<Sorted<O>>>);

impl<O: Order> Default for Table<O> {
    fn default() -> Self {
        Table(OrdMap::new())
    }
}

/// Tables are equal that hold equal rows, not only rows in the same places.
impl<O: Order<Claim: PartialEq>> PartialEq for Table<O> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<O: Order<Claim: Eq>> Eq for Table<O> {}

impl<O: Order> Table<O> {
    /// The row in a place of a tenant.
    pub fn get(&self, tenant: Tenant, place: Place<'_>) -> Option<&Arc<Row<O::Claim>>> {
        let Sorted(row) = self.0.get(&tenant)?.get(&place)?;
        Some(row)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.values().map(OrdSet::len).sum()
    }

    /// All rows, tenant by tenant.
    pub fn iter(&self) -> impl Iterator<Item = (Tenant, &Arc<Row<O::Claim>>)> {
        self.0.iter().flat_map(|(tenant, rows)| rows.iter().map(|Sorted(row)| (*tenant, row)))
    }

    /// The rows of a tenant.
    pub fn of(&self, tenant: Tenant) -> impl Iterator<Item = &Arc<Row<O::Claim>>> {
        self.0.get(&tenant).into_iter().flatten().map(|Sorted(row)| row)
    }

    /// The rows of a tenant from a place on.
    pub fn from(
        &self,
        tenant: Tenant,
        first: Place<'_>,
    ) -> impl Iterator<Item = &Arc<Row<O::Claim>>> + use<'_, O> {
        let bounds = (Bound::Included(&first), Bound::Unbounded);
        let rows = self.0.get(&tenant).map(|rows| rows.range::<_, Place<'_>>(bounds));
        rows.into_iter().flatten().map(|Sorted(row)| row)
    }

    /// Puts a row for the one that stood for the same thing before: either may be none, and they may
    /// have different places. A tenant without rows has no table, as if there never had been any.
    pub fn replace(
        &mut self,
        tenant: Tenant,
        old: Option<Arc<Row<O::Claim>>>,
        new: Option<Arc<Row<O::Claim>>>,
    ) {
        let (old, new) = (old.map(Sorted), new.map(Sorted));
        if let Some(old) = old.filter(|old| Some(old) != new.as_ref())
            && let Some(rows) = self.0.get_mut(&tenant)
        {
            rows.remove(&old);
            if rows.is_empty() {
                self.0.remove(&tenant);
            }
        }
        if let Some(new) = new {
            self.0.entry(tenant).or_default().insert(new);
        }
    }

    /// Puts or takes out the row of a place; gives the one that stood there.
    pub fn put(
        &mut self,
        tenant: Tenant,
        place: Place<'_>,
        row: Option<Arc<Row<O::Claim>>>,
    ) -> Option<Arc<Row<O::Claim>>> {
        let old = match row {
            Some(row) => self.0.entry(tenant).or_default().insert(Sorted(row)),
            None => self.0.get_mut(&tenant)?.remove(&place),
        };
        if self.0.get(&tenant).is_some_and(OrdSet::is_empty) {
            self.0.remove(&tenant);
        }
        old.map(|Sorted(row)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::NodeKey;
    use crate::state::State;
    use model::{Index, InstanceId, NodeName, Owner, ServiceName};
    use proptest::prelude::*;

    const NAMES: [&str; 5] = ["web", "Web", "db", "ÖL", "öl"];

    fn row(node: &str, id: &str, service: &str) -> Arc<Row<Instance>> {
        let claim = Instance {
            node: NodeName::from(node),
            id: InstanceId::from(id),
            service: ServiceName::from(service),
            ..Instance::default()
        };
        let (created, modified) = (Index(1), Index(1));
        Arc::new(Row { claim, owner: Owner::http(), created, modified })
    }

    /// Which rows there are, each by its address.
    fn held<'a>(rows: impl Iterator<Item = &'a Arc<Row<Instance>>>) -> Vec<*const Row<Instance>> {
        let mut held: Vec<_> = rows.map(Arc::as_ptr).collect();
        held.sort_unstable();
        held
    }

    proptest! {
        #[test]
        fn both_orders_hold_the_same_rows(
            steps in prop::collection::vec((0..5usize, 0..5usize, 0..5usize, any::<bool>()), 1..60)
        ) {
            let mut state = State::default();
            let mut model = std::collections::BTreeMap::new();
            for (node, id, service, stays) in steps {
                let row = stays.then(|| row(NAMES[node], NAMES[id], NAMES[service]));
                let node = NodeName::from(NAMES[node]);
                let key = NodeKey::new(Tenant::DEFAULT, &node).instance(&InstanceId::from(NAMES[id]));
                let place = (key.node.clone(), key.id.clone());
                match &row {
                    Some(row) => model.insert(place, Arc::clone(row)),
                    None => model.remove(&place),
                };
                state.put_instance(&key, row);
                let found = model.get(&(key.node.clone(), key.id.clone())).map(Arc::as_ptr);
                prop_assert_eq!(state.instance(&key).map(Arc::as_ptr), found);
            }
            let expected = held(model.values());
            prop_assert_eq!(held(state.instances.of(Tenant::DEFAULT)), expected.clone());
            prop_assert_eq!(held(state.members.of(Tenant::DEFAULT)), expected);
            prop_assert_eq!(state.instances.len(), model.len());
            let places: Vec<_> = state.members.of(Tenant::DEFAULT).map(|row| {
                (row.service.fold(), row.node.fold(), row.id.fold())
            }).collect();
            prop_assert!(places.is_sorted());
        }
    }
}
