//! Paths, methods, parameters and bodies that are not what they should be.

use crate::support::{start, start_with};
use catalog::Acl;
use flate2::read::GzDecoder;
use proptest::prelude::*;
use serde_json::json;
use std::io::Read;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_path_leads_where_consuls_leads() {
    let face = start();
    let table = [
        ("GET", "/v1/kv", 307, "<a href=\"/v1/kv/\">Temporary Redirect</a>.\n\n"),
        ("PUT", "/v1/kv/a//b?cas=1", 307, ""),
        ("GET", "/v1/nope", 404, "Invalid URL path: not a recognized HTTP API endpoint\n"),
        (
            "GET",
            "/v1/status/leader/",
            404,
            "Invalid URL path: not a recognized HTTP API endpoint\n",
        ),
        (
            "GET",
            "/v2/kv/a",
            404,
            "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with \
             '/v1/'\n",
        ),
        ("POST", "/v1/kv/a", 405, "method POST not allowed"),
        ("OPTIONS", "/v1/kv/a", 200, ""),
        ("GET", "/v1/kv/a%00b", 400, ""),
        ("GET", "/v1/kv/a%zz", 400, "400 Bad Request: malformed escape in the path"),
        ("GET", "/v1/kv/a?x=%zz", 500, ""),
        ("GET", "/v1/catalog/nodes?a;b", 500, ""),
        ("GET", "/v1/catalog/service/", 400, "Missing service name"),
        ("GET", "/v1/status/leader", 200, "\"127.0.0.1:8300\""),
    ];
    for (method, path, status, body) in table {
        let reply = face.ask(method, path, "", "").await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{method} {path}");
    }
    let redirect = face.ask("PUT", "/v1/kv/a//b?cas=1", "", "").await;
    assert_eq!(redirect.header("Location"), Some("/v1/kv/a/b?cas=1"));
    let allow = face.ask("OPTIONS", "/v1/kv/a", "", "").await;
    assert_eq!(allow.header("Allow"), Some("OPTIONS,GET,PUT,DELETE"));
    let head = face.ask("HEAD", "/v1/agent/self", "", "").await;
    assert_eq!((head.status, head.body.as_str()), (405, ""));
}

#[tokio::test]
async fn every_wrong_method_is_refused_at_every_door() {
    let face = start();
    for (pattern, _) in httpapi::endpoints() {
        let reply = face.ask("PATCH", pattern, "", "").await;
        assert_eq!(reply.status, 405, "{pattern}");
        assert!(reply.header("Allow").is_some_and(|allow| allow.starts_with("OPTIONS,")));
    }
}

