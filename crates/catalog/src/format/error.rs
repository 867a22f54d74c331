//! Why bytes were refused. Each text says what to do about it.

use super::FORMAT;
use std::io;

/// Why bytes could not be read; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A newer version of this program wrote them.
    #[error(
        "{what} is in format {found} and this version reads up to {FORMAT}: \
         run the version that wrote it, or a newer one"
    )]
    Newer {
        /// What was read.
        what: &'static str,
        /// Its format.
        found: u32,
    },
    /// They hold something that this version has no word for.
    #[error("{what} holds an unknown {part}: run the version that wrote it, or a newer one")]
    Unknown {
        /// What was read.
        what: &'static str,
        /// The part of it.
        part: &'static str,
    },
    /// They are not what was written.
    #[error("{what} is damaged ({why}): restore it from a backup or from another server")]
    Damaged {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Why a snapshot could not be read; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Its bytes are refused.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It could not be read to its end.
    #[error("the snapshot cannot be read")]
    Read(#[source] io::Error),
}

/// What is wrong with one message; [`Fault::of`] says in what.
#[derive(Debug)]
pub(super) enum Fault {
    Unknown(&'static str),
    Damaged(String),
}

impl Fault {
    pub(super) fn of(self, what: &'static str) -> FormatError {
        match self {
            Fault::Unknown(part) => FormatError::Unknown { what, part },
            Fault::Damaged(why) => FormatError::Damaged { what, why },
        }
    }
}

impl From<prost::DecodeError> for Fault {
    fn from(error: prost::DecodeError) -> Fault {
        Fault::Damaged(error.to_string())
    }
}
