//! The guard of one script: a process of ours between the agent and the script, in whose group the
//! script runs, and which kills the whole group when the agent is gone.
//!
//! The agent starts it as a group of its own, with one end of a socket as its standard input. It
//! starts the script, whose words are its own arguments, and writes one message when that ends. The
//! other end closes when the agent drops the run, ends, or is killed in whatever way; the guard
//! then kills its group, itself included. There is no moment without a guard: it is there before
//! the script, and a fork cannot slip past a signal to the group.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

/// The first word on the command line of a guard; the script's follow.
pub const WORD: &str = "check-guard";

/// What a guard says when its script has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
    /// It could not be started: the system's error number.
    NotStarted(i32),
}

impl Message {
    /// As it is written to the agent.
    pub fn to_line(&self) -> String {
        match self {
            Message::Exited(code) => format!("exited {code}\n"),
            Message::Signalled(signal) => format!("signalled {signal}\n"),
            Message::NotStarted(error) => format!("not-started {error}\n"),
        }
    }

    /// Reads what a guard wrote; `None` if it was cut off.
    pub fn read(line: &str) -> Option<Message> {
        let (word, number) = line.strip_suffix('\n')?.split_once(' ')?;
        let number = number.parse().ok()?;
        match word {
            "exited" => Some(Message::Exited(number)),
            "signalled" => Some(Message::Signalled(number)),
            "not-started" => Some(Message::NotStarted(number)),
            _ => None,
        }
    }

    fn ended(status: ExitStatus) -> Message {
        match status.code() {
            Some(code) => Message::Exited(code),
            None => Message::Signalled(status.signal().unwrap_or_default()),
        }
    }
}

/// Runs a script under guard; returns when it has ended and the agent was told.
///
/// To be called by a process that the agent started for this, and at once: it kills its own group.
pub fn run(words: &[OsString]) -> io::Result<()> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no script to guard"));
    };
    let mut agent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let watched = agent.try_clone()?;
    std::thread::spawn(move || watch(watched));
    let started = Command::new(program).args(arguments).stdin(Stdio::null()).spawn();
    let message = match started {
        Ok(mut script) => Message::ended(script.wait()?),
        Err(error) => Message::NotStarted(error.raw_os_error().unwrap_or_default()),
    };
    agent.write_all(message.to_line().as_bytes())
}

/// The agent never writes: whatever ends the wait is its end.
fn watch(mut agent: UnixStream) {
    while agent.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {}
    // Group 0 is our own. It cannot fail: the group has at least this process.
    let _ = killpg(Pid::from_raw(0), Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_never_in_part() {
        for message in [Message::Exited(0), Message::Signalled(9), Message::NotStarted(2)] {
            let line = message.to_line();
            assert_eq!(Message::read(&line), Some(message));
            for cut in 0..line.len() {
                assert_eq!(Message::read(&line[..cut]), None);
            }
        }
        assert_eq!(Message::read("odd 1\n"), None);
    }

    #[test]
    fn a_script_that_cannot_be_started_is_told() {
        assert!(run(&[]).is_err());
    }
}
