//! Every door asks what the token may do.

use crate::support::{Face, Reply, start_with};
use catalog::{Acl, Command, KvCondition, KvWrite};
use model::{Check, Instance, KvKey, Session, Status, empty_tags};
use std::sync::Arc;
use uuid::Uuid;

const SESSION: Uuid = Uuid::from_u128(7);

/// A face that lets nobody do anything, over a catalog with something of everything.
fn denying() -> Face {
    let face = start_with(Acl::DenyAll, |_| {});
    let write = KvWrite {
        key: KvKey::new(b"k"),
        value: Arc::from(*b"v"),
        flags: 0,
        condition: KvCondition::Always,
    };
    let instance = Instance {
        node: "n1".into(),
        id: "w1".into(),
        service: "web".into(),
        tags: empty_tags(),
        ..Instance::default()
    };
    let check = Check {
        node: "n1".into(),
        id: "c1".into(),
        status: Status::Passing,
        instance: "w1".into(),
        ..Check::default()
    };
    face.catalog.write(vec![
        Command::KvPut(write),
        Command::PutInstance(Box::new(instance)),
        Command::PutCheck(Box::new(check)),
        Command::CreateSession(Box::new(Session {
            id: SESSION,
            node: "n1".into(),
            ..Session::default()
        })),
    ]);
    face
}

/// What to ask for behind a pattern, and what to send.
fn sample(pattern: &str) -> (String, &'static str) {
    let name = match pattern {
        "/v1/kv/" => "k",
        "/v1/session/destroy/" | "/v1/session/renew/" | "/v1/session/info/" => {
            return (format!("{pattern}{SESSION}"), "");
        }
        "/v1/health/state/" => "any",
        p if p.contains("/check/") => "c1",
        p if p.contains("/node") => "n1",
        p if p.contains("deregister/") => "w1",
        _ => "web",
    };
    let body = match pattern {
        "/v1/agent/service/register" => r#"{"Name":"web"}"#,
        "/v1/agent/check/register" => r#"{"Name":"c","TTL":"10s"}"#,
        "/v1/agent/check/update/" => r#"{"Status":"passing"}"#,
        "/v1/catalog/register" => r#"{"Node":"n1","Address":"10.0.0.1"}"#,
        "/v1/catalog/deregister" => r#"{"Node":"n1"}"#,
        "/v1/txn" => r#"[{"KV":{"Verb":"delete","Key":"k"}}]"#,
        "/v1/coordinate/update" => r#"{"Node":"n1","Coord":{"Vec":[0,0,0,0,0,0,0,0]}}"#,
        "/v1/operator/autopilot/configuration" => "{}",
        "/v1/operator/keyring" => r#"{"Key":"eA=="}"#,
        "/v1/operator/raft/peer" => return (format!("{pattern}?id=x"), ""),
        "/v1/internal/ui/exported-services" => return (format!("{pattern}?peer=x"), ""),
        "/v1/config/" => return (format!("{pattern}mesh"), ""),
        _ => "",
    };
    match pattern.ends_with('/') {
        _ if pattern == "/v1/agent/maintenance" => (format!("{pattern}?enable=true"), body),
        _ if pattern.contains("/maintenance/") => (format!("{pattern}{name}?enable=true"), body),
        true => (format!("{pattern}{name}"), body),
        false => (pattern.to_owned(), body),
    }
}

/// Answers without a right: they tell nothing that a token could protect.
const OPEN: [&str; 5] = [
    "/v1/status/leader",
    "/v1/status/peers",
    "/v1/catalog/datacenters",
    "/v1/coordinate/node/",
    "/v1/agent/token/",
];

/// What is not there at all, or switched off, says so to everybody and does nothing.
fn is_absent(reply: &Reply) -> bool {
    reply.body == "ACL support disabled"
        || reply.body == "Connect must be enabled in order to use this endpoint"
        || reply.body.ends_with(" is not supported by this version")
}

fn tells_nothing(reply: &Reply) -> bool {
    let empty = matches!(reply.body.as_str(), "[]" | "{}" | "null" | "")
        || reply.body == r#"{"Node":null,"Services":null}"#
        || reply.body == "Query not found"
        || reply.body.ends_with(r#""Coordinates":[]}]"#);
    match reply.status {
        401 | 500 | 501 => is_absent(reply),
        403 => reply.body.starts_with("Permission denied"),
        // A transaction tells it of each operation.
        409 => reply
            .body
            .starts_with(r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"Permission denied"#),
        200 | 404 => empty,
        _ => false,
    }
}

#[tokio::test]
async fn who_may_do_nothing_is_refused_or_sees_nothing_at_every_door() {
    let face = denying();
    for (pattern, method) in httpapi::endpoints() {
        if OPEN.contains(&pattern) {
            continue;
        }
        let (path, body) = sample(pattern);
        let reply = face.ask(method, &path, "", body).await;
        assert!(tells_nothing(&reply), "{method} {path}: {} {}", reply.status, reply.body);
        if method != "GET" {
            let refused = match pattern {
                "/v1/txn" => reply.status == 409,
                _ => reply.status == 403 || is_absent(&reply),
            };
            assert!(refused, "{method} {path}: a write is refused");
        }
    }
    for path in ["/v1/kv/?recurse", "/v1/kv/?keys", "/v1/health/service/web?passing"] {
        let reply = face.get(path).await;
        assert!(tells_nothing(&reply), "{path}: {} {}", reply.status, reply.body);
    }
    let view = seams::Reader::view(&*face.catalog);
    let session = view.session(model::Tenant::DEFAULT, SESSION).unwrap().value;
    assert!(session.is_some(), "nothing was changed");
}

#[tokio::test]
async fn only_a_token_is_told_that_rows_were_left_out() {
    let face = denying();
    let header = "X-Consul-Results-Filtered-By-ACLs";
    let reply = face.get("/v1/catalog/nodes").await;
    assert_eq!((reply.body.as_str(), reply.header(header)), ("[]", None));
    for token in ["X-Consul-Token: t\r\n", "Authorization: bearer t\r\n"] {
        let reply = face.ask("GET", "/v1/catalog/nodes", token, "").await;
        assert_eq!((reply.body.as_str(), reply.header(header)), ("[]", Some("true")), "{token}");
    }
    let reply = face.get("/v1/catalog/nodes?token=t").await;
    assert_eq!(reply.header(header), Some("true"));
}

#[tokio::test]
async fn a_session_that_is_not_held_here_is_obtained_before_its_right_is_asked() {
    let face = denying();
    for verb in ["destroy", "renew"] {
        face.catalog.hold_nothing();
        let reply = face.put(&format!("/v1/session/{verb}/{SESSION}"), "").await;
        assert_eq!(reply.status, 403, "{verb}: {}", reply.body);
    }
    let index = seams::Reader::view(&*face.catalog).index();
    let nobody = Uuid::from_u128(8);
    let reply = face.put(&format!("/v1/session/destroy/{nobody}"), "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "true"));
    assert_eq!(face.put(&format!("/v1/session/renew/{nobody}"), "").await.status, 404);
    let now = seams::Reader::view(&*face.catalog).index();
    assert_eq!(now, index, "nothing is written for what is not there");
}
