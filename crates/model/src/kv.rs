//! A key and its value.

use crate::{SessionId, Text};
use std::fmt;
use std::sync::Arc;

/// A key: any bytes, ordered by bytes. Consul takes invalid UTF-8 and shows it as U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KvKey(Arc<[u8]>);

impl KvKey {
    /// Takes the bytes of a key.
    pub fn new(key: &[u8]) -> KvKey {
        KvKey(Arc::from(key))
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the key begins with these bytes.
    pub fn starts_with(&self, prefix: &[u8]) -> bool {
        self.0.starts_with(prefix)
    }

    /// The key as text, with U+FFFD for what is not UTF-8.
    pub fn to_text(&self) -> Text {
        Text::from(String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Display for KvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What is stored under a key.
///
/// Source: Consul, "KV store HTTP API".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KvEntry {
    /// The value; empty is a value too.
    pub value: Arc<[u8]>,
    /// The client's own number.
    pub flags: u64,
    /// How often the lock was acquired.
    pub lock_index: u64,
    /// The session that holds the lock.
    pub session: Option<SessionId>,
}
