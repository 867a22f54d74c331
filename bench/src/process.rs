//! Ours and the peers as child processes: private directories, free ports, killed when dropped.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::http::Connection;

/// How long a server may take to answer.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Between two looks at a server that is not ready.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The peers, and the packages of Debian that bring them.
const PACKAGES: [(&str, &str); 3] =
    [("knotd", "knot"), ("etcd", "etcd-server"), ("nginx", "nginx-light")];

/// A server under measurement, with its directory.
pub struct Server {
    child: Child,
    directory: TempDir,
    /// Where it serves HTTP or gRPC (nothing, for a DNS server).
    pub http_port: u16,
    /// Where it serves DNS (nothing, for etcd).
    pub dns_port: u16,
}

impl Server {
    /// One durable server of ours, on the disk that holds the build.
    pub fn rutter() -> Result<Self> {
        Self::rutter_in(private_directory()?)
    }

    /// The same server again, from what it left on disk; killed, not asked to end.
    pub fn again(mut self) -> Result<Self> {
        self.end();
        let empty = private_directory()?;
        Self::rutter_in(std::mem::replace(&mut self.directory, empty))
    }

    fn rutter_in(directory: TempDir) -> Result<Self> {
        let binary = std::env::var_os("RUTTER_BIN").context("RUTTER_BIN names no binary")?;
        let (http_port, dns_port) = (free_port()?, free_port()?);
        let mut command = Command::new(binary);
        command
            .args(["agent", "-server", "-bootstrap-expect=1", "-node=bench", "-server-port=0"])
            .arg(format!("-data-dir={}", directory.path().join("data").display()))
            .arg(format!("-http-port={http_port}"))
            .arg(format!("-dns-port={dns_port}"));
        let child = start(&mut command, directory.path())?;
        let mut server = Self { child, directory, http_port, dns_port };
        server.wait(|server| has_leader(server.http_port))?;
        Ok(server)
    }

    /// `rutter dev`: in memory, with its sample service.
    pub fn dev() -> Result<Self> {
        let binary = std::env::var_os("RUTTER_BIN").context("RUTTER_BIN names no binary")?;
        let (http_port, dns_port) = (free_port()?, free_port()?);
        let directory = private_directory()?;
        let mut command = Command::new(binary);
        command
            .arg("dev")
            .arg(format!("-http-port={http_port}"))
            .arg(format!("-dns-port={dns_port}"));
        let child = start(&mut command, directory.path())?;
        let mut server = Self { child, directory, http_port, dns_port };
        server.wait(|server| has_leader(server.http_port))?;
        Ok(server)
    }

    /// Knot with one zone, as many threads as it likes.
    pub fn knot(zone: &str) -> Result<Self> {
        let directory = private_directory()?;
        let dns_port = free_port()?;
        let zone_file = directory.path().join("consul.zone");
        std::fs::write(&zone_file, zone).context("write the zone")?;
        let text = include_str!("../peers/knot.conf")
            .replace("{directory}", &directory.path().display().to_string())
            .replace("{port}", &dns_port.to_string());
        let configuration = directory.path().join("knot.conf");
        std::fs::write(&configuration, text).context("write knot.conf")?;
        let mut command = Command::new(found_in_sbin("knotd"));
        command.arg("-c").arg(&configuration);
        let child = start(&mut command, directory.path())?;
        Ok(Self { child, directory, http_port: 0, dns_port })
    }

    /// nginx with some files, by path and content, and as many workers as it likes.
    pub fn nginx(files: &[(String, Vec<u8>)]) -> Result<Self> {
        let directory = private_directory()?;
        let http_port = free_port()?;
        for (path, content) in files {
            let file = directory.path().join(format!("files{path}"));
            std::fs::create_dir_all(file.parent().context("a file lies in a directory")?)?;
            std::fs::write(&file, content).context("write an answer")?;
        }
        let text = include_str!("../peers/nginx.conf")
            .replace("{directory}", &directory.path().display().to_string())
            .replace("{user}", &own_name()?)
            .replace("{port}", &http_port.to_string());
        let configuration = directory.path().join("nginx.conf");
        std::fs::write(&configuration, text).context("write nginx.conf")?;
        let mut command = Command::new(found_in_sbin("nginx"));
        command.arg("-p").arg(directory.path()).arg("-c").arg(&configuration);
        let child = start(&mut command, directory.path())?;
        let mut server = Self { child, directory, http_port, dns_port: 0 };
        server.wait(|server| Ok(Connection::open(server.http_port)?.get("/").is_ok()))?;
        Ok(server)
    }

    /// etcd with one member and its default durability, on the same disk.
    pub fn etcd() -> Result<Self> {
        let directory = private_directory()?;
        let (http_port, peer_port) = (free_port()?, free_port()?);
        let client = format!("http://127.0.0.1:{http_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let mut command = Command::new(found_in_sbin("etcd"));
        command
            .args(["--name=bench", "--logger=zap", "--log-level=error"])
            .arg(format!("--data-dir={}", directory.path().join("data").display()))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=bench={peer}"));
        let child = start(&mut command, directory.path())?;
        let mut server = Self { child, directory, http_port, dns_port: 0 };
        server.wait(|server| is_healthy(server.http_port))?;
        Ok(server)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn end(&mut self) {
        // Workers notice that their master was killed only at the next request: they go first.
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let workers = std::fs::read_to_string(path).unwrap_or_default();
        if !workers.trim().is_empty() {
            drop(Command::new("kill").arg("-KILL").args(workers.split_whitespace()).status());
        }
        // Already dead is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Waits until `ready` says so; a server that ends meanwhile is an error with its last words.
    pub fn wait(&mut self, ready: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        let mut last = String::new();
        while began.elapsed() < READY_LIMIT {
            match ready(self) {
                Ok(true) => return Ok(()),
                Ok(false) => last = "not yet".into(),
                Err(error) => last = format!("{error:#}"),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended ({status}): {}", last_words(self.directory.path()));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        bail!("the server was not ready in {READY_LIMIT:?}: {last}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn has_leader(port: u16) -> Result<bool> {
    let (status, body) = Connection::open(port)?.get("/v1/status/leader")?;
    Ok(status == 200 && body.len() > 2)
}

fn is_healthy(port: u16) -> Result<bool> {
    let (status, body) = Connection::open(port)?.get("/health")?;
    Ok(status == 200 && body.windows(4).any(|part| part == b"true"))
}

fn start(command: &mut Command, directory: &Path) -> Result<Child> {
    let log = std::fs::File::create(directory.join("log")).context("create a log")?;
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let package = PACKAGES.iter().find(|(peer, _)| *peer == name);
    let hint = package.map_or(String::new(), |(_, package)| format!(" (of Debian's {package})"));
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("start {name}{hint}"))
}

fn last_words(directory: &Path) -> String {
    let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Beside our own binary, so that all servers write to the same disk.
fn private_directory() -> Result<TempDir> {
    let here = std::env::current_exe().context("where are we?")?;
    let here = here.parent().context("we lie in a directory")?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(here).context("make a directory")
}

/// A port that is free now for both TCP and UDP.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}

/// Who runs this: workers as somebody else could not read our files.
fn own_name() -> Result<String> {
    let own = Command::new("id").arg("-un").output().context("ask id who we are")?;
    Ok(String::from_utf8(own.stdout)?.trim().to_owned())
}

/// Debian's servers lie where an ordinary user's `PATH` does not look.
fn found_in_sbin(name: &str) -> PathBuf {
    let there = Path::new("/usr/sbin").join(name);
    if there.is_file() { there } else { PathBuf::from(name) }
}
