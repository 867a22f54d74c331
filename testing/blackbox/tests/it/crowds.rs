//! Crowds and clients that do not read: memory stays bounded, others are served, and what was refused is counted.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use blackbox::files;
use blackbox::memory::returned_at_once;
use blackbox::packet::{self, answers, ask, ask_tcp, question};
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use serde_json::json;

fn answers_still(server: &Server) -> Result<()> {
    server.client().patient(SOON).get("/v1/status/leader")?.expect_status(200).map(drop)
}

/// What was refused at a limit so far.
fn refused(server: &Server, limit: &str) -> Result<u64> {
    let text = server.client().get("/metrics")?.expect_status(200)?.text();
    let name = format!("rutter_http_refused_total{{limit=\"{limit}\"}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&name));
    count.with_context(|| format!("no {name}"))?.trim().parse().context("a count")
}

/// Whether an answer begins, and not a refusal; the rest stays unread.
fn is_served(stream: &mut TcpStream) -> Result<bool> {
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    match &status {
        b"HTTP/1.1 200" => Ok(true),
        b"HTTP/1.1 503" => Ok(false),
        other => anyhow::bail!("{}", String::from_utf8_lossy(other)),
    }
}

#[test]
fn clients_that_do_not_read_large_answers_hold_a_bounded_share() -> Result<()> {
    const CLIENTS: usize = 60;
    let server = returned_at_once(Launch::dev()).start()?;
    for n in 0..16 {
        server.client().put_ok(&format!("/v1/kv/large/{n}"), "x".repeat(500 << 10))?;
    }
    let before = server.process.memory_kib("RssAnon")?;
    let mut idle = Vec::new();
    let began = Instant::now();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(server.http)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(b"GET /v1/kv/large/?recurse HTTP/1.1\r\nHost: x\r\n\r\n")?;
        idle.push(stream);
    }
    let answered = std::thread::scope(|scope| {
        let answered = |stream| scope.spawn(move || Ok((is_served(stream)?, began.elapsed())));
        let all: Vec<_> = idle.iter_mut().map(answered).collect();
        let all = all.into_iter().map(|one| one.join().expect("reading does not panic"));
        all.collect::<Result<Vec<(bool, Duration)>>>()
    })?;
    let served = answered.iter().filter(|(served, _)| *served).count();
    // Each answer is of 10 MiB; a quarter of 256 MiB is one client's. After 30 s the first of them are given up, and
    // others have their place.
    let at_once = |(served, after): &&(bool, Duration)| *served && after.as_secs() < 30;
    let at_once = answered.iter().filter(at_once).count();
    ensure!((1..=7).contains(&at_once), "{at_once} answers are held for one client at a time");
    let held = server.process.memory_kib("RssAnon")?.saturating_sub(before);
    ensure!(held <= 128 << 10, "{held} KiB for answers that nobody reads");
    let limits = ["answers", "lists", "lists_time"].iter().map(|limit| refused(&server, limit));
    let counted: u64 = limits.sum::<Result<u64>>()?;
    ensure!(counted == (CLIENTS - served) as u64, "{counted} are counted");
    answers_still(&server)?;
    drop(idle);
    until("the memory to be free", SOON, || {
        let held = server.process.memory_kib("RssAnon")?.saturating_sub(before);
        ensure!(held <= 32 << 10, "{held} KiB more than before");
        Ok(())
    })
}

#[test]
fn thousands_of_connections_leave_the_rest_in_peace() -> Result<()> {
    const CONNECTIONS: usize = 3000;
    files::allow_many()?;
    let many = json!({ "limits": { "http_max_conns_per_client": CONNECTIONS } });
    let server = returned_at_once(Launch::dev().config(&many)).start()?;
    answers_still(&server)?;
    let before = server.process.memory_kib("RssAnon")?;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS - 10 {
        open.push(TcpStream::connect(server.http)?);
    }
    until("all to be taken", SOON, || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", server.process.pid()))?.count();
        ensure!(files >= CONNECTIONS - 10, "{files} files");
        Ok(())
    })?;
    for (n, stream) in open.iter_mut().enumerate() {
        // Some are silent, some stop in the head, some in the body.
        let begun: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET /v1/kv/x HT",
            _ => b"PUT /v1/kv/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
        };
        stream.write_all(begun)?;
    }
    answers_still(&server)?;
    let held = server.process.memory_kib("RssAnon")?.saturating_sub(before);
    println!("{held} KiB for {} connections", open.len());
    ensure!(held / (open.len() as u64) <= 64, "{held} KiB for {} connections", open.len());
    drop(open);
    until("their files to be closed", SOON, || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", server.process.pid()))?.count();
        ensure!(files < 200, "{files} files");
        answers_still(&server)
    })
}

