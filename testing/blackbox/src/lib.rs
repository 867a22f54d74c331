//! The real binary under real clients, kills and full disks.
//!
//! Everything here runs `rutter` as a user does: as a process, over sockets. Nothing of the product's own crates is
//! used, so that a mistake shared by a writer and a reader inside cannot hide. Tests live in `tests/it`.

pub mod addresses;
pub mod binary;
pub mod clock;
pub mod commands;
pub mod disk;
pub mod files;
pub mod golang;
pub mod history;
pub mod http;
pub mod load;
pub mod manual;
pub mod memory;
pub mod netns;
pub mod packet;
pub mod rng;
pub mod server;
pub mod shim;
pub mod stories;
pub mod tmpfs;
pub mod tools;
pub mod wait;
pub mod web;
