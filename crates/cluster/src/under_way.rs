//! Entries on their way through this server's log, as they were before they became bytes.
//!
//! Who applies an entry that was proposed here finds it whole and need not read it again. It is found by
//! where its bytes lie: the log hands on the very bytes that were proposed, and they are held here as long
//! as somebody waits for the answer, so that no others can lie there. Bytes that a log has read from its
//! disk lie elsewhere and are decoded: what they say is what counts, and is the same.

use bytes::Bytes;
use catalog::Entry;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The entries under way, by the place and number of their bytes.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashMap<(usize, usize), Entry>>);

/// Keeps an entry under way, and its bytes where they are.
pub(crate) struct Holding<'u> {
    under_way: &'u UnderWay,
    bytes: Bytes,
}

impl UnderWay {
    /// Keeps an entry until it is taken, or who waits for it gives up.
    pub fn hold(&self, entry: Entry, bytes: &Bytes) -> Holding<'_> {
        self.lock().insert(place(bytes), entry);
        Holding { under_way: self, bytes: bytes.clone() }
    }

    /// The entry that became these very bytes here, if it was not taken before.
    pub fn take(&self, bytes: &Bytes) -> Option<Entry> {
        let entry = self.lock().remove(&place(bytes))?;
        debug_assert_eq!(catalog::format::decode_entry(bytes).as_ref(), Ok(&entry));
        Some(entry)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(usize, usize), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holding<'_> {
    /// The bytes go after this, and only then may others come to lie there.
    fn drop(&mut self) {
        self.under_way.lock().remove(&place(&self.bytes));
    }
}

fn place(bytes: &Bytes) -> (usize, usize) {
    (bytes.as_ptr().addr(), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{Claim, Command, format};
    use model::{Author, Owner, Tenant, Timestamp};

    #[test]
    fn an_entry_is_found_once_by_its_own_bytes_while_somebody_waits() {
        let entry = Entry {
            time: Timestamp(7),
            author: Author::default(),
            owner: Owner::http(),
            claim: Claim::Explicit,
            tenant: Tenant::DEFAULT,
            request: None,
            commands: vec![Command::EnsureNode("n1".into())],
        };
        let (under_way, bytes) = (UnderWay::default(), format::encode_entry(&entry));
        let read_again = Bytes::copy_from_slice(&bytes);
        let holding = under_way.hold(entry.clone(), &bytes);
        assert_eq!(under_way.take(&read_again), None, "the same, but from elsewhere");
        assert_eq!(under_way.take(&bytes.clone()), Some(entry.clone()));
        assert_eq!(under_way.take(&bytes), None, "a repetition is read");
        drop(holding);
        drop(under_way.hold(entry, &bytes));
        assert_eq!(under_way.take(&bytes), None, "nobody waits any more");
        assert!(under_way.lock().is_empty());
    }
}
