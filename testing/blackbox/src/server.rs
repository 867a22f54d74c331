//! Starts the real binary in a private directory on free ports, and ends it by its process id.
//!
//! The binary prints `ports: http=… dns=… server=…` on stdout once it listens; that line is how its ports are learned.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::binary::rutter;
use crate::http::Http;
use crate::tools::{self, Dug};
use crate::wait::{SOON, until};

/// The longest start: with a full log, and a processor that others use.
const START: Duration = Duration::from_secs(60);

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct Launch {
    before: Vec<OsString>,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Arc<TempDir>,
}

impl Launch {
    /// The binary with exactly these arguments and a directory of its own.
    pub fn bare(args: &[&str]) -> Launch {
        let dir = TempDir::with_prefix("rutter-").expect("the temporary directory can be written");
        let args = args.iter().map(OsString::from).collect();
        Launch { before: vec![], program: rutter().into(), args, env: vec![], dir: Arc::new(dir) }
    }

    /// An agent in memory, on free ports.
    pub fn dev() -> Launch {
        Launch::bare(&["agent", "-dev"]).on_free_ports()
    }

    /// A durable server of its own data directory.
    pub fn durable() -> Launch {
        let launch = Launch::bare(&[]);
        let data = launch.dir().join("data");
        launch.with_data(&data)
    }

    /// A durable server of that data directory.
    pub fn durable_at(data: &Path) -> Launch {
        Launch::bare(&[]).with_data(data)
    }

    fn with_data(self, data: &Path) -> Launch {
        self.args(&["agent", "-server", "-bootstrap-expect=1", "-data-dir"])
            .args(&[data])
            .on_free_ports()
    }

    fn on_free_ports(self) -> Launch {
        self.args(&[
            "-node",
            "n1",
            "-bind",
            "127.0.0.1",
            "-http-port",
            "0",
            "-dns-port",
            "0",
            "-server-port",
            "0",
        ])
    }

    /// More arguments.
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: &[S]) -> Launch {
        self.args.extend(args.iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// A configuration file, written now and given by `-config-file`.
    pub fn config(self, config: &Value) -> Launch {
        let file = self.dir().join("config.json");
        std::fs::write(&file, config.to_string()).expect("the private directory can be written");
        self.args(&["-config-file"]).args(&[file])
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Launch {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Words that stand before the program, such as `nsenter … --`; they must end in an exec of it.
    pub fn under(mut self, words: &[String]) -> Launch {
        self.before = words.iter().map(OsString::from).collect();
        self
    }

    /// Another path of the program, such as a link called `consul`.
    pub fn program(mut self, path: &Path) -> Launch {
        self.program = path.to_owned();
        self
    }

    /// The private directory; it lives as long as this launch or its server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the process and does not wait for anything.
    pub fn spawn(&self) -> Result<Process> {
        let words: Vec<&OsString> = self.before.iter().collect();
        let program = self.program.clone().into_os_string();
        let mut words = words.into_iter().chain([&program]).chain(&self.args);
        let mut command = Command::new(words.next().expect("the program is among the words"));
        command.args(words).envs(self.env.iter().map(|(n, v)| (n, v))).current_dir(self.dir());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let said = Said::default();
        let readers = [said.listen(child.stdout.take()), said.listen(child.stderr.take())];
        Ok(Process {
            child,
            said,
            readers: readers.into_iter().flatten().collect(),
            _dir: self.dir.clone(),
        })
    }

    /// Runs the program to its end, which must come soon: its status and all it said.
    pub fn run(&self) -> Result<(ExitStatus, String)> {
        let mut process = self.spawn()?;
        let status = process.wait_end(SOON)?;
        Ok((status, process.said()))
    }

    /// Starts a server and waits until it answers.
    pub fn start(&self) -> Result<Server> {
        self.listen()?.ready()
    }

    /// Starts a server and waits until it has printed its ports.
    pub fn listen(&self) -> Result<Server> {
        let mut process = self.spawn()?;
        let found =
            until("the line with its ports", START, || match Listening::read(&process.said()) {
                Ok(ports) => Ok(Ok(ports)),
                Err(nothing) => process.ended()?.map(|status| Err(Died(status))).ok_or(nothing),
            });
        let found = found.and_then(|ports| Ok(ports?));
        let ports = found.with_context(|| {
            format!("its threads:\n{}it said:\n{}", process.threads(), process.said())
        })?;
        Ok(Server { http: ports.http, dns: ports.dns, process })
    }
}

/// Where a process said that it listens.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// For HTTP.
    pub http: SocketAddr,
    /// For DNS.
    pub dns: SocketAddr,
}

impl Listening {
    /// Finds the line with the ports in what a process said.
    pub fn read(said: &str) -> Result<Listening> {
        let line = said.lines().find(|l| l.trim_start().starts_with("ports:"));
        let line = line.context("nothing of ports")?;
        Ok(Listening { http: address(line, "http=")?, dns: address(line, "dns=")? })
    }
}

fn address(line: &str, name: &str) -> Result<SocketAddr> {
    let word = line.split_whitespace().find_map(|w| w.strip_prefix(name));
    let word = word.with_context(|| format!("no {name} in {line:?}"))?;
    word.trim_end_matches(',').parse().with_context(|| format!("{name}{word}"))
}

/// Everything a process wrote, line by line, both outputs together.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<String>>);

impl Said {
    fn listen<R: Read + Send + 'static>(
        &self,
        from: Option<R>,
    ) -> Option<std::thread::JoinHandle<()>> {
        let (all, from) = (self.0.clone(), from?);
        Some(std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let mut all = all.lock().expect("no thread panics while it holds this");
                all.push_str(&String::from_utf8_lossy(&line));
                all.push('\n');
            }
        }))
    }
}

