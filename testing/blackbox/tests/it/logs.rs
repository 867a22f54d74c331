//! What a process writes about itself: its lines, a request's way through them, and Consul's words.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use blackbox::binary::rutter;
use blackbox::server::{Launch, Server};
use blackbox::tools::{curl, present};
use blackbox::wait::{SOON, until};
use serde_json::{Value, json};

/// The lines of a server that are JSON.
fn lines(server: &Server) -> Vec<Value> {
    let said = server.process.said();
    said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits for a line with these fields.
fn line(server: &Server, wanted: &Value) -> Result<Value> {
    let fields = wanted.as_object().context("an object of fields")?;
    until(&format!("a line with {wanted}"), SOON, || {
        let found = lines(server)
            .into_iter()
            .find(|line| fields.iter().all(|(name, value)| line.get(name) == Some(value)));
        found.with_context(|| format!("in:\n{}", server.process.said()))
    })
}

fn as_json(level: &str) -> Result<Server> {
    Launch::dev().args(&["-log-json", "-log-level", level]).start()
}

#[test]
fn a_request_is_followed_from_the_door_to_the_log_and_back() -> Result<()> {
    if !present("a_request_is_followed_from_the_door_to_the_log_and_back", &["curl"]) {
        return Ok(());
    }
    let server = as_json("debug")?;
    for (header, id, method, path, body) in [
        ("X-Request-Id", "from-a-proxy/1", "PUT", "/v1/kv/a", "1"),
        ("X-Rutter-Request-Id", "mine:2", "PUT", "/v1/agent/service/register", r#"{"Name":"w"}"#),
    ] {
        let sent = format!("{header}: {id}");
        let args = ["-H", &sent, "-X", method, "-d", body, "--dump-header", "-"];
        let (said, status) = curl(server.http, path, &args)?;
        ensure!(status == 200, "{said}");
        let back = format!("x-rutter-request-id: {id}\r\n");
        ensure!(said.to_lowercase().contains(&back), "{back:?} in {said}");
        line(
            &server,
            &json!({"@message": "answered", "request": id, "path": path, "status": 200}),
        )?;
        // The line is written with the author that stands in the entry.
        let committed = line(&server, &json!({"@message": "entry committed", "request": id}))?;
        ensure!(committed["index"].is_u64() && committed["@level"] == "debug", "{committed}");
    }
    Ok(())
}

#[test]
fn an_id_that_a_log_cannot_carry_is_replaced() -> Result<()> {
    if !present("an_id_that_a_log_cannot_carry_is_replaced", &["curl"]) {
        return Ok(());
    }
    let server = Launch::dev().start()?;
    let long = "x".repeat(129);
    for id in ["", "two words", "tab\there", "ünïcode", &long] {
        let sent = format!("X-Rutter-Request-Id: {id}");
        let (said, _) = curl(server.http, "/v1/status/leader", &["-H", &sent, "-D", "-"])?;
        let back = said.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("x-rutter-request-id").then(|| value.trim().to_owned())
        });
        let back = back.with_context(|| format!("no id in {said}"))?;
        let own = back.len() == 32 && back.bytes().all(|sign| sign.is_ascii_hexdigit());
        ensure!(own, "{id:?} came back as {back:?}");
    }
    Ok(())
}

