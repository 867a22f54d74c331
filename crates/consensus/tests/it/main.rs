//! A real server of the log, on real files: what its callers may rely on.

mod damage;
mod full_disk;
mod limits;
mod machine;
mod restart;
mod volume;
