//! Nodes, services and checks written straight to the catalog, as external services are.

use anyhow::{Result, ensure};
use blackbox::server::Server;
use serde_json::{Value, json};

dev_and_durable! {
    an_external_node_with_service_and_checks_appears_and_goes
    a_critical_check_of_its_node_hides_a_service
    a_refused_registration_changes_nothing
    names_are_found_in_any_case
}

fn register(server: &Server, body: &Value) -> Result<()> {
    let told = server.curl("/v1/catalog/register", &["-X", "PUT", "-d", &body.to_string()])?;
    ensure!(told.trim() == "true", "register: {told}");
    Ok(())
}

fn far(status: &str) -> Value {
    json!({
        "Node": "far", "Address": "10.9.0.1", "NodeMeta": { "external": "true" },
        "Service": { "ID": "db-1", "Service": "db", "Port": 5432, "Tags": ["primary"] },
        "Checks": [{ "CheckID": "ping", "Name": "ping", "Status": status, "Output": "pong" }],
    })
}

fn an_external_node_with_service_and_checks_appears_and_goes(server: &Server) -> Result<()> {
    register(server, &far("passing"))?;
    let mut http = server.client();
    let names: Vec<_> = http
        .get_json("/v1/catalog/nodes")?
        .as_array()
        .into_iter()
        .flatten()
        .map(|n| n["Node"].clone())
        .collect();
    ensure!(names == ["far", "n1"], "nodes {names:?}");
    ensure!(
        http.get_json("/v1/catalog/services")? == json!({ "consul": [], "db": ["primary"] }),
        "services"
    );
    let service = http.get_json("/v1/catalog/service/db")?;
    ensure!(service[0]["Address"] == "10.9.0.1" && service[0]["ServicePort"] == 5432, "{service}");
    ensure!(
        http.get_json("/v1/catalog/node/far")?["Services"]["db-1"]["Service"] == "db",
        "catalog/node"
    );
    ensure!(http.get_json("/v1/catalog/node/nope")?.is_null(), "an unknown node is null");
    let health = http.get_json("/v1/health/service/db?passing&tag=primary")?;
    ensure!(health[0]["Checks"][0]["Output"] == "pong", "{health}");
    ensure!(http.get_json("/v1/health/service/db?tag=other")? == json!([]), "no such tag");
    ensure!(server.dig("primary.db.service.consul A")?.data() == ["10.9.0.1"], "dig by tag");
    ensure!(server.dig("db.service.consul SRV")?.data() == ["far.node.dc1.consul."], "dig SRV");
    ensure!(server.dig("far.node.consul A")?.data() == ["10.9.0.1"], "dig node");

    server.curl(
        "/v1/catalog/deregister",
        &["-X", "PUT", "-d", r#"{"Node":"far","ServiceID":"db-1"}"#],
    )?;
    ensure!(http.get_json("/v1/catalog/service/db")? == json!([]), "deregistered, but listed");
    ensure!(server.dig("db.service.consul A")?.status == "NXDOMAIN", "deregistered, but named");
    ensure!(server.dig("far.node.consul A")?.data() == ["10.9.0.1"], "the node stays");
    server.curl("/v1/catalog/deregister", &["-X", "PUT", "-d", r#"{"Node":"far"}"#])?;
    ensure!(server.dig("far.node.consul A")?.status == "NXDOMAIN", "the node goes");
    Ok(())
}

fn a_critical_check_of_its_node_hides_a_service(server: &Server) -> Result<()> {
    for (status, named, listed) in
        [("passing", 1, 1), ("critical", 0, 0), ("warning", 1, 0), ("passing", 1, 1)]
    {
        register(server, &far(status))?;
        let dug = server.dig("db.service.consul A")?;
        ensure!(dug.answer.len() == named, "{status}: {dug:?}");
        let rows = server.client().get_json("/v1/health/service/db?passing")?;
        ensure!(rows.as_array().is_some_and(|r| r.len() == listed), "{status}: {rows}");
        ensure!(
            server.client().get_json("/v1/health/service/db")?[0]["Node"]["Node"] == "far",
            "all of them"
        );
    }
    Ok(())
}

fn a_refused_registration_changes_nothing(server: &Server) -> Result<()> {
    let mut http = server.client();
    let before = http.get_json("/v1/catalog/nodes")?;
    let cases = [
        (json!({ "Address": "10.0.0.1" }), 500, "Must provide node"),
        (json!({ "Node": "a" }), 500, "Must provide address if SkipNodeUpdate is not set"),
        (
            json!({ "Node": "a", "Address": "10.0.0.1", "Service": { "Service": "s" },
                    "Checks": [{ "CheckID": "c", "Name": "c", "ServiceID": "nope" }] }),
            500,
            "Unknown service ID 'nope' for check ID 'c'",
        ),
        (
            json!({ "Node": "a", "Address": "10.0.0.1", "Nope": 1 }),
            400,
            "Request decode failed: json: unknown field \"Nope\"",
        ),
    ];
    for (body, status, text) in cases {
        let answer = http.put("/v1/catalog/register", body.to_string())?;
        ensure!(
            answer.status == status && answer.text().contains(text),
            "{body}: {} {}",
            answer.status,
            answer.text()
        );
    }
    ensure!(http.get_json("/v1/catalog/nodes")? == before, "a refused registration left a node");
    Ok(())
}

fn names_are_found_in_any_case(server: &Server) -> Result<()> {
    register(server, &far("passing"))?;
    let rows = server.client().get_json("/v1/health/service/DB")?;
    ensure!(rows[0]["Service"]["Service"] == "db", "{rows}");
    let dug = server.dig("Db.SERVICE.conSUL A")?;
    ensure!(dug.answer == ["Db.SERVICE.conSUL. 0 IN A 10.9.0.1"], "{dug:?}");
    Ok(())
}
