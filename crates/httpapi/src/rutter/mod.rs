//! Endpoints of our own, beside Consul's.

pub mod why;
