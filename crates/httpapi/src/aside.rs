//! Large work beside the threads that serve everybody.
//!
//! Evaluating, indenting or compressing an answer of megabytes takes as long as a thousand usual
//! requests. Such work leaves its thread to the others, and only a few pieces are done at a time. How
//! large a read is shows only once it is evaluated, so a path's last size is remembered; a path not
//! seen lately is taken for large, in a lane of its own.

use crate::answer::Answer;
use crate::consul::blocking::{Body, Found};
use crate::consul::error::Stop;
use http::HeaderMap;
use net::http::Response;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// From here on an answer is large.
const LARGE: usize = 256 << 10;

/// How many pieces of one kind are done at a time.
const LANES: usize = 2;

/// How many paths are remembered.
const SLOTS: usize = 4096;

/// The lanes, and what is known of paths.
pub struct Aside {
    evaluating: Semaphore,
    exploring: Semaphore,
    finishing: Semaphore,
    hasher: RandomState,
    /// The hashes of paths, each with its size as the lowest bit, found by another part of the hash.
    sizes: Box<[AtomicU64]>,
}

impl Default for Aside {
    fn default() -> Aside {
        Aside {
            evaluating: Semaphore::new(LANES),
            exploring: Semaphore::new(LANES),
            finishing: Semaphore::new(LANES),
            hasher: RandomState::new(),
            sizes: (0..SLOTS).map(|_| AtomicU64::new(UNKNOWN)).collect(),
        }
    }
}

const UNKNOWN: u64 = 0;
/// The lowest bit of a slot: the path was seen to be large.
const IS_LARGE: u64 = 1;

impl Aside {
    /// Evaluates a read of this path; what is read below it is another thing.
    pub async fn evaluate(
        &self,
        path: &str,
        below: bool,
        read: impl FnOnce() -> Result<Found, Stop>,
    ) -> Result<Found, Stop> {
        let hash = self.hasher.hash_one((path, below)) | 2;
        let slot = &self.sizes[usize::try_from(hash >> 32).unwrap_or_default() % SLOTS];
        let seen = slot.load(Ordering::Relaxed);
        let found = if seen == hash & !IS_LARGE {
            read()
        } else if seen == hash | IS_LARGE {
            run(&self.evaluating, read).await
        } else {
            run(&self.exploring, read).await
        };
        if let Ok(found) = &found {
            let now = if size(&found.body) < LARGE { hash & !IS_LARGE } else { hash | IS_LARGE };
            if now != seen {
                slot.store(now, Ordering::Relaxed);
            }
        }
        found
    }

    /// Makes an answer into what the connection takes.
    pub async fn finish(&self, answer: Answer, pretty: bool, request: &HeaderMap) -> Response {
        match answer.size() < LARGE {
            true => answer.finish(pretty, request),
            false => run(&self.finishing, || answer.finish(pretty, request)).await,
        }
    }
}

fn size(body: &Body) -> usize {
    match body {
        Body::Json(bytes) | Body::Raw(bytes) => bytes.len(),
        Body::Absent => 0,
    }
}

/// Does the work while another thread serves who is served by this one.
async fn run<T>(lane: &Semaphore, work: impl FnOnce() -> T) -> T {
    let _turn = lane.acquire().await;
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    }
}
