//! Names and addresses that the catalog takes and DNS cannot carry: they spoil nobody's answer.

use crate::ask::{ask, read};
use crate::world::World;
use dns::{Channel, Config, Fate, Responder};
use serde_json::Value;

fn answer(world: &World, name: &str, qtype: &str) -> Value {
    answer_to(world, name, &ask(name, qtype))
}

fn answer_to(world: &World, name: &str, packet: &[u8]) -> Value {
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let mut out = vec![0; 65_535];
    match responder.round().answer(Channel::Tcp, packet, &mut out) {
        // Reading fails on any name that is too long or broken.
        Fate::Reply(reply) => read(&out[..reply.length]),
        other => panic!("{name}: {other:?}"),
    }
}

/// The data of a section's records, in order.
fn data(answer: &Value, section: &str) -> Vec<String> {
    let records = answer[section].as_array().expect("records").iter();
    let mut data: Vec<String> =
        records.map(|record| record["rdata"].as_str().expect("text").to_owned()).collect();
    data.sort();
    data
}

#[track_caller]
fn check(world: &World, name: &str, qtype: &str, expected: &[&str]) {
    assert_eq!(data(&answer(world, name, qtype), "answer"), expected, "{name} {qtype}");
}

#[test]
fn a_node_whose_name_is_too_long_with_its_domain_is_named_by_its_address() {
    let domain = "a-rather-long-domain.example";
    let config = Config { alt_domain: Some(domain.to_owned()), ..Config::default() };
    let world = World::new(config);
    let label = "x".repeat(60);
    let long = [&label[..]; 4].join(".");
    // Fits under `consul`, not under the other name of the zone.
    let nearly = [&label[..], &label, &label, &"x".repeat(40)].join(".");
    world.lines(&format!(
        "node n1 10.0.0.1 | node {long} 10.0.0.2 | node {nearly} 10.0.0.3
         consul c1 n1:8300 | consul c2 {long}:8300 | web w1 n1:80 | web w2 {long}:80
         web w3 {nearly}:80"
    ));
    for suffix in ["consul", domain] {
        let srv = answer(&world, &format!("web.service.{suffix}"), "SRV");
        let expected = [
            format!("1 1 80 0a000002.addr.dc1.{suffix}."),
            format!("1 1 80 0a000003.addr.dc1.{suffix}."),
            format!("1 1 80 n1.node.dc1.{suffix}."),
        ];
        assert_eq!(data(&srv, "answer"), expected);
        assert_eq!(data(&srv, "additional"), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        check(&world, suffix, "NS", &[&format!("n1.node.dc1.{suffix}.")]);
    }
    check(&world, "2.0.0.10.in-addr.arpa", "PTR", &[]);
}

#[test]
fn a_reverse_look_up_never_names_the_bare_domain() {
    let world = World::new(Config::default());
    world.lines(
        "node a..b 10.0.0.1 | node n2 10.0.0.2 | node c..d 10.0.0.2
         web w a..b:80 address=10.0.0.9 | web v n2:80 address=10.0.0.1",
    );
    let none = answer(&world, "9.9.9.10.in-addr.arpa", "PTR");
    assert_eq!(none["rcode"], "NXDOMAIN");
    check(&world, "2.0.0.10.in-addr.arpa", "PTR", &["n2.node.dc1.consul."]);
    // A node that has no name leaves the address to the services on it.
    check(&world, "1.0.0.10.in-addr.arpa", "PTR", &["web.service.dc1.consul."]);
    world.lines("gone n2 v");
    assert_eq!(answer(&world, "1.0.0.10.in-addr.arpa", "PTR")["rcode"], "NXDOMAIN");
}

#[test]
fn a_service_whose_name_is_too_long_with_its_domain_is_no_pointer() {
    let label = "d".repeat(63);
    let domain = [&label[..], &label, &"d".repeat(52)].join(".");
    let world = World::new(Config { domain: domain.clone(), ..Config::default() });
    let long = "s".repeat(63);
    world.lines(&format!("node n1 10.0.0.1 | {long} s n1:1 address=10.0.0.9"));
    assert_eq!(answer(&world, "9.0.0.10.in-addr.arpa", "PTR")["rcode"], "NXDOMAIN");
    world.lines("web w n1:1 address=10.0.0.9");
    let expected = format!("web.service.dc1.{domain}.");
    check(&world, "9.0.0.10.in-addr.arpa", "PTR", &[&expected]);
}

#[test]
fn a_dot_within_a_label_does_not_divide_it() {
    let world = World::new(Config::default());
    world.lines("node a.b 10.0.0.1 | web w a.b:80 tags=x.y");
    let typed = |labels: &[&str]| {
        let mut packet = ask("", "A");
        let end = packet.split_off(13);
        packet.truncate(12);
        for label in labels {
            packet.push(label.len() as u8);
            packet.extend_from_slice(label.as_bytes());
        }
        [&packet, &[0][..], &end].concat()
    };
    for (labels, rcode) in [
        (&["x", "y", "web", "service", "consul"][..], "NOERROR"),
        (&["x.y", "web", "service", "consul"], "NXDOMAIN"),
        (&["a", "b", "node", "consul"], "NOERROR"),
        (&["a.b", "node", "consul"], "NXDOMAIN"),
        (&["web.service", "consul"], "NXDOMAIN"),
    ] {
        assert_eq!(answer_to(&world, "a name", &typed(labels))["rcode"], rcode, "{labels:?}");
    }
}

#[test]
fn an_address_that_cannot_be_used_is_as_none() {
    let world = World::new(Config::default());
    world.lines(
        "node n1 10.0.0.1 | node h1 www.example.test | node bad b..d
         web w n1:80 address=bad..name | ext e h1:80 address=bad..name
         own o h1:80 address=own.service.consul | nothing n bad:80 address=bad..name",
    );
    check(&world, "web.service.consul", "A", &["10.0.0.1"]);
    check(&world, "web.service.consul", "SRV", &["1 1 80 n1.node.dc1.consul."]);
    for service in ["ext", "own"] {
        let name = format!("{service}.service.consul");
        check(&world, &name, "A", &["www.example.test."]);
        check(&world, &name, "SRV", &["1 1 80 www.example.test."]);
    }
    let none = answer(&world, "nothing.service.consul", "A");
    assert_eq!((&none["rcode"], data(&none, "answer").len()), (&"NOERROR".into(), 0));
}
