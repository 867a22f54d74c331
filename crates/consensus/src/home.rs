//! The data directory: who may use it, and what it is.
//!
//! | name | is |
//! |---|---|
//! | `lock` | held by the one process that uses the directory |
//! | `identity` | text: the versions, the cluster's id, this server's id in the engine |
//! | `log/` | raft-log's files |
//! | `synced` | up to where the log is known to be synced (`log/mark`) |
//! | `snapshots/` | the two newest snapshots |
//! | `reserve` | space to be given up when the disk is full (`space`) |
//!
//! The engine's id is random and belongs to the directory: a wiped server is a new one, since Raft
//! forbids that it comes back knowing less under an old id. Its name is somebody else's business.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::disk::{self, Disk};
use crate::error::StartError;

/// The version of the layout above.
const LAYOUT: u32 = 1;
const FILE: &str = "identity";

/// What a data directory says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The newest version of the machine's formats that was used here.
    pub format: u32,
    pub cluster: u128,
    pub node: u64,
}

impl Identity {
    /// A new one, from the system's randomness.
    pub(crate) fn random(format: u32) -> Result<Identity, StartError> {
        let mut seed = [0; 24];
        getrandom::fill(&mut seed)
            .map_err(|error| StartError::Engine(format!("no randomness for an id: {error}")))?;
        let (cluster, node) = seed.split_at(16);
        Ok(Identity {
            format,
            cluster: u128::from_be_bytes(cluster.try_into().expect("split at sixteen")),
            node: u64::from_be_bytes(node.try_into().expect("eight are left")),
        })
    }

    fn to_text(&self) -> String {
        let body = format!(
            "rutter data directory\nlayout {LAYOUT}\nformat {}\ncluster {:032x}\nnode {:016x}\n",
            self.format, self.cluster, self.node
        );
        let sum = crc32fast::hash(body.as_bytes());
        format!("{body}sum {sum:08x}\n")
    }

    /// The layout and the identity in a text, or nothing when it is damaged.
    fn parse(text: &str) -> Option<(u32, Identity)> {
        let (body, sum) = text.strip_suffix('\n')?.rsplit_once("sum ")?;
        if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name);
        value("rutter data directory")?;
        let layout = value("layout ")?.parse().ok()?;
        let format = value("format ")?.parse().ok()?;
        let cluster = u128::from_str_radix(value("cluster ")?, 16).ok()?;
        let node = u64::from_str_radix(value("node ")?, 16).ok()?;
        Some((layout, Identity { format, cluster, node }))
    }
}

/// The lock on a data directory; dropping it lets another process in.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Gives it up by name: a child process that was begun at this moment holds the open file too,
    /// until it runs its own program, and closing our end would leave the lock with it.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            warn!(%error, "cannot unlock the data directory; it is free when this process ends");
        }
    }
}

