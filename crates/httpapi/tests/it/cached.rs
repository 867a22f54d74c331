//! How fresh an answer must be, and what is said of it.

use crate::support::{start, start_with};
use catalog::Acl;
use seams::Leadership;
use std::time::Duration;

#[tokio::test]
async fn the_second_of_equal_cached_reads_is_a_hit_as_fresh_as_the_first() {
    let face = start();
    for path in [
        "/v1/catalog/services?cached",
        "/v1/catalog/service/web?cached",
        "/v1/health/service/web?cached",
        "/v1/health/service/web?cached&passing",
    ] {
        let (first, second) = (face.get(path).await, face.get(path).await);
        assert_eq!((first.header("x-cache"), first.header("age")), (Some("MISS"), None), "{path}");
        assert_eq!((second.header("x-cache"), second.header("age")), (Some("HIT"), Some("0")));
    }
    let body = r#"{"Node":"a","Address":"10.0.0.1","Service":{"Service":"web","Port":1}}"#;
    face.must("/v1/catalog/register", body).await;
    for control in ["max-age=0", "must-revalidate", "stale-if-error=60", "no-store"] {
        let headers = format!("Cache-Control: {control}\r\n");
        let reply = face.ask("GET", "/v1/catalog/services?cached", &headers, "").await;
        assert_eq!((reply.header("x-cache"), reply.body.as_str()), (Some("HIT"), r#"{"web":[]}"#));
    }
}

#[tokio::test]
async fn what_consul_has_no_cache_for_says_nothing_of_one() {
    let face = start();
    for path in ["/v1/catalog/nodes?cached", "/v1/kv/a?cached", "/v1/catalog/services"] {
        for _ in 0..2 {
            let reply = face.get(path).await;
            assert_eq!((reply.header("x-cache"), reply.header("age")), (None, None), "{path}");
        }
    }
}

#[tokio::test]
async fn a_node_further_behind_than_max_stale_asks_the_leader() {
    let face = start();
    let last_contact = Duration::from_secs(10);
    face.catalog.set_leadership(Leadership { last_contact, ..Leadership::default() });
    for (query, status) in
        [("stale", 200), ("max_stale=20s", 200), ("max_stale=5s", 500), ("max_stale=0s", 500)]
    {
        let reply = face.get(&format!("/v1/catalog/nodes?{query}")).await;
        assert_eq!(reply.status, status, "{query}: {}", reply.body);
        let told = if status == 200 { Some("10000") } else { Some("0") };
        assert_eq!(reply.header("x-consul-lastcontact"), told, "{query}");
    }
}

#[tokio::test]
async fn discovery_may_be_stale_where_that_is_configured_and_nobody_says_otherwise() {
    let face = start_with(Acl::Off, |context| {
        context.settings.discovery_max_stale = Duration::from_secs(60);
    });
    face.catalog.set_leadership(Leadership::default());
    for (path, status) in [
        ("/v1/catalog/nodes", 200),
        ("/v1/health/service/web", 200),
        ("/v1/catalog/nodes?leader", 500),
        ("/v1/catalog/nodes?consistent", 500),
        ("/v1/catalog/nodes?max_stale=0s", 200),
        ("/v1/session/list", 500),
    ] {
        assert_eq!(face.get(path).await.status, status, "{path}");
    }
    let reply = face.get("/v1/catalog/nodes").await;
    assert_eq!(reply.header("x-consul-effective-consistency"), Some("stale"));
}
