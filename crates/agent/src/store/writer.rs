//! The thread that writes the store: append, sync, answer; now and then write it all anew.
//!
//! Only calls of std that a disk test can see through: write, fdatasync, ftruncate, rename, and
//! fsync of the directory. After a failed sync nothing more is believed of the file.

use super::frame;
use super::{Done, GROWTH, SMALL};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};

/// What is written lazily is synced after so long.
const LAZY_SYNC: Duration = Duration::from_secs(1);
/// How long a batch waits for writers who were there just before.
const PATIENCE: Duration = Duration::from_micros(200);
/// No batch takes more once it has so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Something to write.
pub enum Job {
    /// An operation; without a ticket nobody waits for it.
    Append {
        /// Its bytes.
        payload: Vec<u8>,
        /// Under which to answer.
        ticket: Option<u64>,
    },
    /// All there is, in place of what was written before.
    Rewrite {
        /// The bytes, in frames.
        payloads: Vec<Vec<u8>>,
    },
}

/// What the writer lets others see.
#[derive(Debug, Default)]
pub struct Meters {
    length: AtomicU64,
    limit: AtomicU64,
    syncs: AtomicU64,
}

impl Meters {
    /// Whether the file is longer than it should be.
    pub fn is_overgrown(&self) -> bool {
        self.length.load(Ordering::Relaxed) > self.limit.load(Ordering::Relaxed)
    }

    /// How often the file was synced.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

/// A store's file as found.
pub struct Found {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Opened for appending.
    pub handle: File,
}

/// Opens the file, making it and its directory where they are missing.
pub fn open(directory: &Path, file: &str) -> io::Result<Found> {
    if !directory.is_dir() {
        fs::create_dir_all(directory)?;
        if let Some(parent) = directory.parent() {
            sync_directory(parent)?;
        }
    }
    let path = directory.join(file);
    if !path.exists() {
        write_anew(directory, file, &[])?;
    }
    let mut bytes = Vec::new();
    let mut handle = File::options().read(true).append(true).open(&path)?;
    handle.read_to_end(&mut bytes)?;
    Ok(Found { bytes, handle })
}

/// The owner of the file.
pub struct Writer {
    directory: PathBuf,
    file: &'static str,
    handle: File,
    length: u64,
    /// Where the last operation ends; only marks stand behind it.
    data: u64,
    synced: u64,
    /// How many waited for the batch before.
    crowd: usize,
    /// Why nothing more can be written.
    broken: Option<String>,
    meters: Arc<Meters>,
}

impl Writer {
    /// Takes a file of which so many bytes are whole; a torn tail is cut off.
    pub fn new(
        directory: &Path,
        file: &'static str,
        handle: File,
        whole: u64,
        meters: Arc<Meters>,
    ) -> io::Result<Writer> {
        let found = handle.metadata()?.len();
        if found > whole {
            info!(bytes = found - whole, "torn tail of the agent's store cut off");
            handle.set_len(whole)?;
        }
        handle.sync_data()?;
        let mut writer = Writer {
            directory: directory.to_owned(),
            file,
            handle,
            length: whole,
            data: whole,
            synced: whole,
            crowd: 0,
            broken: None,
            meters,
        };
        writer.limit(whole);
        writer.mark();
        Ok(writer)
    }

    /// Writes until nobody can send any more.
    pub fn run(mut self, jobs: &Receiver<Job>, answers: &UnboundedSender<Done>) {
        let mut next = None;
        loop {
            let job = match next.take() {
                Some(job) => job,
                None if self.needs_sync() => match jobs.recv_timeout(LAZY_SYNC) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        self.sync_and_mark();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                },
                None => match jobs.recv() {
                    Ok(job) => job,
                    Err(_) => break,
                },
            };
            next = match job {
                Job::Append { payload, ticket } => self.append(payload, ticket, jobs, answers),
                Job::Rewrite { payloads } => {
                    self.rewrite(&payloads);
                    // Who asked is gone when the agent ends; nothing depends on it.
                    let _ = answers.send(Done::Rewritten);
                    None
                }
            };
        }
        if self.needs_sync() {
            self.sync_and_mark();
        }
    }

    fn sync_and_mark(&mut self) {
        // Nobody waits for what is written lazily, and a failure has been logged.
        if self.sync().is_ok() {
            self.mark();
        }
    }

