//! What is registered is read back, whatever it is.

use crate::support::start;
use proptest::option::of as some;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Texts as people write them, and as they do not.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.-]{1,20}",
        Just(String::new()),
        "[ -~é€😀\"\\\\/<>&\u{1}\n\u{2028}]{0,12}",
        "[a-z]{200}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 %/é:.-]{1,12}"
}

fn pairs() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(name(), text(), 0..4).prop_map(|map| json!(map))
}

fn addresses() -> impl Strategy<Value = Value> {
    let at =
        (text(), -1i64..70_000).prop_map(|(host, port)| json!({"Address": host, "Port": port}));
    prop::collection::btree_map(name(), at, 0..3).prop_map(|map| json!(map))
}

fn locality() -> impl Strategy<Value = Value> {
    // A zone without a region is refused of a service.
    let region = text().prop_map(|region| format!("r{region}"));
    (region, text()).prop_map(|(region, zone)| json!({"Region": region, "Zone": zone}))
}

fn object(members: Vec<(&'static str, Option<Value>)>) -> Value {
    let given = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(given.collect::<Map<_, _>>())
}

fn node() -> impl Strategy<Value = Value> {
    let id = some(any::<u128>().prop_map(|id| json!(uuid::Uuid::from_u128(id).to_string())));
    (name(), "[a-z0-9.:]{1,15}", id, some(pairs()), some(pairs()), some(locality())).prop_map(
        |(name, address, id, tagged, meta, locality)| {
            object(vec![
                ("Node", Some(json!(name))),
                ("Address", Some(json!(address))),
                ("ID", id),
                ("TaggedAddresses", tagged),
                ("NodeMeta", meta),
                ("Locality", locality),
            ])
        },
    )
}

fn service() -> impl Strategy<Value = Value> {
    let weights = (-2i64..70_000, -2i64..70_000); // some beyond what DNS can tell
    let weights = weights.prop_map(|(p, w)| json!({"Passing": p, "Warning": w}));
    let opaque = || {
        let map = prop::collection::btree_map("[A-Z][a-z]{2,6}", pairs(), 1..3);
        map.prop_map(|map| json!(map))
    };
    let first = (name(), name(), some(text()), some(prop::collection::vec(text(), 0..4)));
    let second = (text(), some(addresses()), some(pairs()), some(-1i64..70_000), some(text()));
    let third = (some(weights), any::<bool>(), some(locality()), some(opaque()), some(opaque()));
    (first, second, third).prop_map(|(first, second, third)| {
        let (id, name, kind, tags) = first;
        let (address, tagged, meta, port, socket) = second;
        let (weights, override_, locality, proxy, connect) = third;
        object(vec![
            ("ID", Some(json!(id))),
            ("Service", Some(json!(name))),
            ("Kind", kind.map(Value::from)),
            ("Tags", tags.map(|tags| json!(tags))),
            ("Address", Some(json!(address))),
            ("TaggedAddresses", tagged),
            ("Meta", meta),
            ("Port", port.map(Value::from)),
            ("SocketPath", socket.map(Value::from)),
            ("Weights", weights),
            ("EnableTagOverride", Some(json!(override_))),
            ("Locality", locality),
            ("Proxy", proxy),
            ("Connect", connect),
        ])
    })
}

fn check() -> impl Strategy<Value = Value> {
    let status = prop::sample::select(vec!["passing", "warning", "critical", "odd"]);
    let definition = (some("[a-z:/]{1,12}"), some(1u32..100), some(text()), any::<bool>());
    let definition = definition.prop_map(|(tcp, seconds, body, tls)| {
        object(vec![
            ("TCP", tcp.map(Value::from)),
            (
                "Interval",
                seconds.map(|s| json!(lang::duration::format(i64::from(s) * 1_000_000_000))),
            ),
            ("Body", body.filter(|body| !body.is_empty()).map(Value::from)),
            ("TCPUseTLS", tls.then(|| json!(true))),
            ("Header", tls.then(|| json!({"A": ["b", ""]}))),
        ])
    });
    (name(), text(), status, text(), text(), any::<bool>(), some(definition)).prop_map(
        |(id, name, status, notes, output, own, definition)| {
            object(vec![
                ("CheckID", Some(json!(id))),
                ("Name", Some(json!(name))),
                ("Status", Some(json!(status))),
                ("Notes", Some(json!(notes))),
                ("Output", Some(json!(output))),
                ("own", Some(json!(own))),
                ("Definition", definition),
            ])
        },
    )
}

fn or(value: &Value, key: &str, otherwise: Value) -> Value {
    value.get(key).cloned().unwrap_or(otherwise)
}

/// Weights that DNS cannot tell count as not given.
fn weights(given: &Value) -> Value {
    let told = |key: &str| given["Weights"][key].as_i64();
    match (told("Passing"), told("Warning")) {
        (Some(1..=65_535), Some(0..=65_535)) => given["Weights"].clone(),
        _ => json!({"Passing": 1, "Warning": 1}),
    }
}

fn expected_node(given: &Value) -> Value {
    let mut node = json!({
        "ID": or(given, "ID", json!("")),
        "Node": given["Node"],
        "Address": given["Address"],
        "Datacenter": "dc1",
        "TaggedAddresses": or(given, "TaggedAddresses", Value::Null),
        "Meta": or(given, "NodeMeta", Value::Null),
    });
    if let Some(locality) = given.get("Locality") {
        node["Locality"] = locality.clone();
    }
    node
}

fn expected_service(given: &Value) -> Value {
    let mut proxy = json!({"Mode": "", "MeshGateway": {}, "Expose": {}});
    let given_proxy = or(given, "Proxy", json!({}));
    for (key, value) in given_proxy.as_object().expect("an object") {
        proxy[key] = value.clone();
    }
    let mut service = json!({
        "ID": given["ID"],
        "Service": given["Service"],
        "Tags": or(given, "Tags", json!([])),
        "Address": given["Address"],
        "Meta": or(given, "Meta", Value::Null),
        "Weights": weights(given),
        "EnableTagOverride": given["EnableTagOverride"],
        "Proxy": proxy,
        "Connect": or(given, "Connect", json!({})),
        "PeerName": "",
    });
    for (key, empty) in [("Kind", json!("")), ("Port", json!(0)), ("SocketPath", json!(""))] {
        if let Some(value) = given.get(key).filter(|value| **value != empty) {
            service[key] = value.clone();
        }
    }
    for key in ["TaggedAddresses", "Locality"] {
        if let Some(value) = given.get(key) {
            service[key] = value.clone();
        }
    }
    service
}

fn expected_check(given: &Value, node: &Value, service: &Value) -> Value {
    let own = given["own"] == true;
    let of = |key: &str, none: Value| if own { or(service, key, none) } else { none };
    json!({
        "Node": node["Node"],
        "CheckID": given["CheckID"],
        "Name": given["Name"],
        "Status": given["Status"],
        "Notes": given["Notes"],
        "Output": given["Output"],
        "ServiceID": of("ID", json!("")),
        "ServiceName": of("Service", json!("")),
        "ServiceTags": of("Tags", json!([])),
        "Type": if given.pointer("/Definition/TCP").is_some() { "tcp" } else { "" },
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": or(given, "Definition", json!({})),
    })
}

/// The same without the indexes, which are the server's.
fn bare(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.remove("CreateIndex");
        map.remove("ModifyIndex");
    }
    value
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn run(node: Value, service: Value, check: Value) {
    let face = start();
    let mut sent = node.clone();
    let mut sent_check = check.clone();
    sent_check.as_object_mut().expect("an object").remove("own");
    if check["own"] == true {
        sent_check["ServiceID"] = service["ID"].clone();
    }
    sent["Service"] = service.clone();
    sent["Check"] = sent_check;
    let reply = face.put("/v1/catalog/register", &sent.to_string()).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "true"), "{sent}");

    let name = service["Service"].as_str().expect("a name");
    let rows = face.get(&format!("/v1/health/service/{}", encoded(name))).await;
    let rows: Value = serde_json::from_str(&rows.body).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(bare(rows[0]["Node"].clone()), expected_node(&node));
    assert_eq!(bare(rows[0]["Service"].clone()), expected_service(&service));
    assert_eq!(bare(rows[0]["Checks"][0].clone()), expected_check(&check, &node, &service));

    let name = node["Node"].as_str().expect("a name");
    let on = face.get(&format!("/v1/catalog/node/{}", encoded(name))).await;
    let on: Value = serde_json::from_str(&on.body).expect("JSON");
    let id = service["ID"].as_str().expect("an id");
    assert_eq!(on["Services"][id], rows[0]["Service"], "both doors show the same");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_registration_is_read_back_as_it_was_given(
        node in node(), service in service(), check in check()
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(run(node, service, check));
    }
}
