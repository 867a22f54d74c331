//! What every row of the catalog has: a tenant in its key, an owner, two indexes.

use crate::Owner;
use std::fmt;
use std::ops::Deref;

/// A position in the replicated log; 0 stands for "never".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Index(pub u64);

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An isolated set of names and rights; the first part of every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tenant(pub u32);

impl Tenant {
    /// The tenant of everybody who does not name one.
    pub const DEFAULT: Tenant = Tenant(0);
}

/// A claim as the catalog keeps it: with its owner and the indexes of its first and last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// What was claimed.
    pub claim: T,
    /// Who registered it and alone reconciles it (law 1).
    pub owner: Owner,
    /// The index of the entry that made the row.
    pub created: Index,
    /// The index of the entry that last changed what readers see of it.
    pub modified: Index,
}

impl<T> Deref for Row<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.claim
    }
}
