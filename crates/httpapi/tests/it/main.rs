//! Speaks HTTP to a started face over a catalog and an agent in memory.

mod blocking;
mod doors;
mod held;
mod requests;
mod rights;
mod round_trip;
mod support;
