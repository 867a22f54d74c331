//! A service registered with the agent by `curl` is found by HTTP and by `dig` exactly while it is healthy.

use anyhow::{Result, ensure};
use blackbox::server::{Launch, Server};
use blackbox::tools::curl;
use blackbox::wait::{SOON, until};
use blackbox::web::Web;
use serde_json::{Value, json};

dev_and_durable! {
    a_registered_service_is_found_while_it_is_healthy
    a_ttl_check_that_is_not_renewed_turns_critical
    registering_again_keeps_the_status_of_its_check
    refusals_of_the_agent_are_worded_as_consul_words_them
}

fn register(server: &Server, body: &Value) -> Result<()> {
    let body = body.to_string();
    let answer = server.curl("/v1/agent/service/register", &["-X", "PUT", "-d", &body])?;
    ensure!(answer.is_empty(), "an agent's write is answered without a body, not {answer:?}");
    Ok(())
}

fn put(server: &Server, path: &str) -> Result<()> {
    server.curl(path, &["-X", "PUT"]).map(drop)
}

fn rows(server: &Server, path: &str) -> Result<Vec<Value>> {
    let text = server.curl(path, &[])?;
    Ok(serde_json::from_str::<Value>(&text)?.as_array().cloned().unwrap_or_default())
}

/// Waits until the service is seen, or not seen, by both faces. `listed` is by `?passing`, `named` by DNS.
#[track_caller]
fn wait_seen(server: &Server, listed: bool, named: bool) -> Result<()> {
    until(&format!("web: listed {listed}, named {named}"), SOON, || {
        let rows = rows(server, "/v1/health/service/web?passing")?;
        ensure!(rows.len() == usize::from(listed), "?passing has {} rows", rows.len());
        let dug = server.dig("web.service.consul A")?;
        let expected = if named { ("NOERROR", 1) } else { ("NXDOMAIN", 0) };
        ensure!((dug.status.as_str(), dug.answer.len()) == expected, "{dug:?}");
        Ok(())
    })
}

fn a_registered_service_is_found_while_it_is_healthy(server: &Server) -> Result<()> {
    let web = Web::start()?;
    let url = format!("http://{}/health", web.addr);
    let checks = json!([{ "CheckID": "beat", "TTL": "1h" }, { "CheckID": "probe", "HTTP": url, "Interval": "1s" }]);
    let body = json!({
        "ID": "web-1", "Name": "web", "Address": "10.1.2.3", "Port": 8080, "Tags": ["v1", "blue"],
        "Meta": { "team": "a" }, "Checks": checks,
    });
    register(server, &body)?;
    let rows = rows(server, "/v1/health/service/web")?;
    ensure!(rows.len() == 1, "registered, but not listed: {rows:?}");
    ensure!(
        rows[0]["Service"]["Meta"]["team"] == "a" && rows[0]["Service"]["Port"] == 8080,
        "{}",
        rows[0]
    );
    wait_seen(server, false, false)?;

    put(server, "/v1/agent/check/pass/beat?note=fine")?;
    wait_seen(server, true, true)?;
    found_in_every_form(server)?;

    web.answer(500);
    wait_seen(server, false, false)?;
    web.answer(429); // a warning: DNS still names it, `?passing` does not list it
    wait_seen(server, false, true)?;
    web.answer(200);
    wait_seen(server, true, true)?;
    put(server, "/v1/agent/check/warn/beat")?;
    wait_seen(server, false, true)?;
    put(server, "/v1/agent/check/fail/beat")?;
    wait_seen(server, false, false)?;
    put(server, "/v1/agent/check/pass/beat")?;
    wait_seen(server, true, true)?;

    put(server, "/v1/agent/service/deregister/web-1")?;
    wait_seen(server, false, false)?;
    ensure!(
        server.curl("/v1/catalog/service/web", &[])?.trim() == "[]",
        "deregistered, but in the catalog"
    );
    ensure!(server.curl("/v1/agent/checks", &[])?.trim() == "{}", "its checks went with it");
    Ok(())
}

fn found_in_every_form(server: &Server) -> Result<()> {
    let expected: &[(&str, &[&str])] = &[
        ("web.service.consul A", &["web.service.consul. 0 IN A 10.1.2.3"]),
        ("web.service.dc1.consul A +tcp", &["web.service.dc1.consul. 0 IN A 10.1.2.3"]),
        ("v1.web.service.consul A", &["v1.web.service.consul. 0 IN A 10.1.2.3"]),
        (
            "web.service.consul SRV",
            &["web.service.consul. 0 IN SRV 1 1 8080 0a010203.addr.dc1.consul."],
        ),
        (
            "_web._tcp.service.consul SRV",
            &["_web._tcp.service.consul. 0 IN SRV 1 1 8080 0a010203.addr.dc1.consul."],
        ),
        (
            "_web._blue.service.consul SRV",
            &["_web._blue.service.consul. 0 IN SRV 1 1 8080 0a010203.addr.dc1.consul."],
        ),
        ("0a010203.addr.consul A", &["0a010203.addr.consul. 0 IN A 10.1.2.3"]),
        ("n1.node.consul A", &["n1.node.consul. 0 IN A 127.0.0.1"]),
    ];
    for (words, answer) in expected {
        let dug = server.dig(words)?;
        ensure!(dug.answer == *answer, "{words}: {dug:?}");
        ensure!(dug.flags.iter().any(|f| f == "aa"), "{words}: not authoritative: {dug:?}");
    }
    let srv = server.dig("web.service.consul SRV")?;
    let glue = "0a010203.addr.dc1.consul. 0 IN A 10.1.2.3";
    ensure!(srv.additional.iter().any(|r| r == glue), "no glue: {srv:?}");
    ensure!(
        server.dig("v9.web.service.consul A")?.status == "NXDOMAIN",
        "no instance has that tag"
    );
    let other_family = server.dig("web.service.consul AAAA")?;
    ensure!(
        other_family.status == "NOERROR" && other_family.answer.is_empty(),
        "NODATA expected: {other_family:?}"
    );
    ensure!(
        other_family.authority.len() == 1,
        "NODATA of a service carries the SOA: {other_family:?}"
    );
    Ok(())
}

