//! A disk that forgets: what a directory looks like after a power cut.
//!
//! A process runs under the shim (`testing/shim/forgetful.c`), which keeps a journal of creations, renames, removals
//! and syncs. [`Disk::forget`] then takes back everything the disk was not told to keep: names whose directory was not
//! synced, and the tails of files beyond their last synced length. Of what it may either keep or lose, the seed decides.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::rng::Rng;
use crate::shim;

/// A directory under the shim's eyes.
#[derive(Debug)]
pub struct Disk {
    root: TempDir,
    /// Files known to be wholly on disk when the process was started: inode and length.
    baseline: BTreeMap<u64, u64>,
}

/// What a power cut took.
#[derive(Debug, Default, PartialEq)]
pub struct Forgotten {
    /// Files cut back to a shorter length.
    pub cut: usize,
    /// Names taken back: creations, renames, removals.
    pub undone: usize,
    /// Calls that break the laws of durable files.
    pub violations: Vec<String>,
    /// Syncs of files and directories since the start.
    pub syncs: usize,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Result<Disk> {
        let root = TempDir::with_prefix("rutter-disk-")?;
        fs::create_dir(root.path().join("disk"))?;
        fs::create_dir(root.path().join("grave"))?;
        Ok(Disk { root, baseline: BTreeMap::new() })
    }

    /// The directory that forgets; a program makes its own directories in it.
    pub fn path(&self) -> PathBuf {
        self.root.path().join("disk")
    }

