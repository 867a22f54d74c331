//! `watch`: once without a program, at each change with one.

use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use blackbox::addresses::own_loopback;
use blackbox::commands::Cli;
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use serde_json::{Value, json};

fn start() -> Result<(Server, Cli)> {
    let server = Launch::dev().start()?;
    let cli = Cli::of(server.http);
    Ok((server, cli))
}

fn seen(cli: &Cli, words: &[&str]) -> Result<Value> {
    let said = cli.says(&[&["watch"], words].concat())?;
    serde_json::from_str(&said).with_context(|| said)
}

/// A watch in the background that adds a line to a file for each time its program runs.
struct Watching {
    child: Child,
    dir: tempfile::TempDir,
}

impl Watching {
    fn start(cli: &Cli, words: &[&str]) -> Result<Watching> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("lines");
        let program = format!("(echo -n \"$CONSUL_INDEX \"; cat) >> {}", file.display());
        let words = [&["watch"], words, &[&program]].concat();
        let child = cli.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Watching { child, dir })
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("lines")
    }

    /// Waits until the program ran so often; the index and the JSON of the last time.
    fn ran(&self, times: usize) -> Result<(u64, Value)> {
        until("runs of the program", SOON, || {
            let lines = lines(&self.file());
            ensure!(lines.len() == times, "{lines:?}");
            let (index, json) = lines[times - 1].split_once(' ').context("an index")?;
            Ok((index.parse()?, serde_json::from_str(json)?))
        })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n').filter(|l| l.ends_with('\n')).map(str::to_owned).collect()
}

#[test]
fn each_type_is_shown_once() -> Result<()> {
    let (server, cli) = start()?;
    cli.says(&["kv", "put", "a/b", "x"])?;
    cli.says(&["services", "register", "-name=web", "-port=80", "-tag=v1"])?;
    until("web in the catalog", SOON, || {
        let rows = server.client().get_json("/v1/health/service/web")?;
        ensure!(rows.as_array().is_some_and(|r| r.len() == 1), "{rows}");
        Ok(())
    })?;
    let said = cli.says(&["watch", "-type=key", "-key=a/b"])?;
    ensure!(said.starts_with("{\n    \"") && said.contains("    \"Key\": \"a/b\",\n"), "{said}");
    ensure!(seen(&cli, &["-type=key", "-key", "none"])? == Value::Null, "a missing key");
    ensure!(seen(&cli, &["-type=keyprefix", "-prefix=a/"])?[0]["Value"] == "eA==", "keyprefix");
    ensure!(seen(&cli, &["-type=keyprefix", "-prefix=z/"])? == Value::Null, "an empty prefix");
    ensure!(seen(&cli, &["-type=services"])? == json!({ "consul": [], "web": ["v1"] }), "services");
    ensure!(seen(&cli, &["-type=nodes"])?[0]["Node"] == "n1", "nodes");
    let of_web = ["-type=service", "-service=web"];
    ensure!(seen(&cli, &of_web)?[0]["Service"]["Port"] == 80, "service");
    let passing = [&of_web[..], &["-tag=v1", "-passingonly=true"]].concat();
    ensure!(seen(&cli, &passing)?.as_array().is_some_and(|r| r.len() == 1), "passing");
    ensure!(seen(&cli, &[&of_web[..], &["-tag=v2"]].concat())? == json!([]), "another tag");
    ensure!(seen(&cli, &["-type=checks"])?[0]["CheckID"] == "serfHealth", "checks");
    ensure!(seen(&cli, &["-type=checks", "-state=critical"])? == json!([]), "no critical ones");
    ensure!(seen(&cli, &["-type=checks", "-service=web"])? == json!([]), "none of its own");
    let of_agent = ["-type=agent_service", "-service-id=web"];
    ensure!(seen(&cli, &of_agent)?["Service"] == "web", "agent_service");
    ensure!(seen(&cli, &["-type=event"])? == json!([]), "no events");
    cli.says(&["event", "-name=deploy", "1"])?;
    ensure!(seen(&cli, &["-type=event", "-name=deploy"])?[0]["Name"] == "deploy", "event");
    server.stop()
}

