//! The mark: a position up to which the log is known to be synced, kept beside it.
//!
//! raft-log takes a record that runs past the end of its file for a torn tail and cuts it, and a
//! single flipped bit in a length looks just like that. The mark tells the two apart: it is written
//! after the log's own sync, so it is never ahead, and a log that ends before it has lost something.
//! It may lag (a fraction of a second under load): what lies behind it is judged by checksum alone.
//!
//! The file is a row of (position, checksum) of which the last whole one counts; it grows by
//! appending and is written anew when it has become long.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

use crate::disk::{self, Disk, DiskFile};

const FILE: &str = "synced";
const RECORD: usize = 12;
const LONG: usize = 64 << 10;

/// One log's mark.
pub(crate) struct Mark {
    disk: Arc<dyn Disk>,
    wake: Arc<Notify>,
    /// Set by the log after each sync.
    synced: AtomicU64,
    file: Mutex<Writer>,
}

#[derive(Default)]
struct Writer {
    marked: u64,
    length: usize,
    open: Option<Box<dyn DiskFile>>,
}

impl Mark {
    /// Reads the mark; a missing file is a mark at the beginning.
    pub(crate) fn load(disk: Arc<dyn Disk>, wake: Arc<Notify>) -> io::Result<Mark> {
        let bytes = disk::read_small(disk.as_ref(), FILE)?.unwrap_or_default();
        let marked = bytes.chunks_exact(RECORD).filter_map(decode).max().unwrap_or(0);
        // A torn record at the end would shift all that follow, so the file is begun anew.
        let length = if bytes.len().is_multiple_of(RECORD) { bytes.len() } else { LONG };
        let file = Mutex::new(Writer { marked, length, open: None });
        Ok(Mark { disk, wake, synced: AtomicU64::new(marked), file })
    }

    /// Where the file says the log was synced to.
    pub(crate) fn position(&self) -> u64 {
        self.writer().marked
    }

    /// Told by the log, after its sync.
    pub(crate) fn advance(&self, position: u64) {
        if self.synced.fetch_max(position, Relaxed) < position {
            self.wake.notify_one();
        }
    }

    /// Brings the file up to date, and with `sync` onto the disk.
    pub(crate) fn write(&self, sync: bool) -> io::Result<()> {
        let mut writer = self.writer();
        let position = self.synced.load(Relaxed);
        if position > writer.marked {
            let record = encode(position);
            if writer.length + RECORD > LONG {
                writer.open = None;
                disk::replace(self.disk.as_ref(), FILE, &record)?;
                writer.length = RECORD;
            } else {
                self.file(&mut writer)?.write_all(&record)?;
                writer.length += RECORD;
            }
            writer.marked = position;
        }
        if sync && let Some(file) = &mut writer.open {
            file.sync()?;
        }
        Ok(())
    }

    fn file<'a>(&self, writer: &'a mut Writer) -> io::Result<&'a mut Box<dyn DiskFile>> {
        if writer.open.is_none() {
            writer.open = Some(self.disk.append(FILE)?);
            self.disk.sync_directory("")?;
        }
        Ok(writer.open.as_mut().expect("it was opened above"))
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn encode(position: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&position.to_be_bytes());
    let sum = crc32fast::hash(&record[..8]);
    record[8..].copy_from_slice(&sum.to_be_bytes());
    record
}

fn decode(record: &[u8]) -> Option<u64> {
    let (position, sum) = record.split_at(8);
    let sum = u32::from_be_bytes(sum.try_into().ok()?);
    (crc32fast::hash(position) == sum)
        .then(|| u64::from_be_bytes(position.try_into().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn load(disk: &Arc<dyn Disk>) -> Mark {
        Mark::load(disk.clone(), Arc::default()).unwrap()
    }

    #[test]
    fn the_last_whole_record_counts_and_the_file_stays_short() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(directory.path().to_owned()));
        let mark = load(&disk);
        for position in 1..=20_000 {
            mark.advance(position);
            mark.write(false).unwrap();
        }
        mark.advance(5);
        mark.write(true).unwrap();
        assert!(disk.size(FILE).unwrap() <= LONG as u64);
        assert_eq!(load(&disk).position(), 20_000);

        disk.append(FILE).unwrap().write_all(b"torn").unwrap();
        let mark = load(&disk);
        assert_eq!(mark.position(), 20_000);
        mark.advance(20_001);
        mark.write(true).unwrap();
        assert_eq!(load(&disk).position(), 20_001);
    }
}
