//! Hundreds of clients list everything without pause, some look services up, and not one heartbeat is lost or refused.
//!
//! The clients share the machine with the server, so how long a heartbeat takes is compared with what the lists take in
//! the same storm: who lives goes before who lists. `cargo xtask bench storm` measures it in milliseconds. A storm in
//! which the machine was too slow to send in time proves nothing and is repeated; one in which the server let
//! heartbeats wait longer than lists is lost.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use blackbox::files;
use blackbox::http::Http;
use blackbox::memory::returned_at_once;
use blackbox::server::{Launch, Server};
use blackbox::wait::{let_pass, until, until_at_ease};
use serde_json::{Value, json};

const CHECKS: usize = 1000;
const BEATERS: usize = 20;
const READERS: usize = 384;
/// The first is made anew for everybody, in turns; the second is kept while nothing changes.
const LISTS: [&str; 2] = ["/v1/agent/services", "/v1/health/state/any"];
/// How many look up one service after another, with an index that is long past, so that they never wait.
const LOOKERS: usize = 16;

/// How often each check is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(3);
/// A check whose renewal was sent later than this after the last may be lost.
const IN_TIME: Duration = Duration::from_secs(9);
/// How often a storm is tried in which renewals are sent in time.
const STORMS: usize = 4;
/// Long enough for anything to be over.
const LIMIT: Duration = Duration::from_secs(180);

/// What the senders of heartbeats have seen.
#[derive(Default)]
struct Beats {
    rounds: AtomicUsize,
    took: Mutex<Vec<Duration>>,
    gaps: Mutex<Gaps>,
}

/// How evenly the heartbeats were sent.
#[derive(Debug, Clone, Copy, Default)]
struct Gaps {
    /// The longest between two heartbeats of one check.
    longest: Duration,
    /// How late the sender was in that time by its own fault, in all: when it could have sent and was not woken.
    late: Duration,
    /// The longest that the senders' own lateness does not explain.
    by_server: Duration,
}

impl Beats {
    fn took(&self) -> Vec<Duration> {
        let mut took = std::mem::take(&mut *self.took.lock().expect("nobody panics holding this"));
        took.sort();
        took
    }

    /// Renews every `BEATERS`-th check from `first` on, evenly over the time, until it is over.
    fn send(&self, server: SocketAddr, first: usize, over: &AtomicBool) -> Result<()> {
        let mut http = Http::new(server);
        let own: Vec<usize> = (first..CHECKS).step_by(BEATERS).collect();
        let gap = RENEWED_EVERY / u32::try_from(own.len())?;
        let (mut due, mut late) = (Instant::now(), Duration::ZERO);
        let mut before = vec![(due, late); own.len()];
        while !over.load(Ordering::SeqCst) {
            for (check, before) in own.iter().zip(&mut before) {
                let_pass(due.saturating_duration_since(Instant::now()));
                let began = Instant::now();
                late += began.saturating_duration_since(due);
                self.sent(began.duration_since(before.0), late - before.1);
                *before = (began, late);
                http.put_ok(&format!("/v1/agent/check/pass/service:s{check}"), "")?;
                let took = began.elapsed();
                self.took.lock().expect("nobody panics holding this").push(took);
                due = (due + gap).max(began + took);
            }
            self.rounds.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn sent(&self, since: Duration, late: Duration) {
        let mut gaps = self.gaps.lock().expect("nobody panics holding this");
        if since > gaps.longest {
            (gaps.longest, gaps.late) = (since, late);
        }
        gaps.by_server = gaps.by_server.max(since.saturating_sub(late));
    }

    /// What was seen of gaps since the last call.
    fn gaps(&self) -> Gaps {
        std::mem::take(&mut *self.gaps.lock().expect("nobody panics holding this"))
    }

    /// Waits until all senders have gone round so many times.
    fn rounds(&self, rounds: usize) -> Result<()> {
        let from = self.rounds.load(Ordering::SeqCst);
        until("rounds of renewals", LIMIT, || {
            let done = (self.rounds.load(Ordering::SeqCst) - from) / BEATERS;
            ensure!(done >= rounds, "{done} of {rounds}");
            Ok(())
        })
    }
}

/// What the readers of lists, or of single services, have seen.
#[derive(Default)]
struct Reads {
    took: Mutex<Vec<Duration>>,
    refused: AtomicUsize,
}

impl Reads {
    /// Reads again and again, the path for each time; a refusal must say when to come again.
    fn read(
        &self,
        server: SocketAddr,
        path: impl Fn(usize) -> String,
        over: &AtomicBool,
    ) -> Result<()> {
        let mut stream = BufReader::with_capacity(64 << 10, TcpStream::connect(server)?);
        stream.get_ref().set_read_timeout(Some(LIMIT))?;
        for path in (0..).map(path).take_while(|_| !over.load(Ordering::SeqCst)) {
            let began = Instant::now();
            write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: storm\r\n\r\n")?;
            match skip_answer(&mut stream)? {
                (200, _) => {
                    self.took.lock().expect("nobody panics holding this").push(began.elapsed());
                }
                (503, true) => drop(self.refused.fetch_add(1, Ordering::SeqCst)),
                (status, retry) => bail!("{path}: {status}, Retry-After is there: {retry}"),
            }
        }
        Ok(())
    }
}

/// Reads an answer and keeps nothing of it: its status, and whether it has `Retry-After`.
fn skip_answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, bool)> {
    let (mut line, mut length, mut retry) = (String::new(), 0, false);
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        retry |= name.eq_ignore_ascii_case("retry-after");
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
    Ok((status.context("no status")?, retry))
}

fn register_all(server: &Server) -> Result<()> {
    let next = AtomicUsize::new(0);
    let register = || -> Result<()> {
        let mut http = server.client();
        loop {
            let n = next.fetch_add(1, Ordering::SeqCst);
            if n >= CHECKS {
                return Ok(());
            }
            let check = json!({ "TTL": "10s", "Status": "passing" });
            let service = json!({ "Name": format!("s{n}"), "Port": n, "Check": check });
            http.put_ok("/v1/agent/service/register", service.to_string())?;
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..16).map(|_| scope.spawn(register)).collect();
        all.into_iter().try_for_each(|one| one.join().expect("registering does not panic"))
    })
}

