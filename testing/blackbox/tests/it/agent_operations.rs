//! What an operator does to a running agent: take out, wait, reload, leave.

use anyhow::{Result, ensure};
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use nix::sys::signal::Signal;
use serde_json::json;

dev_and_durable! {
    what_a_person_took_out_is_found_by_nobody
    a_definition_is_waited_for
}

const WEB: &str = r#"{"Name":"web","Port":1,"Check":{"TTL":"1h","Status":"passing"}}"#;

/// Waits until both faces show the service, or both do not.
#[track_caller]
fn wait_found(server: &Server, found: bool) -> Result<()> {
    until(&format!("web found: {found}"), SOON, || {
        let rows = server.client().get_json("/v1/health/service/web?passing")?;
        let listed = rows.as_array().is_some_and(|rows| !rows.is_empty());
        ensure!(listed == found, "?passing: {rows}");
        let dug = server.dig("web.service.consul A")?;
        ensure!(dug.answer.is_empty() != found, "{dug:?}");
        Ok(())
    })
}

fn what_a_person_took_out_is_found_by_nobody(server: &Server) -> Result<()> {
    let mut http = server.client();
    http.put_ok("/v1/agent/service/register", WEB)?;
    wait_found(server, true)?;
    for door in ["service/maintenance/web", "maintenance"] {
        http.put_ok(&format!("/v1/agent/{door}?enable=true&reason=work"), "")?;
        wait_found(server, false)?;
        let local = http.get("/v1/agent/health/service/id/web?format=text")?;
        ensure!((local.status, local.text().as_str()) == (503, "maintenance"), "{door}: {local:?}");
        http.put_ok(&format!("/v1/agent/{door}?enable=false"), "")?;
        wait_found(server, true)?;
    }
    let local = http.get("/v1/agent/health/service/name/web")?;
    ensure!(local.status == 200 && local.header("x-consul-reason") == Some("passing"), "{local:?}");
    Ok(())
}

fn a_definition_is_waited_for(server: &Server) -> Result<()> {
    let mut http = server.client();
    http.put_ok("/v1/agent/service/register", WEB)?;
    let shown = http.get_json("/v1/agent/service/web")?;
    let hash = shown["ContentHash"].as_str().unwrap_or_default().to_owned();
    let path = format!("/v1/agent/service/web?hash={hash}&wait=60s");
    let mut waiting = server.client().patient(SOON);
    let waiting = std::thread::spawn(move || waiting.get_json(&path));
    http.put_ok("/v1/agent/service/register", r#"{"Name":"web","Port":2}"#)?;
    let woken = waiting.join().expect("no panic")?;
    ensure!(woken["Port"] == 2 && woken["ContentHash"] != shown["ContentHash"], "{woken}");
    Ok(())
}

#[test]
fn maintenance_outlives_a_restart() -> Result<()> {
    let launch = Launch::durable();
    let server = launch.start()?;
    server.client().put_ok("/v1/agent/service/register", WEB)?;
    server.client().put_ok("/v1/agent/service/maintenance/web?enable=true&reason=work", "")?;
    server.stop()?;
    let server = launch.start()?;
    let checks = server.client().get_json("/v1/agent/checks")?;
    ensure!(checks["_service_maintenance:web"]["Notes"] == "work", "{checks}");
    wait_found(&server, false)
}

#[test]
fn who_is_told_to_leave_answers_and_ends_in_order() -> Result<()> {
    for launch in [Launch::dev(), Launch::durable()] {
        let mut server = launch.start()?;
        server.client().put_ok("/v1/agent/service/register", WEB)?;
        let left = server.client().put("/v1/agent/leave", "")?;
        ensure!(left.status == 200 && left.text().is_empty(), "{left:?}");
        let status = server.process.wait_end(SOON)?;
        ensure!(status.success(), "{status}\n{}", server.process.said());
    }
    Ok(())
}

#[test]
fn who_left_comes_back_with_what_was_registered() -> Result<()> {
    let launch = Launch::durable();
    let mut server = launch.start()?;
    server.client().put_ok("/v1/agent/service/register", WEB)?;
    server.client().put_ok("/v1/agent/leave", "")?;
    server.process.wait_end(SOON)?;
    let services = launch.start()?.client().get_json("/v1/agent/services")?;
    ensure!(services["web"]["Port"] == 1, "{services}");
    Ok(())
}

/// Waits until the process said this so many times.
fn wait_said(server: &Server, words: &str, times: usize) -> Result<()> {
    until(&format!("{words:?} {times} times"), SOON, || {
        let said = server.process.said();
        ensure!(said.matches(words).count() >= times, "{said}");
        Ok(())
    })
}

#[test]
fn a_reload_changes_the_log_level_and_names_what_needs_a_restart() -> Result<()> {
    let launch = Launch::durable().config(&json!({ "log_level": "info" }));
    let server = launch.start()?;
    let file = launch.dir().join("config.json");
    let marked = |mark: &str| server.client().get(&format!("/v1/kv/{mark}")).map(drop);
    marked("before")?;

    std::fs::write(&file, r#"{"log_level": "debug", "domain": "other"}"#)?;
    server.client().put_ok("/v1/agent/reload", "")?;
    marked("loud")?;
    wait_said(&server, "/v1/kv/loud", 1)?;
    wait_said(&server, "needs a restart", 1)?;
    server.process.until_said(&["domain"])?;
    ensure!(!server.process.said().contains("/v1/kv/before"), "it was quiet before");

    for bad in [r#"{"log_level": "loud"}"#, r#"{"ports": {"http": 1,"#, r#"{"nope": 1}"#] {
        std::fs::write(&file, bad)?;
        let refused = server.client().put("/v1/agent/reload", "")?;
        ensure!(refused.status == 500, "{bad}: {refused:?}");
        ensure!(refused.text().starts_with("configuration not reloaded: "), "{refused:?}");
    }
    marked("still")?;
    wait_said(&server, "/v1/kv/still", 1)?;

    std::fs::write(&file, r#"{"log_level": "info"}"#)?;
    server.process.signal(Signal::SIGHUP)?;
    wait_said(&server, "configuration reloaded", 2)?;
    marked("quiet")?;
    server.client().put_ok("/v1/agent/reload", "")?;
    wait_said(&server, "configuration reloaded", 3)?;
    ensure!(!server.process.said().contains("/v1/kv/quiet"), "{}", server.process.said());
    server.stop()
}
