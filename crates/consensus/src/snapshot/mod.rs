//! Where snapshots are kept: two files on disk, or one picture in memory.
//!
//! Two, because a damaged newest may be replaced by the older one, but only as long as the log
//! still continues it; so the log is purged up to the older one and no further.

mod file;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use tracing::{info, warn};

use crate::disk::Disk;
use crate::error::StartError;
use crate::fsm::{Fsm, FsmSnapshot};
use crate::types::{LogId, SnapshotMeta, term_of};

pub(crate) use file::{Facts, Header};

const DIRECTORY: &str = "snapshots";
const KEPT: usize = 2;

/// A store of snapshots.
pub(crate) struct Snapshots {
    place: Place,
    /// Oldest first.
    kept: Mutex<VecDeque<Kept>>,
}

enum Place {
    Files { disk: Arc<dyn Disk>, facts: Facts },
    Memory,
}

/// One snapshot.
#[derive(Clone)]
struct Kept {
    meta: SnapshotMeta,
    bytes: u64,
    /// Only in memory: the picture itself, which there is the snapshot.
    _picture: Option<Arc<dyn FsmSnapshot>>,
}

/// What [`Snapshots::recover`] found.
pub(crate) struct Recovered {
    pub meta: SnapshotMeta,
    pub bytes: u64,
}

impl Snapshots {
    pub(crate) fn in_memory() -> Snapshots {
        Snapshots { place: Place::Memory, kept: Mutex::default() }
    }

    pub(crate) fn in_files(disk: Arc<dyn Disk>, facts: Facts) -> Snapshots {
        Snapshots { place: Place::Files { disk, facts }, kept: Mutex::default() }
    }

    /// Restores the newest snapshot that can be read and that the log continues.
    ///
    /// `purged` and `last` are the log's. Nothing to restore is fine while the log begins at its
    /// beginning; anything else that would leave a gap is refused.
    pub(crate) fn recover(
        &self,
        fsm: &mut dyn Fsm,
        purged: Option<&LogId>,
        last: Option<&LogId>,
    ) -> Result<Option<Recovered>, StartError> {
        let Place::Files { disk, facts } = &self.place else { return Ok(None) };
        let log_from = purged.map_or(0, |id| id.index + 1);
        let mut problems = Vec::new();
        let mut good: VecDeque<Kept> = VecDeque::new();
        let names = tidy(disk.as_ref()).map_err(|source| StartError::Io {
            doing: "list the snapshots in",
            path: disk.locate(DIRECTORY),
            source,
        })?;
        for name in names.iter().rev() {
            match file::read_header(disk.as_ref(), name, facts) {
                Ok(header) => {
                    good.push_front(Kept { meta: header.meta, bytes: header.bytes, _picture: None })
                }
                Err(file::Bad::Newer(error)) => return Err(error),
                Err(file::Bad::Damaged(problem)) => {
                    warn!(file = %name, %problem, "a snapshot is damaged");
                    problems.push(format!("{name}: {problem}"));
                }
            }
        }
        while let Some(newest) = good.back() {
            let name = file_name(&newest.meta);
            let Err(problem) = file::verify(disk.as_ref(), &name) else { break };
            warn!(file = %name, %problem, "a snapshot is damaged");
            problems.push(format!("{name}: {problem}"));
            good.pop_back();
        }
        let newest = good.back().cloned();
        let reached = newest.as_ref().and_then(|kept| kept.meta.last_log_id);
        if reached.map_or(0, |id| id.index + 1) < log_from {
            let found = match &newest {
                Some(kept) => format!("{} is too old", file_name(&kept.meta)),
                None => "there is none before it".to_owned(),
            };
            problems.push(found);
            return Err(StartError::Gap {
                directory: disk.locate(DIRECTORY),
                log_from,
                problem: problems.join("; "),
            });
        }
        if let (Some(reached), last) = (reached, last)
            && last.is_none_or(|last| last.index < reached.index)
        {
            return Err(StartError::Damaged {
                file: disk.locate("log"),
                problem: format!("it ends before the snapshot at index {}", reached.index),
            });
        }
        let Some(newest) = newest else { return Ok(None) };
        let name = file_name(&newest.meta);
        info!(file = %name, bytes = newest.bytes, "restoring a snapshot");
        file::restore(disk.as_ref(), &name, fsm)?;
        *self.kept() = good;
        Ok(Some(Recovered { meta: newest.meta, bytes: newest.bytes }))
    }

    /// Writes a picture out, durably, and lets go of the oldest. Returns its size.
    ///
    /// `go_on` is asked first, with the size to expect, and while writing; its error ends it.
    pub(crate) fn take(
        &self,
        meta: SnapshotMeta,
        picture: Box<dyn FsmSnapshot>,
        go_on: &dyn Fn(u64) -> io::Result<()>,
    ) -> io::Result<u64> {
        let expected = self.kept().back().map_or(0, |newest| newest.bytes);
        go_on(expected)?;
        let kept = match &self.place {
            Place::Memory => Kept { meta, bytes: 0, _picture: Some(picture.into()) },
            Place::Files { disk, facts } => {
                let header = Header { meta: meta.clone(), bytes: 0 };
                let bytes = file::write(
                    disk.as_ref(),
                    &file_name(&meta),
                    &header,
                    facts,
                    picture.as_ref(),
                    &|| go_on(0),
                )?;
                Kept { meta, bytes, _picture: None }
            }
        };
        let bytes = kept.bytes;
        let mut list = self.kept();
        if let Some(previous) = list.back_mut() {
            previous._picture = None;
        }
        list.push_back(kept);
        while list.len() > KEPT {
            list.pop_front();
        }
        let names: Vec<String> = list.iter().map(|kept| file_name(&kept.meta)).collect();
        drop(list);
        if let Place::Files { disk, .. } = &self.place {
            remove_others(disk.as_ref(), &names)?;
        }
        Ok(bytes)
    }

    /// The newest.
    pub(crate) fn newest(&self) -> Option<SnapshotMeta> {
        self.kept().back().map(|kept| kept.meta.clone())
    }

    /// Up to where the log is not needed any more: the older of two.
    pub(crate) fn purge_upto(&self) -> Option<u64> {
        let list = self.kept();
        let older = list.front().filter(|_| list.len() == KEPT)?;
        older.meta.last_log_id.map(|id| id.index)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Sorted by name is sorted by index.
fn file_name(meta: &SnapshotMeta) -> String {
    let (term, index) = meta.last_log_id.as_ref().map_or((0, 0), |id| (term_of(id), id.index));
    format!("{index:020}-{term}.snap")
}

/// The snapshots by name, after removing what an interrupted writer left.
fn tidy(disk: &dyn Disk) -> io::Result<Vec<String>> {
    let mut names = disk.list(DIRECTORY)?;
    for name in names.extract_if(.., |name| !name.ends_with(".snap")) {
        if name.ends_with(".tmp") {
            disk.remove(&format!("{DIRECTORY}/{name}"))?;
        }
    }
    Ok(names)
}

fn remove_others(disk: &dyn Disk, keep: &[String]) -> io::Result<()> {
    let mut removed = false;
    for name in disk.list(DIRECTORY)? {
        if name.ends_with(".snap") && !keep.contains(&name) {
            disk.remove(&format!("{DIRECTORY}/{name}"))?;
            removed = true;
        }
    }
    if removed { disk.sync_directory(DIRECTORY) } else { Ok(()) }
}
