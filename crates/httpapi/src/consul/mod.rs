//! Consul's dialect of HTTP, a file an endpoint family.

pub mod agent;
pub mod blocking;
pub mod catalog;
mod checks;
pub mod error;
mod filter;
pub mod hashed;
pub mod health;
pub mod host;
mod json;
pub mod kv;
pub mod local_health;
pub mod maintenance;
pub mod members;
pub mod metrics;
pub mod operations;
pub mod params;
mod proxy;
pub mod register;
mod services;
pub mod session;
mod shapes;
mod sidecar;
pub mod status;
pub mod txn;
