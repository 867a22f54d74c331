//! The guard of one script: a process of ours between the agent and the script, in whose group the
//! script runs, and which kills all that the script has started when that or the agent is gone.
//!
//! The agent starts it as a group of its own, with one end of a socket as its standard input. It
//! starts the script, whose words are its own arguments, and writes one message when that ended and
//! nothing of it is left. The other end closes when the agent drops the run, ends, or is killed in
//! whatever way; the guard then kills what the script has started and its group, itself included.
//! There is no moment without a guard: it is there before the script, and a fork cannot slip past a
//! signal to the group.
//!
//! What leaves the group does not leave the guard: it is a child subreaper (prctl(2)), so whoever
//! loses the parent becomes its child. Killing its children until there are none ends them all.

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The first word on the command line of a guard; the script's follow.
pub const WORD: &str = "check-guard";

/// How long what a script has started may take to die; what the system holds fast is left.
pub const SWEEP_LIMIT: Duration = Duration::from_secs(1);

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

/// Runs a script under guard and all that it has started; returns when nothing of it is left and the agent
/// was told.
///
/// To be called by a process that the agent started for this, and at once: it kills its own group.
pub fn run(words: &[OsString]) -> io::Result<()> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no script to guard"));
    };
    // Where the system refuses it, what leaves the group is lost sight of, and the rest is guarded.
    let _ = prctl::set_child_subreaper(true);
    // The agent goes without huge pages; what a script may have is not ours to say.
    let _ = prctl::set_thp_disable(false);
    let mut agent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let watched = agent.try_clone()?;
    // Held by who starts or ends children, so that nothing is started once all is to end.
    let children = Arc::new(Mutex::new(()));
    let shared = Arc::clone(&children);
    std::thread::spawn(move || watch(watched, &shared));
    let started = {
        let _held = children.lock().unwrap_or_else(PoisonError::into_inner);
        Command::new(program).args(arguments).stdin(Stdio::null()).spawn()
    };
    let message = match started {
        // It is unknown only where the other thread has ended it.
        Ok(mut script) => script.wait().map_or(Message::Signalled(9), Message::ended),
        Err(error) => Message::NotStarted(error.raw_os_error().unwrap_or_default()),
    };
    let _held = children.lock().unwrap_or_else(PoisonError::into_inner);
    end_children();
    agent.write_all(message.to_line().as_bytes())
}

/// The agent never writes: whatever ends the wait is its end, or its wish that all should end.
fn watch(mut agent: UnixStream, children: &Mutex<()>) {
    while agent.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {}
    let _held = children.lock().unwrap_or_else(PoisonError::into_inner);
    end_children();
    // Group 0 is our own. It cannot fail: the group has at least this process.
    let _ = killpg(Pid::from_raw(0), Signal::SIGKILL);
}

/// Kills and waits for children, those included that become ours by that, until there are none.
fn end_children() {
    let began = Instant::now();
    while began.elapsed() < SWEEP_LIMIT {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                // One that ended meanwhile keeps its number until it is waited for, so it is no other's.
                for child in children_of(getpid()) {
                    let _ = kill(child, Signal::SIGKILL);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn children_of(parent: Pid) -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(move |id: &i32| {
        let stat = std::fs::read(format!("/proc/{id}/stat")).unwrap_or_default();
        parent_in(&stat) == Some(parent)
    })
    .map(Pid::from_raw)
}

/// The fourth field of `/proc/PID/stat`; the second, a name in parentheses, may hold anything.
fn parent_in(stat: &[u8]) -> Option<Pid> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
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
    fn the_parent_is_read_whatever_the_name() {
        let check = |stat: &str, expected: Option<i32>| {
            assert_eq!(parent_in(stat.as_bytes()), expected.map(Pid::from_raw), "{stat}");
        };
        check("7 (sh) S 3 7 7 0 -1", Some(3));
        check("7 (a) S 9 (b) c) Z 3 7", Some(3));
        check("7 (sh) S", None);
        check("", None);
        let own = std::fs::read("/proc/self/stat").unwrap();
        assert_eq!(parent_in(&own), Some(nix::unistd::getppid()));
    }

    #[test]
    fn children_are_found_among_all_processes() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let found = children_of(getpid()).any(|found| found == id);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found);
    }

    #[test]
    fn a_script_that_cannot_be_started_is_told() {
        assert!(run(&[]).is_err());
    }
}
