//! Events, the operator's doors, what is absent, and what the configuration adds to every answer.

use crate::support::{Face, ask, start, start_with};
use catalog::Acl;
use http::header::{HeaderName, HeaderValue};

#[tokio::test]
async fn an_event_is_listed_where_it_is_meant_for() {
    let face = start();
    face.must("/v1/agent/service/register", r#"{"ID":"w1","Name":"web","Tags":["v1"]}"#).await;
    for query in ["", "?node=n1", "?service=^web$", "?service=w1&tag=v."] {
        face.must(&format!("/v1/event/fire/yes{query}"), "p").await;
    }
    for query in ["?node=n2", "?service=db", "?service=web&tag=v2", "?node=n2&service=web"] {
        face.must(&format!("/v1/event/fire/no{query}"), "p").await;
    }
    let reply = face.get("/v1/event/list").await;
    assert_eq!(reply.body.matches(r#""Name":"yes""#).count(), 4, "{}", reply.body);
    assert_eq!(reply.body.matches(r#""Name":"no""#).count(), 0, "{}", reply.body);
    assert!(reply.header("X-Consul-KnownLeader").is_none(), "an event is not of the log");
    let fired = face.ask("POST", "/v1/event/fire/post", "", "").await;
    assert_eq!(fired.status, 200, "Spring fires by POST");
    assert!(fired.body.contains(r#""Payload":null"#), "{}", fired.body);
    let refused = face.get("/v1/event/fire/x").await;
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("OPTIONS,PUT")));
}

#[tokio::test]
async fn a_list_of_events_waits_while_its_newest_is_the_same() {
    let face = start();
    face.must("/v1/event/fire/a", "1").await;
    let index = face.get("/v1/event/list?name=a").await.index();
    let path = format!("/v1/event/list?name=a&index={index}&wait=1ms");
    assert_eq!(face.get(&path).await.index(), index, "the time was up");
    let path = format!("/v1/event/list?name=a&index={index}&wait=5m");
    let address = face.address();
    let waiting = tokio::spawn(async move { ask(address, "GET", &path, "", "").await });
    face.must("/v1/event/fire/b", "").await;
    assert!(!waiting.is_finished(), "another name wakes nobody");
    face.must("/v1/event/fire/a", "2").await;
    let reply = waiting.await.expect("answered");
    assert_ne!(reply.index(), index);
    assert_eq!(reply.body.matches(r#""Name":"a""#).count(), 2, "{}", reply.body);
    let other = face.get("/v1/event/list?name=a&index=5&wait=5m").await;
    assert_eq!(other.index(), reply.index(), "any other index is answered at once");
}

#[track_caller]
fn check(
    face: &Face,
    (method, path, body): (&'static str, &'static str, &'static str),
    (status, text): (u16, &'static str),
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    let address = face.address();
    async move {
        let reply = ask(address, method, path, "", body).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, text), "{place}: {method} {path}");
    }
}

#[tokio::test]
async fn what_is_absent_says_so_or_is_empty() {
    let face = start();
    let later = |path: &str| format!("{path} is not supported by this version");
    for (method, path) in [
        ("POST", "/v1/query"),
        ("PUT", "/v1/config"),
        ("GET", "/v1/snapshot"),
        ("PUT", "/v1/snapshot"),
        ("GET", "/v1/discovery-chain/web"),
        ("POST", "/v1/peering/token"),
    ] {
        let reply = face.ask(method, path, "", "{}").await;
        assert_eq!((reply.status, reply.body), (501, later(path)), "{method} {path}");
    }
    for path in ["/v1/query", "/v1/peerings", "/v1/exported-services", "/v1/connect/intentions"] {
        let reply = face.get(path).await;
        assert_eq!((reply.body.as_str(), reply.index()), ("[]", 1), "{path}");
    }
    let mesh = "Connect must be enabled in order to use this endpoint";
    check(&face, ("GET", "/v1/connect/ca/roots", ""), (500, mesh)).await;
    check(&face, ("GET", "/v1/config/mesh", ""), (200, "[]")).await;
    check(&face, ("GET", "/v1/config/x", ""), (500, "invalid config entry kind: x")).await;
    let text = "Config entry not found for \"proxy-defaults\" / \"global\"";
    check(&face, ("GET", "/v1/config/proxy-defaults/global", ""), (404, text)).await;
    check(&face, ("GET", "/v1/query/x/execute", ""), (404, "Query not found")).await;
    check(&face, ("PUT", "/v1/acl/bootstrap", ""), (401, "ACL support disabled")).await;
    let reply = face.ask("OPTIONS", "/v1/query/x", "", "").await;
    let allow = Some("OPTIONS,GET,PUT,DELETE");
    assert_eq!((reply.body.as_str(), reply.header("Allow")), ("{}", allow));
    let reply = face.ask("DELETE", "/v1/snapshot", "", "").await;
    assert_eq!((reply.status, reply.header("Allow")), (405, Some("OPTIONS,GET,PUT")));
}

#[tokio::test]
async fn an_operator_is_told_of_the_only_server() {
    let face = start();
    let own = "00000000-0000-0000-0000-000000000001";
    let text = format!("id \"{own}\" is the only server, which cannot be removed");
    let reply = face.ask("DELETE", &format!("/v1/operator/raft/peer?id={own}"), "", "").await;
    assert_eq!((reply.status, reply.body), (500, text));
    let text = "cannot find peer";
    check(&face, ("PUT", "/v1/operator/raft/transfer-leader", ""), (500, text)).await;
    let health = face.get("/v1/operator/autopilot/health").await;
    assert!(health.body.contains(r#""LastContact":"0s""#), "{}", health.body);
    let native = r#"{"Name":"web","Port":1,"Connect":{"Native":true}}"#;
    face.must("/v1/agent/service/register", native).await;
    let usage = face.get("/v1/operator/usage").await;
    let counts = r#""Nodes":1,"Services":1,"ServiceInstances":1"#;
    assert!(usage.body.contains(counts) && usage.index() > 1, "{}", usage.body);
    assert!(usage.body.contains(r#""connect-native":1"#), "{}", usage.body);
    let path = "/v1/operator/autopilot/configuration";
    let text = "Error parsing autopilot config: json: unknown field \"x\"";
    check(&face, ("PUT", path, r#"{"x":1}"#), (400, text)).await;
    let reply = face.put(path, r#"{"MaxTrailingLogs":10}"#).await;
    assert_eq!(reply.status, 501, "{}", reply.body);
    face.catalog.set_leadership(seams::Leadership::default());
    let text = "No cluster leader";
    check(&face, ("GET", "/v1/operator/autopilot/health", ""), (500, text)).await;
}

#[tokio::test]
async fn own_has_consuls_keys_and_speaks_of_proxies_unless_they_are_off() {
    let keys = async |face: &Face| {
        let own: serde_json::Value =
            serde_json::from_str(&face.get("/v1/agent/self").await.body).unwrap();
        let mut keys: Vec<String> = own.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        (keys.join(" "), own["xDS"]["Ports"]["Plaintext"].as_i64())
    };
    let usual = "Config Coord DebugConfig Member Meta Stats";
    assert_eq!(keys(&start()).await, (format!("{usual} xDS"), Some(-1)));
    let face = start_with(Acl::Off, |context| context.settings.xds = false);
    assert_eq!(keys(&face).await, (usual.to_owned(), None));
}

#[tokio::test]
async fn coordinates_are_checked_and_dropped_or_switched_off() {
    let face = start();
    let path = "/v1/coordinate/update";
    let good = r#"{"node":"n1","Coord":{"Vec":[0,0,0,0,0,0,0,0.5],"Height":1e-5}}"#;
    check(&face, ("PUT", path, good), (200, "")).await;
    let short = r#"{"Node":"n1","Coord":{"Vec":[1]}}"#;
    check(&face, ("PUT", path, short), (500, "incompatible coordinate")).await;
    let wrong = "Request decode failed: json: unknown field \"X\"";
    check(&face, ("PUT", path, r#"{"X":1}"#), (400, wrong)).await;
    let reply = face.get("/v1/coordinate/nodes").await;
    assert_eq!((reply.body.as_str(), reply.index()), ("[]", 1));
    let face = start_with(Acl::Off, |context| context.settings.coordinates = false);
    for path in ["/v1/coordinate/nodes", "/v1/coordinate/datacenters", "/v1/coordinate/node/n1"] {
        let reply = face.get(path).await;
        let text = "Coordinate support disabled";
        assert_eq!((reply.status, reply.body.as_str()), (401, text), "{path}");
        assert!(reply.header("X-Consul-Index").is_none(), "{path}");
    }
}

#[tokio::test]
async fn configured_headers_are_on_every_answer_of_the_face() {
    let face = start_with(Acl::Off, |context| {
        context.settings.response_headers = vec![
            (HeaderName::from_static("x-extra"), HeaderValue::from_static("yes")),
            (HeaderName::from_static("content-type"), HeaderValue::from_static("x/y")),
        ];
    });
    for (path, kind) in [
        ("/v1/status/peers", "application/json"),
        ("/v1/nope", "text/plain; charset=utf-8"),
        ("/v1/kv/none", "x/y"),
    ] {
        let reply = face.get(path).await;
        assert_eq!(reply.header("X-Extra"), Some("yes"), "{path}");
        assert_eq!(reply.header("Content-Type"), Some(kind), "{path}: what an answer has, stays");
    }
    let moved = face.get("/v1//status/peers").await;
    assert_eq!((moved.status, moved.header("X-Extra")), (307, None), "a clean-up of the path");
}

#[tokio::test]
async fn blocked_paths_are_refused_however_they_are_spelled() {
    let face = start_with(Acl::Off, |context| {
        context.settings.block_endpoints = vec!["/v1/kv/secret".to_owned()];
    });
    let text = "Endpoint is blocked by agent configuration";
    for path in ["/v1/kv/secret", "/v1/kv/secretive", "/v1/kv/%73ecret/a", "/v1/kv/secret?raw"] {
        let reply = face.get(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (403, text), "{path}");
    }
    check(&face, ("PUT", "/v1/kv/secret", "1"), (403, text)).await;
    check(&face, ("POST", "/v1/kv/secret", "1"), (403, text)).await;
    check(&face, ("PUT", "/v1/kv/open", "1"), (200, "true")).await;
}

#[tokio::test]
async fn who_is_elsewhere_may_only_read() {
    for (networks, status) in [("10.0.0.0/8", 403), ("127.0.0.0/8", 200)] {
        let face = start_with(Acl::Off, |context| {
            context.settings.allow_write_from = vec![networks.parse().expect("a network")];
        });
        let reply = face.put("/v1/kv/a", "1").await;
        assert_eq!(reply.status, status, "{networks}");
        let text = if status == 403 { "Access is restricted" } else { "true" };
        assert_eq!(reply.body, text, "{networks}");
        assert_eq!(face.get("/v1/status/peers").await.status, 200, "{networks}: reading is free");
        let reply = face.ask("OPTIONS", "/v1/kv/a", "", "").await;
        assert_eq!(reply.status, 200, "{networks}");
    }
}

#[tokio::test]
async fn paths_that_cannot_be_printed_and_the_cache_are_settings() {
    let face = start();
    assert_eq!(face.get("/v1/kv/a%07b").await.status, 400);
    assert_eq!(face.get("/v1/catalog/services?cached").await.header("X-Cache"), Some("MISS"));
    let face = start_with(Acl::Off, |context| {
        context.settings.printable_paths = false;
        context.settings.use_cache = false;
    });
    assert_eq!(face.get("/v1/kv/a%07b").await.status, 404);
    assert_eq!(face.get("/v1/catalog/services?cached").await.header("X-Cache"), None);
}

#[tokio::test]
async fn the_web_interfaces_reads_count_each_check_once() {
    let face = start();
    let node = r#"{"Node":"a","Address":"10.0.0.1","Service":{"ID":"w1","Service":"web"},"Checks":[{"CheckID":"n","Status":"passing"},{"CheckID":"c","ServiceID":"w1","Status":"warning"}]}"#;
    face.must("/v1/catalog/register", node).await;
    let more = r#"{"Node":"a","Address":"10.0.0.1","Service":{"ID":"w2","Service":"web","Tags":["t"],"Meta":{"external-source":"nomad"}}}"#;
    face.must("/v1/catalog/register", more).await;
    let reply = face.get("/v1/internal/ui/services").await;
    let counts = r#""ExternalSources":["nomad"],"InstanceCount":2,"ChecksPassing":1,"ChecksWarning":1,"ChecksCritical":0"#;
    assert!(reply.body.contains(counts), "{}", reply.body);
    assert!(reply.body.contains(r#""Tags":["t"],"Nodes":["a"]"#), "{}", reply.body);
    let reply = face.get("/v1/internal/ui/node/a").await;
    assert!(reply.body.contains(r#""ID":"w1","Service":"web","Tags":null"#), "{}", reply.body);
    let reply = face.get("/v1/internal/ui/node/none").await;
    assert_eq!((reply.status, reply.body.as_str()), (404, ""));
}
