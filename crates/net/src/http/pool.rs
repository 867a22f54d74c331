//! A number of bytes that many clients share, and no client can use up alone.
//!
//! What is taken is given back by dropping the share, wherever it ended.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bytes, and who has how many.
pub(super) struct Pool {
    all: usize,
    per_client: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// What one body took; given back when dropped.
pub(super) struct Share {
    pool: Arc<Pool>,
    client: IpAddr,
    bytes: usize,
}

impl Pool {
    pub fn new(all: usize, per_client: usize) -> Arc<Pool> {
        Arc::new(Pool { all, per_client, taken: Mutex::default() })
    }

    /// A share of nothing yet.
    pub fn share(self: &Arc<Pool>, client: IpAddr) -> Share {
        Share { pool: Arc::clone(self), client, bytes: 0 }
    }

    /// A panic elsewhere leaves the counts whole: each change is one step.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn add(&mut self, client: IpAddr, bytes: usize) {
        self.all += bytes;
        *self.by_client.entry(client).or_default() += bytes;
    }
}

impl Share {
    /// What was taken so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more, if the client and all together may.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let mut taken = self.pool.lock();
        let of_client = taken.by_client.get(&self.client).copied().unwrap_or_default();
        if of_client + bytes > self.pool.per_client || taken.all + bytes > self.pool.all {
            return false;
        }
        if bytes > 0 {
            taken.add(self.client, bytes);
            self.bytes += bytes;
        }
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = self.pool.lock();
        taken.all -= self.bytes;
        if let Some(of_client) = taken.by_client.get_mut(&self.client) {
            *of_client -= self.bytes;
            if *of_client == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn a_client_cannot_use_up_what_is_for_all() {
        let pool = Pool::new(10, 6);
        let mut first = pool.share(A);
        assert!(first.grow(6) && !first.grow(1));
        assert!(!pool.share(A).grow(1), "however many requests it makes");
        let mut second = pool.share(B);
        assert!(second.grow(4) && !second.grow(1), "all together have a limit too");
        drop(first);
        assert!(second.grow(1), "what is given back can be taken");
    }
}
