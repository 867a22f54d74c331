//! `PUT /v1/txn`, operation by operation. Keys are in story 13; here is what else it takes.

use crate::support::{Face, Reply, start, start_with};
use catalog::{Acl, Command, KvCondition, KvWrite};
use model::{Instance, KvKey};
use serde_json::{Value, json};

async fn txn(face: &Face, ops: &Value) -> (u16, Value) {
    let reply = face.put("/v1/txn", &ops.to_string()).await;
    let body = serde_json::from_str(&reply.body);
    (reply.status, body.unwrap_or_else(|_| panic!("{}: {}", reply.status, reply.body)))
}

/// What a transaction that is carried out tells.
async fn done(face: &Face, ops: Value) -> Vec<Value> {
    let (status, body) = txn(face, &ops).await;
    assert_eq!((status, &body["Errors"]), (200, &Value::Null), "{ops}: {body}");
    body["Results"].as_array().expect("a list").clone()
}

/// What of a transaction fails, as "place: why".
async fn failed(face: &Face, ops: Value) -> Vec<String> {
    let (status, body) = txn(face, &ops).await;
    assert_eq!((status, &body["Results"]), (409, &Value::Null), "{ops}: {body}");
    let errors = body["Errors"].as_array().expect("a list").iter();
    let told = |error: &Value| {
        format!("{}: {}", error["OpIndex"], error["What"].as_str().expect("a text"))
    };
    errors.map(told).collect()
}

fn node(verb: &str, node: Value) -> Value {
    json!({ "Node": { "Verb": verb, "Node": node } })
}

fn service(verb: &str, node: &str, service: Value) -> Value {
    json!({ "Service": { "Verb": verb, "Node": node, "Service": service } })
}

fn check(verb: &str, check: Value) -> Value {
    json!({ "Check": { "Verb": verb, "Check": check } })
}

fn kv(verb: &str, key: &str) -> Value {
    json!({ "KV": { "Verb": verb, "Key": key, "Value": "MQ==" } })
}

const ID: &str = "aaaaaaaa-0000-0000-0000-000000000001";
const LIVE: &str = "aaaaaaaa-0000-0000-0000-000000000003";
const OTHER: &str = "aaaaaaaa-0000-0000-0000-000000000002";

/// Sets a node, a service and a check.
async fn set(face: &Face) -> Vec<Value> {
    let meta = json!({"k": "v"});
    let x =
        json!({"ID": ID, "Node": "x", "Address": "10.0.0.1", "Datacenter": "far", "Meta": meta});
    let web = json!({
        "ID": "w", "Service": "web", "Tags": ["a"], "Port": 80,
        "Weights": {"Passing": 3, "Warning": 2}
    });
    let see = json!({
        "Node": "x", "CheckID": "c", "Name": "see", "Status": "passing", "ServiceID": "w",
        "Definition": {"HTTP": "http://x", "Interval": "10s"}
    });
    done(face, json!([node("set", x), service("set", "x", web), check("set", see)])).await
}

#[tokio::test]
async fn nodes_services_and_checks_are_set_and_got() {
    let face = start();
    let made = set(&face).await;
    let at = made[0]["Node"]["ModifyIndex"].clone();
    assert_eq!(
        made[0],
        json!({"Node": {
            "ID": ID, "Node": "x", "Address": "10.0.0.1", "Datacenter": "dc1",
            "TaggedAddresses": null, "Meta": {"k": "v"}, "CreateIndex": at, "ModifyIndex": at
        }})
    );
    assert_eq!(made[1]["Service"]["Weights"], json!({"Passing": 3, "Warning": 2}));
    assert_eq!(made[1]["Service"]["Tags"], json!(["a"]));
    assert_eq!(made[2]["Check"]["Type"], "", "nobody gave one");
    assert_eq!(made[2]["Check"]["ServiceTags"], json!(["a"]));
    assert_eq!(made[2]["Check"]["Definition"], json!({"HTTP": "http://x", "Interval": "10s"}));
    let get = json!([
        node("get", json!({"Node": "X"})),
        node("get", json!({"ID": ID})),
        service("get", "x", json!({"ID": "W"})),
        check("get", json!({"Node": "x", "CheckID": "C"})),
    ]);
    let found = done(&face, get).await;
    assert_eq!(found[1..], made);
    assert_eq!(found[0], made[0]);
}

