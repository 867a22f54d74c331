//! What the doors do, where no recorded story shows it.

use crate::support::{start, start_with};
use catalog::Acl;
use seams::{Leadership, Reader, WriteError};

#[tokio::test]
async fn a_write_is_seen_by_the_next_read_and_names_its_author() {
    let face = start();
    for n in 0..100 {
        let reply = face.put("/v1/kv/a", &n.to_string()).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "true"));
        assert!(reply.header("X-Rutter-Request-Id").is_some_and(|id| id.len() == 32));
        assert_eq!(face.get("/v1/kv/a?raw").await.body, n.to_string());
    }
}

#[tokio::test]
async fn a_refused_write_says_why_and_reads_go_on() {
    let face = start();
    face.must("/v1/kv/a", "1").await;
    let full = WriteError::DiskFull { free: 1, reserve: 64 };
    let table = [
        (
            full,
            500,
            "the disk of the data directory is nearly full (1 bytes free, 64 kept in reserve)",
        ),
        (WriteError::Busy, 503, "too many writes are waiting, try again later"),
        (WriteError::NoLeader, 500, "No cluster leader"),
        (WriteError::TooLarge { size: 2, limit: 1 }, 413, "write of 2 bytes is larger"),
        (WriteError::Unknown("gone".into()), 500, "write outcome unknown: gone"),
    ];
    for (error, status, text) in table {
        face.catalog.fail_writes(Some(error));
        for (path, body) in [
            ("/v1/kv/a", "2"),
            ("/v1/catalog/register", r#"{"Node":"x","Address":"10.0.0.1"}"#),
            ("/v1/session/create", r#"{"NodeChecks":[]}"#),
        ] {
            let reply = face.put(path, body).await;
            assert_eq!(reply.status, status, "{path}: {}", reply.body);
            assert!(reply.body.starts_with(text), "{path}: {}", reply.body);
            assert_eq!(reply.header("Retry-After"), (status == 503).then_some("1"), "{path}");
        }
        assert_eq!(face.get("/v1/kv/a?raw").await.body, "1");
    }
}

#[tokio::test]
async fn without_a_leader_stale_reads_go_on_and_others_say_so() {
    let face = start();
    face.must("/v1/kv/a", "1").await;
    face.catalog.set_leadership(Leadership::default());
    let reply = face.get("/v1/catalog/nodes").await;
    assert_eq!((reply.status, reply.body.as_str()), (500, "No cluster leader"));
    let reply = face.get("/v1/catalog/nodes?stale").await;
    assert_eq!((reply.status, reply.header("X-Consul-KnownLeader")), (200, Some("false")));
    assert_eq!(face.get("/v1/status/leader").await.body, "\"\"");
}

#[tokio::test]
async fn a_service_registered_with_the_agent_is_found_while_it_passes() {
    let face = start();
    let body = r#"{"id":"w/1","name":"web","port":80,"tags":["v1"],"check":{"ttl":"30s"}}"#;
    face.must("/v1/agent/service/register", body).await;
    assert_eq!(face.get("/v1/health/service/web?passing").await.body, "[]");
    face.must("/v1/agent/check/pass/service:w%2F1?note=ok", "").await;
    let reply = face.get("/v1/health/service/WEB?passing&tag=V1").await;
    assert!(reply.body.contains(r#""ID":"w/1""#), "{}", reply.body);
    assert_eq!(face.get("/v1/health/service/web?passing&tag=v2").await.body, "[]");
    face.must("/v1/agent/check/fail/service:w%2F1", "").await;
    assert_eq!(face.get("/v1/health/service/web?passing").await.body, "[]");
    face.must("/v1/agent/service/deregister/w%2F1", "").await;
    assert_eq!(face.get("/v1/catalog/service/web").await.body, "[]");
    let reply = face.put("/v1/agent/service/deregister/w%2F1", "").await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn a_registration_of_the_catalog_is_one_entry() {
    let face = start();
    let before = face.catalog.view().index();
    let body = r#"{"Node":"x","Address":"10.0.0.1","Service":{"Service":"web"},"Checks":[{"CheckID":"a"},{"CheckID":"b","ServiceID":"nope"}]}"#;
    let reply = face.put("/v1/catalog/register", body).await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (500, "Unknown service ID 'nope' for check ID 'b'")
    );
    assert_eq!(face.get("/v1/catalog/node/x").await.body, "null", "nothing of it was applied");
    face.must("/v1/catalog/register", &body.replace("nope", "web")).await;
    assert_eq!(face.catalog.view().index().0, before.0 + 2);
}

#[tokio::test]
async fn what_a_mesh_would_need_is_echoed() {
    let face = start();
    let body = r#"{"Node":"x","Address":"10.0.0.1","Service":{"Service":"p","Kind":"connect-proxy","Port":1,"Proxy":{"DestinationServiceName":"web"}}}"#;
    face.must("/v1/catalog/register", body).await;
    let native = r#"{"Node":"x","Address":"10.0.0.1","Service":{"Service":"n","Port":1,"Connect":{"native":true}}}"#;
    face.must("/v1/catalog/register", native).await;
    let reply = face.get("/v1/catalog/service/p").await;
    let proxy =
        r#""ServiceProxy":{"DestinationServiceName":"web","Expose":{},"MeshGateway":{},"Mode":""}"#;
    assert!(reply.body.contains(proxy), "{}", reply.body);
    let reply = face.get("/v1/catalog/service/n").await;
    assert!(reply.body.contains(r#""ServiceConnect":{"Native":true}"#), "{}", reply.body);
}

#[tokio::test]
async fn an_agent_in_memory_indents_everything() {
    let face = start_with(Acl::Off, |context| context.identity.dev_mode = true);
    assert_eq!(face.get("/v1/catalog/datacenters").await.body, "[\n    \"dc1\"\n]\n");
    let face = start();
    assert_eq!(face.get("/v1/catalog/datacenters").await.body, "[\"dc1\"]");
    assert_eq!(face.get("/v1/catalog/nodes?pretty").await.body.lines().next(), Some("["));
}