fn lost(server: &Server) -> Result<Vec<Value>> {
    let rows = server.client().get_json("/v1/health/state/critical")?;
    Ok(rows.as_array().cloned().unwrap_or_default())
}

fn index(server: &Server) -> Result<u64> {
    server.client().get("/v1/health/state/any")?.index()
}

fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// What the crowd has seen: of each list, and of single services.
#[derive(Default)]
struct Crowd {
    lists: [Reads; LISTS.len()],
    looks: Reads,
}

/// How long reads took, in order, and how many were refused.
struct Seen {
    took: Vec<Duration>,
    refused: usize,
}

impl Reads {
    fn seen(self) -> Seen {
        let mut took = self.took.into_inner().expect("nobody panics holding this");
        took.sort();
        Seen { took, refused: self.refused.into_inner() }
    }
}

impl Crowd {
    fn list(&self, server: SocketAddr, n: usize, over: &AtomicBool) -> Result<()> {
        let list = n % LISTS.len();
        self.lists[list].read(server, |_| LISTS[list].to_owned(), over)
    }

    fn look(&self, server: SocketAddr, first: usize, over: &AtomicBool) -> Result<()> {
        let path = |n: usize| {
            let service = (first * (CHECKS / LOOKERS) + n) % CHECKS;
            format!("/v1/health/service/s{service}?index=1&wait=60s")
        };
        self.looks.read(server, path, over)
    }
}

/// Lets so many readers of lists rage for some rounds of renewals.
fn storm(server: &Server, beats: &Beats, readers: usize, rounds: usize) -> Result<Crowd> {
    let (crowd, over) = (Crowd::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (crowd, over) = (&crowd, &over);
        let list = |n| scope.spawn(move || crowd.list(server.http, n, over));
        let look = |n| scope.spawn(move || crowd.look(server.http, n, over));
        let readers: Vec<_> = (0..readers).map(list).chain((0..LOOKERS).map(look)).collect();
        let raged = beats.rounds(rounds);
        over.store(true, Ordering::SeqCst);
        let read = readers.into_iter().map(|reader| reader.join().expect("reading does not panic"));
        read.collect::<Result<Vec<()>>>().and(raged)
    })?;
    Ok(crowd)
}