#[tokio::test]
async fn what_changed_meanwhile_is_neither_set_nor_deleted() {
    let face = start();
    set(&face).await;
    let stale = failed(
        &face,
        json!([
            node("cas", json!({"Node": "x", "Address": "10.0.0.2"})),
            node("cas", json!({"Node": "new", "Address": "10.0.0.2", "ModifyIndex": 5})),
            node("delete-cas", json!({"Node": "x", "ModifyIndex": 1})),
            node("delete-cas", json!({"Node": "none"})),
            service("cas", "x", json!({"ID": "w", "Service": "web"})),
            service("delete-cas", "x", json!({"ID": "none", "Service": "web"})),
            check("cas", json!({"Node": "x", "CheckID": "c", "ModifyIndex": 1})),
            check("delete-cas", json!({"Node": "x", "CheckID": "c"})),
        ]),
    )
    .await;
    assert_eq!(
        stale,
        [
            r#"0: failed to set node "x", index is stale"#,
            r#"1: failed to set node "new", index is stale"#,
            r#"2: failed to delete node "x", index is stale"#,
            r#"3: failed to delete node "none", index is stale"#,
            r#"4: failed to set service "w" on node "x", index is stale"#,
            r#"5: failed to delete service "none" on node "x", index is stale"#,
            r#"6: failed to set check "c" on node "x", index is stale"#,
            r#"7: failed to delete check "c" on node "x", index is stale"#,
        ]
    );
}