#[test]
fn a_service_of_a_client_that_dns_cannot_answer_is_told_once() -> Result<()> {
    let server = as_json("info")?;
    for _ in 0..2 {
        server.client().put_ok("/v1/agent/service/register", r#"{"Name":"x_y"}"#)?;
    }
    server
        .client()
        .put_ok("/v1/agent/service/register", r#"{"ID":"z","Name":"fine","Tags":["v.1"]}"#)?;
    line(&server, &json!({"@level": "warn", "@message": "registration", "instance": "z"}))?;
    let told = lines(&server).into_iter().filter(|line| line["instance"] == "x_y");
    let told: Vec<Value> = told.filter(|line| line["@message"] == "registration").collect();
    let [one] = &told[..] else { anyhow::bail!("{told:?}") };
    let words = "Service name \"x_y\" will not be discoverable via DNS due to invalid characters.";
    ensure!(one["warning"].as_str().is_some_and(|said| said.starts_with(words)), "{one}");
    Ok(())
}

#[test]
fn the_level_decides_and_a_reload_changes_it() -> Result<()> {
    let launch = Launch::dev().config(&json!({"log_level": "ERR", "log_json": true}));
    let server = launch.start()?;
    ensure!(lines(&server).is_empty(), "{}", server.process.said());
    std::fs::write(
        launch.dir().join("config.json"),
        r#"{"log_level": "trace", "log_json": true}"#,
    )?;
    server.client().put_ok("/v1/agent/reload", "")?;
    server.client().put_ok("/v1/kv/a", "1")?;
    line(&server, &json!({"@level": "debug", "@message": "entry committed"}))?;
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

#[test]
fn lines_go_to_files_that_are_rotated_and_removed() -> Result<()> {
    let launch = Launch::dev();
    let directory = launch.dir().join("logs");
    std::fs::create_dir(&directory)?;
    let path = format!("{}/", directory.display());
    let launch = launch
        .args(&["-log-level", "debug", "-log-file", &path, "-log-rotate-bytes", "2000"])
        .args(&["-log-rotate-max-files", "2", "-log-rotate-duration", "1h"]);
    let server = launch.start()?;
    let mut client = server.client();
    for n in 0..100 {
        client.put_ok("/v1/kv/a", n.to_string())?;
    }
    server.stop()?; // a line is in its file, or not, when nobody writes any more
    let files = files(&directory)?;
    ensure!(files.len() == 3, "{files:?}");
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ensure!(name.starts_with("rutter-") && name.ends_with(".log"), "{name}");
        let text = std::fs::read_to_string(file)?;
        ensure!(text.len() < 2500 && text.ends_with('\n'), "{name}: {text}");
        for line in text.lines() {
            let (time, rest) = line.split_once(' ').context("a time")?;
            ensure!(time.ends_with('Z') && rest.starts_with('['), "{line}");
        }
    }
    Ok(())
}

#[test]
fn a_log_file_that_cannot_be_written_is_refused() -> Result<()> {
    let launch = Launch::dev().args(&["-log-file", "/nowhere/at/all.log"]);
    let (status, said) = launch.run()?;
    ensure!(status.code() == Some(1) && said.contains("log_file /nowhere/at/all.log"), "{said}");
    Ok(())
}

#[test]
fn syslog_is_taken_with_a_warning() -> Result<()> {
    let launch = Launch::dev().args(&["-syslog"]).config(&json!({"enable_syslog": true}));
    let server = launch.start()?;
    server.process.until_said(&["-syslog is accepted", "enable_syslog is accepted"]).map(drop)
}

/// Row K3 of the tutorial's claims.
#[test]
fn called_as_consul_it_says_what_scripts_wait_for() -> Result<()> {
    let launch = Launch::bare(&[]);
    let consul = launch.dir().join("consul");
    std::os::unix::fs::symlink(std::path::absolute(rutter())?, &consul)?;
    let data = launch.dir().join("data");
    let server = launch
        .program(&consul)
        .args(&["agent", "-server", "-bootstrap", "-node", "node1", "-bind", "127.0.0.1"])
        .args(&["-http-port", "0", "-dns-port", "0", "-server-port", "0", "-data-dir"])
        .args(&[data])
        .start()?;
    server.client().put_ok("/v1/agent/service/register", r#"{"Name":"web"}"#)?;
    let words = [
        "==> WARNING: Bootstrap mode enabled! Do not enable unless necessary\n",
        "==> Consul agent running!\n",
        " Version: '1.",
        " Node ID: '",
        " Node name: 'node1'\n",
        " Datacenter: 'dc1' (Segment: '<all>')\n",
        " Server: true (Bootstrap: true)\n",
        &format!(" Client Addr: [127.0.0.1] (HTTP: {}, HTTPS: -1, ", server.http.port()),
        " Cluster Addr: 127.0.0.1 (LAN: 8301, WAN: 8302)\n",
        " Encrypt: Gossip: false, TLS-Outgoing: false, TLS-Incoming: false",
        "==> Log data will now stream in as it occurs:\n",
        "cluster leadership acquired\n",
        "New leader elected: node1\n",
        "member 'node1' joined, marking health alive\n",
        "Synced service 'consul'\n",
        "Synced service 'web'\n",
    ];
    server.process.until_said(&words)?;
    server.stop()
}

#[test]
fn called_as_rutter_it_speaks_for_itself() -> Result<()> {
    let server = Launch::dev().start()?;
    let words =
        ["==> rutter agent running!\n", " Data: in memory\n", "leadership taken up: node=n1"];
    let said = server.process.until_said(&words)?;
    for word in ["Bootstrap mode enabled", "New leader elected", "Consul agent running"] {
        ensure!(!said.contains(word), "{word:?} in:\n{said}");
    }
    server.stop()
}
