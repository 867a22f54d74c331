//! This node's registrations and checks.
//!
//! An agent keeps what is registered on its node in a store of its own, runs the checks, and makes
//! the catalog say the same. The catalog never runs anything; the agent never touches rows that it
//! does not own (law 1).
//!
//! `local` is what is registered, a fold over operations; `checks` decides when checks run and what
//! their results amount to; `alias` what a check says that follows others; `sync` what the catalog
//! must be told. All of them are pure; `owner` is the one task that drives them, `store` and `probe`
//! are its hands.
//!
//! Decision 0000.

mod alias;
mod checks;
mod counters;
mod discoverable;
pub mod guard;
mod handle;
mod local;
mod owner;
mod probe;
mod store;
mod sync;
mod time;

pub use checks::{MAX_PROBES, MIN_CRITICAL_LIMIT, MIN_INTERVAL, REAP_PERIOD};
pub use counters::Counters;
pub use discoverable::{undiscoverable, undiscoverable_names};
pub use handle::{Agent, Config, Definitions, Files, Scripts, start};
pub use probe::{is_script, unsupported};
pub use store::StartError;
