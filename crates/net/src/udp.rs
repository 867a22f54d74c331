//! UDP in batches: sockets that share a port, and one system call for up to 64 packets each way.
//!
//! Shaped by one measurement: the kernel's share is about 3.7 µs a packet on loopback, so what
//! matters is to call it seldom and to add nothing. A batch owns all its memory for ever.
//!
//! | call | does |
//! |---|---|
//! | [`bind()`] | TCP first and alone, then N UDP sockets on the same port |
//! | [`Socket::receive`] | blocks for one packet, takes all that wait |
//! | [`Batch::exchange`], [`Batch::reply`] | a packet and the room for its answer |
//! | [`Socket::send`] | sends all answers of the batch |
//!
//! Decisions 0003 and 0007.

mod batch;
mod bind;
mod pin;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Peer, Sent, Socket};
pub use bind::{BindError, Bound, bind};
pub use pin::pin_to_cpu;
