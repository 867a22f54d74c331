//! The bytes of answers that are being sent: a number that all share, and no client can use up alone.
//!
//! A body that many connections send lies in memory once, so it counts once, and once more for each
//! client that it is sent to. A body is known by where it lies: nothing else can lie there while it is
//! held, and what is held does not change.

use bytes::Bytes;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What may be sent, and what is.
pub(super) struct Answers {
    all: usize,
    per_client: usize,
    held: Mutex<Held>,
}

/// Where a body lies, and how long it is.
type Place = (usize, usize);

#[derive(Default)]
struct Held {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
    /// How many answers send a body.
    bodies: HashMap<Place, usize>,
    /// How many answers to one client send a body.
    of_clients: HashMap<(IpAddr, Place), usize>,
}

/// A body on its way; it is given back when its last byte is sent.
struct Sent {
    bytes: Bytes,
    answers: Arc<Answers>,
    client: IpAddr,
}

impl Answers {
    pub fn new(all: usize, per_client: usize) -> Arc<Answers> {
        Arc::new(Answers { all, per_client, held: Mutex::default() })
    }

    /// The same bytes, counted for as long as they are held; one body alone may be larger than what a
    /// client may have, or all.
    pub fn send(self: &Arc<Answers>, client: IpAddr, bytes: Bytes) -> Option<Bytes> {
        let taken = self.lock().take(client, place(&bytes), self);
        taken.then(|| Bytes::from_owner(Sent { bytes, answers: Arc::clone(self), client }))
    }

    /// A panic elsewhere leaves the counts whole: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(bytes: &Bytes) -> Place {
    (bytes.as_ptr().addr(), bytes.len())
}

impl Held {
    fn take(&mut self, client: IpAddr, place: Place, limits: &Answers) -> bool {
        let (_, bytes) = place;
        let of_client = self.by_client.get(&client).copied().unwrap_or_default();
        let client_has = self.of_clients.contains_key(&(client, place));
        let all_have = self.bodies.contains_key(&place);
        let client_may = client_has || of_client == 0 || of_client + bytes <= limits.per_client;
        let all_may = all_have || self.all == 0 || self.all + bytes <= limits.all;
        if !(client_may && all_may) {
            return false;
        }
        if !client_has {
            *self.by_client.entry(client).or_default() += bytes;
        }
        if !all_have {
            self.all += bytes;
        }
        *self.of_clients.entry((client, place)).or_default() += 1;
        *self.bodies.entry(place).or_default() += 1;
        true
    }

    fn give_back(&mut self, client: IpAddr, place: Place) {
        let (_, bytes) = place;
        if release(&mut self.of_clients, &(client, place))
            && let Some(of_client) = self.by_client.get_mut(&client)
        {
            *of_client -= bytes;
            if *of_client == 0 {
                self.by_client.remove(&client);
            }
        }
        if release(&mut self.bodies, &place) {
            self.all -= bytes;
        }
    }
}

/// Takes one away; whether it was the last, with which the entry goes.
fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count -= 1;
    *count == 0 && counts.remove(key).is_some()
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.answers.lock().give_back(self.client, place(&self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn body(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    #[test]
    fn one_alone_may_be_larger() {
        let answers = Answers::new(10, 6);
        let large = answers.send(A, body(20)).expect("alone");
        assert!(answers.send(A, body(1)).is_none() && answers.send(B, body(1)).is_none());
        drop(large);
        assert!(answers.send(B, body(1)).is_some());
    }

    #[test]
    fn a_client_cannot_use_up_what_is_for_all() {
        let answers = Answers::new(10, 6);
        let first = answers.send(A, body(6)).expect("its share");
        assert!(answers.send(A, body(1)).is_none());
        let second = answers.send(B, body(4)).expect("the rest");
        assert!(answers.send(B, body(1)).is_none(), "all together have a limit too");
        drop(first);
        assert!(answers.send(B, body(1)).is_some(), "what is given back can be taken");
        drop(second);
        let held = answers.lock();
        assert_eq!((held.all, held.by_client.len(), held.bodies.len()), (0, 0, 0));
        assert_eq!(held.of_clients.len(), 0);
    }

    #[test]
    fn a_body_that_many_send_counts_once_and_once_a_client() {
        let answers = Answers::new(10, 6);
        let shared = body(5);
        let sent: Vec<Bytes> = (0..100)
            .map(|n| answers.send([A, B][n % 2], shared.clone()).expect("it is there anyway"))
            .collect();
        assert!(sent.iter().all(|sent| sent.as_ptr() == shared.as_ptr()), "nothing is copied");
        assert!(answers.send(A, body(2)).is_none(), "a client has it once");
        let last = answers.send(B, body(1)).expect("all have it once");
        assert!(answers.send(B, shared.slice(1..)).is_none(), "a part is another body");
        drop((sent, last));
        assert!(answers.send(A, body(6)).is_some(), "given back with the last of them");
    }
}
