//! Speaks HTTP to a started face over a catalog and an agent in memory.

mod agent_doors;
mod blocking;
mod cached;
mod doors;
mod filters;
mod held;
mod kept;
mod mesh;
mod others;
mod requests;
mod rights;
mod round_trip;
mod support;
mod turns;
mod txn;
mod why;
