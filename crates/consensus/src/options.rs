//! What a server of the log is started with.
//!
//! The defaults are the tested ones; every limit says what happens at it.

use std::path::PathBuf;
use std::time::Duration;

/// The largest entry any configuration may allow, and the largest that is believed when read back.
///
/// A damaged length beyond it is seen as damage and not as a torn tail.
pub(crate) const LARGEST_ENTRY_BYTES: usize = 16 << 20;

/// How to start: where, as whom, within which limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory, made when missing; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// The version of what the machine writes into the log and its snapshots.
    ///
    /// The directory names the newest version it has seen; an older program is refused there.
    pub format: u32,
    /// Where other servers and clients find this one, `address:port`. May differ at each start.
    pub address: String,
    /// The limits.
    pub limits: Limits,
}

/// Every bound of this crate.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest command, in bytes; default 4 MiB, at most 16 MiB. Beyond: refused, `TooLarge`.
    pub max_entry_bytes: usize,
    /// How many proposals may be under way; default 8,192. Beyond: refused, `QueueFull`;
    /// the last eighth is for what is urgent.
    pub queue_entries: usize,
    /// How many bytes of proposals may be under way; default 32 MiB, at least one entry of the
    /// largest size. Beyond: refused, `QueueFull`.
    pub queue_bytes: usize,
    /// How long a proposal or read waits for a leader; default 5 s. Beyond: `NoLeader`.
    pub leader_wait: Duration,
    /// The free space below which proposals are refused; default 64 MiB, 0 turns it off.
    ///
    /// A snapshot, which is what makes room, is written only while half of it stays free. If
    /// snapshots are larger than the other half, a disk that is filled from outside may leave no
    /// room for one; the operator must then make some. Lower: more of the disk is used.
    pub disk_reserve_bytes: u64,
    /// A snapshot is taken after this much log, or the last snapshot's size if larger; 16 MiB.
    ///
    /// Lower: a faster restart and a smaller disk, more writing. An entry counts its own bytes and
    /// 256 for what it costs in memory and framing.
    pub snapshot_log_bytes: u64,
    /// The size at which a file of the log is closed and the next begun; default 2 MiB.
    ///
    /// The newest file's entries stay in memory, so larger costs memory; smaller, more files.
    pub chunk_bytes: usize,
    /// Bytes of older entries kept in memory for reading them back; default 1 MiB.
    pub cache_bytes: usize,
    /// How many commands the machine is given at once; default 1,024.
    pub apply_entries: usize,
    /// How many bytes of commands the machine is given at once; default 4 MiB.
    pub apply_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_entry_bytes: 4 << 20,
            queue_entries: 8192,
            queue_bytes: 32 << 20,
            leader_wait: Duration::from_secs(5),
            disk_reserve_bytes: 64 << 20,
            snapshot_log_bytes: 16 << 20,
            chunk_bytes: 2 << 20,
            cache_bytes: 1 << 20,
            apply_entries: 1024,
            apply_bytes: 4 << 20,
        }
    }
}
