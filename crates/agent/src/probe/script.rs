//! Scripts: exit code 0 passes, 1 warns, all else is critical.
//!
//! Each runs without a shell, under a guard (`crate::guard`) and in a process group of its own. All
//! that it has started is killed when the time is over, when the script has ended and left something
//! running, and when this agent ends, in whatever way. The guard does it, since it finds what has left
//! the group too; the agent only closes its end of the socket, and kills the group where the guard
//! could not.

use super::tail::Tail;
use super::{Limits, Observation, Probe};
use crate::guard::{self, Message};
use model::{CheckDefinition, Status};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use seams::BoxFuture;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a script may run where its check does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// This program, as it was started, even if its file was replaced since.
const OURSELVES: &str = "/proc/self/exe";

/// How long the last output of a group that was killed is waited for: what was left alive may hold the
/// pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a guard may take to end what it guards, before its group is killed over its head.
const END_LIMIT: Duration = guard::SWEEP_LIMIT.saturating_mul(2);

/// The longest message of a guard.
const MAX_MESSAGE: usize = 64;

/// The script probe.
pub const PROBE: Probe = Probe {
    name: "script",
    asked: |check| !check.script_args.is_empty() && check.docker_container_id.is_empty(),
    run,
};

fn run(definition: Arc<CheckDefinition>, limits: Limits) -> BoxFuture<'static, Observation> {
    Box::pin(async move {
        match Guarded::start(&definition, limits.output) {
            Ok(guarded) => guarded.finish(&definition, limits.timeout).await,
            Err(error) => Observation::critical(format!(
                "the guard of the script could not be started from {OURSELVES}: {error}"
            )),
        }
    })
}

/// A running script with its guard.
struct Guarded {
    group: Group,
    guard: UnixStream,
    output: pipe::Receiver,
    said: Tail,
}

impl Guarded {
    fn start(definition: &CheckDefinition, limit: usize) -> io::Result<Guarded> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (output, written) = io::pipe()?;
        let mut command = Command::new(OURSELVES);
        command
            .arg0("rutter")
            .arg(guard::WORD)
            .args(definition.script_args.iter().map(|word| word.as_str()))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(written.try_clone()?)
            .stderr(written)
            .process_group(0);
        Ok(Guarded {
            group: Group(command.spawn()?),
            guard: UnixStream::from_std(ours)?,
            output: pipe::Receiver::from_owned_fd(output.into())?,
            said: Tail::new(limit),
        })
    }

    async fn finish(mut self, definition: &CheckDefinition, limit: Duration) -> Observation {
        let ended = timeout(limit, self.ended()).await;
        if ended.is_err() {
            // The guard ends everything, and itself last: with it goes its end of the socket.
            let _ = self.guard.shutdown().await;
            let _ = timeout(END_LIMIT, self.ended()).await;
        }
        // Before the guard is waited for: until then nobody else can have the group's number.
        self.group.kill();
        let last = async { while hear(&mut self.output, &mut self.said).await {} };
        let _ = timeout(LAST_WORDS, last).await;
        let _ = self.group.0.wait().await;
        let said = self.said.captured();
        match ended {
            Ok(Some(Message::Exited(0))) => Observation { status: Status::Passing, output: said },
            Ok(Some(Message::Exited(1))) => Observation { status: Status::Warning, output: said },
            Ok(Some(Message::Exited(_) | Message::Signalled(_))) => Observation::critical(said),
            Ok(Some(Message::NotStarted(number))) => {
                let error = io::Error::from_raw_os_error(number);
                Observation::critical(not_started(definition, &error))
            }
            Ok(None) => Observation::critical("the guard of the script was killed"),
            Err(_) => Observation::critical(timed_out(limit, &said)),
        }
    }

    /// Listens until the guard tells the end, or is gone.
    async fn ended(&mut self) -> Option<Message> {
        let Guarded { guard, output, said, .. } = self;
        let mut line = Vec::new();
        let mut open = true;
        while line.len() < MAX_MESSAGE {
            let mut part = [0; MAX_MESSAGE];
            tokio::select! {
                read = guard.read(&mut part) => match read {
                    Ok(length) if length > 0 => line.extend_from_slice(&part[..length]),
                    _ => break,
                },
                more = hear(output, said), if open => open = more,
            }
        }
        Message::read(std::str::from_utf8(&line).ok()?)
    }
}

/// Takes some output; says whether there may be more.
async fn hear(output: &mut pipe::Receiver, said: &mut Tail) -> bool {
    let mut chunk = [0; 4096];
    match output.read(&mut chunk).await {
        Ok(0) | Err(_) => false,
        Ok(length) => {
            said.push(&chunk[..length]);
            true
        }
    }
}

/// A guard that was not waited for, and all that runs in its group.
///
/// It is not killed where it is dropped: the socket closes then, and the guard ends everything.
struct Group(Child);

impl Group {
    fn kill(&self) {
        // Without an id it was waited for, and the number may be somebody else's.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            // Fails only where all of it has ended.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

fn timed_out(limit: Duration, said: &str) -> String {
    let nanos = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
    let text = format!("Timed out ({}) running check", lang::duration::format(nanos));
    if said.is_empty() { text } else { format!("{text}\n\n{said}") }
}

/// What Go says of a program that cannot be started.
fn not_started(definition: &CheckDefinition, error: &io::Error) -> String {
    let program = definition.script_args.first().map_or("", |word| word.as_str());
    let why = match error.kind() {
        io::ErrorKind::NotFound if !program.contains('/') => {
            let program = lang::quote(program);
            return format!("exec: {program}: executable file not found in $PATH");
        }
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    format!("fork/exec {program}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_out_of_time_shows_what_it_said_until_then() {
        let half_a_minute = Duration::from_secs(30);
        assert_eq!(timed_out(half_a_minute, ""), "Timed out (30s) running check");
        assert_eq!(timed_out(half_a_minute, "x"), "Timed out (30s) running check\n\nx");
        assert_eq!(timed_out(Duration::from_millis(1500), ""), "Timed out (1.5s) running check");
    }

    #[test]
    fn a_program_that_cannot_be_started_is_named() {
        let check = |program: &str, number, expected: &str| {
            let definition =
                CheckDefinition { script_args: vec![program.into()], ..Default::default() };
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(not_started(&definition, &error), expected);
        };
        check("nope", 2, "exec: \"nope\": executable file not found in $PATH");
        check("/nope", 2, "fork/exec /nope: no such file or directory");
        check("/etc/passwd", 13, "fork/exec /etc/passwd: permission denied");
    }
}
