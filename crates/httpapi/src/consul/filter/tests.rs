//! Each row has the fields of its table, and what they hold is of the kinds that the table says.

use super::*;
use model::{CheckDetails, InstanceDetails};
use model::{CheckId, Index, InstanceId, NodeName, Owner, ServiceName, Status, TextMap, Weights};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

fn row<T>(claim: T) -> Row<T> {
    Row { claim, owner: Owner::http(), created: Index(1), modified: Index(1) }
}

fn pairs(key: &str, value: &str) -> Option<TextMap> {
    Some(TextMap::from([(key.into(), value.into())]))
}

fn node() -> Row<Node> {
    row(Node {
        name: NodeName::new("a"),
        id: "aaaaaaaa-1111-2222-3333-444444444444".parse().ok(),
        address: "10.0.0.1".into(),
        tagged_addresses: pairs("wan", "1.0.0.1"),
        meta: pairs("rack", "1"),
        locality: None,
    })
}

fn instance() -> Instance {
    let at = ServiceAddress { address: "10.9.9.9".into(), port: 99 };
    let proxy =
        r#"{"DestinationServiceName":"db","Mode":"direct","Upstreams":[{"DestinationName":"u"}]}"#;
    Instance {
        node: NodeName::new("a"),
        id: InstanceId::new("web1"),
        service: ServiceName::new("web"),
        tags: Arc::from(["v1".into()]),
        address: "10.5.5.5".into(),
        port: 81,
        details: InstanceDetails {
            kind: "connect-proxy".into(),
            tagged_addresses: Some([("lan".into(), at)].into()),
            meta: pairs("ver", "2"),
            socket_path: "/run/web".into(),
            weights: Weights { passing: 7, warning: 3 },
            enable_tag_override: true,
            proxy: Some(Opaque(proxy.into())),
            connect: Some(Opaque(r#"{"Native":true}"#.into())),
            ..InstanceDetails::default()
        }
        .into(),
    }
}

fn check_row() -> Check {
    Check {
        node: NodeName::new("a"),
        id: CheckId::new("w1"),
        name: "web".into(),
        status: Status::Warning,
        output: "refused".into(),
        instance: InstanceId::new("web1"),
        service: ServiceName::new("web"),
        service_tags: Arc::from(["v1".into()]),
        definition: None,
        details: CheckDetails {
            notes: "n".into(),
            kind: "http".into(),
            interval: "10s".into(),
            timeout: "1s".into(),
            exposed_port: 5,
        }
        .into(),
    }
}

/// A row as the three kinds of instance rows have it, with a list of checks of its own.
struct WithChecks<'v>(NodeShape<'v>, InstanceRow<'v>, Own);

struct Own(Vec<Check>);

impl List for Own {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn any(&self, holds: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        self.0.iter().any(|check| holds(&CheckRow(check)))
    }
}

impl Fields for WithChecks<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "Node" => Value::One(&self.0),
            "Service" => Value::One(&self.1),
            "Checks" => Value::List(&self.2),
            other => panic!("no such field: {other}"),
        }
    }
}

/// All of these hold for the row, and not for their negation.
#[track_caller]
fn check(rows: &'static Schema, row: &dyn Fields, expressions: &[&str]) {
    for text in expressions {
        let filter = Filter::compile(text, rows).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(filter.matches(row), "{text}");
    }
    let named = |name: &str| expressions.iter().any(|text| text.contains(name));
    for (name, kind) in rows.0 {
        assert!(named(name), "no expression asks for {name}");
        fits(&row.field(name), *kind, name);
    }
}

#[track_caller]
fn fits(value: &Value<'_>, kind: Kind, name: &str) {
    let fits = match value {
        Value::Text(_) => matches!(kind, Kind::Text),
        Value::Int(_) => matches!(kind, Kind::Int | Kind::Uint(_)),
        Value::Bool(_) => matches!(kind, Kind::Bool),
        Value::Texts(_) => matches!(kind, Kind::Texts),
        Value::Bytes(_) => matches!(kind, Kind::Bytes),
        Value::Map(_) => matches!(kind, Kind::Map(_)),
        Value::List(_) => matches!(kind, Kind::List(_)),
        Value::One(_) | Value::Made(_) => matches!(kind, Kind::One(_)),
        Value::Json(json) => json.is_some() || ["PeerName", "Partition"].contains(&name),
    };
    assert!(fits, "{name} is not of its kind");
}

const OF_NODE: &[&str] = &[
    "ID == \"aaaaaaaa-1111-2222-3333-444444444444\"",
    "Node == a",
    "Address matches \"^10\"",
    "Datacenter == dc1",
    "Partition == \"\"",
    "PeerName == \"\" and x not in PeerName",
    "TaggedAddresses.wan == \"1.0.0.1\"",
    "Meta.rack == 1 and rack in Meta",
];

