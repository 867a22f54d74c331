//! The bytes of the log and of snapshots.
//!
//! Everything is a message with numbered fields, so that a new optional field needs no new format:
//! an older version skips it. What must not be skipped (a new command, a new kind of outcome, a new
//! table) is refused by a version that does not know it, and [`FORMAT`] rises when the meaning of
//! what is already there changes.
//!
//! Decision 0006.

mod claims;
mod entry;
mod error;
mod frame;
mod record;
mod snapshot;
mod transaction;
mod wire;

pub use claims::{decode_check, decode_instance, encode_check, encode_instance};
pub use entry::{decode_entry, decode_outcome, encode_entry, encode_outcome};
pub use error::{FormatError, SnapshotError};
pub use snapshot::{read_snapshot, write_snapshot};

/// The format this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;
