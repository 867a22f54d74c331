//! 10,000 blocking queries over 100 services while 1,000 updates a second concern none of them.
//!
//! Half of the updates are notes of passing checks of the watched services: they change no status and
//! must not enter the log. Half change registrations of other services: they do, and must wake
//! nobody. Then one watched service changes, and exactly its hundred clients must hear of it. There is
//! no peer: the limits are zero answers without a change, and 12 KiB of memory a client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::http::Connection;
use crate::measure::{self, Spread};
use crate::metrics::Scrape;
use crate::process::Server;
use crate::watchers::Watchers;

const CLIENTS: usize = 10_000;
const SERVICES: usize = 100;
const LIMIT_BYTES: f64 = 12.0 * 1024.0;

const ROUNDS: u64 = 5;
const TURN: Duration = Duration::from_secs(4);
const UPDATES_A_SECOND: u64 = 1_000;
const UPDATERS: u64 = 8;

/// After so long everybody waits, and what was needed only to get there is given back.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the hundred may take.
const ANSWERS_LIMIT: Duration = Duration::from_secs(10);
/// How long is looked for answers that should not come.
const QUIET: Duration = Duration::from_millis(500);

/// Lets the clients wait, then updates and changes in turns.
pub fn run() -> Result<()> {
    let server = Server::rutter()?;
    let mut connection = Connection::open(server.http_port)?;
    for service in 0..SERVICES {
        connection.put("/v1/agent/service/register", watched(service, 0).as_bytes())?;
        let number = service as u64;
        connection.put("/v1/catalog/register", other(number, 0).as_bytes())?;
    }
    let before = measure::resident_bytes(server.pid())?;
    let watchers = Watchers::open(server.http_port, CLIENTS, |client| {
        format!("/v1/health/service/watched-{:03}?passing", client % SERVICES)
    })?;
    std::thread::sleep(SETTLE);
    let waiting = Scrape::of(server.http_port)?.sum("rutter_http_blocked_queries", &[]);
    ensure!(waiting == CLIENTS as f64, "{waiting} queries wait");
    let at_rest = measure::resident_bytes(server.pid())?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        rounds.push(one_round(&server, &watchers, round)?);
    }
    std::thread::sleep(SETTLE);
    let after = measure::resident_bytes(server.pid())?;
    tell(&rounds);
    for (when, resident) in [("before updates", at_rest), ("after them", after)] {
        let each = (resident - before) / CLIENTS as f64;
        println!(
            "  memory {when}: {:.1} MB for {CLIENTS} clients, {:.0} bytes each, to the limit of 12 KiB × {:.2}",
            (resident - before) / 1e6,
            each,
            each / LIMIT_BYTES
        );
    }
    Ok(())
}

struct Round {
    rate: f64,
    cpu_us: f64,
    own_cpu_us: f64,
    noise_in_log: f64,
    looked: f64,
    signalled: f64,
    unchanged: usize,
    last_ms: f64,
    change_cpu_ms: f64,
}

fn one_round(server: &Server, watchers: &Watchers, round: u64) -> Result<Round> {
    let counts = Scrape::of(server.http_port)?;
    let own = measure::cpu_seconds(std::process::id())?;
    let registered = AtomicU64::new(0);
    let turn = measure::turn(server.pid(), || update(server.http_port, round, &registered))?;
    let own = measure::cpu_seconds(std::process::id())? - own;
    let answers = watchers.take(1, QUIET)?;
    let now = Scrape::of(server.http_port)?;
    let since = |name| now.since(&counts, name, &[]);
    let registered = registered.into_inner() as f64;

    let service = (round as usize * 7) % SERVICES;
    let mut connection = Connection::open(server.http_port)?;
    let (began, cpu) = (Instant::now(), measure::cpu_seconds(server.pid())?);
    connection.put("/v1/agent/service/register", watched(service, round + 1).as_bytes())?;
    let of_service = CLIENTS / SERVICES;
    let changed = watchers.take(of_service, ANSWERS_LIMIT)?;
    let last = changed.iter().map(|answered| answered.at).max();
    ensure!(changed.len() == of_service, "{} clients heard of the change", changed.len());
    let right = |client: usize| client % SERVICES == service;
    ensure!(changed.iter().all(|answered| answered.differs && right(answered.client)), "wrong");
    ensure!(watchers.take(1, QUIET)?.is_empty(), "more clients than those of the service");
    Ok(Round {
        rate: turn.rate(),
        cpu_us: turn.cpu_us(),
        own_cpu_us: own * 1e6 / turn.operations,
        noise_in_log: since("rutter_log_index") - registered,
        looked: since("rutter_http_blocked_queries_looked_total"),
        signalled: since("rutter_waiters_signalled_total"),
        unchanged: answers.iter().filter(|answered| !answered.differs).count(),
        last_ms: last.map_or(0.0, |last| last.duration_since(began).as_secs_f64() * 1e3),
        change_cpu_ms: (measure::cpu_seconds(server.pid())? - cpu) * 1e3,
    })
}

fn tell(rounds: &[Round]) {
    let spread = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of));
    let sum = |of: fn(&Round) -> f64| rounds.iter().map(of).sum::<f64>();
    println!("  updates/s   {}", spread(|round| round.rate).show(0));
    println!("  CPU µs/update   {}", spread(|round| round.cpu_us).show(1));
    println!("  the generator's own   {}", spread(|round| round.own_cpu_us).show(1));
    println!("  entries of the log beyond the registrations: {}", sum(|round| round.noise_in_log));
    println!("  signals to waiters: {}", sum(|round| round.signalled));
    println!("  queries evaluated again: {}", sum(|round| round.looked));
    println!("  answers with an unchanged body: {}", sum(|round| round.unchanged as f64));
    println!("  ms from a change to the last of 100 answers   {}", {
        spread(|round| round.last_ms).show(1)
    });
    println!("  CPU ms of such a change   {}", spread(|round| round.change_cpu_ms).show(0));
}

/// Updates at the rate wanted for the time of a turn.
fn update(port: u16, round: u64, registered: &AtomicU64) -> Result<u64> {
    let next = AtomicU64::new(0);
    let began = Instant::now();
    let count = UPDATES_A_SECOND * TURN.as_secs();
    let work = || -> Result<()> {
        let mut connection = Connection::open(port)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let due = Duration::from_secs_f64(number as f64 / UPDATES_A_SECOND as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let (service, step) = (number / 2 % SERVICES as u64, 1 + round * count + number);
            if number.is_multiple_of(2) {
                let path = format!("/v1/agent/check/pass/watched-{service:03}?note=n{step}");
                connection.put(&path, b"")?;
            } else {
                connection.put("/v1/catalog/register", other(service, step).as_bytes())?;
                registered.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let updaters: Vec<_> = (0..UPDATERS).map(|_| scope.spawn(work)).collect();
        updaters.into_iter().try_for_each(|one| one.join().expect("an updater panicked"))
    })?;
    Ok(count)
}

fn watched(service: usize, version: u64) -> String {
    format!(
        r#"{{"ID":"watched-{service:03}","Name":"watched-{service:03}","Address":"10.1.0.{service}","Port":{},"Tags":["v1"],"Meta":{{"version":"{version}"}},"Check":{{"CheckID":"watched-{service:03}","TTL":"600s","Status":"passing"}}}}"#,
        8000 + version
    )
}

fn other(service: u64, step: u64) -> String {
    format!(
        r#"{{"Node":"other-{service:03}","Address":"10.2.0.{service}","Service":{{"ID":"other-{service:03}","Service":"other-{service:03}","Port":{}}}}}"#,
        1024 + step % 60_000
    )
}
