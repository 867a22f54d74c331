//! Reads that wait: woken by a change of their own result, by nothing else, and never lost.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use blackbox::http::{Answer, Http};
use blackbox::server::Server;
use blackbox::wait::{SOON, until};
use serde_json::json;

dev_and_durable! {
    a_reader_of_a_key_is_woken_by_that_key_alone
    a_reader_of_a_service_is_woken_by_its_health
    what_is_not_there_is_waited_for
    a_wait_that_is_over_gives_the_same_answer_and_index
    a_follower_sees_the_last_write_and_no_index_falls
}

/// A blocking read on a thread of its own.
struct Waiter(Receiver<Result<Answer>>);

impl Waiter {
    /// Asks for `path` from the index that it has now. A first read shows that index; the second one blocks.
    fn begin(server: &Server, path: &str) -> Result<(Waiter, u64)> {
        let index = server.client().get(path)?.index()?;
        let joint = if path.contains('?') { '&' } else { '?' };
        let blocking = format!("{path}{joint}index={index}&wait=60s");
        let mut http = Http::new(server.http).patient(Duration::from_secs(90));
        let (send, receive) = channel();
        let before = blocked(server)?;
        std::thread::spawn(move || send.send(http.get(&blocking)));
        until("the server to wait for it", SOON, || {
            ensure!(blocked(server)? > before, "{before} queries were blocked and are");
            Ok(())
        })?;
        Ok((Waiter(receive), index))
    }

    fn still_waits(&self) -> Result<()> {
        match self.0.try_recv() {
            Err(TryRecvError::Empty) => Ok(()),
            Ok(answer) => bail!("it was answered: {:?}", answer?.text()),
            Err(TryRecvError::Disconnected) => bail!("it is gone"),
        }
    }

    fn answer(self) -> Result<Answer> {
        self.0.recv_timeout(SOON).context("it was not woken")?
    }
}

/// How many queries the server has blocked just now, by its own count.
fn blocked(server: &Server) -> Result<u64> {
    let metrics = server.client().get("/metrics")?.expect_status(200)?.text();
    let value = metrics.lines().find_map(|line| line.strip_prefix("rutter_http_blocked_queries "));
    Ok(value.context("no gauge of blocked queries")?.parse()?)
}

/// Writes that concern none of the waiters; a hundred of them, so that one woken by mistake has the time to answer.
fn disturb(server: &Server) -> Result<()> {
    let mut http = server.client();
    for n in 0..100 {
        http.put_ok("/v1/kv/elsewhere", n.to_string())?;
        let row = json!({ "Node": "x", "Address": "10.0.0.1", "Service": { "Service": "other", "Port": n } });
        http.put_ok("/v1/catalog/register", row.to_string())?;
    }
    Ok(())
}

fn a_reader_of_a_key_is_woken_by_that_key_alone(server: &Server) -> Result<()> {
    let mut http = server.client();
    http.put_ok("/v1/kv/own", "1")?;
    let (key, index) = Waiter::begin(server, "/v1/kv/own")?;
    let (prefix, _) = Waiter::begin(server, "/v1/kv/ow?recurse")?;
    disturb(server)?;
    key.still_waits()?;
    prefix.still_waits()?;
    http.put_ok("/v1/kv/own", "1")?; // the same value changes nothing
    disturb(server)?;
    key.still_waits()?;
    http.put_ok("/v1/kv/own", "2")?;
    let (key, prefix) = (key.answer()?, prefix.answer()?);
    ensure!(key.json()?[0]["Value"] == "Mg==" && key.index()? > index, "{}", key.text());
    ensure!(prefix.json()?[0]["Value"] == "Mg==", "{}", prefix.text());
    let (gone, index) = Waiter::begin(server, "/v1/kv/own")?;
    http.delete("/v1/kv/own")?;
    let gone = gone.answer()?;
    ensure!(gone.status == 404 && gone.index()? > index, "{gone:?}");
    Ok(())
}

fn a_reader_of_a_service_is_woken_by_its_health(server: &Server) -> Result<()> {
    let mut http = server.client();
    let body = json!({ "Name": "web", "Port": 1, "Check": { "CheckID": "beat", "TTL": "1h", "Status": "passing" } });
    http.put_ok("/v1/agent/service/register", body.to_string())?;
    let (health, index) = Waiter::begin(server, "/v1/health/service/web?passing")?;
    disturb(server)?;
    health.still_waits()?;
    http.put_ok("/v1/agent/check/fail/beat", "")?;
    let answer = health.answer()?;
    ensure!(answer.json()? == json!([]) && answer.index()? > index, "{}", answer.text());
    let (catalog, _) = Waiter::begin(server, "/v1/catalog/service/web")?;
    http.put_ok("/v1/agent/service/deregister/web", "")?;
    ensure!(catalog.answer()?.json()? == json!([]), "deregistered");
    Ok(())
}

