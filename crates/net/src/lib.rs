//! Sockets: TCP and UDP listeners, UDP batches, dialling, TLS, HTTP plumbing.
pub mod connections;
pub mod dial;
pub mod host;
pub mod http;
mod listen;
mod memory;
mod network;
pub mod tls;
pub mod udp;

pub use listen::listen;
pub use memory::Allocator;
pub use network::{Network, NotANetwork};
