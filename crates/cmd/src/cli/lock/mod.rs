//! `rutter lock`: run a program while holding a lock, or one of several places of a semaphore.
//!
//! What is written to the store is what Consul's own clients write, so that both exclude each other:
//! `mutex` and `semaphore` have the two protocols, `session` keeps the session alive beneath them.

mod mutex;
mod semaphore;
mod session;

use super::child::{self, Forwarded, Shutdown};
use super::client::{self, Client};
use super::failure::{Failure, Outcome};
use super::flags::{ClientFlags, ServerFlags};
use super::output;
use clap::{ArgAction, Args};
use mutex::Mutex;
use nix::sys::signal::Signal;
use semaphore::Semaphore;
use session::Session;
use std::future::pending;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Child;
use tokio::time::{Instant, timeout};

/// How long a child may take to end once the lock is lost.
const GRACE: Duration = Duration::from_secs(5);

/// How long between two looks at a lock that the agent could not answer for.
const RETRY: Duration = Duration::from_secs(1);

/// How long one question for the lock waits.
const WAIT: Duration = Duration::from_secs(15);

/// Runs a program while holding a lock.
#[derive(Args)]
#[command(
    long_about = "Takes a lock at PREFIX, runs a program, and gives the lock back when the program ended. If the \
                  lock is lost the program gets SIGTERM, and SIGKILL 5 s later. With -n more than one holder may run.",
    after_help = "Examples:\n  $ rutter lock backup/nightly 'echo only one at a time'\n  \
                  $ rutter lock -n=3 -shell=false workers echo 'at most three'\n  \
                  $ rutter lock -timeout=10s -child-exit-code deploy ./deploy.sh"
)]
pub struct Lock {
    /// Exit with 2 if the program failed
    #[arg(long)]
    child_exit_code: bool,
    /// How many may hold it at a time
    #[arg(long = "n", value_name = "NUMBER", default_value_t = 1)]
    limit: i64,
    /// How often the agent may fail to answer, a second apart, before the lock counts as lost
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    monitor_retry: i64,
    /// The name of the session; made from the program by default
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Give stdin to the program
    #[arg(long)]
    pass_stdin: bool,
    /// Run it through $SHELL or /bin/sh; on by default
    #[arg(long, action = ArgAction::Set, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", value_parser = super::go_bool)]
    shell: bool,
    /// Give up after so long, such as 10s; never by default
    #[arg(long, value_name = "DURATION", alias = "try", default_value = "0", hide_default_value = true,
          value_parser = duration)]
    timeout: i64,
    /// Say what happens
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    client: ClientFlags,
    #[command(flatten)]
    server: ServerFlags,
    /// Where the lock is kept, and the program with its arguments
    #[arg(value_names = ["PREFIX", "PROGRAM"], num_args = 0.., allow_hyphen_values = true)]
    words: Vec<String>,
}

fn duration(text: &str) -> Result<i64, String> {
    lang::duration::parse(text).map_err(|error| error.to_string())
}

