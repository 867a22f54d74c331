//! What reads bytes that anybody may send, given any bytes at all.
//!
//! A target is a plain function of bytes that panics where a law is broken. The fuzzer (`main.rs`, with
//! instrumentation and libFuzzer, by `cargo xtask fuzz`) looks for such bytes; the committed inputs in
//! `fuzz/corpus/TARGET` are given to the same functions by `cargo test -p fuzz`, without any of that.
//!
//! | target | bytes | laws |
//! |---|---|---|
//! | `packet` | a DNS message | answers are sound, fit, and both paths say the same |
//! | `hcl`, `json` | a configuration file | complaints have a place; a tree survives being written |
//! | `filter` | an expression | it survives being written; `not` turns every answer |
//! | `registration` | the body of a write | what is taken is applied, logged, kept and answered by DNS |
//! | `entry` | what the log carries | bytes that are read are written again and read the same |
//! | `snapshot` | frames of a snapshot | the same, of a whole state |
//!
//! Decision 0009.

mod config;
mod files;
mod filters;
mod log;
mod memory;
mod packets;
mod registrations;
mod world;

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. To add one: a function, a line here, and inputs in `fuzz/corpus/NAME`.
pub const TARGETS: &[Target] = &[
    ("packet", packets::packet),
    ("hcl", files::hcl),
    ("json", files::json),
    ("filter", filters::filter),
    ("registration", registrations::registration),
    ("entry", log::entry),
    ("snapshot", log::snapshot),
];

/// Gives a target these bytes: a panic is a find.
///
/// Also one: that the target at any time holds more memory than a hostile input of this length may take.
pub fn run(target: fn(&[u8]), bytes: &[u8]) {
    memory::bounded(bytes.len(), || target(bytes));
}

/// The target of this name.
pub fn find(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
