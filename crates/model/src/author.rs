//! Who wrote an entry, and who owns a row.

use crate::Text;
use std::fmt;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// Who wrote one entry of the log; kept with it and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Author {
    /// The accessor id of the token, or the component that acts by itself (`agent/n1`, `leader`).
    pub actor: Text,
    /// The way in.
    pub door: Door,
    /// The address of the client as `host:port`; empty where there is none.
    pub remote: Text,
    /// The id of the request as logs carry it; empty where there is none.
    pub request: Text,
}

/// The way by which a write came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Door {
    /// Consul's HTTP API.
    #[default]
    Http,
    /// An agent's own registrations, by anti-entropy.
    Agent,
    /// A duty of the leader (expiry, reaping, membership).
    Leader,
}

/// Who registered a row and alone reconciles it (law 1): `agent/NODE`, `source/KIND/NAME`, or a door.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<Text>);

impl Owner {
    /// The owner of what people write through Consul's HTTP API.
    pub fn http() -> Owner {
        Owner::new("http")
    }

    /// The owner of what the leader keeps up by itself (the servers' own rows).
    pub fn leader() -> Owner {
        Owner::new("leader")
    }

    /// The owner of what had to be there for something else; anybody may take it over.
    pub fn nobody() -> Owner {
        Owner::new("nobody")
    }

    /// The owner of what the agent on `node` holds in its local store.
    pub fn agent(node: &crate::Folded) -> Owner {
        Owner::new(&format!("agent/{node}"))
    }

    /// An owner by its text; the rows of those that are no agent and no source share one.
    pub fn new(owner: &str) -> Owner {
        static KNOWN: LazyLock<[Owner; 3]> =
            LazyLock::new(|| ["http", "nobody", "leader"].map(|own| Owner(Arc::new(own.into()))));
        match KNOWN.iter().find(|known| known.as_str() == owner) {
            Some(known) => known.clone(),
            None => Owner(Arc::new(Text::new(owner))),
        }
    }

    /// The owner's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the owner keeps its rows up by itself, so that nobody else's reconciler may have them.
    pub fn reconciles(&self) -> bool {
        self.as_str() == "leader" || self.0.starts_with("agent/") || self.0.starts_with("source/")
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one proposal of one client, so that a repetition is recognised (law 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey {
    /// The client session that proposes.
    pub client: Uuid,
    /// Its count of proposals.
    pub sequence: u64,
}