    /// Writes this and all that wait with one write and one sync; returns the job after them.
    fn append(
        &mut self,
        mut payload: Vec<u8>,
        mut ticket: Option<u64>,
        jobs: &Receiver<Job>,
        answers: &UnboundedSender<Done>,
    ) -> Option<Job> {
        let mut next = None;
        let mut waiting = usize::from(ticket.is_some());
        // Alone, nobody is waited for; in a crowd, a moment's patience saves most of the syncs.
        let crowd = std::mem::take(&mut self.crowd);
        let until = (crowd > 1).then(|| Instant::now() + PATIENCE);
        while payload.len() < BATCH_BYTES {
            let patience = until.filter(|_| waiting < crowd * 2);
            let left = patience.map_or(Duration::ZERO, |until| until - Instant::now());
            match jobs.recv_timeout(left) {
                Ok(Job::Append { payload: more, ticket: later }) => {
                    // Encoded records put behind one another are one message.
                    payload.extend_from_slice(&more);
                    waiting += usize::from(later.is_some());
                    ticket = later.or(ticket);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.crowd = waiting;
        let written = self.write(&payload);
        if let Some(up_to) = ticket {
            let result = written.and_then(|()| self.sync());
            // Who asked is gone when the agent ends; what is stored stays stored.
            let _ = answers.send(Done::Appended { up_to, result });
        }
        next = next.or_else(|| jobs.try_recv().ok());
        if next.is_none() && !self.needs_sync() {
            self.mark();
        }
        next
    }

    /// Appends one frame; a failure leaves the file as it was.
    fn write(&mut self, payload: &[u8]) -> Result<(), String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let mut bytes = Vec::with_capacity(payload.len() + 64);
        frame::write(&mut bytes, self.length, self.synced, payload);
        if let Err(failure) = self.handle.write_all(&bytes) {
            warn!(error = %failure, "agent's store not written");
            if let Err(worse) = self.handle.set_len(self.length) {
                self.give_up(format!("{failure}, and it cannot be cut back: {worse}"));
            }
            return Err(failure.to_string());
        }
        self.length += bytes.len() as u64;
        if !payload.is_empty() {
            self.data = self.length;
        }
        self.measure_length();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        self.meters.syncs.fetch_add(1, Ordering::Relaxed);
        if let Err(failure) = self.handle.sync_data() {
            // The kernel may have dropped the pages: a second sync would succeed and mean nothing.
            self.give_up(failure.to_string());
            return Err(failure.to_string());
        }
        self.synced = self.length;
        Ok(())
    }

    /// Notes behind the data that it was synced, so that damage to it is not taken for a torn tail.
    fn mark(&mut self) {
        if self.broken.is_none() {
            // A missing mark only makes less damage recognisable.
            let _ = self.write(&[]);
        }
    }

    fn needs_sync(&self) -> bool {
        self.synced < self.data && self.broken.is_none()
    }

    fn give_up(&mut self, why: String) {
        error!(error = %why, "agent's store failed, no more registrations are taken");
        self.broken = Some(why);
    }

    /// Puts a new file in place of this one; a failure leaves this one, and it may grow on.
    fn rewrite(&mut self, payloads: &[Vec<u8>]) {
        if self.broken.is_some() {
            return;
        }
        let written = write_anew(&self.directory, self.file, payloads).and_then(|length| {
            let path = self.directory.join(self.file);
            Ok((File::options().append(true).open(path)?, length))
        });
        match written {
            Ok((handle, length)) => {
                self.handle = handle;
                (self.length, self.synced, self.data) = (length, length, length);
                self.limit(length);
            }
            Err(failure) => {
                warn!(error = %failure, "agent's store not written anew");
                self.limit(self.length);
            }
        }
    }

    fn measure_length(&self) {
        self.meters.length.store(self.length, Ordering::Relaxed);
    }

    /// Sets how long the file may get, given how long it is at its shortest.
    fn limit(&self, shortest: u64) {
        self.measure_length();
        self.meters.limit.store(SMALL.max(shortest * GROWTH), Ordering::Relaxed);
    }
}

/// Writes a whole file under another name, syncs it, renames it, syncs the directory.
fn write_anew(directory: &Path, file: &str, payloads: &[Vec<u8>]) -> io::Result<u64> {
    let unfinished = directory.join(format!("{file}.new"));
    let mut bytes = frame::HEADER.to_vec();
    for payload in payloads {
        let position = bytes.len() as u64;
        frame::write(&mut bytes, position, 0, payload);
    }
    // It gets its name only once it is synced, so it may already say that it was.
    let length = bytes.len() as u64;
    frame::write(&mut bytes, length, length, &[]);
    // Checks may carry secrets in their headers.
    let mut options = File::options();
    let mut handle =
        options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    handle.write_all(&bytes)?;
    handle.sync_all()?;
    fs::rename(&unfinished, directory.join(file))?;
    sync_directory(directory)?;
    Ok(bytes.len() as u64)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
