//! No packet does harm: answers are sound and as small as was asked, whatever comes.

use crate::ask::{ask, packet, read};
use crate::world::World;
use dns::{Channel, Config, Fate, Responder};
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
                }
            }
        });
    }
}
