//! A wall clock that jumps a day forward and a day back: nothing expires falsely, and what should expire does.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use blackbox::clock::{DAY, WallClock};
use blackbox::http::Http;
use blackbox::server::{Launch, Server};
use blackbox::tools;
use blackbox::wait::{SOON, until};
use serde_json::json;

/// Far longer than each expiry of these tests, far shorter than a day.
const EXPIRED: Duration = Duration::from_secs(300);

/// How long a lock is kept from others after its session went.
const LOCK_DELAY: Duration = Duration::from_secs(40);

fn launch(clock: &WallClock) -> Result<Launch> {
    let launch = Launch::durable();
    Ok(clock.env()?.into_iter().fold(launch, |launch, (name, value)| launch.env(name, value)))
}

#[test]
fn the_clock_of_a_process_is_moved() -> Result<()> {
    if !tools::present("the_clock_of_a_process_is_moved", &["cc", "date"]) {
        return Ok(());
    }
    let clock = WallClock::new()?;
    let told = || -> Result<i64> {
        let mut date = Command::new("date");
        date.arg("+%s").envs(clock.env()?);
        Ok(tools::printed(date)?.trim().parse()?)
    };
    let before = told()?;
    clock.set(DAY)?;
    let moved = told()? - before;
    ensure!((DAY..DAY + 3600).contains(&moved), "{moved} s");
    Ok(())
}

/// What lives while the clock jumps.
struct Alive {
    session: String,
    /// When the session ended whose lock is still kept from others.
    delayed: Instant,
    index_of_deleted: u64,
}

fn session(http: &mut Http, body: &serde_json::Value) -> Result<String> {
    let made = http.put_ok("/v1/session/create", body.to_string())?.json()?;
    Ok(made["ID"].as_str().context("an id")?.to_owned())
}

impl Alive {
    fn begin(server: &Server) -> Result<Alive> {
        let mut http = server.client();
        let check = json!({ "Name": "beat", "TTL": "30s", "Status": "passing" });
        http.put_ok("/v1/agent/check/register", check.to_string())?;
        let alive = session(&mut http, &json!({ "TTL": "30s", "NodeChecks": [] }))?;
        http.put_ok(&format!("/v1/kv/held?acquire={alive}"), "x")?;
        http.put_ok("/v1/kv/deleted/a", "x")?;
        http.delete("/v1/kv/deleted/a")?.expect_status(200)?;
        let delay = format!("{}s", LOCK_DELAY.as_secs());
        let gone = session(&mut http, &json!({ "LockDelay": delay, "NodeChecks": [] }))?;
        http.put_ok(&format!("/v1/kv/delayed?acquire={gone}"), "x")?;
        let delayed = Instant::now();
        http.put_ok(&format!("/v1/session/destroy/{gone}"), "")?;
        Ok(Alive {
            session: alive,
            delayed,
            index_of_deleted: http.get("/v1/kv/deleted/?recurse")?.index()?,
        })
    }

    fn is_delayed(&self, http: &mut Http) -> Result<bool> {
        let path = format!("/v1/kv/delayed?acquire={}", self.session);
        Ok(http.put_ok(&path, "y")?.text().trim() == "false")
    }

    /// Nothing ended, and nothing was forgotten.
    fn is_whole(&self, server: &Server) -> Result<()> {
        let mut http = server.client();
        let held = http.get_json("/v1/kv/held")?;
        ensure!(held[0]["Session"] == self.session.as_str(), "the lock is lost: {held}");
        let known = http.get_json(&format!("/v1/session/info/{}", self.session))?;
        ensure!(known[0]["ID"] == self.session.as_str(), "the session is lost: {known}");
        let deleted = http.get("/v1/kv/deleted/?recurse")?.index()?;
        ensure!(deleted == self.index_of_deleted, "a deletion was forgotten: {deleted}");
        let delayed = self.is_delayed(&mut http)?;
        ensure!(delayed || self.delayed.elapsed() >= LOCK_DELAY, "a lock-delay ended early");
        Ok(())
    }

