//! Patroni keeps one leader of two PostgreSQL servers by a session and a lock here, and registers both as a service.
//!
//! The members run `examples/patroni/patroni.yml`, with names, ports and directories of their own. PostgreSQL does not
//! run as root, so root starts them as the user `postgres`, with a copy of Patroni that this user can read.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blackbox::binary::workspace;
use blackbox::server::{Launch, Process, Server};
use blackbox::tools::{curl, present, printed, skip};
use blackbox::wait::{SOON, until_at_ease, until_true};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use serde_json::Value;
use tempfile::TempDir;

/// For a step in which PostgreSQL is set up, or the time of a session runs out, on a machine that others use.
const LONG: Duration = Duration::from_secs(120);

/// Patroni's name of a primary in the DNS, and of one that follows.
const LEADER: &str = "master.orders.service.consul";
const FOLLOWER: &str = "replica.orders.service.consul";

#[test]
fn patroni_keeps_one_leader_through_a_restart_a_kill_and_a_switchover() -> Result<()> {
    let test = "patroni_keeps_one_leader_through_a_restart_a_kill_and_a_switchover";
    if !present(test, &["curl", "dig", "psql", "python3"]) {
        return Ok(());
    }
    let Some(packages) = crate::clients::installed(test, "patroni") else { return Ok(()) };
    let Some(postgresql) = newest_postgresql() else {
        skip(test, "no server of PostgreSQL in /usr/lib/postgresql");
        return Ok(());
    };
    let user = if geteuid().is_root() { User::from_name("postgres")? } else { None };
    if geteuid().is_root() && user.is_none() {
        skip(test, "PostgreSQL does not run as root, and there is no user postgres");
        return Ok(());
    }
    let host = Host { packages: readable(&packages)?, postgresql, user };

    let data = TempDir::with_prefix("rutter-")?;
    let ports = [free_port()?.to_string(), free_port()?.to_string()];
    let launch = Launch::durable_at(data.path());
    let launch = launch.args(&["-http-port", &ports[0], "-dns-port", &ports[1]]);
    let server = launch.start()?;
    let mut pair = Pair {
        members: [host.member("orders1", server.http)?, host.member("orders2", server.http)?],
        launch,
        server: Some(server),
    };
    let outcome = live(&mut pair);
    outcome.with_context(|| pair.said())
}

/// Waits for a state. Probes that start programs would take the processor from the programs that they wait for.
fn awaits<T>(what: &str, probe: impl FnMut() -> Result<T>) -> Result<T> {
    until_at_ease(what, LONG, Duration::from_millis(300), probe)
}

