//! `?filter=` at every door that has it, and at those that do not.

use crate::support::{Face, start};
use serde_json::Value;

/// Two nodes, three instances of two services, a check on each kind of thing.
async fn furnished() -> Face {
    let face = start();
    for body in [
        r#"{"Node":"a","Address":"10.0.0.1","NodeMeta":{"rack":"1"},"TaggedAddresses":{"wan":"1.0.0.1"},
            "Service":{"ID":"web1","Service":"web","Tags":["v1","prod"],"Port":80,"Meta":{"ver":"1"},
                "TaggedAddresses":{"lan":{"Address":"10.9.9.9","Port":8080}},
                "Connect":{"Native":true},"Weights":{"Passing":5,"Warning":1}},
            "Checks":[{"CheckID":"na","Name":"node","Status":"passing"},
                {"CheckID":"w1","Name":"web","Status":"passing","ServiceID":"web1"}]}"#,
        r#"{"Node":"b","Address":"10.0.0.2","NodeMeta":{"rack":"2"},
            "Service":{"ID":"web2","Service":"web","Port":81},
            "Check":{"CheckID":"w2","Name":"web","Status":"critical","ServiceID":"web2","Output":"refused"}}"#,
        r#"{"Node":"b","Address":"10.0.0.2","NodeMeta":{"rack":"2"},
            "Service":{"ID":"db","Service":"db","Tags":["main"],"Port":5432}}"#,
    ] {
        face.must("/v1/catalog/register", body).await;
    }
    for body in [
        r#"{"Name":"own","Port":1,"Tags":["x"],"Check":{"TTL":"1h","Status":"passing"}}"#,
        r#"{"Name":"other","Port":2,"Check":{"TTL":"1h","Status":"warning"}}"#,
    ] {
        face.must("/v1/agent/service/register", body).await;
    }
    face
}

fn encoded(expression: &str) -> String {
    expression.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The names of the rows of an answer: what tells them apart, sorted.
fn names(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).expect("JSON");
    let name = |row: &Value| {
        let row = if row["Service"].is_object() { &row["Service"] } else { row };
        let keys = ["CheckID", "ServiceID", "ID", "Node", "Name"];
        let named = keys.iter().filter_map(|key| row[key].as_str()).find(|name| !name.is_empty());
        named.unwrap_or_default().to_owned()
    };
    let mut names: Vec<String> = match &body {
        Value::Array(rows) => rows.iter().map(name).collect(),
        Value::Object(on) if on.contains_key("Services") => match &on["Services"] {
            Value::Array(rows) => rows.iter().map(name).collect(),
            rows => rows.as_object().expect("services").keys().cloned().collect(),
        },
        Value::Object(rows) => rows.keys().cloned().collect(),
        other => panic!("no list: {other}"),
    };
    names.sort();
    names
}

#[tokio::test]
async fn each_list_is_filtered_by_the_fields_of_its_rows() {
    let face = furnished().await;
    for (path, filter, rows) in [
        ("/v1/catalog/nodes", "Meta.rack == 1 and Node != n1", &["a"][..]),
        ("/v1/catalog/nodes", "wan in TaggedAddresses", &["a"]),
        ("/v1/catalog/services", "ServicePort == 81", &["web"]),
        ("/v1/catalog/services", "NodeMeta.rack == 2 and ServiceName != web", &["db"]),
        ("/v1/catalog/service/web", "ServiceTags contains prod", &["web1"]),
        ("/v1/catalog/service/web", "NodeMeta.rack == 2", &["web2"]),
        ("/v1/catalog/service/web", "ServiceTaggedAddresses.lan.Port == 8080", &["web1"]),
        ("/v1/catalog/node/b", "Port == 81", &["web2"]),
        ("/v1/catalog/node/b", "Tags is empty", &["web2"]),
        ("/v1/catalog/node-services/b", "Service == db", &["db"]),
        ("/v1/health/service/web", "Checks.Status == critical", &["web2"]),
        ("/v1/health/service/web", "Node.Meta.rack == 1 or Service.Port == 81", &["web1", "web2"]),
        ("/v1/health/service/web", "Service.Connect.Native == true", &["web1"]),
        ("/v1/health/service/web", "Service.Weights.Passing == 5", &["web1"]),
        ("/v1/health/node/a", "ServiceID == \"\"", &["na"]),
        ("/v1/health/checks/web", "Output matches refus", &["w2"]),
        ("/v1/health/state/any", "ServiceTags contains prod", &["w1"]),
        ("/v1/health/connect/web", "Service.Port == 80", &["web1"]),
        ("/v1/health/ingress/web", "Service.Port == 80", &[]),
        ("/v1/catalog/connect/web", "ServicePort == 80", &["web1"]),
        ("/v1/agent/services", "Port == 1", &["own"]),
        ("/v1/agent/checks", "Status == warning", &["service:other"]),
        ("/v1/agent/members", "Status == 1 and Tags.role == consul", &["n1"]),
        ("/v1/agent/members", "Name == nobody", &[]),
    ] {
        let whole = face.get(path).await;
        let reply = face.get(&format!("{path}?filter={}", encoded(filter))).await;
        assert_eq!(reply.status, 200, "{path} {filter}: {}", reply.body);
        assert_eq!(names(&reply.body), rows, "{path} {filter}");
        assert_eq!(reply.header("x-consul-index"), whole.header("x-consul-index"), "{path}");
        let reply = face.get(&format!("{path}?filter=")).await;
        assert_eq!(reply.body, whole.body, "{path} with an empty filter");
    }
}