#[test]
fn half_open_dns_connections_have_a_limit_and_are_given_up() -> Result<()> {
    let server = Launch::dev().start()?;
    let sound = question(7, "consul.service.consul", 1);
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.dns)?;
        stream.set_read_timeout(Some(SOON))?;
        // One that was refused may be closed before this is written.
        let _ = stream.write_all(&[0, 39, 1]);
        open.push(stream);
    }
    let socket = packet::udp(server.dns, SOON)?;
    ensure!(answers(&ask(&socket, &sound)?.unwrap_or_default()) == 1, "UDP goes on");
    // The last of them may not be looked at yet, and the first be given up already.
    until("the refusals to be counted", SOON, || {
        let metrics = server.client().get("/metrics")?.text();
        let refused = metrics.lines().find_map(|line| {
            line.strip_prefix("rutter_dns_events_total{event=\"connections_refused\"} ")
        });
        let refused: u64 = refused.context("no counter")?.trim().parse()?;
        ensure!((1..=72).contains(&refused), "{refused} of 200 refused; one client may have 128");
        Ok(())
    })?;
    // The others are closed after ten seconds of silence, and there is room again.
    until("a connection to be taken", 2 * SOON, || {
        let mut stream = TcpStream::connect(server.dns)?;
        stream.set_read_timeout(Some(SOON))?;
        let answer = ask_tcp(&mut stream, &sound)?;
        ensure!(answers(&answer) == 1, "{answer:?}");
        Ok(())
    })
}

/// Whether the server has closed a connection that does not wait; what it said before is added to `heard`.
fn has_ended(stream: &mut TcpStream, heard: &mut Vec<u8>) -> bool {
    let mut piece = [0; 512];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return true,
            Ok(read) => heard.extend_from_slice(&piece[..read]),
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn a_low_limit_of_open_files_is_told_and_kept() -> Result<()> {
    let limited = ["sh", "-c", "ulimit -n 256 && exec \"$0\" \"$@\""].map(str::to_owned);
    let many = json!({ "limits": { "http_max_conns_per_client": 1000 } });
    let server = Launch::durable().config(&many).under(&limited).start()?;
    let told = "http connections from 100000 to 96, dns tcp connections from 1024 to 48, \
                checks at a time from 512 to 16";
    server.process.until_said(&["the limit of open files is low", told])?;
    let mut open = Vec::new();
    for _ in 0..300 {
        let stream = TcpStream::connect(server.http)?;
        stream.set_nonblocking(true)?;
        open.push((stream, Vec::new()));
    }
    // Who is neither taken nor refused yet stands in the kernel's queue, and would be taken once the
    // others are gone. The crowd has all places, so the server cannot be asked by HTTP.
    until("the crowd to be refused", SOON, || {
        let ended = open.iter_mut().map(|(stream, heard)| has_ended(stream, heard));
        let over = ended.filter(|ended| *ended).count();
        ensure!(over >= 300 - 96, "{over} of 300 are refused");
        Ok(())
    })?;
    let heard = open.iter().filter(|(_, heard)| !heard.is_empty());
    let heard: Vec<String> =
        heard.map(|(_, heard)| String::from_utf8_lossy(heard).into_owned()).collect();
    let refusals = heard.iter().filter(|said| {
        said.starts_with("HTTP/1.1 503 Service Unavailable\r\n")
            && said.contains("\r\nRetry-After: 1\r\n")
            && said.ends_with("too many connections, try again later\n")
    });
    let told = refusals.count();
    // As many as have a file descriptor for it are told at a time; the rest is closed.
    ensure!(told >= 16 && told == heard.len(), "{told} are told why: {heard:?}");
    let files = std::fs::read_dir(format!("/proc/{}/fd", server.process.pid()))?.count();
    ensure!((96..250).contains(&files), "{files} files");
    let socket = packet::udp(server.dns, SOON)?;
    let answer = ask(&socket, &question(7, "consul.service.consul", 1))?.unwrap_or_default();
    ensure!(answers(&answer) == 1, "DNS goes on");
    drop(open);
    until("the server to write", SOON, || server.client().put_ok("/v1/kv/after", "x").map(drop))?;
    let counted = refused(&server, "connections")?;
    ensure!(counted >= 204, "{counted} are counted");
    server.stop()
}
