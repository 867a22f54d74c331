//! Consul's own client for Go walks through the API: `testing/clients/go/api` says what each scenario does.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Result, ensure};
use blackbox::golang;
use blackbox::server::Launch;
use blackbox::tools::printed;
use serde_json::json;

/// Scenarios of what is still to come. One that passes must go from here.
const PENDING: &[&str] = &["an agent's log is followed"];

fn walk(test: &str, launch: Launch) -> Result<()> {
    let Some(program) = golang::program(test, "api")? else { return Ok(()) };
    let server = launch.config(&json!({ "session_ttl_min": "1s" })).start()?;
    let mut list = Command::new(&program);
    list.arg("list");
    let listed = printed(list)?;
    let mut scenarios: BTreeSet<&str> = listed.lines().collect();
    ensure!(scenarios.len() >= 36, "a scenario is lost:\n{listed}");
    for pending in PENDING {
        ensure!(scenarios.remove(pending), "no scenario is called {pending:?}");
    }

    let mut walk = Command::new(&program);
    for setting in ["CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_SSL"] {
        walk.env_remove(setting);
    }
    let output = walk.arg(server.http.to_string()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let passed: BTreeSet<&str> = said.lines().filter_map(|l| l.strip_prefix("PASS ")).collect();
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(passed == scenarios, "of {scenarios:#?}\nonly some passed:\n{said}\n{complaints}");
    Ok(())
}

#[test]
fn consuls_client_for_go_walks_through_an_agent_in_memory() -> Result<()> {
    walk("consuls_client_for_go_walks_through_an_agent_in_memory", Launch::dev())
}

#[test]
fn consuls_client_for_go_walks_through_a_durable_server() -> Result<()> {
    walk("consuls_client_for_go_walks_through_a_durable_server", Launch::durable())
}
