//! The thread that writes the store: append, sync, answer; now and then write it all anew.
//!
//! Only calls of std that a disk test can see through: write, fdatasync, ftruncate, rename, and
//! fsync of the directory. After a failed sync nothing more is believed of the file, and the process
//! is to end: what it would go on to say could not be trusted.

use super::frame;
use super::{Done, GROWTH, Loss, SMALL};
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

/// How a disk is told to keep things; tests put one here that fails.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Keeps what was written to a file.
    pub sync_data: fn(&File) -> io::Result<()>,
    /// Keeps the names in a directory.
    pub sync_names: fn(&File) -> io::Result<()>,
}

impl Disk {
    /// The one that is there.
    pub const REAL: Disk = Disk { sync_data: File::sync_data, sync_names: File::sync_all };
}

/// Where a store's file stands.
#[derive(Debug)]
pub struct Place {
    /// The directory, by name.
    pub directory: PathBuf,
    /// The file's name in it.
    pub file: &'static str,
    /// The disk.
    pub disk: Disk,
}

/// A store's file as found.
pub struct Found {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Opened for appending.
    pub handle: File,
}

impl Place {
    /// Opens the file, making it and its directory where they are missing.
    pub fn open(&self) -> io::Result<Found> {
        fs::create_dir_all(&self.directory)?;
        let path = self.directory.join(self.file);
        if !path.exists() {
            write_file(&self.unfinished(), &[])?;
            fs::rename(self.unfinished(), &path)?;
        }
        // Even names that were there: who made them may have been killed before it synced them.
        (self.disk.sync_names)(&File::open(&self.directory)?)?;
        if let Some(parent) = self.directory.parent() {
            (self.disk.sync_names)(&File::open(parent)?)?;
        }
        let mut bytes = Vec::new();
        let mut handle = File::options().read(true).append(true).open(&path)?;
        handle.read_to_end(&mut bytes)?;
        Ok(Found { bytes, handle })
    }

    fn unfinished(&self) -> PathBuf {
        self.directory.join(format!("{}.new", self.file))
    }
}

/// The owner of the file.
pub struct Writer {
    place: Place,
    handle: File,
    length: u64,
    /// Where the last operation ends; only marks stand behind it.
    data: u64,
    synced: u64,
    /// When what was written lazily must be synced.
    lazy_until: Option<Instant>,
    /// How many waited for the batch before.
    crowd: usize,
    /// Why nothing more can be written.
    broken: Option<String>,
    meters: Arc<Meters>,
}

impl Writer {
    /// Takes a file of which so many bytes are whole; a torn tail is cut off.
    pub fn new(place: Place, handle: File, whole: u64, meters: Arc<Meters>) -> io::Result<Writer> {
        let found = handle.metadata()?.len();
        if found > whole {
            info!(bytes = found - whole, "torn tail of the agent's store cut off");
            handle.set_len(whole)?;
        }
        (place.disk.sync_data)(&handle)?;
        let mut writer = Writer {
            place,
            handle,
            length: whole,
            data: whole,
            synced: whole,
            lazy_until: None,
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
        let mut told = false;
        loop {
            if self.lazy_until.is_some_and(|until| until <= Instant::now()) {
                self.sync_and_mark();
            }
            if let Some(why) = self.broken.as_ref().filter(|_| !told) {
                told = true;
                // Who asked is gone when the agent ends, and the process with it.
                let _ = answers.send(Done::Broken(why.clone()));
            }
            let job = match (next.take(), self.lazy_until) {
                (Some(job), _) => job,
                (None, Some(until)) => match jobs.recv_timeout(until - Instant::now()) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => break,
                },
                (None, None) => match jobs.recv() {
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
        if written.is_ok() && ticket.is_none() {
            self.lazy_until.get_or_insert_with(|| Instant::now() + LAZY_SYNC);
        }
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
    fn write(&mut self, payload: &[u8]) -> Result<(), Loss> {
        if let Some(broken) = &self.broken {
            return Err(Loss::NotWritten(broken.clone()));
        }
        let mut bytes = Vec::with_capacity(payload.len() + 64);
        frame::write(&mut bytes, self.length, self.synced, payload);
        if let Err(failure) = self.handle.write_all(&bytes) {
            warn!(error = %failure, "agent's store not written");
            if let Err(worse) = self.handle.set_len(self.length) {
                // A frame that is not whole is cut off at the next start.
                self.give_up(format!("{failure}, and it cannot be cut back: {worse}"));
            }
            return Err(Loss::NotWritten(failure.to_string()));
        }
        self.length += bytes.len() as u64;
        if !payload.is_empty() {
            self.data = self.length;
        }
        self.measure_length();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Loss> {
        if let Some(broken) = &self.broken {
            return Err(Loss::NotWritten(broken.clone()));
        }
        self.lazy_until = None;
        self.meters.syncs.fetch_add(1, Ordering::Relaxed);
        if let Err(failure) = (self.place.disk.sync_data)(&self.handle) {
            // The kernel may have dropped the pages: a second sync would succeed and mean nothing.
            // What is not known to be on disk is cut off, as far as this disk still does anything.
            let cut = self.handle.set_len(self.synced);
            let _ = cut.and_then(|()| (self.place.disk.sync_data)(&self.handle));
            self.give_up(failure.to_string());
            return Err(Loss::Unknown(failure.to_string()));
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
        self.lazy_until = None;
        // Nobody is to ask for it to be written anew.
        self.meters.limit.store(u64::MAX, Ordering::Relaxed);
        self.broken = Some(why);
    }

    /// Puts a new file in place of this one; a failure before that leaves this one, and it may grow
    /// on. After it this one has no name any more, and nothing written to it would be found again.
    fn rewrite(&mut self, payloads: &[Vec<u8>]) {
        if self.broken.is_some() {
            return;
        }
        match self.put_anew(payloads) {
            Ok((handle, length, directory)) => {
                self.handle = handle;
                (self.length, self.synced, self.data) = (length, length, length);
                self.lazy_until = None;
                self.limit(length);
                if let Err(failure) = (self.place.disk.sync_names)(&directory) {
                    self.give_up(format!("its new name is not synced: {failure}"));
                }
            }
            Err(failure) => {
                warn!(error = %failure, "agent's store not written anew");
                self.limit(self.length);
            }
        }
    }

    /// Writes a new file and renames it; all that is needed afterwards is opened before.
    fn put_anew(&self, payloads: &[Vec<u8>]) -> io::Result<(File, u64, File)> {
        let directory = File::open(&self.place.directory)?;
        let (handle, length) = write_file(&self.place.unfinished(), payloads)?;
        fs::rename(self.place.unfinished(), self.place.directory.join(self.place.file))?;
        Ok((handle, length, directory))
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

/// Writes a whole file and syncs it; it is open for appending.
fn write_file(path: &Path, payloads: &[Vec<u8>]) -> io::Result<(File, u64)> {
    let mut bytes = frame::HEADER.to_vec();
    for payload in payloads {
        let position = bytes.len() as u64;
        frame::write(&mut bytes, position, 0, payload);
    }
    // It gets its name only once it is synced, so it may already say that it was.
    let length = bytes.len() as u64;
    frame::write(&mut bytes, length, length, &[]);
    // Checks may carry secrets in their headers.
    let mut handle = File::options().append(true).create(true).mode(0o600).open(path)?;
    handle.set_len(0)?;
    handle.write_all(&bytes)?;
    handle.sync_all()?;
    Ok((handle, bytes.len() as u64))
}
