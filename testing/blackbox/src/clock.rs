//! A wall clock that a test moves under a running process (`testing/shim/clock.c`).

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::Result;
use tempfile::TempDir;

use crate::shim;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// The wall clock of the processes started with its environment.
#[derive(Debug)]
pub struct WallClock {
    dir: TempDir,
    file: File,
}

impl WallClock {
    /// One that tells the machine's own time.
    pub fn new() -> Result<WallClock> {
        let dir = TempDir::with_prefix("rutter-clock-")?;
        let path = dir.path().join("moved");
        fs::write(&path, 0i64.to_ne_bytes())?;
        let file = File::options().write(true).open(path)?;
        Ok(WallClock { dir, file })
    }

    /// The environment under which a process reads this clock.
    pub fn env(&self) -> Result<[(&'static str, OsString); 2]> {
        let path = self.dir.path().join("moved");
        Ok([("LD_PRELOAD", shim::clock()?.into()), ("SHIM_CLOCK", path.into())])
    }

    /// Sets it to so many seconds after the machine's own time, at once.
    pub fn set(&self, seconds: i64) -> Result<()> {
        Ok(self.file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }
}
