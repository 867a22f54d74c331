//! Reads of what is not held here.

use crate::support::start;

const READS: [&str; 16] = [
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/services?node-meta=rack:1",
    "/v1/catalog/service/web",
    "/v1/catalog/node/n1",
    "/v1/catalog/node-services/n2",
    "/v1/health/service/web",
    "/v1/health/service/none",
    "/v1/health/node/n2",
    "/v1/health/checks/web?node-meta=rack:1",
    "/v1/health/state/any",
    "/v1/kv/a",
    "/v1/kv/?recurse",
    "/v1/kv/none",
    "/v1/session/list",
    "/v1/catalog/service/web?stale",
];

#[tokio::test]
async fn what_is_not_held_is_obtained_and_answered_alike() {
    let face = start();
    let node = r#"{"Node":"n2","Address":"10.0.0.2","NodeMeta":{"rack":"1"},"Service":{"Service":"web"},"Check":{"CheckID":"c","ServiceID":"web","Status":"passing"}}"#;
    face.must("/v1/catalog/register", node).await;
    face.must("/v1/kv/a", "1").await;
    face.must("/v1/session/create", r#"{"NodeChecks":[]}"#).await;
    let mut whole = Vec::new();
    for path in READS {
        whole.push(face.get(path).await.body);
    }
    assert_eq!(face.catalog.held_on_demand(), 0);
    for (path, expected) in READS.iter().zip(&whole) {
        face.catalog.hold_nothing();
        let before = face.catalog.held_on_demand();
        assert_eq!(face.get(path).await.body, *expected, "{path}");
        assert!(face.catalog.held_on_demand() > before, "{path} needs something");
    }
}
