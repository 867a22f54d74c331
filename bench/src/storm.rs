//! 384 clients list everything without pause while 1,000 TTL checks are kept alive.
//!
//! Each check has 10 s and is renewed every 3 s. What counts is whether one is lost or a renewal refused,
//! and how long renewals take, in turns of calm and storm; the limit is 200 ms for all but one in a
//! hundred. There is no peer: clients share the machine with the server, as they would in a pinch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::http::Connection;
use crate::load;
use crate::measure::{self, ROUNDS, Spread};
use crate::process::Server;
use crate::watchers;

const CHECKS: u64 = 1_000;
const BEATERS: u64 = 10;
const RENEWED_EVERY: Duration = Duration::from_secs(3);
const READERS: usize = 384;
const LISTS: [&str; 2] = ["/v1/agent/services", "/v1/health/state/any"];
const LIMIT_MS: f64 = 200.0;

const CALM: Duration = Duration::from_secs(3);
/// Longer than a TTL, so that a check whose renewals do not come through is lost within it.
const STORM: Duration = Duration::from_secs(12);
const SETTLE: Duration = Duration::from_secs(3);

/// Fills a server, and lets calm and storm take turns.
pub fn run() -> Result<()> {
    let server = Server::rutter()?;
    load::fill_at(server.http_port, "/v1/agent/service/register", CHECKS, registration)?;
    let beats = Arc::new(Beats::default());
    let beaters: Vec<_> = (0..BEATERS)
        .map(|first| {
            let (beats, port) = (Arc::clone(&beats), server.http_port);
            std::thread::spawn(move || beats.send(port, first))
        })
        .collect();
    // All have been renewed once: those that ran out while others were registered live again.
    std::thread::sleep(2 * RENEWED_EVERY);
    let before = State::of(&server)?;
    ensure!(before.lost == 0, "{} are critical before the storm", before.lost);
    let (mut calm, mut stormy, mut lists, mut refused) = (vec![], vec![], vec![], 0);
    for _ in 0..ROUNDS {
        beats.taken();
        std::thread::sleep(CALM);
        calm.push(beats.taken());
        let storm = Storm::rage(server.http_port)?;
        stormy.push(beats.taken());
        lists.push(storm.answered as f64 / STORM.as_secs_f64());
        refused += storm.refused;
    }
    beats.over.store(true, Ordering::Relaxed);
    for beater in beaters {
        beater.join().expect("a beater panicked").context("a renewal")?;
    }
    let peak = measure::peak_bytes(server.pid())?;
    std::thread::sleep(SETTLE);
    let after = State::of(&server)?;
    ensure!(after.lost == 0, "{} of {CHECKS} checks were lost", after.lost);
    ensure!(after.index == before.index, "a status changed: {} to {}", before.index, after.index);
    tell(&calm, &stormy, &Spread::of(lists), refused);
    println!(
        "  resident: {:.1} MB before, {:.1} MB at most, {:.1} MB after; indexes as before",
        before.resident / 1e6,
        peak / 1e6,
        after.resident / 1e6
    );
    Ok(())
}

fn tell(calm: &[Vec<f64>], stormy: &[Vec<f64>], lists: &Spread, refused: u64) {
    let part = |turns: &[Vec<f64>], part: f64| {
        Spread::of(turns.iter().map(|sorted| sorted[(sorted.len() as f64 * part) as usize]))
    };
    for (name, turns) in [("calm", calm), ("storm", stormy)] {
        let (p50, p99, most) = (part(turns, 0.5), part(turns, 0.99), part(turns, 0.999_999));
        println!(
            "  {name:5} renewals: ms p50 {}, p99 {}, longest {}",
            p50.show(1),
            p99.show(1),
            most.show(1)
        );
    }
    let count: usize = stormy.iter().map(Vec::len).sum();
    println!("  none of {CHECKS} lost, none of {count} renewals in the storm refused");
    println!("  lists/s {}, refused with Retry-After: {refused}", lists.show(0));
    let p99 = part(stormy, 0.99).median;
    println!("  p99 in the storm to the limit of {LIMIT_MS} ms: × {:.2}", p99 / LIMIT_MS);
}