/// A process ended before it answered.
#[derive(Debug, Clone, Copy)]
pub struct Died(pub ExitStatus);

impl std::fmt::Display for Died {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the process ended: {}", self.0)
    }
}

impl std::error::Error for Died {}

impl Died {
    /// Was it killed by a signal, rather than ended by itself?
    pub fn killed(error: &anyhow::Error) -> bool {
        error.downcast_ref::<Died>().is_some_and(|died| died.0.code().is_none())
    }
}

/// A started process; dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: Said,
    readers: Vec<std::thread::JoinHandle<()>>,
    _dir: Arc<TempDir>,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has written so far.
    pub fn said(&self) -> String {
        self.said.0.lock().expect("no thread panics while it holds this").clone()
    }

    /// Waits until it has written all these words; what it has written then. Its words may come later than what they
    /// tell of, since others carry them.
    pub fn until_said(&self, words: &[&str]) -> Result<String> {
        until("what it says", SOON, || {
            let said = self.said();
            match words.iter().find(|word| !said.contains(**word)) {
                Some(missing) => Err(anyhow!("{missing:?} is not in:\n{said}")),
                None => Ok(said),
            }
        })
    }

    /// Its status, when it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.pid().try_into()?), signal)?)
    }

    /// Whether a signal has stopped it.
    pub fn stands_still(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
    }

    /// Waits for its end and for the last of its words.
    pub fn wait_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let ended = until("the end of the process", limit, || {
            self.child.try_wait()?.ok_or_else(|| anyhow!("it still runs"))
        });
        let status = ended.with_context(|| format!("it said:\n{}", self.said()))?;
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        Ok(status)
    }

    /// Each thread's name, state, and times on the processor, to tell one that hangs from one that is starved.
    fn threads(&self) -> String {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten();
        let stat = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat")).ok();
        let stats = tasks.flatten().filter_map(stat);
        let lines = stats.filter_map(|stat| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
            let fields: Vec<&str> = rest.split(' ').collect();
            let (state, user, system) = (fields.first()?, fields.get(11)?, fields.get(12)?);
            Some(format!("  {name}: {state}, {user} and {system} ticks in user and system mode\n"))
        });
        lines.collect()
    }

    /// A figure of `/proc/PID/status` in KiB, such as `VmRSS`.
    pub fn memory_kib(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        let words = line.with_context(|| format!("no {name}"))?;
        Ok(words.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() || std::env::var_os("RUTTER_SAID").is_some() {
            eprintln!("---- process {} said:\n{}----", self.pid(), self.said());
        }
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    /// Where it answers HTTP.
    pub http: SocketAddr,
    /// Where it answers DNS.
    pub dns: SocketAddr,
    /// The process.
    pub process: Process,
}

impl Server {
    /// A client with a connection of its own.
    pub fn client(&self) -> Http {
        Http::new(self.http)
    }

    /// Asks it with `dig`.
    pub fn dig(&self, words: &str) -> Result<Dug> {
        tools::dig(self.dns, words)
    }

    /// Asks it with `curl`; the body must come with status 200.
    pub fn curl(&self, path: &str, args: &[&str]) -> Result<String> {
        let (body, status) = tools::curl(self.http, path, args)?;
        ensure!(status == 200, "curl {args:?} {path}: {status} {body}");
        Ok(body)
    }

    /// Waits until it leads and shows itself as healthy.
    pub fn ready(mut self) -> Result<Server> {
        let ready = until("a server that answers", START, || {
            if let Some(status) = self.process.ended()? {
                return Ok(Err(Died(status)));
            }
            let rows = Http::new(self.http).get_json("/v1/health/service/consul?passing")?;
            ensure!(
                rows.as_array().is_some_and(|r| !r.is_empty()),
                "no passing consul service: {rows}"
            );
            Ok(Ok(()))
        });
        let ready = ready.and_then(|ready| Ok(ready?));
        ready.with_context(|| format!("it said:\n{}", self.process.said()))?;
        Ok(self)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) -> Result<()> {
        self.process.child.kill()?;
        self.process.wait_end(SOON).map(drop)
    }

    /// Ends it with TERM; it must go at once, with status 0.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait_end(SOON)?;
        if !status.success() {
            bail!("{status}; it said:\n{}", self.process.said());
        }
        Ok(())
    }
}