fn what_is_not_there_is_waited_for(server: &Server) -> Result<()> {
    let mut http = server.client();
    http.put_ok("/v1/kv/elsewhere", "0")?;
    let (key, _) = Waiter::begin(server, "/v1/kv/later")?;
    let (service, _) = Waiter::begin(server, "/v1/health/service/later")?;
    disturb(server)?;
    key.still_waits()?;
    service.still_waits()?;
    http.put_ok("/v1/kv/later", "x")?;
    ensure!(key.answer()?.status == 200, "the key appeared");
    let row =
        json!({ "Node": "x", "Address": "10.0.0.1", "Service": { "Service": "later", "Port": 1 } });
    http.put_ok("/v1/catalog/register", row.to_string())?;
    let rows = service.answer()?.json()?;
    ensure!(rows.as_array().is_some_and(|r| r.len() == 1), "{rows}");
    Ok(())
}

fn a_wait_that_is_over_gives_the_same_answer_and_index(server: &Server) -> Result<()> {
    let mut http = server.client();
    http.put_ok("/v1/kv/own", "1")?;
    for path in [
        "/v1/kv/own",
        "/v1/kv/nope",
        "/v1/health/service/consul",
        "/v1/catalog/services",
        "/v1/session/list",
    ] {
        let before = http.get(path)?;
        let began = Instant::now();
        let after = http.get(&format!("{path}?index={}&wait=300ms", before.index()?))?;
        let took = began.elapsed();
        ensure!(took >= Duration::from_millis(300) && took < SOON, "{path}: {took:?}");
        ensure!(
            after.status == before.status && after.body == before.body,
            "{path}: {} {}",
            after.status,
            after.text()
        );
        ensure!(after.index()? == before.index()? && after.index()? > 0, "{path}: index");
    }
    for (query, status, text) in
        [("index=x", 400, "Invalid index"), ("index=1&wait=x", 400, "Invalid wait time")]
    {
        let answer = http.get(&format!("/v1/kv/own?{query}"))?;
        ensure!(
            answer.status == status && answer.text().contains(text),
            "{query}: {} {}",
            answer.status,
            answer.text()
        );
    }
    Ok(())
}

/// Follows a read by its index until `done`; every index is higher than the one before.
fn follow(server: &Server, path: &str, done: impl Fn(&Answer) -> bool) -> Result<usize> {
    let mut http = server.client().patient(Duration::from_secs(90));
    let (mut index, mut answers) = (0, 0);
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let answer = http.get(&format!("{path}{joint}index={index}&wait=60s"))?;
        let next = answer.index()?;
        ensure!(next > index, "{path}: index {index}, then {next}: {}", answer.text());
        (index, answers) = (next, answers + 1);
        if done(&answer) {
            return Ok(answers);
        }
    }
}

/// Who waits again right after each answer must neither miss the last write nor be answered without a change.
fn a_follower_sees_the_last_write_and_no_index_falls(server: &Server) -> Result<()> {
    const LAST: usize = 500;
    let value = |answer: &Answer| answer.text() == LAST.to_string();
    let port = |answer: &Answer| {
        let rows = answer.json().unwrap_or_default();
        rows[0]["Service"]["Port"] == LAST
    };
    server.client().put_ok("/v1/kv/followed", "0")?;
    std::thread::scope(|scope| {
        let keys: Vec<_> =
            (0..10).map(|_| scope.spawn(|| follow(server, "/v1/kv/followed?raw", value))).collect();
        let services: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| follow(server, "/v1/health/service/followed", port)))
            .collect();
        let mut http = server.client();
        for n in 1..=LAST {
            http.put_ok("/v1/kv/followed", n.to_string())?;
            let row = json!({ "Node": "x", "Address": "10.0.0.1", "Service": { "Service": "followed", "Port": n } });
            http.put_ok("/v1/catalog/register", row.to_string())?;
        }
        for follower in keys.into_iter().chain(services) {
            let answers = follower.join().expect("a follower does not panic")?;
            ensure!(answers > 1, "it was never woken");
        }
        Ok(())
    })
}
