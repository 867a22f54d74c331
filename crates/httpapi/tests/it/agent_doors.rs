//! The agent's own doors: maintenance, local health, waiting for a definition, leave and reload.

use crate::support::{Face, Reply, ask, start, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

#[track_caller]
fn said(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body.as_str())
}

fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).expect("JSON")
}

const WEB: &str =
    r#"{"Name":"web","Port":1,"Tags":["v1"],"Check":{"TTL":"60s","Status":"passing"}}"#;

async fn with_web() -> Face {
    let face = start();
    face.must("/v1/agent/service/register", WEB).await;
    face
}

#[tokio::test]
async fn maintenance_is_refused_in_consuls_words() {
    let face = with_web().await;
    let unknown = "Unknown service ID \"nope\". Ensure that the service ID is passed, not the \
                   service name.";
    for (path, status, text) in [
        ("maintenance", 400, "Missing value for enable"),
        ("maintenance?enable", 400, "Invalid value for enable: \"\""),
        ("maintenance?enable=x", 400, "Invalid value for enable: \"x\""),
        ("service/maintenance/", 400, "Missing service ID"),
        ("service/maintenance/?enable=true", 400, "Missing service ID"),
        ("service/maintenance/nope", 400, "Missing value for enable"),
        ("service/maintenance/nope?enable=true", 404, unknown),
    ] {
        let reply = face.put(&format!("/v1/agent/{path}"), "").await;
        assert_eq!(said(&reply), (status, text), "{path}");
    }
    let checks = body(&face.get("/v1/agent/checks").await);
    assert_eq!(checks.as_object().map(|checks| checks.len()), Some(1), "nothing changed");
}

#[tokio::test]
async fn maintenance_is_a_check_that_keeps_its_first_reason() {
    let face = with_web().await;
    for (door, id, what) in [
        ("service/maintenance/web", "_service_maintenance:web", "Service"),
        ("maintenance", "_node_maintenance", "Node"),
    ] {
        face.must(&format!("/v1/agent/{door}?enable=1&reason=first"), "").await;
        face.must(&format!("/v1/agent/{door}?enable=true&reason=second"), "").await;
        let check = body(&face.get("/v1/agent/checks").await)[id].clone();
        assert_eq!(check["Notes"], "first");
        assert_eq!(check["Name"], format!("{what} Maintenance Mode"));
        assert_eq!((&check["Status"], &check["Type"]), (&json!("critical"), &json!("maintenance")));
        let listed = face.get("/v1/health/service/web?passing").await;
        assert_eq!(listed.body, "[]", "{door}");
        face.must(&format!("/v1/agent/{door}?enable=F"), "").await;
        face.must(&format!("/v1/agent/{door}?enable=false"), "").await;
        assert_eq!(body(&face.get("/v1/agent/checks").await)[id], Value::Null);
        assert_ne!(face.get("/v1/health/service/web?passing").await.body, "[]", "{door}");
        face.must(&format!("/v1/agent/{door}?enable=t"), "").await;
        let notes = body(&face.get("/v1/agent/checks").await)[id]["Notes"].clone();
        let what = what.to_lowercase();
        assert_eq!(
            notes,
            format!(
                "Maintenance mode is enabled for this {what}, but no reason was provided. This is \
                 a default message."
            )
        );
        face.must(&format!("/v1/agent/{door}?enable=0"), "").await;
    }
}

#[track_caller]
fn is_local(reply: &Reply, status: u16, reason: &str, kind: &str) {
    let told = (reply.status, reply.header("X-Consul-Reason"), reply.header("Content-Type"));
    assert_eq!(told, (status, Some(reason), Some(kind)), "{}", reply.body);
}

