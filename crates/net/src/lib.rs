//! Sockets: TCP and UDP listeners, UDP batches, HTTP plumbing.
pub mod connections;
pub mod host;
pub mod http;
mod listen;
mod network;
pub mod udp;

pub use listen::listen;
pub use network::{Network, NotANetwork};
