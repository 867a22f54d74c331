//! How many connections there are, of each client and in all, so that none takes them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections.
#[derive(Debug)]
pub struct Connections {
    per_client: usize,
    all: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    by_client: HashMap<IpAddr, usize>,
    all: usize,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// This client has too many.
    Client,
    /// There are too many.
    All,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    client: IpAddr,
    open: Arc<Mutex<Open>>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} connections", self.all)
    }
}

/// A panic elsewhere leaves the counts whole: each change is one step.
fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// At most so many of one client address, and of all.
    pub fn new(per_client: usize, all: usize) -> Connections {
        Connections { per_client, all, open: Arc::default() }
    }

    /// Takes a place for a connection of this client.
    pub fn enter(&self, client: IpAddr) -> Result<Place, Full> {
        // A client of IPv4 is the same one on a socket of IPv6.
        let client = client.to_canonical();
        let mut open = lock(&self.open);
        if open.all >= self.all {
            return Err(Full::All);
        }
        let of_client = open.by_client.get(&client).copied().unwrap_or(0);
        if of_client >= self.per_client {
            return Err(Full::Client);
        }
        open.by_client.insert(client, of_client + 1);
        open.all += 1;
        Ok(Place { client, open: Arc::clone(&self.open) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
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
        let connections = Connections::new(2, 3);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        let first = connections.enter(a).unwrap();
        let _second = connections.enter(mapped).unwrap();
        assert_eq!(connections.enter(a).unwrap_err(), Full::Client);
        let _third = connections.enter(b).unwrap();
        assert_eq!(connections.enter(b).unwrap_err(), Full::All);
        drop(first);
        drop(connections.enter(a).unwrap());
        assert_eq!(lock(&connections.open).by_client.len(), 2);
    }
}
