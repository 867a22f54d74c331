//! Who is served first when there is more to do than can be done: a pure state machine.
//!
//! A turn is leave to keep a processor busy for long, with an answer of megabytes. There are fewer turns
//! than threads, so what needs none (heartbeats, writes, usual reads) always finds a thread. Turns go by
//! class, then by age; who waits is counted, and what they will cost, and beyond a bound the next one is
//! refused at once: better than an answer that comes when nobody waits for it any more.

use std::collections::VecDeque;

/// What a request is to the health of the cluster, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Tells that something lives: reports on checks, renewals. Never waits and is never refused here.
    Heartbeat,
    /// Changes something. The log's own queue refuses what is too much.
    Write,
    /// Reads something of usual size; one that was large the last time needs a turn.
    Read,
    /// Lists everything of a kind; needs a turn, unless it was short the last time.
    Bulk,
}

/// How much may be going on.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many may have a turn.
    pub turns: usize,
    /// How many of a class may wait for one.
    pub waiting: usize,
    /// How many bytes those of a class who wait may be about to make.
    pub backlog: usize,
}

/// What becomes of a wish for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has one, to be given back.
    Go,
    /// It waits under this number.
    Wait(u64),
    /// Too many wait already, or for too much.
    Refused,
}

/// The turns and who waits for one; `W` is how those are called.
#[derive(Debug)]
pub struct Turns<W> {
    bounds: Bounds,
    taken: usize,
    numbers: u64,
    /// By class.
    lines: [Line<W>; Class::Bulk as usize + 1],
}

#[derive(Debug)]
struct Line<W> {
    waiting: VecDeque<Waiting<W>>,
    cost: usize,
}

#[derive(Debug)]
struct Waiting<W> {
    number: u64,
    cost: usize,
    call: W,
}

impl<W> Turns<W> {
    /// Nobody has a turn yet.
    pub fn new(bounds: Bounds) -> Turns<W> {
        let line = |_| Line { waiting: VecDeque::new(), cost: 0 };
        Turns { bounds, taken: 0, numbers: 0, lines: [0, 1, 2, 3].map(line) }
    }

    /// Asks for a turn to make about `cost` bytes; who `insists` is not refused.
    pub fn ask(&mut self, class: Class, cost: usize, insists: bool, call: W) -> Verdict {
        if self.taken < self.bounds.turns {
            self.taken += 1;
            return Verdict::Go;
        }
        let line = &mut self.lines[class as usize];
        let crowded = line.waiting.len() >= self.bounds.waiting;
        let costly = line.cost > 0 && line.cost.saturating_add(cost) > self.bounds.backlog;
        if (crowded || costly) && !insists {
            return Verdict::Refused;
        }
        self.numbers += 1;
        line.cost = line.cost.saturating_add(cost);
        line.waiting.push_back(Waiting { number: self.numbers, cost, call });
        Verdict::Wait(self.numbers)
    }

    /// Gives a turn back; whoever is returned has it now and is to be called.
    pub fn give_back(&mut self) -> Option<W> {
        let line = self.lines.iter_mut().find(|line| !line.waiting.is_empty());
        let next = line.and_then(|line| {
            let next = line.waiting.pop_front()?;
            line.cost -= next.cost;
            Some(next.call)
        });
        if next.is_none() {
            self.taken -= 1;
        }
        next
    }

    /// Waits no longer; false if it was called already, and has a turn to give back.
    pub fn leave(&mut self, class: Class, number: u64) -> bool {
        let line = &mut self.lines[class as usize];
        let Some(at) = line.waiting.iter().position(|waiting| waiting.number == number) else {
            return false;
        };
        if let Some(gone) = line.waiting.remove(at) {
            line.cost -= gone.cost;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Class::{Bulk, Read};
    use super::*;

    fn turns(turns: usize, waiting: usize, backlog: usize) -> Turns<&'static str> {
        Turns::new(Bounds { turns, waiting, backlog })
    }

    #[test]
    fn turns_go_by_class_and_then_by_age() {
        let mut turns = turns(1, 9, 999);
        assert_eq!(turns.ask(Bulk, 1, false, "first"), Verdict::Go);
        for (class, name) in
            [(Bulk, "bulk 1"), (Bulk, "bulk 2"), (Read, "read 1"), (Read, "read 2")]
        {
            assert!(matches!(turns.ask(class, 1, false, name), Verdict::Wait(_)), "{name}");
        }
        for name in ["read 1", "read 2", "bulk 1", "bulk 2"] {
            assert_eq!(turns.give_back(), Some(name));
        }
        assert_eq!(turns.give_back(), None);
        assert_eq!(turns.ask(Bulk, 1, false, "again"), Verdict::Go);
    }

    #[test]
    fn who_waits_is_bounded_by_number_and_by_what_it_costs() {
        let mut turns = turns(1, 3, 100);
        assert_eq!(turns.ask(Bulk, 500, false, "first"), Verdict::Go);
        assert_eq!(
            turns.ask(Bulk, 500, false, "large"),
            Verdict::Wait(1),
            "one may be of any size"
        );
        assert_eq!(turns.ask(Bulk, 1, false, "too much"), Verdict::Refused);
        assert_eq!(turns.ask(Bulk, 1, true, "insists"), Verdict::Wait(2));
        assert_eq!(
            turns.ask(Read, 40, false, "a"),
            Verdict::Wait(3),
            "another class, another line"
        );
        assert_eq!(turns.ask(Read, 40, false, "b"), Verdict::Wait(4));
        assert_eq!(turns.ask(Read, 40, false, "too much"), Verdict::Refused);
        assert_eq!(turns.ask(Read, 20, false, "c"), Verdict::Wait(5));
        assert_eq!(turns.ask(Read, 0, false, "too many"), Verdict::Refused);
        assert_eq!(turns.give_back(), Some("a"));
        assert_eq!(turns.ask(Read, 40, false, "d"), Verdict::Wait(6), "its place is free");
    }

    #[test]
    fn who_leaves_is_not_called_and_frees_its_place() {
        let mut turns = turns(1, 1, 100);
        turns.ask(Bulk, 1, false, "first");
        assert_eq!(turns.ask(Bulk, 90, false, "gone"), Verdict::Wait(1));
        assert!(turns.leave(Bulk, 1));
        assert_eq!(turns.ask(Bulk, 90, false, "next"), Verdict::Wait(2));
        assert_eq!(turns.give_back(), Some("next"));
        assert!(!turns.leave(Bulk, 2), "it has a turn");
        assert_eq!(turns.give_back(), None);
        assert_eq!(turns.taken, 0);
    }
}