/// The whole story. Each step waits for a state; what must hold meanwhile stands beside it.
fn live(pair: &mut Pair) -> Result<()> {
    for member in &mut pair.members {
        member.start()?;
    }
    let first = awaits("a first leader", || pair.hold())?;
    pair.settles(&first.name, "00000001", "create table kept (step text)")?;

    restart_without_a_change(pair, &first)?;
    pair.settles(&first.name, "00000001", "insert into kept values ('restarted')")?;

    // Other times make Patroni take another session, and hand its key over from one to the other.
    pair.patroni(&first.name, "PATCH", "/config", r#"{"ttl": 20, "retry_timeout": 9}"#)?;
    let second = awaits("the same leader with a session of half of 20 s", || {
        let hold = pair.hold()?;
        ensure!(hold.name == first.name && hold.session != first.session, "{hold:?}");
        let session =
            pair.server()?.client().get_json(&format!("/v1/session/info/{}", hold.session))?;
        ensure!(session[0]["TTL"] == "10.0s" || session[0]["TTL"] == "10s", "{session}");
        Ok(hold)
    })?;
    pair.settles(&first.name, "00000001", "insert into kept values ('other times')")?;

    let other = pair.other(&second.name)?.name;
    pair.member_mut(&second.name)?.kill()?;
    awaits("another leader than the one killed", || {
        let hold = pair.hold()?;
        ensure!(hold.name == other, "{hold:?}");
        Ok(())
    })?;
    awaits("the new leader's data and name", || {
        let kept = pair.member(other)?.sql("select count(*) from kept")?;
        ensure!(kept == "3", "{kept} rows are left of 3");
        pair.is_named(LEADER, other)
    })?;
    pair.member_mut(&second.name)?.start()?;
    pair.settles(other, "00000002", "insert into kept values ('killed')")?;

    let wish = format!(r#"{{"leader": "{other}", "candidate": "{}"}}"#, first.name);
    pair.patroni(other, "POST", "/switchover", &wish)?;
    awaits("the leader that was asked for", || {
        let hold = pair.hold()?;
        ensure!(hold.name == first.name, "{hold:?}");
        Ok(())
    })?;
    pair.settles(&first.name, "00000003", "insert into kept values ('switched')")?;
    let kept = pair.member(other)?.sql("select string_agg(step, ', ') from kept")?;
    ensure!(kept == "while away, restarted, other times, killed, switched", "{kept}");

    go_in_order(pair, other, &first.name)
}

/// Ends rutter and starts it again on the same data. The leader keeps its key by the same hold, and leads meanwhile.
fn restart_without_a_change(pair: &mut Pair, before: &Hold) -> Result<()> {
    let at = pair.server()?.http;
    pair.server.take().context("it runs")?.stop()?;
    turn_away(at, 6)?;
    pair.member(&before.name)?.sql("insert into kept values ('while away')")?;
    pair.server = Some(pair.launch.start()?);
    let again = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    for member in &pair.members {
        awaits("a member that has seen the server since", || {
            let seen = member.patroni("GET", "/patroni", "")?["dcs_last_seen"].as_u64();
            ensure!(seen > Some(again), "{}: {seen:?}, restarted at {again}", member.name);
            Ok(())
        })?;
    }
    let after = pair.hold()?;
    ensure!(*before == after, "{before:?} became {after:?}");
    Ok(())
}

/// Stands in for the stopped server: hangs up on so many connections, so that members have missed it.
fn turn_away(at: SocketAddr, connections: usize) -> Result<()> {
    let door = TcpListener::bind(at)?;
    for _ in 0..connections {
        drop(door.accept()?);
    }
    Ok(())
}

/// A member that ends in order takes its service away, by an id with a slash in it; a leader its key too.
fn go_in_order(pair: &mut Pair, follower: &str, leader: &str) -> Result<()> {
    for (name, left) in [(follower, 1), (leader, 0)] {
        pair.member_mut(name)?.stop()?;
        let services = pair.server()?.client().get_json("/v1/catalog/service/orders")?;
        ensure!(services.as_array().is_some_and(|s| s.len() == left), "{name}: {services}");
    }
    let key = pair.server()?.client().get("/v1/kv/service/orders/leader")?;
    ensure!(key.status == 404, "the leader's key: {} {}", key.status, key.text());
    Ok(())
}

/// Who holds the leader's key, and by which acquisition of it.
#[derive(Debug, PartialEq)]
struct Hold {
    name: String,
    session: String,
    lock_index: Option<u64>,
}

/// The members and their rutter.
struct Pair {
    members: [Member; 2],
    launch: Launch,
    server: Option<Server>,
}

impl Pair {
    fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("rutter is stopped just now")
    }

    fn member(&self, name: &str) -> Result<&Member> {
        self.members.iter().find(|m| m.name == name).with_context(|| format!("no {name}"))
    }

    fn member_mut(&mut self, name: &str) -> Result<&mut Member> {
        self.members.iter_mut().find(|m| m.name == name).with_context(|| format!("no {name}"))
    }

    fn other(&self, name: &str) -> Result<&Member> {
        self.members.iter().find(|m| m.name != name).context("there are two")
    }

    fn patroni(&self, name: &str, method: &str, path: &str, body: &str) -> Result<Value> {
        self.member(name)?.patroni(method, path, body)
    }

    /// The leader's key as it is; an error when nobody holds it.
    fn hold(&self) -> Result<Hold> {
        let rows = self.server()?.client().get_json("/v1/kv/service/orders/leader")?;
        let session = rows[0]["Session"].as_str().with_context(|| format!("not held: {rows}"))?;
        let name = STANDARD.decode(rows[0]["Value"].as_str().unwrap_or_default())?;
        let name = String::from_utf8(name)?;
        Ok(Hold { name, session: session.into(), lock_index: rows[0]["LockIndex"].as_u64() })
    }

    /// Waits until that member leads on that timeline, the other streams from it, and both have their names in the
    /// DNS; then writes with the leader, and waits until the other has it.
    fn settles(&self, leader: &str, timeline: &str, statement: &str) -> Result<()> {
        let (leads, follows) = (self.member(leader)?, self.other(leader)?);
        awaits(&format!("{leader} to lead and to be followed"), || {
            let now = leads.sql("select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")?;
            ensure!(now == timeline, "{leader} is on timeline {now}");
            let state = leads.sql("select state from pg_stat_replication")?;
            ensure!(state == "streaming", "replication: {state:?}");
            self.is_named(LEADER, leader)?;
            self.is_named(FOLLOWER, follows.name)
        })?;
        leads.sql(statement)?;
        let written = leads.sql("select pg_current_wal_lsn()")?;
        awaits("the other to have what was written", || {
            let far = format!("select pg_last_wal_replay_lsn() >= '{written}'");
            ensure!(follows.sql(&far)? == "t", "not at {written}");
            Ok(())
        })
    }

    /// Is that member, and no other, behind the name?
    fn is_named(&self, name: &str, member: &str) -> Result<()> {
        let told = self.server()?.dig(&format!("{name} SRV"))?;
        let ports: Vec<_> = told.answer.iter().filter_map(|r| r.split(' ').nth(6)).collect();
        let wanted = self.member(member)?.port.to_string();
        ensure!(ports == [&wanted], "{name}: {told:?}, but {member} is at {wanted}");
        Ok(())
    }

    fn said(&self) -> String {
        let servers = self.server.iter().map(|s| format!("rutter said:\n{}", s.process.said()));
        servers.chain(self.members.iter().map(Member::said)).collect()
    }
}

/// One PostgreSQL under one Patroni.
struct Member {
    name: &'static str,
    /// PostgreSQL's port.
    port: u16,
    /// Patroni's own HTTP.
    api: SocketAddr,
    data: PathBuf,
    launch: Launch,
    process: Option<Process>,
}

impl Member {
    fn start(&mut self) -> Result<()> {
        self.process = Some(self.launch.spawn()?);
        Ok(())
    }

    /// One statement's result, without ornaments.
    fn sql(&self, statement: &str) -> Result<String> {
        let mut psql = Command::new("psql");
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-XAtqc"]);
        psql.arg(statement).envs([("PGPASSWORD", "change-me"), ("PGCONNECT_TIMEOUT", "5")]);
        Ok(printed(psql)?.trim().to_owned())
    }

    /// An exchange with Patroni, which must like it. The body may be JSON or a sentence.
    fn patroni(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let words = ["-X", method, "-u", "patroni:change-me", "-d", body];
        let (text, status) = curl(self.api, path, &words[..if body.is_empty() { 4 } else { 6 }])?;
        ensure!(status == 200, "{} {method} {path}: {status} {text}", self.name);
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The PostgreSQL that runs on this member's data, whoever its parent is now.
    fn postmaster(&self) -> Option<Pid> {
        let file = std::fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let pid: i32 = file.lines().next()?.trim().parse().ok()?;
        // The file outlives a killed server, and its number may be somebody else's by now.
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        line.contains(self.data.to_str()?).then(|| Pid::from_raw(pid))
    }

    /// Kills Patroni, then PostgreSQL, which has no time for a word to anybody.
    fn kill(&mut self) -> Result<()> {
        let mut patroni = self.process.take().context("it runs")?;
        let postmaster = self.postmaster().context("it has a PostgreSQL")?;
        patroni.signal(Signal::SIGKILL)?;
        kill(postmaster, Signal::SIGKILL)?;
        patroni.wait_end(SOON).map(drop)
    }

    /// Ends Patroni by TERM, which ends PostgreSQL first.
    fn stop(&mut self) -> Result<()> {
        let patroni = self.process.as_mut().context("it runs")?;
        patroni.signal(Signal::SIGTERM)?;
        let status = patroni.wait_end(LONG)?;
        ensure!(status.success(), "{}: {status}", self.name);
        ensure!(self.postmaster().is_none(), "{}: PostgreSQL still runs", self.name);
        Ok(())
    }

    fn said(&self) -> String {
        let said = self.process.as_ref().map(Process::said).unwrap_or_default();
        format!("{} said:\n{said}", self.name)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // First Patroni: it would start PostgreSQL again.
        drop(self.process.take());
        if let Some(postmaster) = self.postmaster() {
            let _ = kill(postmaster, Signal::SIGQUIT);
            let _ = until_true("PostgreSQL's end", SOON, || self.postmaster().is_none());
        }
    }
}

/// What is installed here, for all members.
struct Host {
    packages: TempDir,
    postgresql: PathBuf,
    /// Whom root starts them as.
    user: Option<User>,
}

impl Host {
    fn member(&self, name: &'static str, server: SocketAddr) -> Result<Member> {
        let (port, api) = (free_port()?, SocketAddr::from(([127, 0, 0, 1], free_port()?)));
        let mut launch = Launch::bare(&["-B", "-m", "patroni", "patroni.yml"])
            .program(Path::new("python3"))
            .env("PYTHONPATH", self.packages.path().join("patroni"));
        let own = launch.dir().to_path_buf();
        let data = own.join("data");
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path of text");
        let mut example =
            std::fs::read_to_string(workspace().join("examples/patroni/patroni.yml"))?;
        for (there, here) in [
            ("name: orders1", format!("name: {name}")),
            ("127.0.0.1:8500", server.to_string()),
            ("127.0.0.1:8008", api.to_string()),
            ("127.0.0.1:5432", format!("127.0.0.1:{port}")),
            ("/usr/lib/postgresql/15/bin", text(&self.postgresql)?),
            ("/var/lib/postgresql/orders1", text(&own)?),
            ("/run/postgresql", text(&own)?),
            // The longest patience with a server that is away, and short steps.
            ("ttl: 30 ", "ttl: 60 ".to_owned()),
            ("loop_wait: 10", "loop_wait: 1".to_owned()),
            ("retry_timeout: 10 ", "retry_timeout: 29 ".to_owned()),
        ] {
            ensure!(example.contains(there), "the example no longer has {there:?}");
            example = example.replace(there, &here);
        }
        std::fs::write(own.join("patroni.yml"), example)?;
        if let Some(user) = &self.user {
            let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
            launch = launch.under(&[
                "setpriv".into(),
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".into(),
                // It looks for python3 as the user, who may not see the one that root has.
                "env".into(),
            ]);
            for path in [&own, &own.join("patroni.yml")] {
                chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
            }
        }
        Ok(Member { name, port, api, data, launch, process: None })
    }
}

/// The programs of the newest PostgreSQL that is installed as Debian does it.
fn newest_postgresql() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let numbers = versions.filter_map(|v| v.file_name().to_str()?.parse::<u32>().ok());
    let programs = numbers.map(|n| (n, PathBuf::from(format!("/usr/lib/postgresql/{n}/bin"))));
    programs.filter(|(_, bin)| bin.join("initdb").is_file()).max().map(|(_, bin)| bin)
}

/// A copy of the packages for a user to whom the workspace may be closed.
fn readable(packages: &Path) -> Result<TempDir> {
    let copy = TempDir::with_prefix("rutter-patroni-")?;
    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755))?;
    let mut cp = Command::new("cp");
    cp.arg("-a").arg(packages).arg(copy.path());
    printed(cp)?;
    Ok(copy)
}

/// A port below those that the kernel gives away by itself, so that it stays free while its program is down, and above
/// those of the replayed stories.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let mut ports = (0..1000).map(|_| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        30_000 + (std::process::id() % 1700) as u16 + step % 1000
    });
    let free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", *port)).is_ok()
    };
    ports.find(free).context("no free port")
}
