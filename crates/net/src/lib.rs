//! Sockets: TCP and UDP listeners, UDP batches, HTTP plumbing.
pub mod udp;