/// Either kind of lock.
enum Held<'c> {
    Mutex(Mutex<'c>),
    Semaphore(Semaphore<'c>),
}

impl Lock {
    /// Takes the lock, runs the program, gives the lock back.
    pub fn run(self) -> Outcome {
        if self.limit <= 0 {
            return Err("Lock holder limit must be positive".into());
        }
        let [prefix, program @ ..] = self.words.as_slice() else {
            return Err("Key prefix and child command must be specified".into());
        };
        if program.is_empty() {
            return Err("Key prefix and child command must be specified".into());
        }
        if self.timeout < 0 {
            return Err("Timeout must be positive".into());
        }
        if self.monitor_retry < 0 {
            return Err("Number for 'monitor-retry' must be >= 0".into());
        }
        let prefix = prefix.strip_prefix('/').unwrap_or(prefix).trim_end_matches('/');
        let client = self.client.client()?;
        client::run(self.hold(&client, prefix, program))
    }

    fn verbose(&self, line: &str) {
        if self.verbose {
            output::say(line);
        }
    }

    async fn hold(&self, client: &Client, prefix: &str, program: &[String]) -> Outcome {
        let mut shutdown = Shutdown::listen()?;
        client.node_name().await?;
        let name = match self.name.as_str() {
            "" => format!("Consul lock for '{}' at '{prefix}'", program.join(" ")),
            name => name.to_owned(),
        };
        let query = self.server.write();
        let session = Session::begin(client, &name, &query).await;
        let session = session.map_err(|why| format!("Lock acquisition failed: {why}"))?;
        let renewing = session.renew();
        tokio::pin!(renewing);
        // Kept alive beneath everything; when it is gone, so is the lock.
        let done = tokio::select! {
            done = self.under(&session, prefix, program, &mut shutdown) => done,
            never = &mut renewing => match never {},
        };
        session.end().await;
        done
    }

    async fn under(
        &self,
        session: &Session<'_>,
        prefix: &str,
        program: &[String],
        shutdown: &mut Shutdown,
    ) -> Outcome {
        let key = below(prefix, ".lock");
        let held = if self.limit == 1 {
            self.verbose(&format!("Setting up lock at path: {key}"));
            Held::Mutex(Mutex::new(session, key))
        } else {
            let limit = self.limit;
            self.verbose(&format!("Setting up semaphore (limit {limit}) at prefix: {prefix}"));
            Held::Semaphore(Semaphore::new(session, prefix, limit))
        };
        self.verbose("Attempting lock acquisition");
        let until = u64::try_from(self.timeout).ok().filter(|nanos| *nanos > 0);
        let until = until.map(|nanos| Instant::now() + Duration::from_nanos(nanos));
        let taken = tokio::select! {
            taken = held.take(until) => taken,
            _ = shutdown.next() => Ok(false),
        };
        match taken {
            Err(why) => {
                held.give_up().await;
                return Err(format!("Lock acquisition failed: {why}").into());
            }
            Ok(false) => {
                held.give_up().await;
                return Err("Shutdown triggered or timeout during lock acquisition".into());
            }
            Ok(true) => {}
        }
        let failed = self.run_child(&held, program, shutdown).await;
        self.give_back(&held).await?;
        match failed && self.child_exit_code {
            true => Err(Failure::silent(2)),
            false => Ok(()),
        }
    }

    /// Runs the program as long as the lock is held; did it fail?
    async fn run_child(
        &self,
        held: &Held<'_>,
        program: &[String],
        shutdown: &mut Shutdown,
    ) -> bool {
        self.verbose("Starting handler");
        let mut child = match self.start(program) {
            Ok(child) => child,
            Err(why) => {
                output::complain(&format!("Error starting handler: {why}"));
                return true;
            }
        };
        let retries = u32::try_from(self.monitor_retry).unwrap_or(u32::MAX);
        let mut forwarded = match Forwarded::listen() {
            Ok(forwarded) => forwarded,
            Err(why) => {
                output::complain(&why.text);
                return true;
            }
        };
        tokio::select! {
            ended = child::wait(&mut child, &mut forwarded) => {
                if let Err(why) = &ended {
                    output::complain(&format!("Error running handler: {why}"));
                }
                self.verbose("Child terminated, releasing lock");
                return ended.is_err();
            }
            () = held.lost(retries) => self.verbose("Lock lost, killing child"),
            _ = shutdown.next() => self.verbose("Shutdown triggered, killing child"),
        }
        self.kill(&mut child).await;
        false
    }

    fn start(&self, program: &[String]) -> Result<Child, String> {
        let mut command = child::command(program, self.shell)?;
        command.env("CONSUL_LOCK_HELD", "true");
        command.stdin(if self.pass_stdin { Stdio::inherit() } else { Stdio::null() });
        command.spawn().map_err(|error| error.to_string())
    }

    async fn kill(&self, child: &mut Child) {
        let id = child.id().unwrap_or_default();
        self.verbose(&format!("Terminating child pid {id}"));
        if let Err(why) = child::send(child, Signal::SIGTERM) {
            output::complain(&format!("Failed to terminate {id}: {why}"));
        }
        if timeout(GRACE, child.wait()).await.is_ok() {
            self.verbose("Child terminated");
            return;
        }
        self.verbose("Child did not exit after grace period of 5s");
        self.verbose(&format!("Killing child pid {id}"));
        if let Err(why) = child.kill().await {
            output::complain(&format!("Failed to kill {id}: {why}"));
        }
    }

    async fn give_back(&self, held: &Held<'_>) -> Outcome {
        held.release().await.map_err(|why| format!("Lock release failed: {why}"))?;
        match held.clean_up().await {
            Ok(true) => self.verbose("Cleanup succeeded"),
            Ok(false) => self.verbose("Cleanup aborted, lock in use"),
            Err(why) => return Err(format!("Lock cleanup failed: {why}").into()),
        }
        Ok(())
    }
}

impl Held<'_> {
    async fn take(&self, until: Option<Instant>) -> Result<bool, String> {
        match self {
            Held::Mutex(mutex) => mutex.take(until).await,
            Held::Semaphore(semaphore) => semaphore.take(until).await,
        }
    }

    /// Waits until it is no longer held.
    async fn lost(&self, retries: u32) {
        let mut left = retries;
        let mut index = 0;
        loop {
            let looked = match self {
                Held::Mutex(mutex) => mutex.is_held(index).await,
                Held::Semaphore(semaphore) => semaphore.is_held(index).await,
            };
            match looked {
                Ok(Some(seen)) => {
                    left = retries;
                    index = seen;
                }
                Ok(None) => return,
                Err(why) if left > 0 && why.may_pass() => {
                    left -= 1;
                    index = 0;
                    tokio::time::sleep(RETRY).await;
                }
                Err(_) => return,
            }
        }
    }

    async fn release(&self) -> Result<(), String> {
        match self {
            Held::Mutex(mutex) => mutex.release().await,
            Held::Semaphore(semaphore) => semaphore.release().await,
        }
    }

    /// Leaves nothing behind of an attempt that did not succeed.
    async fn give_up(&self) {
        if let Held::Semaphore(semaphore) = self {
            semaphore.withdraw().await;
        }
    }

    /// Removes the key unless somebody else uses it; was it removed?
    async fn clean_up(&self) -> Result<bool, String> {
        match self {
            Held::Mutex(mutex) => mutex.clean_up().await,
            Held::Semaphore(semaphore) => semaphore.clean_up().await,
        }
    }
}

/// A key below a prefix, which may be empty.
fn below(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// How long to wait at most, given when to give up; nothing if that is now.
fn wait(until: Option<Instant>) -> Option<Duration> {
    let Some(until) = until else { return Some(WAIT) };
    let left = until.saturating_duration_since(Instant::now());
    (!left.is_zero()).then(|| left.min(WAIT))
}

/// Sleeps, but not longer than until it is time to give up.
async fn pause(length: Duration, until: Option<Instant>) {
    let over = async {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = tokio::time::sleep(length) => {}
        () = over => {}
    }
}
