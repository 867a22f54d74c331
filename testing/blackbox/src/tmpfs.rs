//! A small disk of its own: a tmpfs in a private mount namespace, which nobody else sees and which goes with its keeper.
//!
//! The keeper is a shell that mounts and then waits for its stdin to end; programs join its namespace by `nsenter`, and
//! the test reaches the files through `/proc/PID/root`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A mounted tmpfs; dropped, it is gone.
#[derive(Debug)]
pub struct Tmpfs {
    keeper: Child,
    dir: TempDir,
    as_root: bool,
}

impl Tmpfs {
    /// Mounts one of that size. Fails where namespaces are not allowed.
    pub fn mount(bytes: u64) -> Result<Tmpfs> {
        let dir = TempDir::with_prefix("rutter-small-")?;
        let as_root = nix::unistd::geteuid().is_root();
        let script = "mount -t tmpfs -o size=$2 tmpfs \"$1\" && echo mounted && read line";
        let mut command = Command::new("unshare");
        command
            .arg(if as_root { "-m" } else { "-mr" })
            .args(["sh", "-c", script, "sh"])
            .arg(dir.path());
        command.arg(bytes.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().context("unshare")?;
        let mut line = String::new();
        let said = keeper.stdout.take().context("stdout is piped")?;
        BufReader::new(said).read_line(&mut line)?;
        let small = Tmpfs { keeper, dir, as_root };
        ensure!(line == "mounted\n", "the tmpfs was not mounted");
        Ok(small)
    }

    /// The mount point, as programs inside see it.
    pub fn inside(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The mount point, as the test sees it.
    pub fn outside(&self) -> PathBuf {
        let path =
            self.dir.path().strip_prefix("/").expect("temporary directories have absolute paths");
        PathBuf::from(format!("/proc/{}/root", self.keeper.id())).join(path)
    }

    /// Words to set before a program so that it runs inside.
    pub fn enter(&self) -> Vec<String> {
        let pid = self.keeper.id().to_string();
        let how: &[&str] =
            if self.as_root { &["-m"] } else { &["-U", "-m", "--preserve-credentials"] };
        let mut words = vec!["nsenter".to_owned(), "-t".to_owned(), pid];
        words.extend(how.iter().map(|&w| w.to_owned()));
        words.push("--".to_owned());
        words
    }

    /// Free bytes.
    pub fn free(&self) -> Result<u64> {
        let stat = nix::sys::statvfs::statvfs(&self.outside())?;
        Ok(stat.blocks_available() as u64 * stat.fragment_size() as u64)
    }

    /// Fills it with one file called `ballast` until at most `left` bytes are free.
    pub fn fill(&self, left: u64) -> Result<()> {
        let path = self.outside().join("ballast");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        while self.free()? > left {
            let more = (self.free()? - left).min(1 << 20) as usize;
            file.write_all(&vec![0; more]).context("filling the small disk")?;
        }
        Ok(())
    }

    /// Takes the filling away.
    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.outside().join("ballast"))?)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
