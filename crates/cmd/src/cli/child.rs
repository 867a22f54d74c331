//! Programs that a command runs: through a shell or not, with signals passed on.

use super::failure::Failure;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use std::process::ExitStatus;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// The program that some words name; with a shell they are one line for it.
pub fn command(words: &[String], shell: bool) -> Result<Command, String> {
    let mut command = match words {
        [] => return Err("need an executable to run".to_owned()),
        [program, arguments @ ..] if !shell => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        words => {
            let given = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
            let mut command = Command::new(given.unwrap_or_else(|| "/bin/sh".into()));
            command.arg("-c").arg(words.join(" "));
            command
        }
    };
    command.kill_on_drop(false);
    Ok(command)
}

/// Sends a signal to a child that was not waited for yet.
pub fn send(child: &Child, what: Signal) -> Result<(), String> {
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else { return Ok(()) };
    signal::kill(Pid::from_raw(id), what).map_err(|error| error.to_string())
}

/// What Go says of a child that did not end well.
pub fn ended(status: ExitStatus) -> Result<(), String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal().and_then(|n| Signal::try_from(n).ok())) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("exit status {code}")),
        (None, Some(signal)) => Err(format!("signal: {}", word(signal))),
        (None, None) => Err("it ended otherwise".to_owned()),
    }
}

fn word(signal: Signal) -> String {
    match signal {
        Signal::SIGTERM => "terminated".to_owned(),
        Signal::SIGKILL => "killed".to_owned(),
        Signal::SIGINT => "interrupt".to_owned(),
        Signal::SIGHUP => "hangup".to_owned(),
        other => other.as_str().to_owned(),
    }
}

/// Hears the signals that end a command, from the moment it is made.
pub struct Shutdown {
    interrupt: Signals,
    terminate: Signals,
}

impl Shutdown {
    /// Begins to listen; the signals no longer kill.
    pub fn listen() -> Result<Shutdown, Failure> {
        let of = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Shutdown {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
        }
    }
}

/// Hears the signals that a child is told of and this process survives.
pub struct Forwarded {
    hangup: Signals,
    user1: Signals,
    user2: Signals,
    quit: Signals,
}

impl Forwarded {
    /// Begins to listen.
    pub fn listen() -> Result<Forwarded, Failure> {
        let of = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Forwarded {
            hangup: of(SignalKind::hangup())?,
            user1: of(SignalKind::user_defined1())?,
            user2: of(SignalKind::user_defined2())?,
            quit: of(SignalKind::quit())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::SIGHUP,
            _ = self.user1.recv() => Signal::SIGUSR1,
            _ = self.user2.recv() => Signal::SIGUSR2,
            _ = self.quit.recv() => Signal::SIGQUIT,
        }
    }
}

/// Waits for a child, passing signals on to it.
pub async fn wait(child: &mut Child, forwarded: &mut Forwarded) -> Result<(), String> {
    loop {
        tokio::select! {
            status = child.wait() => {
                return status.map_err(|error| error.to_string()).and_then(ended);
            }
            what = forwarded.next() => {
                if let Err(why) = send(child, what) {
                    super::output::complain(&format!("Warning, could not forward signal: {why}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn an_end_is_told_as_go_tells_it() {
        assert_eq!(ended(ExitStatus::from_raw(0)), Ok(()));
        assert_eq!(ended(ExitStatus::from_raw(3 << 8)), Err("exit status 3".to_owned()));
        assert_eq!(ended(ExitStatus::from_raw(15)), Err("signal: terminated".to_owned()));
    }
}
