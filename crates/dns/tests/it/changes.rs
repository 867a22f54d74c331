//! A table that follows the catalog step by step answers as one that was just made of it.

use crate::ask::{ask, read};
use crate::world::World;
use catalog::{Acl, Touched};
use dns::{Channel, Config, Fate, Responder, Table};
use proptest::prelude::*;
use seams::{Projection, Reader};
use serde_json::Value;
use std::sync::Arc;

/// All records of an answer in order, over TCP: what the table knows of a name.
fn answer(responder: &mut Responder, name: &str, qtype: &str) -> Value {
    let mut out = vec![0; 65_535];
    match responder.round().answer(Channel::Tcp, &ask(name, qtype), &mut out) {
        Fate::Reply(reply) => sorted(read(&out[..reply.length])),
        other => panic!("{name} {qtype}: {other:?}"),
    }
}

fn sorted(mut answer: Value) -> Value {
    for section in ["answer", "additional"] {
        let records = answer[section].as_array_mut().expect("a list");
        records.sort_by_key(Value::to_string);
    }
    for record in answer["authority"].as_array_mut().expect("a list") {
        record["rdata"] = Value::from("");
    }
    answer
}

fn fresh(world: &World) -> Arc<Table> {
    let table = dns::table(&world.config);
    table.publish(&world.catalog.view(), &Touched::everything());
    table
}

