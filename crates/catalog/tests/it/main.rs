//! The catalog from outside: laws that hold for every log, checked on logs made from seeds.

mod alloc;
mod answers;
mod bytes;
mod dedup;
mod golden;
mod laws;
mod logs;
mod memory;
mod ownership;
mod registrations;
mod samples;