#[tokio::test]
async fn options_of_the_whole_server_are_answered() {
    let reply = start().ask("OPTIONS", "*", "", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_parameter_that_cannot_be_honoured_is_refused() {
    let face = start();
    let conflict = "Cannot specify ?stale with ?consistent, conflicting semantics.";
    let table = [
        ("/v1/catalog/nodes?stale&consistent", 400, conflict),
        ("/v1/catalog/nodes?max_stale=x", 400, "Invalid max_stale value \"x\""),
        ("/v1/kv/a?index=x", 400, "Invalid index"),
        ("/v1/kv/a?wait=10", 400, "Invalid wait time"),
        (
            "/v1/kv/a?ns=default",
            400,
            "Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature",
        ),
        ("/v1/health/service/web?passing=yes", 400, "Invalid value for ?passing"),
        ("/v1/kv/a?dc=nope", 500, "No path to datacenter"),
    ];
    for (path, status, text) in table {
        let reply = face.get(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, text), "{path}");
    }
    let reply = face.ask("GET", "/v1/kv/a", "Cache-Control: max-age=x\r\n", "").await;
    assert_eq!((reply.status, reply.body.as_str()), (400, "Invalid Cache-Control header."));
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_changes_nothing() {
    let face = start_with(Acl::Off, |context| {
        context.settings.kv_max_value_size = 10;
        context.limits.body = 1000;
    });
    let reply = face.put("/v1/kv/a", "12345678901").await;
    assert_eq!(reply.status, 413);
    assert!(reply.body.starts_with("Request body(11 bytes) too large, max size: 10 bytes."));
    let reply = face.put("/v1/catalog/register", &" ".repeat(1001)).await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (413, "request body of 1001 bytes is too large")
    );
    for (body, text) in [
        ("", "Request decode failed: EOF"),
        ("{\"Node\":\"x\"", "Request decode failed: unexpected EOF"),
        (
            "{\"Node\":\"x\",\"Address\":\"1\",\"Y\":1}",
            "Request decode failed: json: unknown field \"Y\"",
        ),
    ] {
        let reply = face.put("/v1/catalog/register", body).await;
        assert_eq!((reply.status, reply.body.as_str()), (400, text), "{body}");
    }
    assert_eq!(face.get("/v1/kv/a").await.status, 404);
    assert_eq!(face.get("/v1/catalog/node/x").await.body, "null");
}

#[tokio::test]
async fn a_large_answer_is_compressed_for_those_who_take_it() {
    let face = start();
    face.must("/v1/kv/big", &"x".repeat(5000)).await;
    let at = face.address();
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = "GET /v1/kv/big?raw HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.len() < 1000, "{} bytes", answer.len());
    let mut plain = String::new();
    GzDecoder::new(&answer[end..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "x".repeat(5000));
    let whole = face.get("/v1/kv/big?raw").await;
    assert_eq!((whole.header("Content-Encoding"), whole.body.len()), (None, 5000));
}

#[test]
fn large_answers_leave_their_thread_to_others() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let face = start();
        for n in 0..8 {
            face.must(&format!("/v1/kv/big/{n}"), &"x".repeat(400_000)).await;
        }
        let at = face.address();
        let large: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    let mut stream = std::net::TcpStream::connect(at).unwrap();
                    let request = "GET /v1/kv/big/?recurse&pretty HTTP/1.1\r\nHost: h\r\n\
                                   Connection: close\r\nAccept-Encoding: gzip\r\n\r\n";
                    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
                    stream.read_to_end(&mut Vec::new()).unwrap();
                })
            })
            .collect();
        // Whether they have begun is not to be seen; while they run, small ones go past them.
        let mut passed = 0;
        while !large.iter().any(std::thread::JoinHandle::is_finished) {
            assert_eq!(face.get("/v1/status/leader").await.status, 200);
            passed += 1;
        }
        assert!(passed > 3, "{passed} passed");
        large.into_iter().for_each(|large| large.join().unwrap());
    });
}

/// JSON that resembles what the doors take, with everything in the wrong place.
fn nonsense() -> impl Strategy<Value = serde_json::Value> {
    let keys = [
        "Name",
        "id",
        "Node",
        "Address",
        "Service",
        "Check",
        "checks",
        "CheckID",
        "TTL",
        "Status",
        "Interval",
        "Definition",
        "Tags",
        "Meta",
        "Weights",
        "Passing",
        "Proxy",
        "Connect",
        "Port",
        "TaggedAddresses",
        "Locality",
        "Header",
        "LockDelay",
        "Behavior",
        "NodeChecks",
        "X",
        "ServiceChecks",
        "SkipNodeUpdate",
        "ServiceID",
        "HTTP",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|truth| json!(truth)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        "(10s|x|-1|0\\.0\\.0\\.0|passing|\\PC{0,5})".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            prop::collection::btree_map(prop::sample::select(keys.to_vec()), inner, 0..6)
                .prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_body_is_answered_with_silence(body in nonsense()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let face = start();
            for path in [
                "/v1/agent/service/register",
                "/v1/agent/check/register",
                "/v1/agent/check/update/x",
                "/v1/catalog/register",
                "/v1/catalog/deregister",
                "/v1/session/create",
            ] {
                let reply = face.put(path, &body.to_string()).await;
                prop_assert!(matches!(reply.status, 200 | 400 | 404 | 500), "{}", reply.status);
            }
            Ok(())
        })?;
    }
}