#[test]
fn what_a_watch_lacks_is_told() -> Result<()> {
    let cli = Cli::new();
    for (words, complaint) in [
        (&["watch"][..], "Watch type must be specified\n"),
        (&["watch", "-type=nonsense"], "Unsupported watch type: nonsense\n"),
        (&["watch", "-type=connect_roots"], "Unsupported watch type: connect_roots\n"),
        (&["watch", "-type=agent_service"], "Must specify a single service_id to watch\n"),
        (&["watch", "-type=key"], "Must specify a single key to watch\n"),
        (&["watch", "-type=keyprefix"], "Must specify a single prefix to watch\n"),
        (&["watch", "-type=service"], "Must specify a single service to watch\n"),
        (
            &["watch", "-type=checks", "-service=a", "-state=any"],
            "Cannot specify service and state\n",
        ),
    ] {
        cli.fails(words, 1, complaint)?;
    }
    let ran = cli.run(&["watch", "-type=service", "-service=a", "-passingonly=maybe"])?;
    let begins = "Failed to parse passingonly flag: ";
    ensure!(ran.code == 1 && ran.err.starts_with(begins), "{ran:?}");
    Ok(())
}

#[test]
fn a_program_runs_at_the_first_answer_and_at_each_change() -> Result<()> {
    let (server, cli) = start()?;
    let watching = Watching::start(&cli, &["-type=key", "-key=a"])?;
    ensure!(watching.ran(1)?.1 == Value::Null, "a missing key");
    cli.says(&["kv", "put", "a", "1"])?;
    let (index, row) = watching.ran(2)?;
    ensure!(row["Value"] == "MQ==" && row["ModifyIndex"] == json!(index), "{index} {row}");
    cli.says(&["kv", "put", "other", "1"])?; // nothing of it is watched
    cli.says(&["kv", "put", "a", "2"])?;
    ensure!(watching.ran(3)?.1["Value"] == "Mg==", "the second value");
    cli.says(&["kv", "delete", "a"])?;
    ensure!(watching.ran(4)?.1 == Value::Null, "gone again");
    server.stop()
}

#[test]
fn a_program_does_not_run_when_nothing_is_shown_otherwise() -> Result<()> {
    let (server, cli) = start()?;
    let watching = Watching::start(&cli, &["-type=services"])?;
    watching.ran(1)?;
    // The table's index moves; the list of names does not.
    let body = json!({ "Node": "x", "Address": "10.0.0.1", "Service": { "Service": "consul" } });
    server.client().put_ok("/v1/catalog/register", body.to_string())?;
    cli.says(&["services", "register", "-name=web"])?;
    ensure!(watching.ran(2)?.1 == json!({ "consul": [], "web": [] }), "once more");
    server.stop()
}

#[test]
fn only_new_events_are_told() -> Result<()> {
    let (server, cli) = start()?;
    cli.says(&["event", "-name=deploy", "old"])?;
    let watching = Watching::start(&cli, &["-type=event", "-name=deploy"])?;
    watching.ran(1)?;
    // An event's index is made of its random id, so of a dozen some are below the one before.
    for round in 2..14 {
        cli.says(&["event", "-name=deploy", "new"])?;
        let (_, events) = watching.ran(round)?;
        let payloads: Vec<&Value> =
            events.as_array().into_iter().flatten().map(|e| &e["Payload"]).collect();
        ensure!(payloads == [&json!("bmV3")], "{events}");
    }
    server.stop()
}

#[test]
fn what_an_agent_refuses_ends_the_watch() -> Result<()> {
    let (server, cli) = start()?;
    let missing = cli.run(&["watch", "-type=agent_service", "-service-id=none", "true"])?;
    let begins = "Error querying Consul agent: Unexpected response code: 404 (";
    ensure!(missing.code == 1 && missing.err.starts_with(begins), "{missing:?}");
    server.stop()
}

#[test]
fn a_watch_with_a_program_outlives_its_agent() -> Result<()> {
    let launch = Launch::dev().args(&["-client", &own_loopback().to_string()]);
    let server = launch.start()?;
    let (cli, port) = (Cli::of(server.http), server.http.port().to_string());
    let watching = Watching::start(&cli, &["-type=key", "-key=a"])?;
    watching.ran(1)?;
    server.kill()?;
    let server = launch.args(&["-http-port", &port]).start()?;
    cli.says(&["kv", "put", "a", "1"])?;
    ensure!(watching.ran(2)?.1["Value"] == "MQ==", "what the new agent says");
    server.stop()
}

#[test]
fn a_program_that_fails_ends_the_watch() -> Result<()> {
    let (server, cli) = start()?;
    let words = ["watch", "-type=nodes", "-shell=false", "sh", "-c", "exit 4"];
    cli.fails(&words, 1, "Error executing handler: exit status 4\n")?;
    let ran = cli.run(&["watch", "-type=nodes", "-shell=false", "/no/such/program"])?;
    ensure!(ran.code == 1 && ran.err.starts_with("Error starting handler: "), "{ran:?}");
    server.stop()
}