fn registration(number: u64) -> String {
    format!(
        r#"{{"Name":"beat-{number:04}","Port":{},"Check":{{"TTL":"10s","Status":"passing"}}}}"#,
        10_000 + number
    )
}

/// What a storm must not change.
struct State {
    lost: usize,
    index: u64,
    resident: f64,
}

impl State {
    fn of(server: &Server) -> Result<Self> {
        let mut connection = Connection::open(server.http_port)?;
        let (status, body) = connection.get("/v1/health/state/critical")?;
        ensure!(status == 200, "{status}");
        let lost = body.windows(9).filter(|part| part == b"\"CheckID\"").count();
        let index = connection.index("/v1/health/state/any")?;
        Ok(Self { lost, index, resident: measure::resident_bytes(server.pid())? })
    }
}

/// The renewals.
#[derive(Default)]
struct Beats {
    over: AtomicBool,
    milliseconds: Mutex<Vec<f64>>,
}

impl Beats {
    /// Renews every tenth check, evenly over the time; any answer but 200 is an error.
    fn send(&self, port: u16, first: u64) -> Result<()> {
        let mut connection = Connection::open(port)?;
        let own: Vec<u64> = (0..CHECKS).filter(|check| check % BEATERS == first).collect();
        let gap = RENEWED_EVERY / u32::try_from(own.len())?;
        let mut due = Instant::now();
        for check in own.iter().cycle() {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            due += gap;
            let began = Instant::now();
            connection.put(&format!("/v1/agent/check/pass/service:beat-{check:04}"), b"")?;
            let took = began.elapsed().as_secs_f64() * 1e3;
            self.milliseconds.lock().expect("no beater panics holding this").push(took);
        }
        Ok(())
    }

    /// How long those took that were answered since the last call, the shortest first.
    fn taken(&self) -> Vec<f64> {
        let mut milliseconds = self.milliseconds.lock().expect("no beater panics holding this");
        let mut taken = std::mem::take(&mut *milliseconds);
        taken.sort_by(f64::total_cmp);
        taken
    }
}

/// What the clients that list got.
#[derive(Default)]
struct Storm {
    answered: u64,
    refused: u64,
}

/// What they count together.
#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Storm {
    /// All clients on one thread, so that they take little from the server.
    fn rage(port: u16) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime")?;
        let counts = Arc::new(Counts::default());
        runtime.block_on(async {
            let mut readers = tokio::task::JoinSet::new();
            for client in 0..READERS {
                readers.spawn(read(client, port, Arc::clone(&counts)));
            }
            tokio::select! {
                Some(ended) = readers.join_next() => ended.context("a client panicked")?,
                () = tokio::time::sleep(STORM) => Ok(()),
            }
        })?;
        let (answered, refused) = (&counts.answered, &counts.refused);
        Ok(Self {
            answered: answered.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
        })
    }
}

/// Reads a list again and again and keeps nothing of it; 503 must say when to come again.
async fn read(client: usize, port: u16, counts: Arc<Counts>) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(watchers::source(client)).context("bind")?;
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.context("connect")?;
    let path = LISTS[client % LISTS.len()];
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let mut chunk = vec![0; 64 << 10];
    loop {
        stream.write_all(request.as_bytes()).await?;
        let mut head = 0;
        let end = loop {
            let read = stream.read(&mut chunk[head..]).await?;
            ensure!(read > 0, "the answer ended too soon");
            head += read;
            if let Some(end) = chunk[..head].windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&chunk[..end])?.to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("no content-length")?.trim().parse()?;
        match text.get(9..12) {
            Some("200") => counts.answered.fetch_add(1, Ordering::Relaxed),
            Some("503") if text.contains("\r\nretry-after:") => {
                counts.refused.fetch_add(1, Ordering::Relaxed)
            }
            other => anyhow::bail!("{path}: {other:?}"),
        };
        let mut left = (end + length).saturating_sub(head);
        while left > 0 {
            let most = left.min(chunk.len());
            let read = stream.read(&mut chunk[..most]).await?;
            ensure!(read > 0, "the answer ended too soon");
            left -= read;
        }
    }
}
