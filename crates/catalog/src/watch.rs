//! What a reader can wait for, and what a batch of entries touched.

use crate::{KvRowKey, NodeKey, ServiceKey};
use model::Tenant;
use std::collections::BTreeSet;

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    everything: bool,
    keys: BTreeSet<Watch>,
}

impl Touched {
    /// All keys there are: the state was replaced.
    pub fn everything() -> Touched {
        Touched { everything: true, keys: BTreeSet::new() }
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

    pub(crate) fn touch(&mut self, watch: Watch) {
        self.keys.insert(watch);
    }

    pub(crate) fn absorb(&mut self, other: Touched) {
        self.everything |= other.everything;
        self.keys.extend(other.keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(tenant: u32, key: &str) -> KvRowKey {
        KvRowKey::new(Tenant(tenant), key.as_bytes())
    }

    #[test]
    fn a_prefix_is_concerned_by_every_key_under_it_and_no_other() {
        let mut touched = Touched::default();
        assert!(touched.is_empty() && !touched.concerns(&Watch::KvPrefix(kv(0, ""))));
        touched.touch(Watch::Kv(kv(0, "a/b")));
        touched.touch(Watch::Kv(kv(1, "z")));
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
