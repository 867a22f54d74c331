//! What can go wrong, by what the reader can do about it.
//!
//! A start is refused rather than guessed at: each variant's text names the file and the way out.

use std::io;
use std::path::PathBuf;

use crate::fsm::FsmError;

/// Why a server did not start. Nothing was changed, except that a torn tail may have been cut.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the data directory.
    #[error(
        "the data directory {} is in use by another process; stop that one, or start with another data directory",
        .directory.display()
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
    },
    /// The directory was written by a newer program.
    #[error(
        "the data directory {} has {what} version {found}, and this program reads up to {known}; \
         start the newer program again, or use another data directory", .directory.display()
    )]
    NewerFormat {
        /// The data directory.
        directory: PathBuf,
        /// Which of the versions is too new.
        what: &'static str,
        /// The version found.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A file that names or holds the state cannot be trusted.
    #[error(
        "{} is damaged: {problem}; restore the data directory from a backup, or move it aside to \
         start empty (what it held is then lost)", .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and where.
        problem: String,
    },
    /// No snapshot that can be read is old enough for the log to continue it.
    #[error(
        "no usable snapshot in {}: the log continues from index {log_from}, and {problem}; restore \
         the data directory from a backup, or move it aside to start empty (what it held is then lost)",
        .directory.display()
    )]
    Gap {
        /// The directory of the snapshots.
        directory: PathBuf,
        /// The first index that the log still holds.
        log_from: u64,
        /// What was wrong with each snapshot there.
        problem: String,
    },
    /// The machine refused its snapshot or a command of the log.
    #[error(transparent)]
    Machine(#[from] FsmError),
    /// The operating system refused an operation on a file.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The engine did not come up.
    #[error("the consensus engine did not start: {0}")]
    Engine(String),
}

/// Why a proposal was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The command is larger than an entry may be. Nothing changed; it never fits.
    #[error("the command has {bytes} bytes, and the limit is {limit}")]
    TooLarge {
        /// The size of the command.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many proposals are under way. Nothing changed; try again.
    #[error("too many writes are under way")]
    QueueFull,
    /// The disk is nearly full. Nothing changed; somebody has to make room.
    #[error("the disk of the data directory has {free} bytes free, and writes need {needed}")]
    DiskFull {
        /// Bytes free.
        free: u64,
        /// Bytes that must be free.
        needed: u64,
    },
    /// Nobody leads, or somebody else does. Nothing changed; try again.
    #[error("no leader here")]
    NoLeader,
    /// The log may have taken it, and this server never saw it applied. Read before repeating.
    #[error("the outcome of the write is unknown")]
    Unknown,
    /// This server is stopping or has failed. Nothing changed.
    #[error("this server is stopping")]
    Stopped,
}

/// Why a read could not be made consistent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody leads, or somebody else does; try again.
    #[error("no leader here")]
    NoLeader,
    /// This server is stopping or has failed.
    #[error("this server is stopping")]
    Stopped,
}
