//! An agent over a catalog in memory: registering, checking, syncing, restarting.

mod world;

mod aliases;
mod catalog_follows;
mod restarts;
mod runs_checks;