fn line() -> impl Strategy<Value = String> {
    let status = prop_oneof![Just("passing"), Just("warning"), Just("critical")];
    let node = 0..12u8;
    let put = (node.clone(), 0..4u8, 0..30u8, 0..3u8, status.clone(), 0..3u8).prop_map(
        |(node, service, id, tag, status, address)| {
            let address = match address {
                0 => String::new(),
                1 => format!("address=10.9.{node}.{id}"),
                _ => "address=x.test".to_owned(),
            };
            format!("s{service} i{id} n{node}:{id} tags=t{tag},all {address} {status}")
        },
    );
    let renew =
        (node.clone(), any::<u8>(), proptest::option::of(status)).prop_map(|(node, ip, status)| {
            format!("node n{node} 10.0.0.{ip} {}", status.unwrap_or(""))
        });
    prop_oneof![
        8 => put,
        2 => renew,
        2 => (node.clone(), 0..30u8).prop_map(|(node, id)| format!("gone n{node} i{id}")),
        1 => node.prop_map(|node| format!("gone n{node}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn following_is_as_good_as_beginning_anew(
        lines in proptest::collection::vec(line(), 1..150),
        only_passing in any::<bool>(),
    ) {
        let world = World::new(Config { only_passing, ..Config::default() });
        for number in 0..12 {
            world.lines(&format!("node n{number} 10.0.0.{number}"));
        }
        for line in &lines {
            // A row on a node that is gone is refused; the node comes back for it.
            let node = line.split(' ').find(|word| word.starts_with('n') && word.contains(':'));
            if let Some((node, _)) = node.and_then(|word| word.split_once(':')) {
                world.lines(&format!("node {node} 10.0.7.7"));
            }
            world.lines(line);
        }
        let fresh = fresh(&world);
        let mut fresh = Responder::new(&world.config, &fresh).expect("a domain");
        let mut followed = Responder::new(&world.config, &world.table).expect("a domain");
        let mut names = Vec::new();
        for service in 0..4 {
            names.push(format!("s{service}.service.consul"));
            names.push(format!("all.s{service}.service.consul"));
            names.extend((0..3).map(|tag| format!("t{tag}.s{service}.service.consul")));
        }
        for node in 0..12 {
            names.push(format!("n{node}.node.consul"));
            names.push(format!("{node}.0.0.10.in-addr.arpa"));
            names.extend((0..30).map(|id| format!("{id}.{node}.9.10.in-addr.arpa")));
        }
        for name in names {
            let qtypes: &[&str] = if name.ends_with("arpa") { &["PTR"] } else { &["A", "SRV"] };
            for qtype in qtypes {
                prop_assert_eq!(
                    answer(&mut followed, &name, qtype),
                    answer(&mut fresh, &name, qtype),
                    "{} {}", name, qtype
                );
            }
        }
    }
}

#[test]
fn a_large_service_is_shown_whole_as_it_grows_and_shrinks() {
    let world = World::new(Config::default());
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let count = |responder: &mut Responder| {
        answer(responder, "web.service.consul", "A")["answer"].as_array().expect("a list").len()
    };
    for number in 0..200 {
        let (high, low) = (number / 100, number % 100);
        // Not in order: chunks grow in the middle, too.
        let node = (number * 7) % 200;
        world.lines(&format!("node n{node} 10.0.{high}.{low} | web w n{node}:80"));
        assert_eq!(count(&mut responder), number + 1);
    }
    for number in 0..200 {
        world.lines(&format!("gone n{}", (number * 11) % 200));
        assert_eq!(count(&mut responder), 199 - number);
    }
}

/// More instances than are picked one by one where they give the same: none is passed over for that.
#[test]
fn instances_that_share_addresses_are_told_once_each_address() {
    let world = World::new(Config::default());
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let nodes = (0..40).map(|n| format!("node n{n} 10.0.0.{n}"));
    world.lines_at_once(&nodes.collect::<Vec<_>>().join("\n"));
    let rows = (0..2_000).map(|n| {
        // Nearly all on one node, two records each; every other node has one.
        let node = if n % 50 == 0 { n / 50 } else { 0 };
        format!("web w{n} n{node}:{} tags=all", n % 2)
    });
    world.lines_at_once(&rows.collect::<Vec<_>>().join("\n"));
    for (name, qtype, expected) in [
        ("web.service.consul", "A", 40),
        ("web.service.consul", "ANY", 40),
        ("web.service.consul", "SRV", 41),
        ("all.web.service.consul", "A", 40),
        ("all.web.service.consul", "SRV", 41),
    ] {
        for _ in 0..20 {
            let answer = answer(&mut responder, name, qtype);
            let records = answer["answer"].as_array().expect("a list").iter();
            let records: std::collections::BTreeSet<String> =
                records.map(|record| record["rdata"].to_string()).collect();
            assert_eq!(records.len(), expected, "{name} {qtype}");
        }
    }
}

#[test]
fn a_renamed_node_takes_its_services_along() {
    let world = World::new(Config::default());
    let id = Some(model::NodeId::from_u128(7));
    let node = |name: &str| model::Node {
        name: name.into(),
        id,
        address: "10.0.0.1".into(),
        ..model::Node::default()
    };
    world.write(vec![catalog::Command::PutNode(node("old"))]);
    world.lines("web w old:80");
    world.write(vec![catalog::Command::PutNode(node("new"))]);
    let fresh = fresh(&world);
    let mut fresh = Responder::new(&world.config, &fresh).expect("a domain");
    let mut followed = Responder::new(&world.config, &world.table).expect("a domain");
    for name in ["old.node.consul", "new.node.consul", "web.service.consul"] {
        let (got, wanted) = (answer(&mut followed, name, "SRV"), answer(&mut fresh, name, "SRV"));
        assert_eq!(got, wanted, "{name}");
    }
}

#[test]
fn who_may_see_nothing_sees_nothing() {
    let world = World::under(Config::default(), Acl::DenyAll);
    world.lines("node n1 10.0.0.1 meta=a:b | web w n1:80 address=10.9.9.9");
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    for name in
        ["web.service.consul", "n1.node.consul", "1.0.0.10.in-addr.arpa", "9.9.9.10.in-addr.arpa"]
    {
        for qtype in ["A", "SRV", "ANY", "TXT"] {
            assert_eq!(answer(&mut responder, name, qtype)["rcode"], "NXDOMAIN", "{name} {qtype}");
        }
    }
}

#[test]
fn only_what_runs_is_shown() {
    let world = World::new(Config::default());
    world.lines("node n1 10.0.0.1");
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    for (phase, rcode) in [
        (model::Phase::Staging, "NXDOMAIN"),
        (model::Phase::Running, "NOERROR"),
        (model::Phase::Unreachable, "NXDOMAIN"),
        (model::Phase::Running, "NOERROR"),
        (model::Phase::Draining, "NXDOMAIN"),
    ] {
        let instance = model::Instance {
            node: "n1".into(),
            id: "w".into(),
            service: "web".into(),
            details: model::InstanceDetails { phase, ..model::InstanceDetails::default() }.into(),
            ..model::Instance::default()
        };
        world.write(vec![catalog::Command::PutInstance(Box::new(instance))]);
        let answer = answer(&mut responder, "web.service.consul", "A");
        assert_eq!(answer["rcode"], rcode, "{phase:?}");
    }
}