#[tokio::test]
async fn the_tags_of_a_service_are_those_of_the_instances_asked_for() {
    let face = furnished().await;
    let reply = face.get("/v1/catalog/services?filter=ServicePort==81").await;
    assert_eq!(reply.body, r#"{"web":[]}"#);
    let reply = face.get("/v1/catalog/services?filter=ServicePort!=5432").await;
    assert!(reply.body.contains(r#""web":["v1","prod"]"#), "{}", reply.body);
}

#[tokio::test]
async fn each_list_refuses_what_its_rows_do_not_have() {
    let face = furnished().await;
    let prefix = "Failed to create boolean expression evaluator: ";
    for path in [
        "/v1/catalog/nodes",
        "/v1/catalog/services",
        "/v1/catalog/service/web",
        "/v1/catalog/connect/web",
        "/v1/catalog/node/b",
        "/v1/catalog/node/nobody",
        "/v1/catalog/node-services/b",
        "/v1/health/service/web",
        "/v1/health/service/nothing",
        "/v1/health/connect/web",
        "/v1/health/ingress/web",
        "/v1/health/node/a",
        "/v1/health/checks/web",
        "/v1/health/state/critical",
        "/v1/agent/services",
        "/v1/agent/members",
    ] {
        let reply = face.get(&format!("{path}?filter=Nope==1")).await;
        let told = format!("{prefix}Selector \"Nope\" is not valid");
        assert_eq!((reply.status, reply.body), (500, told), "{path}");
        let reply = face.get(&format!("{path}?filter=Nope")).await;
        assert!(reply.body.starts_with(&format!("{prefix}1:5 (4): no match found")), "{path}");
    }
}

#[tokio::test]
async fn checks_of_the_agent_tell_of_a_field_with_their_first_row() {
    let face = start();
    let (unknown, broken) = ("/v1/agent/checks?filter=Nope==1", "/v1/agent/checks?filter=Nope");
    let reply = face.get(unknown).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "{}"));
    assert_eq!(face.get(broken).await.status, 500);
    face.must("/v1/agent/check/register", r#"{"Name":"c","TTL":"1h"}"#).await;
    let reply = face.get(unknown).await;
    assert_eq!((reply.status, reply.body.as_str()), (500, "Selector \"Nope\" is not valid"));
    let reply = face.get(broken).await;
    assert!(reply.body.starts_with("Failed to create boolean expression evaluator: 1:5 (4)"));
}

#[tokio::test]
async fn doors_without_filters_do_not_read_them() {
    let face = furnished().await;
    face.must("/v1/kv/a", "1").await;
    for path in ["/v1/kv/a", "/v1/session/list", "/v1/catalog/datacenters", "/v1/status/leader"] {
        let (plain, filtered) =
            (face.get(path).await, face.get(&format!("{path}?filter=Nope")).await);
        assert_eq!((filtered.status, filtered.body), (plain.status, plain.body), "{path}");
    }
}
