//! User events as this agent has them: the last of them, and who waits for more.
//!
//! An event is not part of the replicated state. It is told to everybody and kept by each agent whom
//! it is meant for, so its index says only which is the newest: indexes neither rise nor fall. Until
//! there is gossip an event reaches the node where it was fired.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use uuid::Uuid;

/// How many events are kept; the oldest goes.
const KEPT: usize = 256;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it says; may be empty.
    pub payload: Bytes,
    /// The nodes it is meant for, as a regular expression; empty for all.
    pub node: String,
    /// The nodes with such services.
    pub service: String,
    /// The nodes whose services have such tags.
    pub tag: String,
    /// Its Lamport time; 0 before it was told.
    pub time: u64,
}

/// The last events, oldest first, and the Lamport clock that they are told by.
#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    clock: u64,
}

impl Ring {
    /// The clock begins at 1, as Serf's does, so that the first event is at 2.
    fn new() -> Ring {
        Ring { events: VecDeque::new(), clock: 1 }
    }

    /// The time of the next event of this node.
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn keep(&mut self, event: Event) {
        self.clock = self.clock.max(event.time);
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Arc::new(event));
    }

    fn named(&self, name: Option<&str>) -> Vec<Arc<Event>> {
        let wanted = |event: &&Arc<Event>| name.is_none_or(|name| event.name == name);
        self.events.iter().filter(wanted).cloned().collect()
    }
}

/// The index of a list: the halves of its newest id, laid over each other; 1 where there is none.
pub fn index(newest: Option<&Event>) -> u64 {
    let Some(event) = newest else { return 1 };
    let (high, low) = event.id.as_u64_pair();
    (high ^ low).max(1)
}

/// The events of this agent.
pub struct Events {
    ring: Mutex<Ring>,
    changed: watch::Sender<()>,
}

impl Default for Events {
    fn default() -> Events {
        Events { ring: Mutex::new(Ring::new()), changed: watch::Sender::new(()) }
    }
}

impl Events {
    /// Tells an event of this node: gives it its time, and keeps it if it is meant for this node.
    ///
    /// Both under one lock, so that what is fired at once is kept in the order of its times.
    pub fn fire(&self, event: Event, meant_for_us: bool) {
        let mut ring = self.lock();
        let time = ring.tick();
        if meant_for_us {
            self.keep(ring, Event { time, ..event });
        }
    }

    /// Keeps an event that has its time, and wakes who waits.
    fn keep(&self, mut ring: MutexGuard<'_, Ring>, event: Event) {
        ring.keep(event);
        drop(ring);
        self.changed.send_replace(());
    }

    /// The events of this name, or all, oldest first.
    pub fn list(&self, name: Option<&str>) -> Vec<Arc<Event>> {
        self.lock().named(name)
    }

    /// What changes with every event kept from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// A panic elsewhere leaves the ring whole: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u128, name: &str) -> Event {
        Event {
            id: Uuid::from_u128(n),
            name: name.to_owned(),
            payload: Bytes::new(),
            node: String::new(),
            service: String::new(),
            tag: String::new(),
            time: 0,
        }
    }

    #[test]
    fn the_index_is_that_of_the_newest_of_the_name() {
        let events = Events::default();
        assert_eq!(index(None), 1);
        events.fire(event((5 << 64) | 3, "a"), true);
        events.fire(event((9 << 64) | 1, "b"), true);
        let newest = |name| index(events.list(name).last().map(|event| &**event));
        assert_eq!((newest(Some("a")), newest(Some("b")), newest(None)), (5 ^ 3, 9 ^ 1, 9 ^ 1));
        assert_eq!(newest(Some("c")), 1);
        assert_eq!(index(Some(&event((7 << 64) | 7, "x"))), 1, "never 0");
    }

    #[test]
    fn time_goes_on_for_events_that_are_for_others() {
        let events = Events::default();
        events.fire(event(1, "a"), true);
        events.fire(event(2, "b"), false);
        events.fire(event(3, "c"), true);
        events.keep(events.lock(), Event { time: 40, ..event(4, "d") });
        events.fire(event(5, "e"), true);
        let times: Vec<u64> = events.list(None).iter().map(|event| event.time).collect();
        assert_eq!(times, [2, 4, 40, 41]);
    }

    #[test]
    fn what_is_fired_at_once_is_kept_in_the_order_of_its_times() {
        let events = Events::default();
        let start = std::sync::Barrier::new(4);
        for round in 0..50 {
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (events, start) = (&events, &start);
                    scope.spawn(move || {
                        start.wait();
                        for n in 0..50 {
                            events.fire(event((round << 32) | (thread << 16) | n, "a"), true);
                        }
                    });
                }
            });
            let times: Vec<u64> = events.list(None).iter().map(|event| event.time).collect();
            assert!(times.is_sorted(), "round {round}: {times:?}");
        }
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let events = Events::default();
        for n in 0..300 {
            events.fire(event(n, "a"), true);
        }
        let kept = events.list(None);
        assert_eq!((kept.len(), kept[0].id), (KEPT, Uuid::from_u128(44)));
    }

    #[test]
    fn who_waits_is_woken_by_what_is_kept() {
        let events = Events::default();
        let waiting = events.subscribe();
        events.fire(event(1, "a"), false);
        assert!(!waiting.has_changed().unwrap());
        events.fire(event(2, "a"), true);
        assert!(waiting.has_changed().unwrap());
    }
}
