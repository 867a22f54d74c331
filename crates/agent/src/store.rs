//! The agent's own store: what was acknowledged here is here again after a crash.
//!
//! One file under `DATA/agent/`, appended and synced by one thread that takes all waiting writers
//! at once; with many writers there are far fewer syncs than answers. When it has grown to several
//! times what it says it is written anew, synced and renamed. Reports on TTL checks are written
//! without waiting for a sync: they repeat, and a lost one only makes its check critical sooner.

mod frame;
mod record;
mod writer;

use crate::local::Operation;
use frame::Damage;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
pub use writer::Disk;
use writer::{Job, Place, Writer};

/// The store's file in its directory.
const FILE: &str = "registrations";
/// A store smaller than this is not written anew.
const SMALL: u64 = 1 << 20;
/// How many times its smallest size a store may grow to.
const GROWTH: u64 = 4;

/// Why the agent did not start; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read or made.
    #[error("the agent's store {} cannot be opened", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Acknowledged registrations are damaged.
    #[error(
        "the agent's store {} is damaged at byte {at}: put back a copy of it, or remove it and \
         register this node's services again",
        path.display()
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// The first damaged byte's frame.
        at: usize,
    },
    /// A newer version wrote it.
    #[error(
        "the agent's store {} was written by a newer version: start that version, or remove the \
         file and register this node's services again",
        path.display()
    )]
    Newer {
        /// Where.
        path: PathBuf,
    },
}

/// Why an operation was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// It is not in the file and never will be.
    NotWritten(String),
    /// It was written and not synced: it may or may not be there at the next start.
    Unknown(String),
}

/// What the store has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Everything appended under this ticket and below is on disk, or was lost.
    Appended {
        /// The last ticket this is about.
        up_to: u64,
        /// Whether it was.
        result: Result<(), Loss>,
    },
    /// The store was written anew.
    Rewritten,
    /// The disk failed: nothing is kept any more.
    Broken(String),
}

/// A store that is open. Dropping it writes what waits and closes it.
pub struct Store {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    answers: Answers,
    meters: Arc<writer::Meters>,
}

/// Where a store's answers go.
enum Answers {
    /// The writer's thread sends them.
    Thread,
    /// Nothing is kept; the answer is given at once.
    AtOnce(UnboundedSender<Done>),
}

impl Store {
    /// A store that keeps nothing.
    pub fn memory() -> (Store, UnboundedReceiver<Done>) {
        let (answers, done) = unbounded_channel();
        let answers = Answers::AtOnce(answers);
        (Store { jobs: None, thread: None, answers, meters: Arc::default() }, done)
    }

    /// Opens or makes the store in a directory; returns what it holds.
    pub fn open(
        directory: &Path,
    ) -> Result<(Store, Vec<Operation>, UnboundedReceiver<Done>), StartError> {
        Store::open_on(Disk::REAL, directory)
    }

    /// The same on a disk that may fail.
    pub fn open_on(
        disk: Disk,
        directory: &Path,
    ) -> Result<(Store, Vec<Operation>, UnboundedReceiver<Done>), StartError> {
        let path = directory.join(FILE);
        let failed = |source| StartError::Io { path: path.clone(), source };
        let place = Place { directory: directory.to_owned(), file: FILE, disk };
        let file = place.open().map_err(failed)?;
        let contents = frame::read(&file.bytes).map_err(|damage| match damage {
            Damage::Newer => StartError::Newer { path: path.clone() },
            Damage::Foreign => StartError::Damaged { path: path.clone(), at: 0 },
            Damage::Corrupt(at) => StartError::Damaged { path: path.clone(), at },
        })?;
        let mut operations = Vec::new();
        for payload in &contents.payloads {
            let decoded = record::decode(payload);
            operations.extend(decoded.ok_or_else(|| StartError::Newer { path: path.clone() })?);
        }
        let whole = contents.whole as u64;
        let meters = Arc::new(writer::Meters::default());
        let writer = Writer::new(place, file.handle, whole, Arc::clone(&meters));
        let writer = writer.map_err(failed)?;
        let (jobs, waiting) = mpsc::channel();
        let (answers, done) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("agent-store".to_owned())
            .spawn(move || writer.run(&waiting, &answers))
            .map_err(failed)?;
        let store =
            Store { jobs: Some(jobs), thread: Some(thread), answers: Answers::Thread, meters };
        Ok((store, operations, done))
    }

    /// Keeps an encoded operation; its ticket is answered when it is on disk. Tickets rise.
    pub fn append(&self, payload: Vec<u8>, ticket: u64) {
        self.send(Job::Append { payload, ticket: Some(ticket) }, || Done::Appended {
            up_to: ticket,
            result: Ok(()),
        });
    }

    /// Keeps an operation some time soon; nobody is told.
    pub fn append_lazily(&self, operation: &Operation) {
        if let Some(jobs) = &self.jobs {
            // A writer that is gone has said why to those who wait for it.
            let _ = jobs.send(Job::Append { payload: encode(operation), ticket: None });
        }
    }

    /// Writes the store anew with these operations in place of all before.
    pub fn rewrite(&self, operations: &[Operation]) {
        let payloads = operations.chunks(256).map(record::encode).collect();
        self.send(Job::Rewrite { payloads }, || Done::Rewritten);
    }

    /// Whether it has grown so much that it should be written anew.
    pub fn is_overgrown(&self) -> bool {
        self.meters.is_overgrown()
    }

    /// How often it was synced.
    pub fn syncs(&self) -> u64 {
        self.meters.syncs()
    }

    fn send(&self, job: Job, done: impl FnOnce() -> Done) {
        match (&self.answers, &self.jobs) {
            (Answers::AtOnce(answers), _) => drop(answers.send(done())),
            (Answers::Thread, Some(jobs)) => drop(jobs.send(job)),
            (Answers::Thread, None) => {}
        }
    }
}

/// An operation as the store keeps it.
pub fn encode(operation: &Operation) -> Vec<u8> {
    record::encode(std::slice::from_ref(operation))
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the writer was already told to those who waited for it.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod failures;
#[cfg(test)]
mod tests;
