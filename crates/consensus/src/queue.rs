//! The bound on proposals under way, by count and by bytes.
//!
//! A proposer that goes away leaves its command in the engine; so the place belongs to both, and is
//! free again when the last of them drops it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::error::ProposeError;

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
    pub(crate) fn admit(self: &Arc<Queue>, bytes: usize) -> Result<Arc<Ticket>, ProposeError> {
        let mut held = self.lock();
        if held.0 + 1 > self.most_entries || held.1 + bytes > self.most_bytes {
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
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_last_holder_drops_it() {
        let queue = Queue::new(2, 100);
        let first = queue.admit(60).unwrap();
        let also_first = first.clone();
        assert_eq!(queue.admit(60).unwrap_err(), ProposeError::QueueFull, "bytes");
        let second = queue.admit(40).unwrap();
        assert_eq!(queue.admit(0).unwrap_err(), ProposeError::QueueFull, "entries");
        drop(first);
        assert_eq!(queue.held(), (2, 100));
        drop((also_first, second));
        assert_eq!((queue.held(), queue.refused()), ((0, 0), 2));
    }
}
