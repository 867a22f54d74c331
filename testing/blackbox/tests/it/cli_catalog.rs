//! `catalog`, `services`, `maint`: what is registered and how it is shown.

use anyhow::{Result, ensure};
use blackbox::commands::{Cli, without_ids};
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use serde_json::{Value, json};

fn start() -> Result<(Server, Cli)> {
    let server = Launch::dev().start()?;
    let cli = Cli::of(server.http);
    Ok((server, cli))
}

#[test]
fn datacenters_are_listed_one_a_line() -> Result<()> {
    let (server, cli) = start()?;
    cli.prints(&["catalog", "datacenters"], "dc1\n")?;
    cli.prints(&["catalog", "datacenters", "-format=json"], "[\n    \"dc1\"\n]\n")?;
    cli.fails(&["catalog", "datacenters", "x"], 1, "Too many arguments (expected 0, got 1)\n")?;
    server.stop()
}

#[test]
fn nodes_are_a_table() -> Result<()> {
    let (server, cli) = start()?;
    let own = server.client().get_json("/v1/agent/self")?;
    let id = own["Config"]["NodeID"].as_str().unwrap_or_default().to_owned();
    let body = json!({ "Node": "other", "Address": "10.0.0.7", "NodeMeta": { "rack": "r1" },
                       "Service": { "Service": "web", "Port": 80 } });
    server.client().put_ok("/v1/catalog/register", body.to_string())?;
    let short = &id[..8];
    let expected = format!(
        "Node   ID        Address    DC\nn1     {short}  127.0.0.1  dc1\nother            10.0.0.7   dc1\n"
    );
    cli.prints(&["catalog", "nodes"], &expected)?;
    let expected = "Node   ID  Address   DC\nother      10.0.0.7  dc1\n";
    cli.prints(&["catalog", "nodes", "-node-meta=rack=r1"], expected)?;
    cli.prints(&["catalog", "nodes", "-service=web"], expected)?;
    cli.prints(&["catalog", "nodes", "-filter", "Node == other"], expected)?;
    let said = without_ids(&cli.says(&["catalog", "nodes", "-detailed"])?);
    ensure!(said.starts_with("Node   ID "), "{said}");
    ensure!(said.lines().next().is_some_and(|l| l.contains("  TaggedAddresses  ")), "{said}");
    ensure!(said.lines().any(|l| l.starts_with("other") && l.ends_with("rack=r1")), "{said}");
    ensure!(said.contains("lan=127.0.0.1, "), "{said}");
    let ran = cli.run(&["catalog", "nodes", "-node-meta=rack=none"])?;
    let complaint = "No nodes match the given query - try expanding your search.\n";
    ensure!(ran.code == 0 && ran.out.is_empty() && ran.err == complaint, "{ran:?}");
    let rows: Value = serde_json::from_str(&cli.says(&["catalog", "nodes", "-format=json"])?)?;
    ensure!(rows[0]["Node"] == "n1", "{rows}");
    server.stop()
}

#[test]
fn services_are_listed_with_their_tags() -> Result<()> {
    let (server, cli) = start()?;
    let body = json!({ "Node": "other", "Address": "10.0.0.7", "NodeMeta": { "rack": "r1" },
                       "Service": { "Service": "web", "Tags": ["v2", "v1"] } });
    server.client().put_ok("/v1/catalog/register", body.to_string())?;
    cli.prints(&["catalog", "services"], "consul\nweb\n")?;
    cli.prints(&["catalog", "services", "-tags"], "consul      \nweb         v1,v2\n")?;
    cli.prints(&["catalog", "services", "-node=other"], "web\n")?;
    cli.prints(&["catalog", "services", "-node", "other", "-tags"], "web      v1,v2\n")?;
    cli.prints(&["catalog", "services", "-node-meta=rack=r1"], "web\n")?;
    let ran = cli.run(&["catalog", "services", "-node=nobody"])?;
    let complaint = "No services match the given query - try expanding your search.\n";
    ensure!(ran.code == 0 && ran.out.is_empty() && ran.err == complaint, "{ran:?}");
    server.stop()
}