    /// Renews and writes until `over`; every write must succeed, with a higher index each.
    fn beat(&self, server: &Server, over: &AtomicBool, beats: &AtomicU64) -> Result<()> {
        let (mut http, mut last) = (server.client(), 0);
        while !over.load(Ordering::SeqCst) {
            http.put_ok("/v1/agent/check/pass/beat", "")?;
            http.put_ok(&format!("/v1/session/renew/{}", self.session), "")?;
            http.put_ok("/v1/kv/beat", beats.load(Ordering::SeqCst).to_string())?;
            let index = http.get_json("/v1/kv/beat")?[0]["ModifyIndex"].as_u64().unwrap_or(0);
            ensure!(index > last, "index {index} after {last}");
            last = index;
            beats.fetch_add(1, Ordering::SeqCst);
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// Lets renewals and the leader's duties go on for a while.
fn let_it_beat(beats: &AtomicU64) -> Result<()> {
    let (began, from) = (Instant::now(), beats.load(Ordering::SeqCst));
    until("renewals over three seconds", EXPIRED, || {
        let beaten = beats.load(Ordering::SeqCst) - from;
        let lasted = began.elapsed();
        ensure!(beaten > 10 && lasted > Duration::from_secs(3), "{beaten} in {lasted:?}");
        Ok(())
    })
}

#[test]
fn a_clock_that_jumps_a_day_ends_nothing_that_lives() -> Result<()> {
    if !tools::present("a_clock_that_jumps_a_day_ends_nothing_that_lives", &["cc"]) {
        return Ok(());
    }
    let clock = WallClock::new()?;
    let launch = launch(&clock)?;
    let mut server = launch.start()?;
    let alive = Alive::begin(&server)?;
    for jumps in [[DAY, 0, -DAY], [0, DAY, 0]] {
        let (over, beats) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let beating = scope.spawn(|| alive.beat(&server, &over, &beats));
            let jumped = let_it_beat(&beats).and_then(|()| {
                // A status that changed, though only for a moment, would show in the index.
                let statuses = || server.client().get("/v1/health/state/any");
                let before = statuses()?.index()?;
                jumps.into_iter().try_for_each(|jump| {
                    clock.set(jump)?;
                    let_it_beat(&beats)?;
                    let now = statuses()?;
                    ensure!(now.index()? == before, "{jump} s: a status changed: {}", now.text());
                    alive.is_whole(&server).with_context(|| format!("with the clock at {jump} s"))
                })
            });
            over.store(true, Ordering::SeqCst);
            let beaten: Result<()> = beating.join().expect("the renewer does not panic");
            beaten.context("renewing").and(jumped)
        })?;
        // Started again with the clock as it stands: a day back the first time.
        server.stop()?;
        server = launch.start()?;
        alive.is_whole(&server).context("started again")?;
    }
    what_is_not_renewed_still_ends(&server, &alive)
}

fn what_is_not_renewed_still_ends(server: &Server, alive: &Alive) -> Result<()> {
    let mut http = server.client();
    until("the TTL check to run out", EXPIRED, || {
        let rows = http.get_json("/v1/health/state/critical")?;
        ensure!(rows.as_array().is_some_and(|rows| rows.len() == 1), "{rows}");
        Ok(())
    })?;
    until("the session to run out, and its lock to be free", EXPIRED, || {
        let held = http.get_json("/v1/kv/held")?;
        ensure!(held[0]["Session"].is_null(), "{held}");
        Ok(())
    })?;
    let next = session(&mut http, &json!({ "NodeChecks": [] }))?;
    until("the lock-delay to end", EXPIRED, || {
        let path = format!("/v1/kv/delayed?acquire={next}");
        ensure!(http.put_ok(&path, "z")?.text().trim() == "true", "{:?}", alive.delayed.elapsed());
        Ok(())
    })?;
    until("the server to answer", SOON, || {
        http.get("/v1/status/leader")?.expect_status(200).map(drop)
    })
}