#[tokio::test]
async fn what_stands_as_it_was_seen_is_set_and_deleted() {
    let face = start();
    let at = set(&face).await[0]["Node"]["ModifyIndex"].clone();
    let changed = done(
        &face,
        json!([
            node("cas", json!({"ID": ID, "Node": "x", "Address": "10.0.0.9", "ModifyIndex": at})),
            service("cas", "x", json!({"ID": "w", "Service": "web", "ModifyIndex": at})),
            service("cas", "x", json!({"Service": "new"})),
            check("delete-cas", json!({"Node": "x", "CheckID": "c", "ModifyIndex": at})),
            check("cas", json!({"Node": "x", "Name": "alive"})),
        ]),
    )
    .await;
    assert_eq!(changed.len(), 4, "what is deleted is not shown");
    assert_eq!(changed[0]["Node"]["Address"], "10.0.0.9");
    assert_eq!(changed[0]["Node"]["CreateIndex"], at);
    assert_ne!(changed[0]["Node"]["ModifyIndex"], at);
    assert_eq!(changed[1]["Service"]["Tags"], Value::Null);
    assert_eq!(changed[1]["Service"]["Weights"], json!({"Passing": 1, "Warning": 1}));
    assert_eq!(changed[2]["Service"]["ID"], "new");
    assert_eq!(changed[3]["Check"]["CheckID"], "alive");
    assert_eq!(changed[3]["Check"]["Status"], "critical");
    let gone = done(
        &face,
        json!([
            check("delete", json!({"Node": "x", "CheckID": "none"})),
            service("delete", "x", json!({"Service": "new"})),
            service("delete", "nowhere", json!({"Service": "new"})),
            node("delete", json!({"Node": "none"})),
        ]),
    )
    .await;
    assert_eq!(gone, Vec::<Value>::new());
    let on = face.get("/v1/catalog/node/x").await.body;
    assert!(on.contains(r#""w""#) && !on.contains(r#""new""#), "{on}");
}

#[tokio::test]
async fn a_write_of_the_same_shows_the_row_as_it_stands() {
    let face = start();
    let ops = || {
        json!([
            node("set", json!({"Node": "x", "Address": "10.0.0.1"})),
            service("set", "x", json!({"Service": "web"})),
            check("set", json!({"Node": "x", "CheckID": "c"})),
            kv("set", "k"),
        ])
    };
    let first = done(&face, ops()).await;
    assert_eq!(done(&face, ops()).await, first);
}

#[tokio::test]
async fn what_is_not_there_or_in_the_way_is_told() {
    let face = start();
    let told = failed(
        &face,
        json!([
            service("set", "none", json!({"Service": "web"})),
            check("set", json!({"Node": "none", "CheckID": "c"})),
            check("set", json!({"Node": "n1", "CheckID": "c", "ServiceID": "none"})),
            node("get", json!({"Node": "none"})),
            service("get", "n1", json!({"ID": "none"})),
            check("get", json!({"Node": "n1", "CheckID": "none"})),
            check("get", json!({"Node": "n1", "Name": "alive"})),
            check("set", json!({"Node": "n1"})),
            kv("get", "none"),
        ]),
    )
    .await;
    let missing = "index error: object is missing a value for this index";
    assert_eq!(
        told,
        [
            "0: Missing node registration",
            "1: Missing node registration",
            "2: Missing service registration",
            r#"3: node "none" doesn't exist"#,
            r#"4: service "none" on node "n1" doesn't exist"#,
            r#"5: check "none" on node "n1" doesn't exist"#,
            &format!("6: failed check lookup: {missing}"),
            &format!("7: failed health check lookup: {missing}"),
            r#"8: key "none" doesn't exist"#,
        ]
    );
    let alive = json!({"Node": "live", "CheckID": "serfHealth", "Status": "passing"});
    done(
        &face,
        json!([
            node("set", json!({"ID": LIVE, "Node": "live", "Address": "10.0.0.9"})),
            check("set", alive),
            node("set", json!({"ID": ID, "Node": "old", "Address": "10.0.0.1"})),
        ]),
    )
    .await;
    let told = failed(
        &face,
        json!([
            node("set", json!({"ID": OTHER, "Node": "live", "Address": "10.0.0.7"})),
            node("set", json!({"ID": ID, "Node": "Live", "Address": "10.0.0.7"})),
        ]),
    )
    .await;
    let reserved = format!("is reserved by node {LIVE} with name live (10.0.0.9)");
    assert_eq!(
        told,
        [
            format!("0: Error while renaming Node ID: \"{OTHER}\": Node name live {reserved}"),
            format!(
                "1: Error while renaming Node ID: \"{ID}\" (10.0.0.7): Node name Live {reserved}"
            ),
        ]
    );
    let renamed = done(&face, json!([node("set", json!({"ID": ID, "Node": "new"}))])).await;
    assert_eq!(renamed[0]["Node"]["Node"], "new");
    assert_eq!(face.get("/v1/catalog/node/old").await.body, "null");
}

#[tokio::test]
async fn an_id_that_cannot_be_read_fails_with_whatever_else_does() {
    let face = start();
    let ids = ["odd", "xx", "1-2-3-4-5-6", "aaaaaaaa-0000-0000-0000-0000000000011", "aaaa"];
    let get = |id: &str| node("get", json!({"Node": "n1", "ID": id}));
    let mut ops: Vec<Value> = ids.iter().map(|id| get(id)).collect();
    ops.push(kv("get", "none"));
    let why = "node lookup by ID failed: index error:";
    assert_eq!(
        failed(&face, Value::Array(ops)).await,
        [
            format!("0: {why} UUID (without hyphens) must be even length"),
            format!("1: {why} invalid UUID: encoding/hex: invalid byte: U+0078 'x'"),
            format!("2: {why} UUID should have maximum of 4 \"-\"; got 5"),
            format!("3: {why} Invalid UUID length. UUID have 36 characters; got 37"),
            r#"4: node "n1" doesn't exist"#.to_owned(),
            r#"5: key "none" doesn't exist"#.to_owned(),
        ]
    );
}

/// Consul drops some of these in a transaction.
#[tokio::test]
async fn what_was_given_of_a_service_is_kept_whole() {
    let face = start();
    let given = json!({
        "Service": "web", "SocketPath": "/run/web.sock", "Connect": {"Native": true},
        "Locality": {"Region": "r", "Zone": "z"}, "TaggedAddresses": {"lan": {"Address": "h"}},
        "Proxy": {"Config": {"a": 1}}
    });
    let udp = json!({"Node": "n1", "CheckID": "u", "Definition": {"UDP": "h:1", "Interval": "1s"}});
    let made = done(&face, json!([service("set", "n1", given), check("set", udp)])).await;
    let web = &made[0]["Service"];
    assert_eq!(web["SocketPath"], "/run/web.sock");
    assert_eq!(web["Connect"], json!({"Native": true}));
    assert_eq!(web["Locality"], json!({"Region": "r", "Zone": "z"}));
    assert_eq!(web["TaggedAddresses"]["lan"]["Address"], "h");
    assert_eq!(web["Proxy"]["Config"], json!({"a": 1}));
    assert_eq!(made[1]["Check"]["Definition"], json!({"UDP": "h:1", "Interval": "1s"}));
}

/// These are told before anything is tried, so what else would fail is not told with them.
#[tokio::test]
async fn what_is_wrong_by_itself_is_told_alone() {
    let face = start();
    let told = failed(
        &face,
        json!([
            {},
            kv("get", "none"),
            kv("set", ""),
            kv("bogus", "k"),
            node("bogus", json!({"Node": "x"})),
            node("set", json!({})),
            node("set", json!({"Node": "x", "ID": "odd"})),
            service("bogus", "x", json!({})),
            service("set", "x", json!({"ID": "w"})),
            service("delete", "x", json!({"ID": "w"})),
            service("set", "x", json!({"Service": "w", "Address": "0.0.0.0"})),
            check("bogus", json!({})),
        ]),
    )
    .await;
    let nameless = "Must provide service name (Service.Service) when service ID is provided";
    assert_eq!(
        told,
        [
            "1: Must provide key",
            "2: unknown KV operation: bogus",
            "3: unknown node operation: bogus",
            "4: Must provide node",
            "5: Bad node ID: uuid string is wrong length",
            "6: unknown service operation: bogus",
            &format!("7: {nameless}"),
            &format!("8: {nameless}"),
            "9: Invalid service address",
            "10: unknown check operation: bogus",
        ],
        "an operation that names nothing is not counted"
    );
}

#[tokio::test]
async fn locks_and_sessions_are_told_as_they_were_given() {
    let face = start();
    let lock =
        |verb: &str, session: &str| json!({"KV": {"Verb": verb, "Key": "l", "Session": session}});
    let made = face.put("/v1/session/create", r#"{"NodeChecks":[],"LockDelay":"20s"}"#).await.body;
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let id = made["ID"].as_str().expect("an id");
    let told = failed(
        &face,
        json!([
            lock("lock", ""),
            lock("lock", "x"),
            lock("unlock", ""),
            lock("unlock", "x"),
            lock("lock", OTHER)
        ]),
    )
    .await;
    let unlocked = "failed to unlock key \"l\", lock isn't held, or is held by another session";
    assert_eq!(
        told,
        [
            "0: missing session",
            "1: invalid session \"x\"",
            "2: missing session",
            &format!("3: {unlocked}"),
            &format!("4: invalid session \"{OTHER}\""),
        ]
    );
    done(&face, json!([lock("lock", id), lock("check-session", id)])).await;
    let told = failed(&face, json!([lock("check-session", ""), lock("check-session", "x")])).await;
    let current = format!("failed session check for key \"l\", current session \"{id}\" != ");
    assert_eq!(told, [format!("0: {current}\"\""), format!("1: {current}\"x\"")]);
    face.must(&format!("/v1/session/destroy/{id}"), "").await;
    done(&face, json!([lock("check-session", "")])).await;
    let second = face.put("/v1/session/create", r#"{"NodeChecks":[]}"#).await.body;
    let second: Value = serde_json::from_str(&second).expect("JSON");
    let told = failed(&face, json!([lock("lock", second["ID"].as_str().expect("an id"))])).await;
    assert_eq!(told, ["0: failed to lock key \"l\" due to lock delay"]);
}

#[tokio::test]
async fn an_absent_key_is_shown_as_it_was_asked_for() {
    let face = start();
    let ask =
        json!({"KV": {"Verb": "get-or-empty", "Key": "no", "Flags": 7, "Index": 9, "Session": ID}});
    let shown = done(&face, json!([kv("set", "a"), ask, kv("get", "a")])).await;
    assert_eq!(
        shown[1],
        json!({"KV": {"LockIndex": 0, "Key": "no", "Flags": 7, "Value": null, "Session": ID,
            "CreateIndex": 0, "ModifyIndex": 9}})
    );
    assert_eq!(shown[2]["KV"]["Value"], "MQ==");
    assert_eq!(shown.len(), 3);
}

fn with_limits(kv: usize, txn: usize) -> Face {
    start_with(Acl::Off, |context| {
        context.settings.kv_max_value_size = kv;
        context.settings.txn_max_req_len = txn;
    })
}

#[tokio::test]
async fn bodies_values_and_lists_have_their_limits() {
    let face = with_limits(10, 100);
    let too_large =
        |reply: Reply, text: &str| assert_eq!((reply.status, reply.body.as_str()), (413, text));
    let see = "See https://www.consul.io/docs/agent/config/config-files#txn_max_req_len.";
    let body = |size: usize| " ".repeat(size - 2) + "[]";
    assert_eq!(face.put("/v1/txn", &body(100)).await.status, 200);
    too_large(
        face.put("/v1/txn", &body(101)).await,
        &format!("Request body(101 bytes) too large, max size: 100 bytes. {see}"),
    );
    let set = |value: &str| format!(r#"[{{"KV":{{"Verb":"set","Key":"k","Value":"{value}"}}}}]"#);
    assert_eq!(face.put("/v1/txn", &set("MTIzNDU2Nzg5MA==")).await.status, 200);
    too_large(
        face.put("/v1/txn", &set("MTIzNDU2Nzg5MDE=")).await,
        "Value for key \"k\" is too large (11 > 10 bytes)",
    );
    let face = with_limits(1_000, 100);
    assert_eq!(face.put("/v1/txn", &body(1_000)).await.status, 200, "the larger of both counts");
    let many = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    assert_eq!(face.put("/v1/txn", &many(128)).await.status, 200);
    too_large(
        face.put("/v1/txn", &many(129)).await,
        "Transaction contains too many operations (129 > 128)",
    );
}

#[tokio::test]
async fn a_read_is_made_of_what_is_obtained_and_writes_no_entry() {
    let face = start();
    face.must("/v1/kv/t/1", "one").await;
    let index = seams::Reader::view(&*face.catalog).index();
    let ops = json!([
        kv("get", "t/1"),
        kv("get-tree", "t/"),
        kv("check-not-exists", "no"),
        node("get", json!({"Node": "n1"})),
        service("get", "n1", json!({"ID": "no"})),
    ]);
    face.catalog.hold_nothing();
    let reply = face.put("/v1/txn?stale", &ops.to_string()).await;
    assert_eq!(reply.status, 409, "{}", reply.body);
    assert!(reply.body.contains(r#""OpIndex":4"#), "{}", reply.body);
    assert_eq!(face.catalog.held_on_demand(), 4);
    assert_eq!(reply.header("X-Consul-KnownLeader"), Some("true"));
    assert_eq!(reply.header("X-Consul-Index"), None);
    assert_eq!(seams::Reader::view(&*face.catalog).index(), index);
    face.catalog.set_leadership(Default::default());
    let get = json!([kv("get", "t/1")]).to_string();
    let reply = face.put("/v1/txn", &get).await;
    assert_eq!((reply.status, reply.body.as_str()), (500, "No cluster leader"));
    let reply = face.put("/v1/txn?stale", &get).await;
    assert_eq!((reply.status, reply.header("X-Consul-KnownLeader")), (200, Some("false")));
    let set = json!([kv("set", "t/1")]).to_string();
    assert_eq!(face.put("/v1/txn?stale", &set).await.body, "No cluster leader");
}

/// A face that lets nobody do anything, over a key and a service.
fn denying() -> Face {
    let face = start_with(Acl::DenyAll, |_| {});
    let key = KvKey::new(b"k");
    let write = KvWrite { key, value: (*b"v").into(), flags: 0, condition: KvCondition::Always };
    let instance = Instance {
        node: "n1".into(),
        id: "w".into(),
        service: "web".into(),
        ..Instance::default()
    };
    face.catalog.write(vec![Command::KvPut(write), Command::PutInstance(Box::new(instance))]);
    face
}

#[tokio::test]
async fn who_may_do_nothing_is_told_so_of_each_operation() {
    let face = denying();
    let index = seams::Reader::view(&*face.catalog).index();
    let denied = |n: usize, right: &str, name: &str| {
        format!("{n}: Permission denied: token lacks permission '{right}' on \"{name}\"")
    };
    let told = failed(
        &face,
        json!([
            kv("set", "k"),
            kv("delete-tree", "k"),
            kv("check-index", "k"),
            kv("check-not-exists", "k"),
            node("delete", json!({"Node": "n1"})),
            service("set", "n1", json!({"ID": "w", "Service": "db"})),
            check("set", json!({"Node": "n1", "CheckID": "c"})),
            check("set", json!({"Node": "n1", "CheckID": "c", "ServiceID": "w"})),
            service("set", "n1", json!({"Service": "new"})),
            check("set", json!({"Node": "n1", "CheckID": "c", "ServiceID": "new"})),
        ]),
    )
    .await;
    assert_eq!(
        told,
        [
            denied(0, "key:write", "k"),
            denied(1, "key:write", "k"),
            denied(2, "key:read", "k"),
            denied(3, "key:write", "k"),
            denied(4, "node:write", "n1"),
            denied(5, "service:write", "web"),
            denied(6, "node:write", "n1"),
            denied(7, "service:write", "web"),
            denied(8, "service:write", "new"),
            denied(9, "service:write", "new"),
        ]
    );
    assert_eq!(seams::Reader::view(&*face.catalog).index(), index, "nothing was written");
}

/// Not even whether it is there.
#[tokio::test]
async fn who_may_see_nothing_is_shown_nothing() {
    let face = denying();
    let ops = json!([
        kv("get", "k"),
        kv("get", "none"),
        kv("get-or-empty", "none"),
        kv("get-tree", "k"),
        node("get", json!({"Node": "n1"})),
        node("get", json!({"Node": "none"})),
        service("get", "n1", json!({"ID": "w"})),
        service("get", "n1", json!({"ID": "none"})),
        check("get", json!({"Node": "n1", "CheckID": "none"})),
    ]);
    let (status, body) = txn(&face, &ops).await;
    assert_eq!((status, &body["Results"], &body["Errors"]), (200, &json!([]), &Value::Null));
    assert_eq!(body["ResultsFilteredByACLs"], true);
}
