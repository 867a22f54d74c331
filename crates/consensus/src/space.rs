//! The reserve of free space, below which nothing more is accepted.
//!
//! A log that meets a full disk is dead until the process restarts, and a restart needs a little
//! room itself. So proposals are refused below the reserve, of which a snapshot may use one half,
//! since it is what makes room again; the other half is left to the log. And a file is kept whose
//! only use is to be removed.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tracing::warn;

use crate::disk::Disk;
use crate::error::ProposeError;

/// Asked again after this long or this much was written.
const STALE_AFTER: Duration = Duration::from_millis(20);
const STALE_BYTES: u64 = 1 << 20;
/// The file's share of the reserve, and its most.
const FILE_SHARE: u64 = 8;
const FILE_MOST: u64 = 8 << 20;
const FILE: &str = "reserve";

/// Watches the free space of a data directory.
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    reserve: u64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    at: Option<Duration>,
    free: u64,
    written: u64,
}

impl Space {
    pub(crate) fn new(disk: Arc<dyn Disk>, reserve: u64) -> Space {
        Space { disk, reserve, seen: Mutex::default() }
    }

    /// Refuses a write of `bytes` when less than the reserve is free. `now` is any monotonic clock.
    pub(crate) fn admit(&self, bytes: usize, now: Duration) -> Result<(), ProposeError> {
        if self.reserve == 0 {
            return Ok(());
        }
        let mut seen = self.seen.lock().expect("nothing panics while looking");
        let stale = seen.at.is_none_or(|at| now.saturating_sub(at) >= STALE_AFTER);
        if stale || seen.written >= STALE_BYTES.min(self.reserve / 8) {
            match self.disk.free() {
                Ok(free) => *seen = Seen { at: Some(now), free, written: 0 },
                Err(error) => {
                    warn!(%error, "cannot tell how much of the disk is free");
                    return Ok(());
                }
            }
        }
        if seen.free < self.reserve {
            return Err(ProposeError::DiskFull { free: seen.free, needed: self.reserve });
        }
        seen.written += bytes as u64;
        Ok(())
    }

    /// Refuses to write `bytes` more of a snapshot unless half the reserve would stay free.
    pub(crate) fn admit_snapshot(&self, bytes: u64) -> io::Result<()> {
        if self.reserve == 0 {
            return Ok(());
        }
        let free = match self.disk.free() {
            Ok(free) => free,
            Err(error) => {
                warn!(%error, "cannot tell how much of the disk is free");
                return Ok(());
            }
        };
        let needed = bytes.saturating_add(self.reserve / 2);
        if free >= needed {
            return Ok(());
        }
        let problem = format!("{free} bytes of the disk are free, and it needs {needed}");
        Err(io::Error::new(io::ErrorKind::StorageFull, problem))
    }

    /// Before the log is opened: makes room for starting, or lays the file down again.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let size = (self.reserve / FILE_SHARE).min(FILE_MOST);
        if size == 0 {
            return self.give_up();
        }
        let free = self.disk.free()?;
        let held = self.disk.size(FILE).unwrap_or(0);
        if free < size {
            return self.give_up();
        }
        if held >= size || free < self.reserve + 2 * size {
            return Ok(());
        }
        let mut file = self.disk.create(FILE)?;
        let zeros = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let part = left.min(zeros.len() as u64);
            file.write_all(&zeros[..part as usize])?;
            left -= part;
        }
        file.sync()?;
        self.disk.sync_directory("")
    }

    /// Gives the file's space back.
    pub(crate) fn give_up(&self) -> io::Result<()> {
        match self.disk.remove(FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