#[tokio::test]
async fn local_health_is_told_by_its_status() {
    const JSON: &str = "application/json";
    let face = with_web().await;
    face.must("/v1/agent/service/register", r#"{"ID":"web2","Name":"web"}"#).await;
    let id = "/v1/agent/health/service/id/web";
    let name = "/v1/agent/health/service/name/web";
    for (report, status, word) in [("pass", 200, "passing"), ("warn", 429, "warning")] {
        face.must(&format!("/v1/agent/check/{report}/service:web"), "").await;
        for path in [id, name] {
            is_local(&face.get(path).await, status, word, JSON);
            let text = face.get(&format!("{path}?format=text")).await;
            is_local(&text, status, word, "text/plain");
            assert_eq!(text.body, word);
        }
    }
    let rows = body(&face.get(name).await);
    assert_eq!(rows[0]["AggregatedStatus"], "warning");
    assert_eq!(rows[1]["AggregatedStatus"], "passing", "each instance by itself");
    assert_eq!(rows[1]["Checks"], json!([]));
    let check = &rows[0]["Checks"][0];
    assert_eq!((&check["ServiceTags"], &check["Type"]), (&json!(["v1"]), &json!("")));
    assert_eq!(
        (&check["Definition"]["Interval"], &check["Interval"]),
        (&json!("0s"), &Value::Null)
    );
    assert_eq!(rows[0]["Service"]["ContentHash"], Value::Null);

    face.must("/v1/agent/check/register", r#"{"Name":"disk","TTL":"60s"}"#).await;
    let accept = face.ask("GET", id, "Accept: text/plain\r\n", "").await;
    is_local(&accept, 503, "critical", "text/plain");
    face.must("/v1/agent/service/maintenance/web?enable=true", "").await;
    is_local(&face.get(id).await, 503, "maintenance", JSON);
    is_local(&face.get(name).await, 503, "maintenance", JSON);
}

#[tokio::test]
async fn local_health_of_what_is_not_here_is_404() {
    let face = with_web().await;
    let id = face.get("/v1/agent/health/service/id/nope").await;
    is_local(&id, 404, "ServiceId nope not found", "application/json");
    assert_eq!(id.body, r#"{"AggregatedStatus":"critical","Service":null,"Checks":null}"#);
    let text = face.get("/v1/agent/health/service/id/nope?format=text").await;
    assert_eq!(text.body, "ServiceId nope not found");
    let name = face.get("/v1/agent/health/service/name/nope").await;
    is_local(&name, 404, "ServiceName nope Not Found", "application/json");
    assert_eq!(name.body, "[]");
    let empty = face.get("/v1/agent/health/service/id/").await;
    assert_eq!(said(&empty), (500, "Missing serviceID"));
    let empty = face.get("/v1/agent/health/service/name/").await;
    assert_eq!(said(&empty), (500, "Missing service Name"));
}

async fn hash(face: &Face) -> String {
    let reply = face.get("/v1/agent/service/web").await;
    let hash = reply.header("X-Consul-ContentHash").expect("a hash").to_owned();
    assert_eq!(body(&reply)["ContentHash"], json!(hash));
    hash
}

fn wait(face: &Face, hash: &str, wait: &str) -> JoinHandle<(Reply, Duration)> {
    let (at, began) = (face.address(), Instant::now());
    let path = format!("/v1/agent/service/web?hash={hash}&wait={wait}");
    tokio::spawn(async move { (ask(at, "GET", &path, "", "").await, began.elapsed()) })
}

#[tokio::test]
async fn a_definition_is_waited_for_while_it_has_the_hash() {
    let face = with_web().await;
    let known = hash(&face).await;
    let waiting = wait(&face, &known, "300ms");
    face.must("/v1/agent/service/register", WEB).await;
    face.must("/v1/agent/service/register", r#"{"Name":"other"}"#).await;
    face.must("/v1/agent/check/warn/service:web", "").await;
    let (same, took) = waiting.await.expect("no panic");
    assert!(took >= Duration::from_millis(300), "answered after {took:?}");
    assert_eq!((same.status, body(&same)["ContentHash"].as_str()), (200, Some(known.as_str())));
    assert_eq!(same.header("X-Consul-Index"), None);

    let waiting = wait(&face, &known, "60s");
    until("somebody waits", || face.agent.watchers() == 1).await;
    face.must("/v1/agent/service/register", r#"{"Name":"web","Port":2}"#).await;
    let (changed, _) = waiting.await.expect("no panic");
    assert_eq!((changed.status, &body(&changed)["Port"]), (200, &json!(2)));
    let now = hash(&face).await;
    assert_eq!(changed.header("X-Consul-ContentHash"), Some(now.as_str()));
    assert_ne!(now, known);

    let (other, _) = wait(&face, &known, "60s").await.expect("no panic");
    assert_eq!(body(&other)["ContentHash"], json!(now), "another hash is answered at once");
    let (bad, _) = wait(&face, &now, "bad").await.expect("no panic");
    assert_eq!(said(&bad), (400, "Invalid wait time"));

    let waiting = wait(&face, &now, "60s");
    until("somebody waits", || face.agent.watchers() == 1).await;
    face.must("/v1/agent/service/deregister/web", "").await;
    let (gone, _) = waiting.await.expect("no panic");
    assert_eq!(said(&gone), (404, "unknown service ID: web"));
    let (never, _) = wait(&face, "00", "60s").await.expect("no panic");
    assert_eq!(said(&never), (404, "unknown service ID: web"));
}

#[tokio::test]
async fn the_end_of_the_process_ends_the_wait() {
    let face = with_web().await;
    let known = hash(&face).await;
    let waiting = wait(&face, &known, "60s");
    until("somebody waits", || face.agent.watchers() == 1).await;
    face.server.shutdown().await;
    let ended = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(ended.is_ok(), "it waits on");
}

#[tokio::test]
async fn who_goes_away_waits_no_more() {
    let face = with_web().await;
    let known = hash(&face).await;
    let waiting = wait(&face, &known, "60s");
    until("somebody waits", || face.agent.watchers() == 1).await;
    waiting.abort();
    until("nobody waits", || face.agent.watchers() == 0).await;
}

#[tokio::test]
async fn leave_and_reload_are_asked_of_the_process() {
    let face = start();
    face.must("/v1/agent/reload", "").await;
    face.process.refuse("bad.json: unexpected end");
    let refused = face.put("/v1/agent/reload", "").await;
    assert_eq!(said(&refused), (500, "bad.json: unexpected end"));
    assert_eq!((face.process.asked().reloads, face.process.asked().leaves), (2, 0));
    let left = face.put("/v1/agent/leave", "").await;
    assert_eq!(said(&left), (200, ""));
    assert_eq!(face.process.asked().leaves, 1);
}

#[tokio::test]
async fn a_join_tells_what_the_dialer_says() {
    let face = start();
    // A port that was free a moment ago.
    let dead = net::listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let at = dead.local_addr().expect("bound");
    let answering = face.put(&format!("/v1/agent/join/{at}"), "").await;
    assert_eq!(answering.status, 500, "{}", answering.body);
    assert!(answering.body.contains("no gossip"), "{}", answering.body);
    drop(dead);
    let reply = face.put(&format!("/v1/agent/join/{at}"), "").await;
    let text = format!(
        "1 error occurred:\n\t* Failed to join {at}: dial tcp {at}: connect: connection \
         refused\n\n"
    );
    assert_eq!(said(&reply), (500, text.as_str()));
    let reply = face.put("/v1/agent/join/", "").await;
    let text = "1 error occurred:\n\t* Failed to resolve : lookup : no such host\n\n";
    assert_eq!(said(&reply), (500, text));
    face.must("/v1/agent/join/127.0.0.1", "").await;
    face.must("/v1/agent/join/127.0.0.1:8302?wan=1", "").await;
}

#[tokio::test]
async fn only_a_member_can_be_told_to_leave() {
    let face = start();
    for name in ["nope", "", "n1.dc1"] {
        let reply = face.put(&format!("/v1/agent/force-leave/{name}"), "").await;
        let text = format!("agent: No node found with name '{name}'");
        assert_eq!(said(&reply), (500, text.as_str()));
    }
    face.must("/v1/agent/force-leave/n1?prune", "").await;
    face.must("/v1/agent/force-leave/n1.dc1?wan", "").await;
    assert_eq!(body(&face.get("/v1/agent/members").await)[0]["Status"], 1, "it is alive");
}

#[tokio::test]
async fn the_host_is_told_in_consuls_fields() {
    let host = body(&start().get("/v1/agent/host").await);
    assert!(host["Memory"]["total"].is_u64() && host["CPU"][0]["cores"].is_u64(), "{host}");
    assert!(host["Host"]["kernelVersion"].is_string() && host["Disk"]["path"] == "/", "{host}");
    assert!(host["CollectionTime"].is_u64() && host["Errors"].is_null(), "{host}");
}

#[tokio::test]
async fn no_token_is_taken_while_there_are_none() {
    let face = start();
    for path in ["default", "bogus"] {
        let reply = face.put(&format!("/v1/agent/token/{path}"), "{bad").await;
        assert_eq!(said(&reply), (401, "ACL support disabled"));
    }
}

#[tokio::test]
async fn a_sidecar_comes_and_goes_with_its_service() {
    let face = start();
    let with = r#"{"Name":"side","Port":8080,"Connect":{"SidecarService":{}}}"#;
    face.must("/v1/agent/service/register", with).await;
    face.must("/v1/agent/service/register", with).await;
    let services = body(&face.get("/v1/agent/services").await);
    assert_eq!(services["side"]["Connect"], Value::Null);
    let sidecar = &services["side-sidecar-proxy"];
    assert_eq!((&sidecar["Kind"], &sidecar["Port"]), (&json!("connect-proxy"), &json!(21_000)));
    assert_eq!(
        sidecar["Proxy"],
        json!({
            "DestinationServiceName": "side", "DestinationServiceID": "side", "Expose": {},
            "LocalServiceAddress": "127.0.0.1", "LocalServicePort": 8080, "MeshGateway": {},
        })
    );
    let row = body(&face.get("/v1/catalog/service/side-sidecar-proxy").await);
    assert_eq!(row[0]["ServiceProxy"]["Mode"], "");
    face.must("/v1/agent/service/deregister/side", "").await;
    assert_eq!(face.get("/v1/agent/services").await.body, "{}");

    let own = r#"{"Name":"web-sidecar-proxy","Kind":"connect-proxy","Port":1,
        "Proxy":{"DestinationServiceName":"web"}}"#;
    face.must("/v1/agent/service/register", own).await;
    face.must("/v1/agent/service/register", WEB).await;
    face.must("/v1/agent/service/deregister/web", "").await;
    let services = body(&face.get("/v1/agent/services").await);
    assert!(services["web-sidecar-proxy"].is_object(), "a service of its own stays: {services}");
    let refused = r#"{"Name":"side","Connect":{"SidecarService":{"ID":"x"}}}"#;
    let reply = face.put("/v1/agent/service/register", refused).await;
    let text = "Validation failed: 1 error occurred:\n\t* A SidecarService cannot specify an ID as \
                this is managed by the agent\n\n";
    assert_eq!(said(&reply), (400, text));
}