#[test]
fn a_storm_of_lists_loses_no_heartbeat() -> Result<()> {
    files::allow_many()?;
    let many = json!({ "limits": { "http_max_conns_per_client": 2000 } });
    let server = returned_at_once(Launch::durable().config(&many)).start()?;
    register_all(&server)?;
    let (beats, over) = (Beats::default(), AtomicBool::new(false));
    let memory = server.process.memory_kib("RssAnon")?;
    std::thread::scope(|scope| {
        let (beats, over, server) = (&beats, &over, &server);
        let senders: Vec<_> = (0..BEATERS)
            .map(|first| scope.spawn(move || beats.send(server.http, first, over)))
            .collect();
        let raged = rage_until_it_counts(server, beats);
        over.store(true, Ordering::SeqCst);
        let sent = senders.into_iter().map(|sender| sender.join().expect("sending does not panic"));
        sent.collect::<Result<Vec<()>>>().context("a heartbeat").and(raged)
    })?;
    let limit = memory + (64 << 10);
    until_at_ease("the memory to be as before", LIMIT, Duration::from_millis(200), || {
        let now = server.process.memory_kib("RssAnon")?;
        ensure!(now <= limit, "{memory} KiB before, {now} KiB now");
        Ok(())
    })?;
    server.stop()
}

/// Storms until there was one in which all heartbeats were sent in time, with fewer readers each time, since there were
/// too many for the machine.
fn rage_until_it_counts(server: &Server, beats: &Beats) -> Result<()> {
    for storm in 1..=STORMS {
        let gaps = rage(server, beats, READERS / storm)?;
        if gaps.longest <= IN_TIME {
            return Ok(());
        }
        println!(
            "storm {storm} proves nothing: {:?} between two heartbeats of a check, which took no longer than lists",
            gaps.longest
        );
    }
    bail!("in none of {STORMS} storms were all heartbeats sent in time, so nothing is proven")
}

/// Calm, then the storm, which must change nothing unless the senders were late themselves: how they sent.
fn rage(server: &Server, beats: &Beats, readers: usize) -> Result<Gaps> {
    // A registration that was answered may still be on its way to the catalog.
    until_at_ease("all to live", LIMIT, Duration::from_millis(200), || {
        let rows = server.client().get_json("/v1/health/state/passing")?;
        let ours = |row: &&Value| row["ServiceID"].as_str().is_some_and(|id| id.starts_with('s'));
        let alive = rows.as_array().map_or(0, |rows| rows.iter().filter(ours).count());
        ensure!(alive == CHECKS, "{alive} of {CHECKS} are");
        Ok(())
    })?;
    drop(beats.took());
    beats.rounds(1)?;
    let calm = beats.took();
    let before = index(server)?;
    beats.gaps();
    let Crowd { lists, looks } = storm(server, beats, readers, 6)?;
    let ([made, kept], looks) = (lists.map(Reads::seen), looks.seen());
    let (lost, after, gaps) = (lost(server)?, index(server)?, beats.gaps());
    // Where the machine is so slow that most lists take long, though they lie ready, a sender may wait for each of its
    // heartbeats as long.
    let slow = percentile(&kept.took, 0.9) * u32::try_from(CHECKS / BEATERS)?;
    println!("{gaps:?}; {slow:?} if heartbeats took as long as lists");
    let stalled = gaps.by_server > IN_TIME.max(slow);
    ensure!(!stalled, "the server let heartbeats wait longer than lists: {gaps:?}, {slow:?}");
    if gaps.longest <= IN_TIME {
        ensure!(lost.is_empty(), "{} lost, such as {:?}", lost.len(), lost[0]);
        ensure!(after == before, "a status changed: index {before} to {after}");
        compare(&calm, &beats.took(), [made, kept, looks])?;
    }
    Ok(gaps)
}

fn compare(calm: &[Duration], stormy: &[Duration], crowd: [Seen; 3]) -> Result<()> {
    let told = |took: &[Duration]| [0.5, 0.99].map(|part| percentile(took, part));
    println!(
        "median and p99 of heartbeats: {:?} in calm, {:?} in the storm",
        told(calm),
        told(stormy)
    );
    for (what, seen) in ["lists made", "lists kept", "single services"].iter().zip(&crowd) {
        let Seen { took, refused } = seen;
        println!("{what}: {:?}, {} answered, {refused} refused", told(took), took.len());
    }
    let answers: usize = crowd.iter().map(|seen| seen.took.len() + seen.refused).sum();
    let [made, kept, looks] = crowd.map(|seen| seen.took);
    ensure!(answers > READERS && looks.len() > LOOKERS, "that was no storm");
    // What is ready is sent in the order it was asked for, heartbeats like lists: on a machine that is
    // full of both the medians lie close together.
    ensure!(
        percentile(stormy, 0.5) < 2 * percentile(&kept, 0.5),
        "a heartbeat waits longer than a list"
    );
    // All but a few of them do not even wait as long as one of the lists that are made in turns.
    ensure!(percentile(stormy, 0.99) < percentile(&made, 0.5), "heartbeats wait for lists");
    Ok(())
}
