//! How many TCP connections there are, in all and of one client, so that none takes them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    most_of_one: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Only clients that have a connection.
    by_client: HashMap<IpAddr, usize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    client: IpAddr,
    connections: Arc<Connections>,
}

impl Connections {
    pub fn new(most: usize, most_of_one: usize) -> Arc<Connections> {
        Arc::new(Connections { most, most_of_one, open: Mutex::default() })
    }

    /// Takes a place for a connection of this client; `None` when there are enough.
    pub fn enter(self: &Arc<Connections>, client: IpAddr) -> Option<Place> {
        // A client of IPv4 is the same one on a socket of IPv6.
        let client = client.to_canonical();
        let mut open = self.lock();
        let of_one = open.by_client.get(&client).copied().unwrap_or(0);
        if open.all >= self.most || of_one >= self.most_of_one {
            return None;
        }
        open.all += 1;
        open.by_client.insert(client, of_one + 1);
        Some(Place { client, connections: Arc::clone(self) })
    }

    /// A panic elsewhere leaves the counts whole.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all -= 1;
        if let Some(count) = open.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_given_back_can_be_taken_again() {
        let connections = Connections::new(3, 2);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mapped = "::ffff:10.0.0.1".parse().expect("an address");
        let first = connections.enter(a).expect("room");
        let _second = connections.enter(mapped).expect("room");
        assert!(connections.enter(a).is_none(), "one client has enough");
        let _third = connections.enter(b).expect("room");
        assert!(connections.enter(b).is_none(), "all have enough");
        drop(first);
        drop(connections.enter(a).expect("room"));
        assert_eq!(connections.lock().by_client.len(), 2);
    }
}