    fn journal(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    /// The environment under which a program's calls are seen.
    pub fn env(&self) -> Result<Vec<(&'static str, OsString)>> {
        Ok(vec![
            ("LD_PRELOAD", shim::library()?.into()),
            ("SHIM_WATCH", self.path().into()),
            ("SHIM_JOURNAL", self.journal().into()),
            ("SHIM_GRAVE", self.root.path().join("grave").into()),
        ])
    }

    /// How many syncs of files have been journalled since the last start.
    pub fn syncs(&self) -> Result<usize> {
        Ok(self
            .lines()?
            .iter()
            .filter(|l| matches!(l, Line::Synced { .. } | Line::DirSynced(_)))
            .count())
    }

    fn lines(&self) -> Result<Vec<Line>> {
        let text = fs::read_to_string(self.journal()).unwrap_or_default();
        text.lines()
            .map(|line| Line::read(line).with_context(|| format!("journal line {line:?}")))
            .collect()
    }

    /// Takes back what was not synced. The process must have ended. What remains counts as kept from now on. Seed 0
    /// keeps nothing that could be lost.
    pub fn forget(&mut self, seed: u64) -> Result<Forgotten> {
        let mut rng = Rng::new(seed);
        let mut forgotten = Forgotten::default();
        let mut names = Vec::new();
        let mut synced = self.baseline.clone();
        for line in self.lines()? {
            match line {
                Line::Synced { ino, length } => {
                    forgotten.syncs += 1;
                    let kept = synced.entry(ino).or_default();
                    *kept = length.max(*kept);
                }
                Line::Cut { ino, length } => {
                    let kept = synced.entry(ino).or_default();
                    *kept = length.min(*kept);
                }
                Line::DirSynced(dir) => {
                    forgotten.syncs += 1;
                    names.retain(|name: &Name| name.dir() != Some(&dir));
                }
                Line::Violation(what) => forgotten.violations.push(what),
                Line::Name(name) => {
                    if let Name::Created { ino, .. } = name {
                        synced.entry(ino).or_default();
                    }
                    names.push(name);
                }
            }
        }
        // Of unsynced names a disk may have kept the first ones, in their order; most often it kept none.
        let kept = if seed == 0 || names.is_empty() || rng.below(2) == 0 {
            0
        } else {
            rng.below(names.len() as u64) as usize
        };
        for name in names[kept..].iter().rev() {
            forgotten.undone += usize::from(name.undo()?);
        }
        let torn = seed != 0 && rng.below(3) == 0;
        forgotten.cut = cut_tails(&self.path(), &synced, torn.then_some(&mut rng))?;
        self.keep_all()?;
        Ok(forgotten)
    }

    /// What lies there now is on disk: the next journal begins here.
    pub fn keep_all(&mut self) -> Result<()> {
        let grave = self.root.path().join("grave");
        fs::remove_dir_all(&grave)?;
        fs::create_dir(&grave)?;
        let _ = fs::remove_file(self.journal());
        self.baseline =
            files(&self.path())?.into_iter().map(|(_, ino, length)| (ino, length)).collect();
        Ok(())
    }
}

/// Cuts each file back to its synced length, or, given a generator, to somewhere between that and its end.
fn cut_tails(dir: &Path, synced: &BTreeMap<u64, u64>, mut torn: Option<&mut Rng>) -> Result<usize> {
    let mut cut = 0;
    for (path, ino, length) in files(dir)? {
        let Some(&kept) = synced.get(&ino) else {
            fs::remove_file(&path)?; // created, but killed before the journal could say so
            cut += 1;
            continue;
        };
        if kept < length {
            let kept = kept + torn.as_mut().map_or(0, |rng| rng.below(length - kept + 1));
            fs::OpenOptions::new().write(true).open(&path)?.set_len(kept)?;
            cut += 1;
        }
    }
    Ok(cut)
}

/// All regular files below a directory: path, inode, length.
pub fn files(dir: &Path) -> Result<Vec<(PathBuf, u64, u64)>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                dirs.push(entry.path());
            } else if meta.is_file() {
                found.push((entry.path(), meta.ino(), meta.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[derive(Debug)]
enum Line {
    Synced { ino: u64, length: u64 },
    Cut { ino: u64, length: u64 },
    DirSynced(PathBuf),
    Violation(String),
    Name(Name),
}

/// A change of names, which lasts once its directory is synced.
#[derive(Debug)]
enum Name {
    Created { ino: u64, path: PathBuf },
    MadeDir(PathBuf),
    RemovedDir(PathBuf),
    Renamed { from: PathBuf, to: PathBuf, grave: Option<PathBuf> },
    Removed { path: PathBuf, grave: Option<PathBuf> },
}

impl Line {
    fn read(line: &str) -> Result<Line> {
        let fields: Vec<&str> = line.split('\t').collect();
        let grave = |text: &str| (text != "-").then(|| PathBuf::from(text));
        Ok(match fields[..] {
            ["S", ino, length] => Line::Synced { ino: ino.parse()?, length: length.parse()? },
            ["T", ino, length] => Line::Cut { ino: ino.parse()?, length: length.parse()? },
            ["D", path] => Line::DirSynced(path.into()),
            ["V", what, path] => Line::Violation(format!("{what} {path}")),
            ["C", ino, path] => Line::Name(Name::Created { ino: ino.parse()?, path: path.into() }),
            ["M", path] => Line::Name(Name::MadeDir(path.into())),
            ["X", path] => Line::Name(Name::RemovedDir(path.into())),
            ["R", from, to, old] => {
                Line::Name(Name::Renamed { from: from.into(), to: to.into(), grave: grave(old) })
            }
            ["U", path, old] => Line::Name(Name::Removed { path: path.into(), grave: grave(old) }),
            _ => bail!("unknown"),
        })
    }
}

impl Name {
    fn dir(&self) -> Option<&Path> {
        match self {
            Name::Created { path, .. } | Name::MadeDir(path) | Name::RemovedDir(path) => {
                path.parent()
            }
            Name::Renamed { to, .. } => to.parent(),
            Name::Removed { path, .. } => path.parent(),
        }
    }

    /// Makes it not have happened; was there anything to do?
    fn undo(&self) -> Result<bool> {
        Ok(match self {
            Name::Created { ino, path } => {
                let ours = fs::symlink_metadata(path).is_ok_and(|meta| meta.ino() == *ino);
                ours && fs::remove_file(path).map(|()| true)?
            }
            Name::MadeDir(path) => path.is_dir() && fs::remove_dir_all(path).map(|()| true)?,
            Name::RemovedDir(path) => !path.exists() && fs::create_dir(path).is_ok(),
            Name::Renamed { from, to, grave } => {
                let moved = to.exists() && fs::rename(to, from).map(|()| true)?;
                if let Some(old) = grave {
                    fs::hard_link(old, to).or_else(ignore_missing_parent)?;
                }
                moved
            }
            Name::Removed { path, grave } => match grave {
                Some(old) if !path.exists() => {
                    fs::hard_link(old, path).or_else(ignore_missing_parent)?;
                    true
                }
                _ => false,
            },
        })
    }
}

/// A directory that was itself never synced takes its files along.
fn ignore_missing_parent(error: std::io::Error) -> Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error.into()) }
}

/// The names in a directory, for messages.
pub fn listing(dir: &Path) -> BTreeSet<String> {
    let names = files(dir).unwrap_or_default().into_iter();
    names.map(|(path, _, length)| format!("{} {length}", path.display())).collect()
}
