//! The DNS face from outside: dialogues, recorded stories, sockets, and what it may cost.

mod allocations;
mod ask;
mod changes;
mod dialogue;
mod hostile;
mod odd_names;
mod sockets;
mod stories;
mod tcp;
mod told;
mod why;
mod world;
