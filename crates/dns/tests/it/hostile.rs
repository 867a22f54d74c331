//! No packet does harm: answers are sound and as small as was asked, whatever comes.

use crate::ask::{ask, packet, read};
use crate::world::World;
use dns::{Channel, Config, Fate, Responder, Why};
use domain::base::Message;
use proptest::prelude::*;
use serde_json::json;

fn world() -> World {
    let world = World::new(Config { enable_truncate: true, ..Config::default() });
    world.lines("node n1 10.0.0.1 meta=rack:r1 | consul consul n1:8300");
    for number in 0..80 {
        world.lines(&format!(
            "node m{number} 10.1.0.{number} meta=rack:r{number}
             web w{number} m{number}:80 tags=v{} address={}",
            number % 3,
            ["10.9.0.1", "fd00::9", "ext.service.consul", "www.example.test"][number % 4],
        ));
    }
    world.lines("ext e n1:1 address=loop.service.consul | loop l n1:2 address=ext.service.consul");
    world
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "web.service.consul",
        "v1.web.service.consul",
        "_web._tcp.service.consul",
        "ext.service.consul",
        "loop.service.consul",
        "n1.node.consul",
        "7f000001.addr.consul",
        "1.0.0.10.in-addr.arpa",
        "nope.service.consul",
        "example.test",
    ])
}

fn types() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["A", "AAAA", "SRV", "ANY", "TXT", "SOA", "NS", "CNAME", "MX", "PTR"])
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..20),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
    ) {
        thread_local!(static WORLD: World = world());
        WORLD.with(|world| {
            let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
            let mut round = responder.round();
            let mut out = vec![0; 4096];
            let sound = ask("v1.web.service.consul", "SRV");
            let damaged = damage.into_iter().map(|(at, byte)| {
                let mut packet = sound.clone();
                let at = at.index(packet.len());
                packet[at] = byte;
                packet
            });
            for packet in packets.into_iter().chain(damaged) {
                if let Fate::Reply(reply) = round.answer(Channel::Udp, &packet, &mut out) {
                    let message = Message::from_octets(&out[..reply.length]).expect("a message");
                    assert!(message.iter().all(|record| record.is_ok()));
                }
            }
        });
    }

    #[test]
    fn an_answer_fits_what_was_asked(
        asked in proptest::collection::vec(
            (names(), types(), proptest::option::of(0u16..5000), any::<bool>()),
            1..30,
        ),
    ) {
        thread_local!(static WORLD: World = world());
        WORLD.with(|world| {
            let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
            let mut round = responder.round();
            let mut out = vec![0; 65_535];
            for (name, qtype, bufsize, tcp) in asked {
                let mut query = json!({"name": name, "type": qtype});
                if let Some(size) = bufsize {
                    query["options"] = json!({"bufsize": size, "ecs": "10.1.2.0/24"});
                }
                let channel = if tcp { Channel::Tcp } else { Channel::Udp };
                let Fate::Reply(reply) = round.answer(channel, &packet(&query), &mut out) else {
                    panic!("{query} is not answered");
                };
                let limit = if tcp { 65_523 } else { usize::from(bufsize.unwrap_or(0)).max(512) };
                assert!(reply.length <= limit, "{query}: {} bytes", reply.length);
                let answer = read(&out[..reply.length]);
                if answer["rcode"] != "REFUSED" {
                    assert_eq!(answer["edns"].is_null(), bufsize.is_none(), "{query}");
                    let options = answer["edns"]["options"].as_array();
                    let is_told = options
                        .is_some_and(|options| options.iter().any(|option| option["code"] == 15));
                    let is_due = reply.truncated || answer["answer"] == json!([]);
                    assert!(!is_due || bufsize.is_none() || is_told, "{query}: {answer}");
                    assert_eq!(reply.why != Why::Whole && bufsize.is_some(), is_told, "{query}");
                }
            }
        });
    }
}

#[test]
fn an_unknown_version_of_edns_is_badvers() {
    let world = world();
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let query = json!({"name": "web.service.consul", "type": "A", "options": {"bufsize": 1232}});
    let mut asked = packet(&query);
    let version = asked.len() - 5;
    asked[version] = 1;
    let mut out = vec![0; 4096];
    let Fate::Reply(reply) = responder.round().answer(Channel::Udp, &asked, &mut out) else {
        panic!("no answer");
    };
    let answer = read(&out[..reply.length]);
    assert_eq!((&answer["rcode"], &answer["edns"]["rcode_high"]), (&json!("NOERROR"), &json!(1)));
    assert_eq!(answer["answer"], json!([]));
}

#[test]
fn names_spelled_out_need_no_pointers() {
    let config = Config { disable_compression: true, ..Config::default() };
    let world = World::new(config);
    world.lines("node n1 10.0.0.1 meta=a:b | web w n1:80 | web v n1:81 address=10.0.0.9");
    world.lines("consul consul n1:8300 | via a n1:82 address=n1.node.consul");
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    for (name, qtype) in [
        ("web.service.consul", "A"),
        ("web.service.consul", "SRV"),
        ("via.service.consul", "A"),
        ("via.service.consul", "SRV"),
        ("n1.node.consul", "TXT"),
        ("1.0.0.10.in-addr.arpa", "PTR"),
        ("consul", "NS"),
    ] {
        let mut out = vec![0; 4096];
        let asked = packet(&json!({"name": name, "type": qtype, "options": {"bufsize": 4096}}));
        let Fate::Reply(reply) = responder.round().answer(Channel::Udp, &asked, &mut out) else {
            panic!("no answer");
        };
        // Nothing else of these answers has such a byte.
        assert!(out[12..reply.length].iter().all(|byte| *byte < 0xC0), "{name} {qtype}");
    }
}
