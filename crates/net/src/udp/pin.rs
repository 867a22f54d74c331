//! Pinning a thread to a CPU.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::io;

/// Pins the calling thread to the `nth` CPU that it may run on, counted round; gives the CPU.
///
/// With one CPU there is nothing to choose, and an error leaves the thread where it was: pinning
/// makes a thread steadier, nothing depends on it.
pub fn pin_to_cpu(nth: usize) -> io::Result<usize> {
    let me = Pid::from_raw(0);
    let allowed = sched_getaffinity(me)?;
    let cpus: Vec<usize> =
        (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect();
    let cpu = *cpus.get(nth % cpus.len().max(1)).ok_or(io::ErrorKind::NotFound)?;
    let mut only = CpuSet::new();
    only.set(cpu)?;
    sched_setaffinity(me, &only)?;
    Ok(cpu)
}
