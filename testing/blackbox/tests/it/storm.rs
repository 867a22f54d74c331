//! Hundreds of clients list everything without pause, and not one heartbeat is lost or refused.
//!
//! The clients share the machine with the server, so how long a heartbeat takes is compared with what the lists take in
//! the same storm: who lives goes before who lists. `cargo xtask bench storm` measures it in milliseconds. A storm in
//! which the heartbeats were not sent in time proves nothing and is repeated.

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
const LISTS: [&str; 2] = ["/v1/agent/services", "/v1/health/state/any"];

/// How often each check is renewed.
const RENEWED_EVERY: Duration = Duration::from_secs(3);
/// A check whose renewal was sent later than this after the last may be lost by the sender.
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
#[derive(Clone, Copy, Default)]
struct Gaps {
    /// The longest between two heartbeats of one check.
    longest: Duration,
    /// The longest that a sender was late by its own fault, not because an answer was.
    late: Duration,
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
        let mut due = Instant::now();
        let mut before = vec![due; own.len()];
        while !over.load(Ordering::SeqCst) {
            for (check, before) in own.iter().zip(&mut before) {
                let_pass(due.saturating_duration_since(Instant::now()));
                let began = Instant::now();
                self.sent(began.duration_since(*before), began.saturating_duration_since(due));
                *before = began;
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
        *gaps = Gaps { longest: since.max(gaps.longest), late: late.max(gaps.late) };
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

/// What the readers of lists have seen.
#[derive(Default)]
struct Lists {
    took: Mutex<Vec<Duration>>,
    refused: AtomicUsize,
}

impl Lists {
    /// Reads a list again and again; a refusal must say when to come again.
    fn read(&self, server: SocketAddr, path: &str, over: &AtomicBool) -> Result<()> {
        let mut stream = BufReader::with_capacity(64 << 10, TcpStream::connect(server)?);
        stream.get_ref().set_read_timeout(Some(LIMIT))?;
        while !over.load(Ordering::SeqCst) {
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

/// Lets the storm rage for some rounds of renewals; how long lists took, and how many were refused.
fn storm(server: &Server, beats: &Beats, rounds: usize) -> Result<(Vec<Duration>, usize)> {
    let (lists, over) = (Lists::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let read = |n: usize| lists.read(server.http, LISTS[n % LISTS.len()], &over);
        let readers: Vec<_> = (0..READERS).map(|n| scope.spawn(move || read(n))).collect();
        let raged = beats.rounds(rounds);
        over.store(true, Ordering::SeqCst);
        let read = readers.into_iter().map(|reader| reader.join().expect("reading does not panic"));
        read.collect::<Result<Vec<()>>>().and(raged)
    })?;
    let mut took = lists.took.into_inner().expect("nobody panics holding this");
    took.sort();
    Ok((took, lists.refused.into_inner()))
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

/// Storms until there was one in which all heartbeats were sent in time.
fn rage_until_it_counts(server: &Server, beats: &Beats) -> Result<()> {
    for storm in 1..=STORMS {
        let gaps = rage(server, beats)?;
        if gaps.longest <= IN_TIME {
            return Ok(());
        }
        println!(
            "storm {storm} proves nothing: {:?} between two heartbeats of a check, late by {:?} at most by the \
             sender's own fault",
            gaps.longest, gaps.late
        );
    }
    bail!("in none of {STORMS} storms were all heartbeats sent in time, so nothing is proven")
}

/// Calm, then the storm, which must change nothing if the heartbeats were sent in time: how they were sent.
fn rage(server: &Server, beats: &Beats) -> Result<Gaps> {
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
    let (lists, refused) = storm(server, beats, 6)?;
    let (lost, after, gaps) = (lost(server)?, index(server)?, beats.gaps());
    if gaps.longest <= IN_TIME {
        ensure!(lost.is_empty(), "{} lost, such as {:?}", lost.len(), lost[0]);
        ensure!(after == before, "a status changed: index {before} to {after}");
        compare(&calm, &beats.took(), &lists, refused)?;
    }
    Ok(gaps)
}

fn compare(
    calm: &[Duration],
    stormy: &[Duration],
    lists: &[Duration],
    refused: usize,
) -> Result<()> {
    println!(
        "heartbeats: p99 {:?} in calm, {:?} in the storm, {} of them; lists: median {:?}, {} answered, {refused} refused",
        percentile(calm, 0.99),
        percentile(stormy, 0.99),
        stormy.len(),
        percentile(lists, 0.5),
        lists.len(),
    );
    ensure!(lists.len() + refused > READERS, "that was no storm");
    ensure!(
        percentile(stormy, 0.5) < percentile(lists, 0.5),
        "a heartbeat waits as long as a list"
    );
    Ok(())
}
