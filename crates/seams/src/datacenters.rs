//! Readers and writers by datacenter.

use crate::{Reader, Sessions, Writer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The ways into one datacenter's catalog.
#[derive(Clone)]
pub struct Doors {
    /// For reading.
    pub reader: Arc<dyn Reader>,
    /// For writing.
    pub writer: Arc<dyn Writer>,
    /// For keeping sessions alive.
    pub sessions: Arc<dyn Sessions>,
}

/// The datacenters that this node can reach.
#[derive(Clone)]
pub struct Datacenters {
    own: Arc<str>,
    reachable: Arc<BTreeMap<String, Doors>>,
}

impl Datacenters {
    /// A node that reaches its own datacenter only.
    pub fn only(own: &str, doors: Doors) -> Datacenters {
        Datacenters {
            own: Arc::from(own),
            reachable: Arc::new(BTreeMap::from([(own.to_owned(), doors)])),
        }
    }

    /// The name of this node's own datacenter.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// The doors of this node's own datacenter.
    pub fn here(&self) -> &Doors {
        self.reachable.get(&*self.own).expect("the own datacenter is put in by the constructor")
    }

    /// The doors of a datacenter by name, compared without regard to case; `None`: no path to it.
    pub fn doors(&self, datacenter: &str) -> Option<&Doors> {
        if datacenter.eq_ignore_ascii_case(&self.own) {
            return Some(self.here());
        }
        self.reachable.get(datacenter)
    }

    /// All names, this node's own first, then by name.
    pub fn names(&self) -> Vec<&str> {
        let others = self.reachable.keys().map(String::as_str).filter(|name| *name != &*self.own);
        std::iter::once(&*self.own).chain(others).collect()
    }
}
