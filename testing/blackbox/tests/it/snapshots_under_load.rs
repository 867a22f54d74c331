//! Snapshots while writers run at full load: nothing acknowledged is lost, and nobody stands still for it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use blackbox::http::Http;
use blackbox::load::Load;
use blackbox::server::{Launch, Server};

/// Snapshots to be taken under the storm; one is due after 64 MiB of log.
const SNAPSHOTS: u64 = 3;
/// A disk under load may stand still for so long without any snapshot.
const STALL: Duration = Duration::from_secs(10);
/// Long enough for any disk.
const LIMIT: Duration = Duration::from_secs(240);

/// A number that the server tells of itself.
fn metric(http: &mut Http, name: &str) -> Result<f64> {
    let text = http.get("/metrics")?.expect_status(200)?.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.with_context(|| format!("no {name}"))?.trim().parse().context("a number")
}

fn snapshots(http: &mut Http) -> Result<u64> {
    Ok(metric(http, "rutter_snapshots_total")? as u64)
}

/// Small writes beside the storm, until enough snapshots were taken: how long each took, and in how many a snapshot
/// was finished or begun.
fn write_beside(server: &Server) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let (mut http, began) = (server.client(), Instant::now());
    let (mut usual, mut crossed) = (Vec::new(), Vec::new());
    let first = snapshots(&mut http)?;
    let mut seen = first;
    while seen < first + SNAPSHOTS {
        ensure!(began.elapsed() < LIMIT, "{} of {SNAPSHOTS} snapshots", seen - first);
        let wrote = Instant::now();
        for n in 0..10 {
            http.put_ok(&format!("/v1/kv/beside/{n}"), n.to_string())?;
        }
        let took = wrote.elapsed();
        let now = snapshots(&mut http)?;
        if now == seen {
            usual.push(took)
        } else {
            crossed.push(took)
        }
        seen = now;
    }
    Ok((usual, crossed))
}

#[test]
fn snapshots_under_full_load_lose_nothing_and_hold_nobody_up() -> Result<()> {
    let launch = Launch::durable();
    let server = launch.start()?;
    let load = Load::default();
    load.prepare(server.http)?;
    let mut times = None;
    load.storm(server.http, 7, true, || {
        times = Some(write_beside(&server)?);
        Ok(())
    })?;
    let (mut usual, crossed) = times.context("the storm ended")?;
    let refused = load.take_refused();
    ensure!(refused.is_empty(), "{refused:?}");
    usual.sort();
    let median = usual.get(usual.len() / 2).context("no writes without a snapshot")?;
    let longest = crossed.iter().max().context("no writes beside a snapshot")?;
    println!("ten small writes: {median:?} usually, at most {longest:?} beside a snapshot");
    let usual_most = usual.last().context("no writes without a snapshot")?;
    ensure!(
        *longest <= (*usual_most).max(20 * *median).max(STALL),
        "{longest:?} beside a snapshot, {usual_most:?} at most without one"
    );
    load.verify(server.http).context("after the storm")?;
    server.kill()?;
    let server = launch.start()?;
    load.verify(server.http).context("started again")?;
    server.stop()
}
