//! A process that stood still, as on a machine that was paused, does not blame its clients for it.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use blackbox::http::read_answer;
use blackbox::server::Launch;
use blackbox::wait::{SOON, let_pass, until, until_true};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// The check's time, and how long the process stands still: both from its last report on.
const TTL: Duration = Duration::from_secs(5);
const STILL: Duration = Duration::from_secs(9);

#[test]
fn a_report_that_came_while_the_process_stood_still_counts() -> Result<()> {
    let server = Launch::durable().start()?;
    let mut http = server.client();
    let ttl = format!("{}s", TTL.as_secs());
    let check = json!({ "Name": "beat", "TTL": ttl, "Status": "passing" });
    http.put_ok("/v1/agent/check/register", check.to_string())?;
    let mut stream = TcpStream::connect(server.http)?;
    stream.set_read_timeout(Some(SOON))?;
    http.put_ok("/v1/agent/check/pass/beat", "")?;
    let before = until("the catalog to show that it passes", SOON, || {
        let shown = http.get("/v1/health/state/any")?;
        let (index, rows) = (shown.index()?, shown.json()?);
        let beats = |row: &Value| row["CheckID"] == "beat" && row["Status"] == "passing";
        ensure!(rows.as_array().is_some_and(|rows| rows.iter().any(beats)), "{rows}");
        Ok(index)
    })?;
    server.process.signal(Signal::SIGSTOP)?;
    until_true("the process to stand still", SOON, || server.process.stands_still())?;
    // In time by the clock of whoever sends it.
    stream.write_all(
        b"PUT /v1/agent/check/pass/beat HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    )?;
    let_pass(STILL);
    server.process.signal(Signal::SIGCONT)?;
    let answer = read_answer(&mut BufReader::new(stream))?;
    ensure!(answer.status == 200, "{answer:?}");
    let after = http.get("/v1/health/state/any")?;
    // A status that changed, though only for a moment, would show in the index.
    ensure!(after.index()? == before, "it was critical for a while: {}", after.text());
    until("what is not reported any more to run out", 4 * SOON, || {
        let rows = http.get_json("/v1/health/state/critical")?;
        ensure!(rows.as_array().is_some_and(|rows| rows.len() == 1), "{rows}");
        Ok(())
    })
    .context("afterwards")
}
