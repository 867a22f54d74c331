//! Sockets: TCP and UDP listeners, UDP batches, HTTP plumbing.
pub mod host;
pub mod udp;