/// Makes the directory if need be, and takes it for this process.
pub(crate) fn claim(directory: &Path) -> Result<Lock, StartError> {
    make_directories(directory).map_err(|source| StartError::Io {
        doing: "make the data directory",
        path: directory.to_owned(),
        source,
    })?;
    let path = directory.join("lock");
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let fail = |source| StartError::Io { doing: "lock", path: path.clone(), source };
    let file = open.map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

/// Reads who this directory belongs to, or writes `fresh` into an empty one.
pub(crate) fn identify(disk: &dyn Disk, fresh: Identity) -> Result<Identity, StartError> {
    let file = disk.locate(FILE);
    let io = |doing| {
        let path = file.clone();
        move |source| StartError::Io { doing, path, source }
    };
    let Some(bytes) = disk::read_small(disk, FILE).map_err(io("read"))? else {
        refuse_orphans(disk)?;
        disk::replace(disk, FILE, fresh.to_text().as_bytes()).map_err(io("write"))?;
        return Ok(fresh);
    };
    let text = String::from_utf8_lossy(&bytes);
    let Some((layout, found)) = Identity::parse(&text) else {
        return Err(StartError::Damaged { file, problem: "its checksum does not match".into() });
    };
    let newer = |what, found, known| StartError::NewerFormat {
        directory: disk.locate(""),
        what,
        found,
        known,
    };
    if layout > LAYOUT {
        return Err(newer("layout", layout, LAYOUT));
    }
    if found.format > fresh.format {
        return Err(newer("format", found.format, fresh.format));
    }
    if found.format == fresh.format {
        return Ok(found);
    }
    let raised = Identity { format: fresh.format, ..found };
    disk::replace(disk, FILE, raised.to_text().as_bytes()).map_err(io("write"))?;
    Ok(raised)
}

/// A log or a snapshot without an identity is somebody's data whose identity was lost.
fn refuse_orphans(disk: &dyn Disk) -> Result<(), StartError> {
    for directory in ["log", "snapshots"] {
        let names = disk.list(directory).unwrap_or_default();
        if let Some(name) = names.iter().find(|n| n.ends_with(".wal") || n.ends_with(".snap")) {
            return Err(StartError::Damaged {
                file: disk.locate(FILE),
                problem: format!("it is missing, and {directory}/{name} is there"),
            });
        }
    }
    Ok(())
}

/// Makes a directory and those above it, so that a power failure after this leaves them there.
///
/// The directory above is synced even where nothing was made: a process that was killed between the
/// two may have made the name and not kept it.
///
/// # Errors
/// What the system said; directories made before that stay.
pub fn make_directories(directory: &Path) -> io::Result<()> {
    let parent = match directory.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => return Ok(()),
    };
    if !directory.is_dir() {
        make_directories(&parent)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    match File::open(&parent) {
        Ok(parent) => parent.sync_all(),
        // A directory above that may not be read was not made by us.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn fresh(format: u32) -> Identity {
        Identity { format, cluster: 0xabc, node: 42 }
    }

    #[test]
    fn an_identity_is_kept_and_its_format_only_rises() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(directory.path().to_owned());
        let first = identify(&disk, fresh(1)).unwrap();
        let other = Identity { format: 2, cluster: 7, node: 7 };
        assert_eq!(identify(&disk, other).unwrap(), Identity { format: 2, ..first });
        let refusal = identify(&disk, fresh(1)).unwrap_err().to_string();
        assert!(refusal.contains("format version 2"), "{refusal}");
        assert!(refusal.contains("reads up to 1"), "{refusal}");
    }

    #[test]
    fn each_flipped_bit_of_an_identity_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::new(directory.path().to_owned());
        let good = fresh(1).to_text().into_bytes();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(disk.locate(FILE), &bad).unwrap();
            match identify(&disk, fresh(1)) {
                Err(StartError::Damaged { .. }) => {}
                // The case of a hexadecimal digit says nothing.
                Ok(found) => assert_eq!(found, fresh(1), "bit {bit}"),
                other => panic!("bit {bit}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_log_without_an_identity_is_not_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("log")).unwrap();
        fs::write(directory.path().join("log/r-1.wal"), "x").unwrap();
        let disk = RealDisk::new(directory.path().to_owned());
        let refusal = identify(&disk, fresh(1)).unwrap_err().to_string();
        assert!(refusal.contains("it is missing, and log/r-1.wal is there"), "{refusal}");
    }

    #[test]
    fn a_directory_is_used_by_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        let lock = claim(&path).unwrap();
        let refusal = claim(&path).unwrap_err().to_string();
        assert!(refusal.contains("in use by another process"), "{refusal}");
        drop(lock);
        claim(&path).unwrap();
    }

    #[test]
    fn a_directory_is_free_though_a_child_process_still_holds_the_open_file() {
        let directory = tempfile::tempdir().unwrap();
        let lock = claim(directory.path()).unwrap();
        // What a child has between its fork and its exec.
        let _of_the_child = lock.0.try_clone().unwrap();
        drop(lock);
        claim(directory.path()).unwrap();
    }
}
