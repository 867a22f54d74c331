//! Services and checks that stand in configuration files: from the start, over a reload, over a restart.

use anyhow::{Result, ensure};
use blackbox::server::{Launch, Server};
use blackbox::wait::{SOON, until};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::PathBuf;

const WEB: &str = r#"
service {
  name = "web"
  id = "web-1"
  port = 80
  tags = ["v1"]
  check {
    id = "alive"
    ttl = "1h"
    status = "passing"
  }
}
"#;

const DB: &str = r#"{"services": [{"Name": "db", "Port": 5432, "Connect": {"SidecarService": {}}}],
    "check": {"name": "disk", "ttl": "1h", "status": "passing"}}"#;

/// An agent with a directory of files.
struct Files {
    launch: Launch,
    directory: PathBuf,
}

impl Files {
    fn of(launch: Launch) -> Files {
        let directory = launch.dir().join("conf.d");
        std::fs::create_dir_all(&directory).expect("the private directory can be written");
        let launch = launch.args(&["-config-dir"]).args(&[&directory]);
        Files { launch, directory }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.join(name), text).expect("the directory can be written");
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.directory.join(name)).expect("the file is there");
    }
}

/// The ids registered with the agent, and its checks with their statuses.
fn registered(server: &Server) -> Result<(Vec<String>, Vec<String>)> {
    let keys = |rows: &Value| rows.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
    let services = server.client().get_json("/v1/agent/services")?;
    let checks = server.client().get_json("/v1/agent/checks")?;
    let told = |(id, check): (&String, &Value)| {
        format!("{id} {}", check["Status"].as_str().unwrap_or_default())
    };
    let checks = checks.as_object().into_iter().flatten().map(told).collect();
    Ok((keys(&services).unwrap_or_default(), checks))
}

#[track_caller]
fn becomes(server: &Server, services: &[&str], checks: &[&str]) -> Result<()> {
    until(&format!("{services:?} {checks:?}"), SOON, || {
        let found = registered(server)?;
        ensure!(found.0 == services && found.1 == checks, "{found:?}");
        Ok(())
    })
}

#[test]
fn what_files_define_is_there_from_the_start_and_found_by_dns() -> Result<()> {
    let files = Files::of(Launch::dev());
    files.write("web.hcl", WEB);
    files.write("db.json", DB);
    let server = files.launch.clone().args(&["-hcl", "service { name = \"inline\" }"]).start()?;
    let (services, checks) = registered(&server)?;
    ensure!(services == ["db", "db-sidecar-proxy", "inline", "web-1"], "{services:?}");
    ensure!(checks[0] == "alive passing" && checks[1] == "disk passing", "{checks:?}");
    until("web by DNS", SOON, || {
        let dug = server.dig("v1.web.service.consul SRV")?;
        ensure!(dug.answer.len() == 1, "{dug:?}");
        Ok(())
    })
}

