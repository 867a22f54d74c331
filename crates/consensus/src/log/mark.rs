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
    /// Something in the file is not synced yet.
    unsynced: bool,
    /// The file may end in a piece of a record, which would shift all that follow: begin it anew.
    torn: bool,
}

impl Mark {
    /// Reads the mark; a missing file is a mark at the beginning.
    pub(crate) fn load(disk: Arc<dyn Disk>, wake: Arc<Notify>) -> io::Result<Mark> {
        let bytes = disk::read_small(disk.as_ref(), FILE)?.unwrap_or_default();
        let marked = bytes.chunks_exact(RECORD).filter_map(decode).max().unwrap_or(0);
        let torn = !bytes.len().is_multiple_of(RECORD);
        let writer = Writer { marked, length: bytes.len(), open: None, unsynced: false, torn };
        let file = Mutex::new(writer);
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

    /// Brings the file up to date, and with `sync` onto the disk; true when all of it is there.
    ///
    /// After an error the next call begins the file anew.
    pub(crate) fn write(&self, sync: bool) -> io::Result<bool> {
        let mut writer = self.writer();
        let written = self.bring_up(&mut writer, sync);
        if written.is_err() {
            (writer.open, writer.torn) = (None, true);
        }
        written
    }

    fn bring_up(&self, writer: &mut Writer, sync: bool) -> io::Result<bool> {
        let position = self.synced.load(Relaxed);
        if position > writer.marked || writer.torn {
            let record = encode(position);
            if writer.torn || writer.length + RECORD > LONG {
                writer.open = None;
                disk::replace(self.disk.as_ref(), FILE, &record)?;
                (writer.length, writer.torn, writer.unsynced) = (RECORD, false, false);
            } else {
                self.file(writer)?.write_all(&record)?;
                writer.length += RECORD;
                writer.unsynced = true;
            }
            writer.marked = position;
        }
        if sync && let Some(file) = &mut writer.open {
            file.sync()?;
            writer.unsynced = false;
        }
        Ok(!writer.unsynced)
    }

    fn file<'a>(&self, writer: &'a mut Writer) -> io::Result<&'a mut Box<dyn DiskFile>> {
        if writer.open.is_none() {
            let file = self.disk.append(FILE)?;
            self.disk.sync_directory("")?;
            writer.open = Some(file);
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
    use std::io::Read;
    use std::path::PathBuf;

    use super::*;
    use crate::disk::RealDisk;

    /// A disk with so much room for what is written, and syncs of directories that can fail.
    struct Narrow {
        disk: RealDisk,
        room: Arc<AtomicU64>,
        failing: Arc<AtomicU64>,
    }

    struct NarrowFile(Box<dyn DiskFile>, Arc<AtomicU64>);

    impl Write for NarrowFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let part = bytes.len().min(self.1.load(Relaxed) as usize);
            if part == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.fetch_sub(part as u64, Relaxed);
            self.0.write(&bytes[..part])
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    impl DiskFile for NarrowFile {
        fn sync(&mut self) -> io::Result<()> {
            self.0.sync()
        }
    }

    impl Disk for Narrow {
        fn list(&self, directory: &str) -> io::Result<Vec<String>> {
            self.disk.list(directory)
        }
        fn size(&self, path: &str) -> io::Result<u64> {
            self.disk.size(path)
        }
        fn open(&self, path: &str) -> io::Result<Box<dyn Read + Send>> {
            self.disk.open(path)
        }
        fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
            Ok(Box::new(NarrowFile(self.disk.create(path)?, self.room.clone())))
        }
        fn append(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
            Ok(Box::new(NarrowFile(self.disk.append(path)?, self.room.clone())))
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.disk.rename(from, to)
        }
        fn remove(&self, path: &str) -> io::Result<()> {
            self.disk.remove(path)
        }
        fn sync_directory(&self, directory: &str) -> io::Result<()> {
            if self.failing.load(Relaxed) > 0 {
                self.failing.fetch_sub(1, Relaxed);
                return Err(io::Error::other("told to fail"));
            }
            self.disk.sync_directory(directory)
        }
        fn free(&self) -> io::Result<u64> {
            self.disk.free()
        }
        fn locate(&self, path: &str) -> PathBuf {
            self.disk.locate(path)
        }
    }

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

    #[test]
    fn after_a_short_write_or_a_failed_sync_the_mark_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (room, failing) = (Arc::new(AtomicU64::new(1 << 20)), Arc::<AtomicU64>::default());
        let disk = RealDisk::new(directory.path().to_owned());
        let narrow = Narrow { disk, room: room.clone(), failing: failing.clone() };
        let disk: Arc<dyn Disk> = Arc::new(narrow);
        let mark = load(&disk);

        failing.store(1, Relaxed);
        mark.advance(1);
        mark.write(true).unwrap_err();
        mark.write(true).unwrap();
        assert_eq!(load(&disk).position(), 1);

        mark.advance(2);
        mark.write(true).unwrap();
        for left in 0..RECORD as u64 {
            let position = 10 * (left + 1);
            room.store(left, Relaxed);
            mark.advance(position);
            mark.write(false).unwrap_err();
            room.store(1 << 20, Relaxed);
            for more in 1..4 {
                mark.advance(position + more);
                mark.write(false).unwrap();
                assert_eq!(load(&disk).position(), position + more, "after {left} bytes");
            }
        }
    }
}
