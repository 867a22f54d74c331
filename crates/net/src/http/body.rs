//! Reading bodies: bounded each, bounded together, bounded in time.

use super::Request;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What all bodies being received may take.
pub(super) struct Budget {
    one: usize,
    all: usize,
    time: Duration,
    taken: AtomicUsize,
}

impl Budget {
    pub fn new(one: usize, all: usize, time: Duration) -> Arc<Budget> {
        Arc::new(Budget { one, all, time, taken: AtomicUsize::new(0) })
    }
}

/// Why a body was not read; the connection should not be used again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than a body may be; the number of bytes, or at least so many.
    #[error("request body of {0} bytes is too large")]
    TooLarge(u64),
    /// It did not come in time.
    #[error("request body did not come in time")]
    TooSlow,
    /// All bodies together are too large just now.
    #[error("too many request bodies at once, try again later")]
    Busy,
    /// The client broke off.
    #[error("request body ended early")]
    Cut,
}

/// The share of one body; given back when dropped.
struct Share<'b> {
    budget: &'b Budget,
    taken: usize,
}

impl Share<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), BodyError> {
        let before = self.budget.taken.fetch_add(bytes, Ordering::Relaxed);
        self.taken += bytes;
        match before + bytes > self.budget.all {
            true => Err(BodyError::Busy),
            false => Ok(()),
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl Request {
    /// Reads the body and keeps at most `keep` bytes of it.
    ///
    /// A longer body is read to its end and counted but not kept, so that the client reads the
    /// refusal instead of a broken connection; beyond the server's own limit it is not read.
    pub async fn body(&mut self, keep: usize) -> Result<Bytes, BodyError> {
        let announced = self.head.headers.get(http::header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let budget = Arc::clone(&self.budget);
        if let Some(length) = announced.filter(|length| *length > budget.one as u64) {
            return Err(BodyError::TooLarge(length));
        }
        let reading = self.read(keep.min(budget.one), &budget);
        match tokio::time::timeout(budget.time, reading).await {
            Ok(read) => read,
            Err(_) => Err(BodyError::TooSlow),
        }
    }

    async fn read(&mut self, keep: usize, budget: &Budget) -> Result<Bytes, BodyError> {
        let mut share = Share { budget, taken: 0 };
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        let mut length = 0usize;
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else { continue };
            length += data.len();
            if length > budget.one {
                return Err(BodyError::TooLarge(length as u64));
            }
            if length > keep {
                (first, more) = (Bytes::new(), BytesMut::new());
                continue;
            }
            share.take(data.len())?;
            if first.is_empty() && more.is_empty() {
                first = data;
            } else {
                if more.is_empty() {
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&data);
            }
        }
        match length > keep {
            true => Err(BodyError::TooLarge(length as u64)),
            false if more.is_empty() => Ok(first),
            false => Ok(more.freeze()),
        }
    }
}
