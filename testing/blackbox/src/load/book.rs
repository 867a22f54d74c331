//! What is known of each item: its last acknowledged state, and states it may have got since.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use anyhow::{Result, ensure};

/// Items by name; a state of `None` means that the item is not there.
#[derive(Debug)]
pub(super) struct Book<T>(Mutex<BTreeMap<String, Known<T>>>);

#[derive(Debug, Clone)]
struct Known<T> {
    sure: Option<T>,
    maybe: Vec<Option<T>>,
}

impl<T> Default for Book<T> {
    fn default() -> Self {
        Book(Mutex::new(BTreeMap::new()))
    }
}

impl<T: Clone + PartialEq + Debug> Book<T> {
    /// Notes that a write was sent.
    pub(super) fn sent(&self, name: &str, state: Option<T>) {
        let mut items = self.0.lock().expect("no thread panics while it holds this");
        items
            .entry(name.to_owned())
            .or_insert(Known { sure: None, maybe: vec![] })
            .maybe
            .push(state);
    }

    /// Notes that the last write sent was acknowledged.
    pub(super) fn acknowledged(&self, name: &str) {
        let mut items = self.0.lock().expect("no thread panics while it holds this");
        let item = items.get_mut(name).expect("a write is sent before it is acknowledged");
        item.sure = item.maybe.pop().expect("a write is sent before it is acknowledged");
        item.maybe.clear();
    }

    /// Compares all items with what is there, and takes that as their state.
    pub(super) fn settle(&self, what: &str, seen: &BTreeMap<String, T>) -> Result<usize> {
        let mut items = self.0.lock().expect("no thread panics while it holds this");
        for name in seen.keys() {
            ensure!(items.contains_key(name), "{what} {name} is there, and nobody wrote it");
        }
        for (name, known) in items.iter_mut() {
            let now = seen.get(name);
            let possible =
                known.sure.as_ref() == now || known.maybe.iter().any(|m| m.as_ref() == now);
            ensure!(
                possible,
                "{what} {name} is {now:?}; acknowledged was {:?}, unknown the outcome of {:?}",
                known.sure,
                known.maybe
            );
            known.sure = now.cloned();
            known.maybe.clear();
        }
        Ok(items.len())
    }

    /// The names of all items ever written.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().expect("no thread panics while it holds this").keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_as_acknowledged_or_as_a_later_write_left_it() {
        let book = Book::default();
        let seen = |state: Option<u32>| state.map(|s| ("x".to_owned(), s)).into_iter().collect();
        book.sent("x", Some(1));
        book.acknowledged("x");
        book.sent("x", Some(2));
        assert!(book.settle("item", &seen(None)).is_err());
        assert!(book.settle("item", &seen(Some(2))).is_ok());
        assert!(book.settle("item", &seen(Some(1))).is_err(), "what was seen once stays");
    }

    #[test]
    fn what_nobody_wrote_is_an_error() {
        let book = Book::<u32>::default();
        assert!(book.settle("item", &BTreeMap::from([("x".to_owned(), 1)])).is_err());
    }
}
