//! Histories of single keys, and whether they could have happened one after another.
//!
//! A write whose answer never came stays open: it may have happened at any later time, or never. Values are written
//! once, so that a compare-and-set by index is one by value.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, anyhow, ensure};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// A key as a client sees it: a value, and the session that holds it.
#[derive(Debug, Clone, Default)]
pub struct Key {
    value: Option<u32>,
    holder: Option<u32>,
}

/// What a client asks of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Set the value.
    Write(u32),
    /// Set the value if it is still the first one.
    Swap(Option<u32>, u32),
    /// Take the lock for a session.
    Acquire(u32),
    /// Give it back.
    Release(u32),
    /// Read the value.
    Read,
    /// Read who holds it.
    ReadHolder,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// `true` or `false`.
    Did(bool),
    /// The value or the holder.
    Saw(Option<u32>),
}

impl SequentialSpec for Key {
    type Op = Op;
    type Ret = Told;

    fn invoke(&mut self, op: &Op) -> Told {
        match *op {
            Op::Write(new) => self.value = Some(new),
            Op::Swap(old, new) if self.value == old => self.value = Some(new),
            Op::Acquire(session) if self.holder.is_none_or(|h| h == session) => {
                self.holder = Some(session)
            }
            Op::Release(session) if self.holder == Some(session) => self.holder = None,
            Op::Swap(..) | Op::Acquire(_) | Op::Release(_) => return Told::Did(false),
            Op::Read => return Told::Saw(self.value),
            Op::ReadHolder => return Told::Saw(self.holder),
        }
        Told::Did(true)
    }
}

#[derive(Debug, Clone)]
struct Event {
    client: u32,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Asked(Op),
    Told(Told),
}

/// What all clients asked and were told, by key, in the order of time.
#[derive(Debug, Default)]
pub struct Histories {
    keys: Mutex<BTreeMap<String, Vec<Event>>>,
    clients: AtomicU32,
}

impl Histories {
    /// A client that has never asked anything.
    pub fn new_client(&self) -> u32 {
        self.clients.fetch_add(1, Ordering::SeqCst)
    }

    /// Runs one exchange and records both its ends. After an outcome that is not known the client is a new one, since
    /// its last operation never ended.
    pub fn record<T>(
        &self,
        client: &mut u32,
        key: &str,
        op: Op,
        exchange: impl FnOnce() -> Result<(Told, T)>,
    ) -> Result<T> {
        self.push(key, *client, What::Asked(op));
        match exchange() {
            Ok((told, more)) => {
                self.push(key, *client, What::Told(told));
                Ok(more)
            }
            Err(unknown) => {
                *client = self.new_client();
                Err(unknown)
            }
        }
    }

    fn push(&self, key: &str, client: u32, what: What) {
        let mut keys = self.keys.lock().expect("no thread panics while it holds this");
        keys.entry(key.to_owned()).or_default().push(Event { client, what });
    }

    /// The keys seen since the last check.
    pub fn keys(&self) -> Vec<String> {
        self.keys.lock().expect("no thread panics while it holds this").keys().cloned().collect()
    }

    /// Checks every key's history and begins anew; the error shows the first impossible one. Returns how many
    /// operations were checked.
    pub fn check(&self) -> Result<usize> {
        let keys =
            std::mem::take(&mut *self.keys.lock().expect("no thread panics while it holds this"));
        let mut checked = 0;
        for (key, events) in keys {
            checked += linearizable(&events).map_err(|e| anyhow!("{key}: {e}"))?;
        }
        Ok(checked)
    }
}

fn linearizable(events: &[Event]) -> Result<usize> {
    let mut tester = LinearizabilityTester::<u32, Key>::new(Key::default());
    for (at, event) in events.iter().enumerate() {
        let fed = match &event.what {
            What::Asked(Op::Read | Op::ReadHolder) if !is_answered(&events[at..]) => continue,
            What::Asked(op) => tester.on_invoke(event.client, op.clone()),
            What::Told(told) => tester.on_return(event.client, told.clone()),
        };
        fed.map_err(|e| anyhow!("{e}"))?;
    }
    let lines: Vec<_> =
        events.iter().map(|e| format!("  client {} {:?}", e.client, e.what)).collect();
    ensure!(tester.is_consistent(), "no order of these explains them:\n{}", lines.join("\n"));
    Ok(tester.len())
}

fn is_answered(events: &[Event]) -> bool {
    let client = events[0].client;
    events[1..].iter().any(|e| e.client == client && matches!(e.what, What::Told(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines like `1 write 5` and `1 did true`.
    #[track_caller]
    fn check(events: &[(u32, What)], possible: bool) {
        let events: Vec<_> = events
            .iter()
            .map(|(client, what)| Event { client: *client, what: what.clone() })
            .collect();
        assert_eq!(linearizable(&events).is_ok(), possible, "{events:?}");
    }

    fn asked(client: u32, op: Op) -> (u32, What) {
        (client, What::Asked(op))
    }

    fn told(client: u32, told: Told) -> (u32, What) {
        (client, What::Told(told))
    }

    #[test]
    fn an_acknowledged_write_cannot_vanish() {
        let write = [asked(1, Op::Write(5)), told(1, Told::Did(true)), asked(2, Op::Read)];
        check(&[&write[..], &[told(2, Told::Saw(None))]].concat(), false);
        check(&[&write[..], &[told(2, Told::Saw(Some(5)))]].concat(), true);
    }

    #[test]
    fn a_write_of_unknown_outcome_may_have_happened_or_not_but_not_undone() {
        let open = [asked(1, Op::Write(5)), asked(2, Op::Read)];
        check(&[&open[..], &[told(2, Told::Saw(None))]].concat(), true);
        let seen = [&open[..], &[told(2, Told::Saw(Some(5))), asked(2, Op::Read)]].concat();
        check(&[&seen[..], &[told(2, Told::Saw(None))]].concat(), false);
    }

    #[test]
    fn two_sessions_cannot_hold_one_lock() {
        let first = [asked(1, Op::Acquire(1)), told(1, Told::Did(true)), asked(2, Op::Acquire(2))];
        check(&[&first[..], &[told(2, Told::Did(true))]].concat(), false);
        check(&[&first[..], &[told(2, Told::Did(false))]].concat(), true);
    }

    #[test]
    fn of_two_swaps_from_one_value_one_fails() {
        let both =
            [asked(1, Op::Swap(None, 1)), asked(2, Op::Swap(None, 2)), told(1, Told::Did(true))];
        check(&[&both[..], &[told(2, Told::Did(true))]].concat(), false);
        check(&[&both[..], &[told(2, Told::Did(false))]].concat(), true);
    }
}
