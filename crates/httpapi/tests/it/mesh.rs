//! Who answers for a service in somebody's mesh, and what is refused of those who would.

use crate::support::{Face, Reply, ask, start, until};
use serde_json::{Value, json};

const DOORS: [(&str, &str); 2] = [("catalog", "/ServiceID"), ("health", "/Service/ID")];

/// Registers an instance on a node of its own.
async fn register(face: &Face, node: &str, service: Value) {
    let body = json!({"Node": node, "Address": "10.0.0.1", "Service": service});
    face.must("/v1/catalog/register", &body.to_string()).await;
}

fn proxy(id: &str, of: &str) -> Value {
    json!({
        "ID": id, "Service": format!("{id}-service"), "Kind": "connect-proxy", "Port": 21000,
        "Proxy": {"DestinationServiceName": of}
    })
}

fn ids(reply: &Reply, at: &str) -> Vec<String> {
    let rows: Vec<Value> = serde_json::from_str(&reply.body).expect("a list");
    let id = |row: &Value| row.pointer(at).and_then(Value::as_str).expect("an id").to_owned();
    rows.iter().map(id).collect()
}

#[track_caller]
fn check(reply: &Reply, at: &str, expected: &[&str], why: &str) {
    assert_eq!(ids(reply, at), expected, "{why}: {}", reply.body);
}

#[tokio::test]
async fn in_a_mesh_proxies_and_who_speaks_it_answer_for_a_service() {
    let face = start();
    let native = json!({"ID": "n", "Service": "web", "Port": 1, "Connect": {"Native": true}});
    register(&face, "b", native).await;
    register(&face, "b", json!({"ID": "plain", "Service": "web", "Port": 1})).await;
    register(&face, "c", proxy("p", "Web")).await;
    register(&face, "a", proxy("q", "web")).await;
    register(&face, "a", proxy("other", "db")).await;
    for (door, at) in DOORS {
        let get = |service: &'static str| {
            let path = format!("/v1/{door}/connect/{service}");
            let face = &face;
            async move { face.get(&path).await }
        };
        check(&get("web").await, at, &["q", "n", "p"], door);
        check(&get("db").await, at, &["other"], door);
        check(&get("p-service").await, at, &[], "a proxy does not answer for itself");
        let field = if door == "catalog" { "ServiceKind" } else { "Service.Kind" };
        let filtered = face.get(&format!("/v1/{door}/connect/web?filter={field}==%22%22")).await;
        check(&filtered, at, &["n"], door);
    }
    let body = json!({
        "Node": "a", "Address": "10.0.0.1",
        "Check": {"Name": "c", "ServiceID": "q", "Status": "critical"}
    });
    face.must("/v1/catalog/register", &body.to_string()).await;
    let passing = face.get("/v1/health/connect/web?passing").await;
    check(&passing, DOORS[1].1, &["n", "p"], "a proxy's own checks count");
}

/// Waits for a change, makes it, and tells the answer.
async fn woken(face: &Face, path: &str, change: Option<(&str, Value)>, remove: &str) -> Reply {
    let now = face.get(path).await.index();
    let (at, query) = (face.address(), format!("{path}?index={now}&wait=60s"));
    let reader = tokio::spawn(async move { ask(at, "GET", &query, "", "").await });
    until("the reader waits", || face.catalog.waiters().watched() > 0).await;
    // Another service's instance changes nothing here.
    register(face, "z", json!({"Service": format!("unrelated-{now}")})).await;
    match change {
        Some((node, service)) => register(face, node, service).await,
        None => face.must("/v1/catalog/deregister", remove).await,
    }
    let reply = reader.await.expect("answered");
    assert!(reply.index() > now, "{path}: {} after {now}", reply.index());
    reply
}

#[tokio::test]
async fn who_waits_for_a_mesh_sees_its_proxies_come_and_go() {
    for (door, at) in DOORS {
        let face = start();
        register(&face, "w", json!({"Service": "web", "Port": 1})).await;
        let path = format!("/v1/{door}/connect/web");
        let came = woken(&face, &path, Some(("a", proxy("p", "web"))), "").await;
        check(&came, at, &["p"], door);
        let came = woken(&face, &path, Some(("b", proxy("p", "web"))), "").await;
        check(&came, at, &["p", "p"], door);
        let left = woken(&face, &path, Some(("b", proxy("p", "db"))), "").await;
        check(&left, at, &["p"], "it stands before another service now");
        let gone = r#"{"Node":"a","ServiceID":"p"}"#;
        check(&woken(&face, &path, None, gone).await, at, &[], "its service has another instance");
    }
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_at_every_door() {
    let face = start();
    let unreachable = "1 error occurred:\n\t* Port or SocketPath must be set for a Connect native \
                       service.\n\n";
    let nameless = "1 error occurred:\n\t* Proxy.DestinationServiceName must be non-empty for \
                    Connect proxy services\n\n";
    let native = json!({"Service": "w", "Connect": {"Native": true}});
    let blind = json!({"Service": "w", "Kind": "connect-proxy", "Port": 1});
    for (service, text) in [(native, unreachable), (blind, nameless)] {
        let body = json!({"Node": "x", "Address": "10.0.0.1", "Service": service});
        let reply = face.put("/v1/catalog/register", &body.to_string()).await;
        assert_eq!((reply.status, reply.body.as_str()), (500, text));
        let ops = json!([{"Service": {"Verb": "set", "Node": "x", "Service": service}}]);
        let reply = face.put("/v1/txn", &ops.to_string()).await;
        let told: Value = serde_json::from_str(&reply.body).expect("JSON");
        assert_eq!((reply.status, &told["Errors"][0]["What"]), (409, &json!(text)));
        let mut given = service;
        given["Name"] = given.as_object_mut().and_then(|all| all.remove("Service")).expect("named");
        let reply = face.put("/v1/agent/service/register", &given.to_string()).await;
        let text = format!("Validation failed: {text}");
        assert_eq!((reply.status, reply.body.as_str()), (400, text.as_str()));
    }
    assert_eq!(face.get("/v1/catalog/node/x").await.body, "null");
    assert_eq!(face.get("/v1/agent/services").await.body, "{}");
    let gateway = json!({"Name": "w", "Connect": {"SidecarService": {"Kind": "mesh-gateway"}}});
    let reply = face.put("/v1/agent/service/register", &gateway.to_string()).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.starts_with("Failed Validation: 3 errors occurred:"), "{}", reply.body);
}
