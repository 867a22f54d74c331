//! A disk that forgets: what was not synced may be gone, torn or zero after a power failure.
//!
//! A file's content is safe up to its last sync; a name (made, renamed, removed) once its directory
//! was synced. Each operation that changes something is counted, and the power can fail inside any
//! of them: from then on everything fails, and the next life sees what had reached the platter.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::Dice;
use crate::disk::{Disk, DiskFile};

/// What ends a life by the disk.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    PowerFails,
    Full,
}

#[derive(Clone)]
pub(super) struct SimDisk {
    held: Arc<Mutex<Held>>,
    /// Told when the trouble begins.
    pub(super) trouble: Arc<Notify>,
}

struct Held {
    dice: Dice,
    next: u64,
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    /// The names as their directories were last synced, and what happened to them since.
    safe: BTreeMap<String, u64>,
    since: Vec<(String, Option<u64>)>,
    operations: u64,
    at: Option<(u64, Trouble)>,
    /// The power fails in this operation, after so many more of them.
    aimed: Option<(&'static str, u64)>,
    begun: Option<Trouble>,
    /// In which operation the trouble began.
    cut_in: String,
    platter: BTreeMap<String, Vec<u8>>,
    free: u64,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// A path as the tally names it: its directory, or the file's own name in the root.
fn kind(path: &str) -> &str {
    match directory(path) {
        "" => path.trim_end_matches(".tmp"),
        directory => directory,
    }
}

impl Held {
    /// Counts an operation; true when it must not happen, since the trouble begins or has begun.
    fn count(&mut self, what: &str, path: &str) -> Result<(), Option<Trouble>> {
        if self.begun.is_some() {
            return Err(None);
        }
        self.operations += 1;
        if let Some((operation, left)) = &mut self.aimed
            && *operation == format!("{what} {}", kind(path))
        {
            if *left == 0 {
                self.at = Some((0, Trouble::PowerFails));
            }
            *left = left.saturating_sub(1);
        }
        match self.at {
            Some((at, trouble)) if self.operations >= at => {
                self.cut_in = format!("{what} {}", kind(path));
                self.begun = Some(trouble);
                Err(Some(trouble))
            }
            _ => Ok(()),
        }
    }

    fn name(&mut self, path: &str, file: Option<u64>) {
        match file {
            Some(file) => self.names.insert(path.to_owned(), file),
            None => self.names.remove(path),
        };
        self.since.push((path.to_owned(), file));
    }

    fn sync_names(&mut self, of: &str) {
        for (path, file) in self.since.extract_if(.., |(path, _)| directory(path) == of) {
            match file {
                Some(file) => self.safe.insert(path, file),
                None => self.safe.remove(&path),
            };
        }
    }

    /// What the next life will find.
    fn fall(&mut self) {
        let kept = self.dice.below(self.since.len() as u64 + 1) as usize;
        let mut names = self.safe.clone();
        for (path, file) in &self.since[..kept] {
            match file {
                Some(file) => names.insert(path.clone(), *file),
                None => names.remove(path),
            };
        }
        self.platter.clear();
        for (path, file) in names {
            let content = &self.files[&file];
            let unsynced = content.bytes.len() - content.synced;
            let torn = match self.dice.below(3) {
                0 => 0,
                1 => unsynced,
                _ => self.dice.below(unsynced as u64 + 1) as usize,
            };
            let mut bytes = content.bytes[..content.synced + torn].to_vec();
            if self.dice.one_in(6) {
                // The length reached the platter, and some or all of the blocks did not.
                let lost = content.synced + self.dice.below(torn as u64 + 1) as usize;
                bytes[lost..].fill(0);
            }
            self.platter.insert(path, bytes);
        }
    }
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl SimDisk {
    pub(super) fn new(dice: Dice) -> SimDisk {
        SimDisk::holding(dice, BTreeMap::new())
    }

    fn holding(dice: Dice, platter: BTreeMap<String, Vec<u8>>) -> SimDisk {
        let mut files = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (number, (path, bytes)) in platter.into_iter().enumerate() {
            let synced = bytes.len();
            files.insert(number as u64, Content { bytes, synced });
            names.insert(path, number as u64);
        }
        let held = Held {
            dice,
            next: names.len() as u64,
            files,
            safe: names.clone(),
            names,
            since: Vec::new(),
            operations: 0,
            at: None,
            aimed: None,
            begun: None,
            cut_in: String::new(),
            platter: BTreeMap::new(),
            free: u64::MAX,
        };
        SimDisk { held: Arc::new(Mutex::new(held)), trouble: Arc::default() }
    }

    /// The power fails in the operation after these many.
    pub(super) fn fail_power_after(&self, operations: u64) {
        let mut held = self.held();
        held.at = Some((held.operations + operations + 1, Trouble::PowerFails));
    }

    /// The power fails in this operation, when it comes the `nth` time.
    pub(super) fn fail_power_in(&self, operation: &'static str, nth: u64) {
        self.held().aimed = Some((operation, nth));
    }

    /// From the operation after these many on, nothing can be written.
    pub(super) fn fill_after(&self, operations: u64) {
        let mut held = self.held();
        held.at = Some((held.operations + operations + 1, Trouble::Full));
    }

    /// How much is said to be free.
    pub(super) fn set_free(&self, free: u64) {
        self.held().free = free;
    }

    /// In which operation the trouble began, if it did.
    pub(super) fn cut_in(&self) -> Option<String> {
        let held = self.held();
        held.begun.map(|_| held.cut_in.clone())
    }

    /// The disk of the next life.
    pub(super) fn after_power_failure(&self) -> SimDisk {
        let mut held = self.held();
        if held.begun != Some(Trouble::PowerFails) {
            held.fall();
        }
        SimDisk::holding(held.dice.split(), std::mem::take(&mut held.platter))
    }

    /// Cuts a file, as a repair does.
    pub(super) fn truncate(&self, path: &str, length: usize) -> io::Result<()> {
        self.change("truncate", path, |held, _| {
            let file = held.names[path];
            let content = held.files.get_mut(&file).expect("a name has a file");
            content.bytes.truncate(length);
            content.synced = content.synced.min(length);
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// One operation that changes something; `half` says that it is the one that is cut.
    fn change<T: Default>(
        &self,
        what: &str,
        path: &str,
        apply: impl FnOnce(&mut Held, bool) -> T,
    ) -> io::Result<T> {
        let mut held = self.held();
        match held.count(what, path) {
            Ok(()) => Ok(apply(&mut held, false)),
            Err(Some(Trouble::PowerFails)) => {
                // It may still have happened; nobody was told.
                if held.dice.one_in(2) {
                    apply(&mut held, true);
                }
                held.fall();
                self.trouble.notify_one();
                Err(io::Error::other("the power failed"))
            }
            Err(begins) if held.begun == Some(Trouble::Full) => {
                if begins.is_some() {
                    self.trouble.notify_one();
                }
                match what {
                    // What frees space or makes durable still works.
                    "remove" | "sync" | "sync directory" | "rename" => Ok(apply(&mut held, false)),
                    _ => Err(full()),
                }
            }
            Err(_) => Err(io::Error::other("the power is off")),
        }
    }

    fn make(&self, what: &str, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.change(what, path, |held, _| {
            let file = held.next;
            held.next += 1;
            held.files.insert(file, Content::default());
            held.name(path, Some(file));
            file
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), file, path: path.to_owned() }))
    }
}

impl Disk for SimDisk {
    fn list(&self, of: &str) -> io::Result<Vec<String>> {
        let held = self.held();
        let inside = held.names.keys().filter(|path| directory(path) == of);
        Ok(inside.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect())
    }

    fn size(&self, path: &str) -> io::Result<u64> {
        let held = self.held();
        let file = held.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(held.files[file].bytes.len() as u64)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send>> {
        let held = self.held();
        let file = held.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(held.files[file].bytes.clone())))
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.make("create", path)
    }

    fn append(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let known = self.held().names.get(path).copied();
        match known {
            Some(file) => Ok(Box::new(SimFile { disk: self.clone(), file, path: path.to_owned() })),
            None => self.make("append", path),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change("rename", to, |held, _| {
            let file = held.names[from];
            // One record, so that a failure finds both names changed or neither.
            held.names.remove(from);
            held.name(to, Some(file));
            let last = held.since.len() - 1;
            held.since.insert(last, (from.to_owned(), None));
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        if !self.held().names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change("remove", path, |held, _| held.name(path, None))
    }

    fn sync_directory(&self, of: &str) -> io::Result<()> {
        let label = if of.is_empty() { "root" } else { of };
        self.change("sync directory", &format!("{label}/"), |held, _| held.sync_names(of))
    }

    fn free(&self) -> io::Result<u64> {
        Ok(self.held().free)
    }

    fn locate(&self, path: &str) -> PathBuf {
        PathBuf::from("/sim").join(path)
    }
}

struct SimFile {
    disk: SimDisk,
    file: u64,
    path: String,
}

impl Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file = self.file;
        self.disk.change("write", &self.path, |held, half| {
            let length =
                if half { held.dice.below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
            let content = held.files.get_mut(&file).expect("an open file exists");
            content.bytes.extend_from_slice(&bytes[..length]);
            length
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn sync(&mut self) -> io::Result<()> {
        let file = self.file;
        self.disk.change("sync", &self.path, |held, _| {
            let content = held.files.get_mut(&file).expect("an open file exists");
            content.synced = content.bytes.len();
        })
    }
}
