//! What a reader can wait for, and what a batch of entries touched.

use crate::{InstanceKey, KvRowKey, NodeKey, ServiceKey};
use model::{Instance, Row, Tenant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One thing to wait for. A reader waits for all the keys that its answer was made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watch {
    /// Any node's row.
    Nodes(Tenant),
    /// One node: its row, its instances, its checks; also its appearance.
    Node(NodeKey),
    /// Any instance of any service.
    Services(Tenant),
    /// One service: its instances, their nodes, their checks; also its appearance.
    Service(ServiceKey),
    /// Any check.
    Checks(Tenant),
    /// One key; also its appearance.
    Kv(KvRowKey),
    /// Any key that begins with these bytes.
    KvPrefix(KvRowKey),
    /// Any session.
    Sessions(Tenant),
}

/// What a batch changed: the keys to wake, or everything after a snapshot was loaded.
///
/// Holds exact keys only, never a [`Watch::KvPrefix`]: whoever wakes finds the prefixes of a key.
/// Beside the keys it names the rows, for who keeps something of each: on a node of 5,000 instances
/// one change should cost one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    everything: bool,
    keys: BTreeSet<Watch>,
    instances: BTreeMap<InstanceKey, Option<Arc<Row<Instance>>>>,
    whole_nodes: BTreeSet<NodeKey>,
}

impl Touched {
    /// All keys there are: the state was replaced.
    pub fn everything() -> Touched {
        Touched { everything: true, ..Touched::default() }
    }

    /// Whether the whole state was replaced.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether nothing was touched.
    pub fn is_empty(&self) -> bool {
        !self.everything && self.keys.is_empty()
    }

    /// The keys touched, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Watch> {
        self.keys.iter()
    }

    /// The services touched, in order.
    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.keys.iter().filter_map(|key| match key {
            Watch::Service(service) => Some(service),
            _ => None,
        })
    }

    /// The nodes touched, in order.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeKey> {
        self.keys.iter().filter_map(|key| match key {
            Watch::Node(node) => Some(node),
            _ => None,
        })
    }

    /// The instances whose row or own health may have changed, each as it was before; in order.
    pub fn instances(&self) -> impl Iterator<Item = (&InstanceKey, Option<&Arc<Row<Instance>>>)> {
        self.instances.iter().map(|(key, before)| (key, before.as_ref()))
    }

    /// Those of one node.
    pub fn instances_on(
        &self,
        node: &NodeKey,
    ) -> impl Iterator<Item = (&InstanceKey, Option<&Arc<Row<Instance>>>)> {
        self.instances
            .range(InstanceKey::of_node(node)..)
            .take_while(|(key, _)| key.tenant == node.tenant && key.node == node.node)
            .map(|(key, before)| (key, before.as_ref()))
    }

    /// The nodes whose row or own health may have changed, and with it all that stands on them; in
    /// order.
    pub fn whole_nodes(&self) -> impl Iterator<Item = &NodeKey> {
        self.whole_nodes.iter()
    }

    /// Whether a node is one of those.
    pub fn is_whole(&self, node: &NodeKey) -> bool {
        self.whole_nodes.contains(node)
    }

    /// Whether a reader that waits for `watch` must look again.
    pub fn concerns(&self, watch: &Watch) -> bool {
        if self.everything || self.keys.contains(watch) {
            return true;
        }
        let Watch::KvPrefix(prefix) = watch else { return false };
        self.keys
            .range(Watch::Kv(prefix.clone())..)
            .next()
            .is_some_and(|key| matches!(key, Watch::Kv(row) if row.tenant == prefix.tenant && row.key.starts_with(prefix.key.as_bytes())))
    }

    /// Adds what an entry changed; of an instance what was noted first stays.
    pub(crate) fn absorb(&mut self, entry: Noted) {
        self.keys.extend(entry.keys);
        self.whole_nodes.extend(entry.whole_nodes);
        for (key, before) in entry.instances {
            self.instances.entry(key).or_insert(before);
        }
    }
}

/// What one entry changed, in the order in which it did, some of it more than once.
///
/// Lists, since most entries change little and are then put with the others of their batch.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    keys: Vec<Watch>,
    instances: Vec<(InstanceKey, Option<Arc<Row<Instance>>>)>,
    whole_nodes: Vec<NodeKey>,
}

impl Noted {
    pub(crate) fn touch(&mut self, watch: Watch) {
        self.keys.push(watch);
    }

    /// Notes an instance as it is before a change.
    pub(crate) fn touch_instance(&mut self, key: &InstanceKey, before: Option<Arc<Row<Instance>>>) {
        self.instances.push((key.clone(), before));
    }

    pub(crate) fn touch_whole_node(&mut self, key: NodeKey) {
        self.whole_nodes.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(tenant: u32, key: &str) -> KvRowKey {
        KvRowKey::new(Tenant(tenant), key.as_bytes())
    }

    #[test]
    fn rows_are_named_one_by_one_and_as_they_were_first() {
        let node =
            |tenant, name: &str| NodeKey { tenant: Tenant(tenant), node: model::Folded::new(name) };
        let [n1, n2] = ["n1", "n2"].map(|name| node(0, name));
        let id = |id: &str| model::InstanceId::from(id);
        let owner = model::Owner::nobody();
        let [created, modified] = [model::Index(1); 2];
        let row = Arc::new(Row { claim: Instance::default(), owner, created, modified });
        let mut first = Noted::default();
        first.touch_instance(&n1.instance(&id("b")), Some(Arc::clone(&row)));
        first.touch_instance(&n1.instance(&id("b")), None);
        first.touch_instance(&n1.instance(&id("a")), None);
        first.touch_instance(&n2.instance(&id("c")), None);
        let mut later = Noted::default();
        later.touch_instance(&n1.instance(&id("b")), None);
        later.touch_instance(&node(1, "n1").instance(&id("d")), None);
        later.touch_whole_node(n2.clone());
        let mut touched = Touched::default();
        touched.absorb(first);
        touched.absorb(later);
        let on_n1: Vec<(&str, bool)> = touched
            .instances_on(&n1)
            .map(|(key, before)| (key.id.as_str(), before.is_some()))
            .collect();
        assert_eq!(on_n1, [("a", false), ("b", true)]);
        assert_eq!(touched.instances().count(), 4);
        assert!(touched.is_whole(&n2) && !touched.is_whole(&n1));
        assert!(touched.whole_nodes().eq([&n2]));
    }

    #[test]
    fn a_prefix_is_concerned_by_every_key_under_it_and_no_other() {
        let mut touched = Touched::default();
        assert!(touched.is_empty() && !touched.concerns(&Watch::KvPrefix(kv(0, ""))));
        let mut noted = Noted::default();
        noted.touch(Watch::Kv(kv(0, "a/b")));
        noted.touch(Watch::Kv(kv(1, "z")));
        touched.absorb(noted);
        for (tenant, prefix, concerned) in [
            (0, "", true),
            (0, "a", true),
            (0, "a/b", true),
            (0, "a/b/c", false),
            (0, "a/a", false),
            (0, "z", false),
            (1, "", true),
            (1, "a", false),
            (2, "", false),
        ] {
            let watch = Watch::KvPrefix(kv(tenant, prefix));
            assert_eq!(touched.concerns(&watch), concerned, "{tenant} {prefix}");
        }
        assert!(!touched.concerns(&Watch::Kv(kv(0, "a"))), "a key is not a prefix");
        assert!(!touched.concerns(&Watch::Nodes(Tenant(0))));
    }
}