#[test]
fn services_are_registered_by_flags_and_by_files() -> Result<()> {
    let (server, cli) = start()?;
    let words = [
        "services",
        "register",
        "-name=web",
        "-id=web-1",
        "-port=80",
        "-address=10.0.0.1",
        "-tag=a",
        "-tag=b",
        "-meta=version=2",
        "-tagged-address=lan=10.0.0.1:81",
    ];
    cli.prints(&words, "Registered service: web\n")?;
    let web = server.client().get_json("/v1/agent/service/web-1")?;
    ensure!(web["Tags"] == json!(["a", "b"]) && web["Meta"] == json!({ "version": "2" }), "{web}");
    ensure!(web["TaggedAddresses"]["lan"] == json!({ "Address": "10.0.0.1", "Port": 81 }), "{web}");
    let dir = tempfile::tempdir()?;
    let hcl = dir.path().join("db.hcl");
    std::fs::write(
        &hcl,
        "service {\n  name = \"db\"\n  port = 5432\n  enable_tag_override = true\n  meta { my_key = \"x\" }\n  \
         check {\n    ttl = \"30s\"\n    status = \"passing\"\n  }\n}\n",
    )?;
    let json_file = dir.path().join("cache.json");
    std::fs::write(
        &json_file,
        r#"{"services": [{"name": "cache", "port": 1}, {"name": "queue"}]}"#,
    )?;
    let (hcl, json_file) = (hcl.display().to_string(), json_file.display().to_string());
    let expected = "Registered service: db\nRegistered service: cache\nRegistered service: queue\n";
    cli.prints(&["services", "register", &hcl, &json_file], expected)?;
    let db = server.client().get_json("/v1/agent/service/db")?;
    ensure!(db["EnableTagOverride"] == true && db["Meta"]["my_key"] == "x", "{db}");
    let checks = server.client().get_json("/v1/agent/checks")?;
    ensure!(checks["service:db"]["Status"] == "passing", "{checks}");
    cli.prints(&["services", "deregister", "-id=web-1"], "Deregistered service: web-1\n")?;
    let expected = "Deregistered service: cache\nDeregistered service: queue\n";
    cli.prints(&["services", "deregister", &json_file], expected)?;
    cli.prints(&["services", "deregister", &hcl], "Deregistered service: db\n")?;
    ensure!(server.client().get_json("/v1/agent/services")? == json!({}), "all are gone");
    cli.fails(
        &["services", "register"],
        1,
        "Service registration requires at least one argument or flags.\n",
    )?;
    cli.fails(
        &["services", "register", "-name=x", &hcl],
        1,
        "Service registration requires arguments or -id, not both.\n",
    )?;
    cli.fails(
        &["services", "deregister"],
        1,
        "Service deregistration requires at least one argument or -id.\n",
    )?;
    let ran = cli.run(&["services", "deregister", "-id=nobody"])?;
    ensure!(ran.code == 1 && ran.err.contains("Unexpected response code: 404"), "{ran:?}");
    server.stop()
}

#[test]
fn maintenance_is_begun_shown_and_ended() -> Result<()> {
    let (server, cli) = start()?;
    cli.says(&["services", "register", "-name=web"])?;
    cli.prints(&["maint"], "")?;
    cli.prints(&["maint", "-enable", "-reason=disk"], "Node maintenance is now enabled\n")?;
    let words = ["maint", "-enable", "-service=web", "-reason", "new version"];
    cli.prints(&words, "Service maintenance is now enabled for \"web\"\n")?;
    let expected = "Node:\n  Name:   n1\n  Reason: disk\n\n\
                    Service:\n  ID:     web\n  Reason: new version\n\n";
    cli.prints(&["maint"], expected)?;
    let words = ["maint", "-disable", "-service=web"];
    cli.prints(&words, "Service maintenance is now disabled for \"web\"\n")?;
    cli.prints(&["maint", "-disable"], "Node maintenance is now disabled\n")?;
    cli.prints(&["maint"], "")?;
    let complaint = "Only one of -enable or -disable may be provided\n";
    cli.fails(&["maint", "-enable", "-disable"], 1, complaint)?;
    cli.fails(&["maint", "-reason=x"], 1, "Reason may only be provided with -enable\n")?;
    cli.fails(&["maint", "-service=web"], 1, "Service requires either -enable or -disable\n")?;
    let ran = cli.run(&["maint", "-enable", "-service=nobody"])?;
    let begins = "Error enabling service maintenance: Unexpected response code: 404 (";
    ensure!(ran.code == 1 && ran.err.starts_with(begins), "{ran:?}");
    server.stop()
}

#[test]
fn what_a_command_registers_is_found() -> Result<()> {
    let (server, cli) = start()?;
    cli.says(&["services", "register", "-name=web", "-port=80"])?;
    until("web in DNS", SOON, || {
        ensure!(server.dig("web.service.consul SRV")?.answer.len() == 1, "not yet");
        Ok(())
    })?;
    server.stop()
}
