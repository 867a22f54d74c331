//! The bound on proposals under way, by count and by bytes.
//!
//! The last eighth is for what is urgent: so a flood of usual commands never keeps an urgent one out.
//!
//! A proposer that goes away leaves its command in the engine; so the place belongs to both, and is
//! free again when the last of them drops it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::error::ProposeError;

/// Which commands get the last places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Refused only when there is no place at all.
    Urgent,
    /// Refused a little sooner.
    Usual,
}

/// The part of entries and of bytes that is kept for what is urgent: one in so many.
const RESERVE: usize = 8;

/// Counts what is under way.
#[derive(Debug)]
pub(crate) struct Queue {
    most_entries: usize,
    most_bytes: usize,
    held: Mutex<(usize, usize)>,
    refused: AtomicUsize,
}

/// A place in the queue, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    queue: Arc<Queue>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn new(most_entries: usize, most_bytes: usize) -> Arc<Queue> {
        Arc::new(Queue {
            most_entries,
            most_bytes,
            held: Mutex::default(),
            refused: AtomicUsize::new(0),
        })
    }

    /// Takes a place for a command of `bytes`; refuses with `QueueFull` when there is none.
    ///
    /// One usual command alone may be of any size that is taken at all.
    pub(crate) fn admit(
        self: &Arc<Queue>,
        bytes: usize,
        priority: Priority,
    ) -> Result<Arc<Ticket>, ProposeError> {
        let kept = |all: usize| match priority {
            Priority::Urgent => 0,
            Priority::Usual => all / RESERVE,
        };
        let (entries, most) = (kept(self.most_entries), kept(self.most_bytes));
        let mut held = self.lock();
        let crowded = held.1 > 0 && held.1 + bytes + most > self.most_bytes;
        if held.0 + 1 + entries > self.most_entries || crowded || held.1 + bytes > self.most_bytes {
            self.refused.fetch_add(1, Relaxed);
            return Err(ProposeError::QueueFull);
        }
        *held = (held.0 + 1, held.1 + bytes);
        Ok(Arc::new(Ticket { queue: self.clone(), bytes }))
    }

    /// Entries and bytes under way.
    pub(crate) fn held(&self) -> (usize, usize) {
        *self.lock()
    }

    /// How many proposals were refused for want of a place.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (usize, usize)> {
        self.held.lock().expect("nothing panics while counting")
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut held = self.queue.lock();
        *held = (held.0 - 1, held.1 - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Priority::{Urgent, Usual};
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_last_holder_drops_it() {
        let queue = Queue::new(2, 100);
        let first = queue.admit(60, Usual).unwrap();
        let also_first = first.clone();
        assert_eq!(queue.admit(60, Usual).unwrap_err(), ProposeError::QueueFull, "bytes");
        let second = queue.admit(40, Urgent).unwrap();
        assert_eq!(queue.admit(0, Usual).unwrap_err(), ProposeError::QueueFull, "entries");
        drop(first);
        assert_eq!(queue.held(), (2, 100));
        drop((also_first, second));
        assert_eq!((queue.held(), queue.refused()), ((0, 0), 2));
    }

    #[test]
    fn the_last_places_are_for_what_is_urgent() {
        let queue = Queue::new(16, 1600);
        let usual: Vec<_> = std::iter::from_fn(|| queue.admit(10, Usual).ok()).collect();
        assert_eq!(usual.len(), 14, "two of sixteen are kept");
        let urgent: Vec<_> = std::iter::from_fn(|| queue.admit(10, Urgent).ok()).collect();
        assert_eq!(urgent.len(), 2);
        drop((usual, urgent));
        let large = queue.admit(1600, Usual).unwrap();
        assert_eq!(queue.admit(1, Urgent).unwrap_err(), ProposeError::QueueFull);
        drop(large);
        let _some = queue.admit(100, Usual).unwrap();
        assert_eq!(queue.admit(1400, Usual).unwrap_err(), ProposeError::QueueFull);
        queue.admit(1400, Urgent).unwrap();
    }
}
