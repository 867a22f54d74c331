//! `rutter dev`: the first minute. What it prints to paste must work when pasted.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use blackbox::server::Launch;
use blackbox::tools::{self, printed};
use blackbox::wait::{SOON, until};
use nix::sys::signal::Signal;
use serde_json::json;

fn dev(words: &[&str]) -> Launch {
    Launch::bare(&["dev"]).args(words).args(&["-http-port", "0", "-dns-port", "0"])
}

/// The lines to paste among those printed.
fn to_paste(said: &str) -> Vec<String> {
    let lines = said.lines().map(|l| l.trim().trim_start_matches("$ "));
    lines
        .filter(|l| l.starts_with("dig ") || l.starts_with("curl ") || l.contains(" why "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_lines_to_paste_work_when_they_are_printed() -> Result<()> {
    if !tools::present("the_lines_to_paste_work_when_they_are_printed", &["curl", "dig"]) {
        return Ok(());
    }
    let began = Instant::now();
    let server = dev(&[]).listen()?;
    let listening = began.elapsed();
    let lines = until("lines to paste, and an empty one after them", SOON, || {
        let said = server.process.said();
        let lines = to_paste(&said);
        ensure!(lines.iter().any(|l| l.starts_with("dig ")), "no dig line in:\n{said}");
        ensure!(lines.iter().any(|l| l.starts_with("curl ")), "no curl line in:\n{said}");
        ensure!(lines.iter().any(|l| l.contains("rutter why hello")), "no why line in:\n{said}");
        ensure!(said.ends_with("\n\n"), "not yet at its end:\n{said}");
        Ok(lines)
    })?;
    println!("rutter dev: listens after {listening:?}, lines to paste after {:?}", began.elapsed());
    for line in lines {
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]);
        let text = printed(shell)?;
        let useful = if line.starts_with("dig ") && !line.contains("+short") {
            text.contains("status: NOERROR") && !text.contains("ANSWER: 0")
        } else {
            !text.trim().is_empty() && !text.trim().eq("[]") && !text.contains("not a recognized")
        };
        ensure!(useful, "`{line}` printed:\n{text}");
    }
    server.stop()
}

#[test]
fn the_sample_is_a_real_service_with_a_real_check() -> Result<()> {
    let server = dev(&[]).start()?;
    let rows = until("hello to be passing", SOON, || {
        let rows = server.client().get_json("/v1/health/service/hello?passing")?;
        ensure!(rows.as_array().is_some_and(|r| r.len() == 1), "hello: {rows}");
        Ok(rows)
    })?;
    let service = &rows[0]["Service"];
    let host = service["Address"].as_str().filter(|a| !a.is_empty()).unwrap_or("127.0.0.1");
    let mut curl = Command::new("curl");
    curl.args(["-s", "--fail", &format!("http://{host}:{}/", service["Port"])]);
    ensure!(!printed(curl)?.is_empty(), "hello says nothing");
    let checks = rows[0]["Checks"].as_array().cloned().unwrap_or_default();
    let http = checks.iter().find(|c| c["ServiceID"] == service["ID"]);
    ensure!(
        http.is_some_and(|c| c["Type"] == "http" && c["Output"].to_string().contains("200")),
        "{checks:?}"
    );
    Ok(())
}

#[test]
fn no_sample_leaves_the_catalog_empty() -> Result<()> {
    let server = dev(&["-no-sample"]).start()?;
    let services = server.client().get_json("/v1/catalog/services")?;
    ensure!(services == json!({ "consul": [] }), "{services}");
    for line in to_paste(&server.process.said()) {
        ensure!(!line.contains("hello"), "{line}");
    }
    server.stop()
}

#[test]
fn nobody_needs_to_read_what_it_prints() -> Result<()> {
    for unread in ["exec \"$0\" \"$@\" > /dev/full", "exec \"$0\" \"$@\" > >(true)"] {
        let shell = ["bash", "-c", unread].map(str::to_owned);
        let mut process = Launch::dev().under(&shell).spawn()?;
        until("the line of the log that it runs", SOON, || {
            let said = process.said();
            ensure!(said.contains("agent running"), "{unread}:\n{said}");
            Ok(())
        })?;
        ensure!(process.ended()?.is_none(), "{unread}: it ended");
        process.signal(Signal::SIGTERM)?;
        ensure!(process.wait_end(SOON)?.success(), "{unread}:\n{}", process.said());
    }
    Ok(())
}
