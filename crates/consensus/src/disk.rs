//! Every operation on a durable file, except the log's own.
//!
//! A durable file only grows by appending, or is written anew under another name, synced, renamed,
//! and its directory synced. Through `std::fs` only: whatever replays a power failure sees each
//! call. A simulated disk stands behind the same trait.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The files of a data directory, by their path inside it.
pub(crate) trait Disk: Send + Sync + 'static {
    /// The names in a directory, sorted.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;
    /// How long a file is.
    fn size(&self, path: &str) -> io::Result<u64>;
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send>>;
    /// A new empty file, in place of one of this name.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    /// A file to append to, made when missing.
    fn append(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable; `""` is the data directory itself.
    fn sync_directory(&self, directory: &str) -> io::Result<()>;
    /// Bytes that this process may still use on the file system.
    fn free(&self) -> io::Result<u64>;
    /// Where a path is, for a message.
    fn locate(&self, path: &str) -> PathBuf;
}

/// An open file that grows.
pub(crate) trait DiskFile: Write + Send {
    /// Returns once everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Puts `bytes` durably at `path`, whole or not at all.
pub(crate) fn replace(disk: &dyn Disk, path: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{path}.tmp");
    let mut file = disk.create(&temporary)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_directory(parent(path))
}

/// Reads a small file; `None` when there is none.
pub(crate) fn read_small(disk: &dyn Disk, path: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The operating system's files.
#[derive(Debug, Clone)]
pub(crate) struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    pub(crate) fn new(root: PathBuf) -> RealDisk {
        RealDisk { root }
    }
}

impl Disk for RealDisk {
    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.locate(directory))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn size(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.locate(path))?.len())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.locate(path))?))
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(self.locate(path))?))
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).create(true).open(self.locate(path))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.locate(from), self.locate(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.locate(path))
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        File::open(self.locate(directory))?.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let figures = nix::sys::statvfs::statvfs(&self.root)?;
        Ok(figures.blocks_available() * figures.fragment_size())
    }

    fn locate(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
