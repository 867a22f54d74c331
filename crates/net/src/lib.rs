//! Sockets: TCP and UDP listeners, UDP batches, HTTP plumbing.
pub mod connections;
pub mod host;
pub mod http;
mod listen;
pub mod udp;

pub use listen::listen;