#[test]
fn a_reload_adds_changes_and_removes_and_keeps_what_is_the_same() -> Result<()> {
    for launch in [Launch::dev(), Launch::durable()] {
        let files = Files::of(launch);
        files.write("web.hcl", WEB);
        let server = files.launch.start()?;
        let mut http = server.client();
        http.put_ok("/v1/agent/service/register", r#"{"Name":"mine","Check":{"TTL":"1h"}}"#)?;
        http.put_ok("/v1/agent/check/warn/alive?note=slow", "")?;

        files.write("web.hcl", &WEB.replace("port = 80", "port = 81"));
        files.write("db.json", DB);
        http.put_ok("/v1/agent/reload", "")?;
        let changed = http.get_json("/v1/agent/service/web-1")?;
        ensure!(changed["Port"] == 81, "{changed}");
        let kept = http.get_json("/v1/agent/checks")?;
        ensure!(kept["alive"]["Status"] == "warning", "{kept}");
        ensure!(kept["alive"]["Output"] == "slow", "{kept}");

        // What is wrong in one file changes nothing of what another says.
        files.write("new.hcl", "service { name = \"new\" }");
        files.write("bad.hcl", "service { name = \"bad\"\n prot = 1 }");
        let refused = http.put("/v1/agent/reload", "")?;
        ensure!(refused.status == 500, "{refused:?}");
        ensure!(
            refused.text().contains("bad.hcl:2: invalid config key service.prot"),
            "{refused:?}"
        );
        let (services, _) = registered(&server)?;
        ensure!(services == ["db", "db-sidecar-proxy", "mine", "web-1"], "{services:?}");
        files.write("bad.hcl", "check { name = \"lost\" ttl = \"1s\" service_id = \"nobody\" }");
        let refused = http.put("/v1/agent/reload", "")?;
        ensure!(refused.status == 500, "{refused:?}");
        ensure!(registered(&server)?.0 == services, "{:?}", registered(&server)?);

        files.remove("bad.hcl");
        files.remove("db.json");
        files.remove("web.hcl");
        server.process.signal(Signal::SIGHUP)?;
        becomes(&server, &["mine", "new"], &["service:mine critical"])?;
        until("web is gone from the catalog", SOON, || {
            let rows = server.client().get_json("/v1/catalog/service/web")?;
            ensure!(rows.as_array().is_some_and(Vec::is_empty), "{rows}");
            Ok(())
        })?;
        server.stop()?;
    }
    Ok(())
}

#[test]
fn what_left_the_files_while_the_agent_was_down_is_gone() -> Result<()> {
    let files = Files::of(Launch::durable());
    files.write("web.hcl", WEB);
    files.write("old.hcl", "service { name = \"old\" check { ttl = \"1h\" } }");
    let server = files.launch.start()?;
    server.client().put_ok("/v1/agent/service/register", r#"{"Name":"mine"}"#)?;
    server.client().put_ok(
        "/v1/agent/check/register",
        r#"{"Name":"put","TTL":"1h","ServiceID":"web-1","Status":"passing"}"#,
    )?;
    server.client().put_ok("/v1/agent/check/warn/alive?note=slow", "")?;
    server.stop()?;
    files.remove("old.hcl");
    let server = files.launch.start()?;
    // A report outlives the restart; an initial status of a request does not.
    becomes(&server, &["mine", "web-1"], &["alive warning", "put critical"])?;
    until("old is gone from the catalog", SOON, || {
        let rows = server.client().get_json("/v1/catalog/service/old")?;
        ensure!(rows.as_array().is_some_and(Vec::is_empty), "{rows}");
        Ok(())
    })
}

#[test]
fn what_a_client_took_away_is_there_again_after_a_reload() -> Result<()> {
    let files = Files::of(Launch::dev());
    files.write("web.hcl", WEB);
    let server = files.launch.start()?;
    server.client().put_ok("/v1/agent/service/deregister/web-1", "")?;
    becomes(&server, &[], &[])?;
    server.client().put_ok("/v1/agent/reload", "")?;
    becomes(&server, &["web-1"], &["alive passing"])
}

#[test]
fn files_that_are_written_anew_are_read_by_themselves() -> Result<()> {
    let files = Files::of(Launch::dev().args(&["-auto-reload-config"]));
    files.write("web.hcl", WEB);
    let server = files.launch.start()?;
    files.write("new.hcl", "service { name = \"new\" }");
    becomes(&server, &["new", "web-1"], &["alive passing"])?;
    files.remove("web.hcl");
    becomes(&server, &["new"], &[])
}

#[test]
fn a_reload_changes_how_dns_answers() -> Result<()> {
    let files = Files::of(Launch::dev());
    files.write("web.hcl", WEB);
    let server = files.launch.start()?;
    let ttl = |wanted: &str| {
        until(&format!("TTL {wanted}"), SOON, || {
            let dug = server.dig("web.service.consul A")?;
            let told = dug.answer.first().and_then(|line| line.split(' ').nth(1));
            ensure!(told == Some(wanted), "{dug:?}");
            Ok(())
        })
    };
    ttl("0")?;
    files.write("dns.hcl", "dns_config { service_ttl { web = \"77s\" } only_passing = true }");
    server.client().put_ok("/v1/agent/reload", "")?;
    ttl("77")?;
    ensure!(!server.process.said().contains("needs a restart"), "{}", server.process.said());
    server.client().put_ok("/v1/agent/check/warn/alive", "")?;
    until("web is left out", SOON, || {
        let dug = server.dig("web.service.consul A")?;
        ensure!(dug.answer.is_empty(), "{dug:?}");
        Ok(())
    })
}

#[test]
fn scripts_of_files_run_where_those_of_requests_do_not() -> Result<()> {
    let script = "check { id = \"s\" args = [\"sh\", \"-c\", \"echo ran\"] interval = \"1s\" }";
    let files = Files::of(Launch::dev());
    files.write("script.hcl", script);
    let (status, said) = files.launch.run()?;
    ensure!(!status.success(), "{said}");
    ensure!(
        said.contains("script.hcl:1: check \"s\": Scripts are disabled on this agent"),
        "{said}"
    );
    let server = files.launch.clone().args(&["-enable-local-script-checks"]).start()?;
    becomes(&server, &[], &["s passing"])?;
    let body = r#"{"Name":"r","Args":["true"],"Interval":"1s"}"#;
    let refused = server.client().put("/v1/agent/check/register", body)?;
    ensure!(refused.status != 200, "{refused:?}");
    Ok(())
}

#[test]
fn a_check_that_nobody_can_run_is_refused_with_its_line() -> Result<()> {
    let files = Files::of(Launch::dev());
    files.write("a.hcl", "check { name = \"d\" os_service = \"sshd\" interval = \"10s\" }");
    let (status, said) = files.launch.run()?;
    ensure!(!status.success(), "{said}");
    ensure!(said.contains("a.hcl:1: check \"d\": OSService checks are not supported"), "{said}");
    Ok(())
}

#[test]
fn a_check_on_a_service_that_is_nowhere_is_refused_with_its_line_at_the_start_and_at_a_reload()
-> Result<()> {
    let files = Files::of(Launch::dev());
    let check = "\ncheck { id = \"c\" name = \"c\" ttl = \"1h\" service_id = \"zz\" }";
    let told = "a.hcl:2: check \"c\": unknown service id \"zz\"";
    files.write("a.hcl", check);
    let (status, said) = files.launch.run()?;
    ensure!(!status.success() && said.contains(told), "{said}");
    files.remove("a.hcl");
    let server = files.launch.start()?;
    files.write("a.hcl", check);
    let refused = server.client().put("/v1/agent/reload", "")?;
    ensure!(refused.status == 500 && refused.text().contains(told), "{refused:?}");
    server.client().put_ok("/v1/agent/service/register", r#"{"Name":"zz"}"#)?;
    server.client().put_ok("/v1/agent/reload", "")?;
    Ok(())
}
