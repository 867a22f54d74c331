//! The small languages: Go durations, booleans, numbers, JSON and filter expressions as Consul reads
//! them.
//!
//! Clients match on Consul's error texts, and those are the texts of Go's standard library. So the
//! parsers here take what Go takes and complain in its words; nothing of Go is copied.

pub mod base64;
pub mod duration;
pub mod filter;
pub mod hcl;
pub mod json;
pub mod number;
mod quote;
pub mod tree;

pub use quote::{quote, quote_char};