fn a_ttl_check_that_is_not_renewed_turns_critical(server: &Server) -> Result<()> {
    register(
        server,
        &json!({ "Name": "web", "Port": 1, "Check": { "TTL": "1s", "Status": "passing" } }),
    )?;
    wait_seen(server, false, false)?;
    let checks = server.client().get_json("/v1/agent/checks")?;
    let check = &checks["service:web"];
    ensure!(check["Status"] == "critical", "{checks}");
    ensure!(check["Output"].as_str().is_some_and(|o| o.starts_with("TTL expired")), "{check}");
    Ok(())
}

fn registering_again_keeps_the_status_of_its_check(server: &Server) -> Result<()> {
    let mut body = json!({ "Name": "web", "Port": 1, "Check": { "CheckID": "beat", "TTL": "1h" } });
    register(server, &body)?;
    put(server, "/v1/agent/check/pass/beat")?;
    wait_seen(server, true, true)?;
    body["Port"] = json!(2);
    register(server, &body)?;
    let rows = rows(server, "/v1/health/service/web?passing")?;
    ensure!(rows.len() == 1 && rows[0]["Service"]["Port"] == 2, "{rows:?}");
    Ok(())
}

fn refusals_of_the_agent_are_worded_as_consul_words_them(server: &Server) -> Result<()> {
    let cases = [
        ("/v1/agent/service/register", r#"{"Port":1}"#, 400, "Missing service name"),
        ("/v1/agent/service/register", r#"{"Name":"#, 400, "Request decode failed: "),
        (
            "/v1/agent/service/register",
            r#"{"Name":"x","Nope":1}"#,
            400,
            "Request decode failed: json: unknown field \"Nope\"",
        ),
        (
            "/v1/agent/service/register",
            r#"{"Name":"x","Address":"0.0.0.0"}"#,
            400,
            "Invalid service address",
        ),
        (
            "/v1/agent/service/register",
            r#"{"Name":"x","Check":{"HTTP":"http://localhost"}}"#,
            400,
            "Invalid check: Interval must be > 0",
        ),
        (
            "/v1/agent/service/deregister/nope",
            "",
            404,
            "Unknown service ID \"nope\". Ensure that the service ID is passed, not the service name.",
        ),
        (
            "/v1/agent/check/pass/nope",
            "",
            404,
            "Unknown check ID \"nope\". Ensure that the check ID is passed, not the check name.",
        ),
    ];
    for (path, body, status, text) in cases {
        let (answer, got) = curl(server.http, path, &["-X", "PUT", "-d", body])?;
        ensure!(got == status && answer.starts_with(text), "PUT {path} {body}: {got} {answer}");
    }
    let services = server.client().get_json("/v1/agent/services")?;
    ensure!(services == json!({}), "a refused registration left something: {services}");
    Ok(())
}

/// A pass over everything runs once a minute, and when the agent starts.
#[test]
fn what_the_agent_owns_comes_back_and_what_it_does_not_own_stays() -> Result<()> {
    let launch = Launch::durable();
    let mut server = launch.start()?;
    server.client().put_ok("/v1/agent/service/register", r#"{"Name":"web","Port":1}"#)?;
    let service = |name: &str, port: u16| {
        let service = json!({ "ID": name, "Service": name, "Port": port });
        json!({ "Node": "n1", "SkipNodeUpdate": true, "Service": service })
    };
    server.client().put_ok("/v1/catalog/register", service("foreign", 2).to_string())?;
    let taken = service("web", 9);
    let removed = json!({ "Node": "n1", "ServiceID": "web" });
    for (door, body) in [("register", taken), ("deregister", removed)] {
        server.client().put_ok(&format!("/v1/catalog/{door}"), body.to_string())?;
        server.stop()?;
        server = launch.start()?;
        until(&format!("web as its agent has it, after {door}"), SOON, || {
            let rows = server.client().get_json("/v1/catalog/service/web")?;
            ensure!(rows[0]["ServicePort"] == 1, "{rows}");
            Ok(())
        })?;
    }
    let rows = server.client().get_json("/v1/catalog/service/foreign")?;
    ensure!(rows[0]["ServicePort"] == 2, "the agent removed what it does not own: {rows}");
    let own = server.client().get_json("/v1/agent/services")?;
    ensure!(own["foreign"].is_null(), "the agent took what it does not own: {own}");
    Ok(())
}