const OF_INSTANCE: &[&str] = &[
    "Kind == \"connect-proxy\"",
    "ID == web1",
    "Service == web",
    "v1 in Tags and Tags is not empty",
    "Address == \"10.5.5.5\"",
    "TaggedAddresses.lan.Address == \"10.9.9.9\" and TaggedAddresses.lan.Port == 99",
    "lan in TaggedAddresses and wan not in TaggedAddresses and TaggedAddresses.wan.Port != 99",
    "Meta.ver == 2",
    "Port == 81",
    "SocketPath contains run",
    "Weights.Passing == 7 and Weights.Warning == 3",
    "EnableTagOverride == true",
    "Proxy.DestinationServiceName == db and Proxy.Upstreams.DestinationName == u",
    "Proxy.LocalServicePort == 0 and Proxy.Expose.Paths is empty and Proxy.MeshGateway.Mode == \"\"",
    "Connect.Native == true",
    "PeerName == \"\"",
];

const OF_CHECK: &[&str] = &[
    "Node == a",
    "CheckID == w1",
    "Name == web",
    "Status == warning and Status != passing",
    "Notes == n",
    "Output matches refus",
    "ServiceID == web1",
    "ServiceName == web",
    "ServiceTags contains v1",
    "Type == http",
    "Interval == \"10s\"",
    "Timeout == \"1s\"",
    "ExposedPort == 5",
    "PeerName == \"\"",
];

#[test]
fn a_node_has_its_fields() {
    let node = node();
    check(&NODE, &NodeShape(&node, "dc1"), OF_NODE);
}

#[test]
fn an_instance_has_its_fields() {
    check(&INSTANCE, &InstanceRow::new(&instance()), OF_INSTANCE);
}

#[test]
fn an_instance_without_anything_has_them_too() {
    let filter = "Meta is empty and TaggedAddresses is empty and Tags is empty and Port == 0 \
                  and Connect.Native == false and Proxy.Mode == \"\" and Proxy.Upstreams is empty";
    let filter = Filter::compile(filter, &INSTANCE).expect("it fits an instance");
    assert!(filter.matches(&InstanceRow::new(&Instance::default())));
}

#[test]
fn an_instance_on_its_node_has_the_fields_of_both() {
    let (node, instance) = (node(), instance());
    let both =
        InstanceOnNode { node: NodeShape(&node, "dc1"), instance: InstanceRow::new(&instance) };
    let prefixed = |text: &&str| {
        let renamed = text.replace("Service ", "ServiceName ");
        let mut words: Vec<String> = renamed.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            let first = word.split('.').next().unwrap_or_default();
            let is_field = INSTANCE.field(first).is_some() || first == "ServiceName";
            if is_field && !["ServiceName", "PeerName"].contains(&first) {
                *word = format!("Service{word}");
            }
        }
        words.join(" ")
    };
    let of_node = OF_NODE.iter().filter(|text| !text.starts_with("Partition"));
    let of_node = of_node.map(|text| text.replace("Meta", "NodeMeta"));
    let all: Vec<String> = of_node.chain(OF_INSTANCE.iter().map(prefixed)).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    check(&INSTANCE_ON_NODE, &both, &all);
}

#[test]
fn a_check_has_its_fields() {
    check(&CHECK, &CheckRow(&check_row()), OF_CHECK);
}

#[test]
fn an_instance_with_its_checks_has_the_fields_of_all() {
    let (node, instance) = (node(), instance());
    let passing = Check { status: Status::Passing, ..check_row() };
    let own = Own(vec![check_row(), passing]);
    let all = WithChecks(NodeShape(&node, "dc1"), InstanceRow::new(&instance), own);
    check(
        &INSTANCE_WITH_CHECKS,
        &all,
        &[
            "Node.Meta.rack == 1 and Node.Datacenter == dc1",
            "Service.Port == 81 and Service.Connect.Native == true",
            "Checks.Status == warning and Checks.Status == passing and Checks is not empty",
            "Checks.Status != warning and not Checks.Status == critical",
        ],
    );
}

#[test]
fn a_member_has_its_fields() {
    let shown = serde_json::json!({
        "Name": "n1", "Addr": "10.0.0.1", "Port": 8301, "Tags": {"dc": "dc1"}, "Status": 1,
        "ProtocolMin": 1, "ProtocolMax": 5, "ProtocolCur": 2,
        "DelegateMin": 2, "DelegateMax": 5, "DelegateCur": 4,
    });
    let expressions = [
        "Name == n1",
        "10 in Addr and Addr is not empty",
        "Port == 8301",
        "Tags.dc == dc1 and dc in Tags",
        "Status == 1",
        "ProtocolMin == 1 and ProtocolMax == 5 and ProtocolCur == 2",
        "DelegateMin == 2 and DelegateMax == 5 and DelegateCur == 4",
    ];
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    check(&MEMBER, &MemberRow::new(&shown, address), &expressions);
}

#[test]
fn what_nobody_may_select_is_in_no_table() {
    for (rows, selector) in [
        (&NODE, "CreateIndex"),
        (&NODE, "Locality.Region"),
        (&INSTANCE, "ModifyIndex"),
        (&INSTANCE, "Locality"),
        (&INSTANCE, "Namespace"),
        (&INSTANCE, "Datacenter"),
        (&INSTANCE_ON_NODE, "ServiceLocality"),
        (&CHECK, "Definition.HTTP"),
        (&CHECK, "CheckId"),
        (&INSTANCE_WITH_CHECKS, "Service.CreateIndex"),
        (&MEMBER, "Meta"),
    ] {
        let error = Filter::compile(&format!("{selector} == x"), rows).unwrap_err();
        assert!(matches!(error, FilterError::NoSuchField(_)), "{selector}: {error}");
    }
}
