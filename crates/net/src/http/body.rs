//! Reading bodies: bounded each, bounded together and by client, and not slower than a given rate.
//!
//! Small bodies have a pool of their own, so that whoever fills the other with large ones keeps nobody
//! from a usual write; what a body took is kept until its request is answered, since what was made
//! of the body is kept as long. The smallest need nothing of either: a heartbeat comes in whatever
//! others send, and what it may take for each connection is as little as a buffer of its engine.
//!
//! What comes is copied: it lies in the buffer that the head was read into, which may be large and would
//! stay for as long as a byte of it is kept.

use super::pool::{Pool, Share};
use super::{Limit, Limits, Request, Traffic};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Up to here a body needs no share; as many as there are connections may lie here.
const FREE: usize = 8 << 10;

/// Up to here a body is small: the largest usual value of a key, and some more.
const SMALL: usize = (512 << 10) + (64 << 10);

/// What all bodies may take that are larger than [`FREE`].
pub(super) struct Budget {
    one: usize,
    grace: Duration,
    rate: usize,
    small: Arc<Pool>,
    large: Arc<Pool>,
    traffic: Traffic,
}

impl Budget {
    /// Half is for small bodies, of which a client may have half; of the other half a client may have
    /// a quarter, or one body of the largest size.
    pub fn new(limits: &Limits, traffic: Traffic) -> Arc<Budget> {
        let half = limits.bodies / 2;
        Arc::new(Budget {
            one: limits.body,
            grace: limits.body_timeout,
            rate: limits.body_rate.max(1),
            small: Pool::new(half, half / 2),
            large: Pool::new(half, (half / 4).max(limits.body)),
            traffic,
        })
    }

    /// When a body that began then must have more than so many bytes.
    fn deadline(&self, began: Instant, length: usize) -> Instant {
        let earned = (length as u64).saturating_mul(1000) / self.rate as u64;
        began + self.grace + Duration::from_millis(earned)
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
    /// All bodies together are too large just now, or all those of this client.
    #[error("too many request bodies at once, try again later")]
    Busy,
    /// The client broke off.
    #[error("request body ended early")]
    Cut,
}

impl BodyError {
    /// The limit that was met, if one was.
    fn limit(&self) -> Option<Limit> {
        match self {
            BodyError::TooLarge(_) => Some(Limit::Body),
            BodyError::TooSlow => Some(Limit::BodyTime),
            BodyError::Busy => Some(Limit::Bodies),
            BodyError::Cut => None,
        }
    }
}

/// What one body took of the pools.
pub(super) struct Taken {
    budget: Arc<Budget>,
    client: IpAddr,
    length: usize,
    share: Share,
    is_large: bool,
}

impl Taken {
    pub fn nothing(budget: &Arc<Budget>, client: IpAddr) -> Taken {
        let share = budget.small.share(client);
        Taken { budget: Arc::clone(budget), client, length: 0, share, is_large: false }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.length += bytes;
        if self.length <= FREE {
            return Ok(());
        }
        let missing = self.length - self.share.bytes();
        let stays = self.is_large || self.length <= SMALL;
        if stays && self.share.grow(missing) {
            return Ok(());
        }
        if self.is_large {
            return Err(BodyError::Busy);
        }
        // It grew out of the small ones, or these are too many: all of it counts as large then.
        let mut large = self.budget.large.share(self.client);
        if !large.grow(self.length) {
            return Err(BodyError::Busy);
        }
        (self.share, self.is_large) = (large, true);
        Ok(())
    }

    fn give_back(&mut self) {
        self.share = self.budget.small.share(self.client);
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
        let one = self.taken.budget.one;
        let read = match announced.filter(|length| *length > one as u64) {
            Some(length) => Err(BodyError::TooLarge(length)),
            None => self.read(keep.min(one), announced).await,
        };
        if let Some(limit) = read.as_ref().err().and_then(BodyError::limit) {
            self.taken.budget.traffic.refuse(limit);
        }
        read
    }

    async fn read(&mut self, keep: usize, announced: Option<u64>) -> Result<Bytes, BodyError> {
        let budget = Arc::clone(&self.taken.budget);
        let began = Instant::now();
        let announced = announced.and_then(|length| usize::try_from(length).ok());
        let mut kept = Vec::new();
        let mut length = 0usize;
        loop {
            let next = timeout_at(budget.deadline(began, length), self.body.frame()).await;
            let Some(frame) = next.map_err(|_| BodyError::TooSlow)? else { break };
            let Ok(data) = frame.map_err(|_| BodyError::Cut)?.into_data() else { continue };
            length += data.len();
            if length > budget.one {
                return Err(BodyError::TooLarge(length as u64));
            }
            if length > keep {
                kept = Vec::new();
                self.taken.give_back();
                continue;
            }
            self.taken.grow(data.len())?;
            if length > kept.capacity() {
                kept.reserve_exact(room(length, announced) - kept.len());
            }
            kept.extend_from_slice(&data);
        }
        match length > keep {
            true => Err(BodyError::TooLarge(length as u64)),
            false => Ok(kept.into_boxed_slice().into()),
        }
    }
}

/// The room for a body of which so much is there: never more than is announced, nor, beyond what is
/// [`FREE`], than twice what came.
fn room(length: usize, announced: Option<usize>) -> usize {
    let twice = length.saturating_mul(2);
    match announced {
        Some(all) => all.min(twice.max(FREE)).max(length),
        None if length <= FREE => twice.min(FREE),
        None => twice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_gets_room_for_what_is_announced_and_twice_what_came() {
        for (length, announced, expected) in [
            (1, Some(1), 1),
            (1, Some(FREE), FREE),
            (1, Some(FREE + 1), FREE),
            (FREE, Some(9 * FREE), 2 * FREE),
            (8 * FREE, Some(9 * FREE), 9 * FREE),
            (FREE, Some(usize::MAX), 2 * FREE),
            (100, None, 200),
            (FREE - 1, None, FREE),
            (FREE + 1, None, 2 * FREE + 2),
        ] {
            assert_eq!(room(length, announced), expected, "{length} of {announced:?}");
        }
    }
}
