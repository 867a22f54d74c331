//! The hot path allocates nothing: packet in, packet out, counted by the allocator.

use crate::ask::{ask, packet};
use crate::world::World;
use catalog::Touched;
use dns::{Channel, Config, Fate, Responder};
use seams::{Projection, Reader};
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes that are allocated and not freed.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

fn note(bytes: i64) {
    // A thread that is ending has no counter any more; its allocations are nobody's.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    let _ = BYTES.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: passes everything on to the system's allocator and counts calls in a thread-local cell
// that is initialised without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_answer_allocates_and_frees_nothing() {
    let world = World::new(Config::default());
    world.lines("node n1 10.0.0.1 meta=rack:r1 meta=os:linux | consul consul n1:8300");
    for number in 0..200 {
        let node = format!("node m{number} 10.1.0.{number} meta=rack:r{number}");
        world.lines(&format!("{node} | web w{number} m{number}:80 tags=v{}", number % 3));
    }
    world.lines(
        "ext e1 n1:1 address=web.service.consul | ext e2 n1:2 address=www.example.test
         own o n1:3 address=10.9.0.1 | to t n1:4 address=n1.node.consul | node h1 n1.node.consul",
    );
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let mut questions = Vec::new();
    for name in [
        "web.service.consul",
        "V1.WEB.service.dc1.consul",
        "_web._v2.service.consul",
        "_web._tcp.consul",
        "nope.service.consul",
        "web.service.dc9.consul",
        "ext.service.consul",
        "to.service.consul",
        "n1.node.consul",
        "h1.node.consul",
        "nope.node.consul",
        "7f000001.addr.consul",
        "1.0.0.10.in-addr.arpa",
        "1.0.9.10.in-addr.arpa",
        "9.9.9.9.in-addr.arpa",
        "6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.service.consul",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.consul",
        "web.connect.consul",
        "web.virtual.consul",
        "example.test",
        "consul",
        "",
    ] {
        for qtype in ["A", "AAAA", "SRV", "ANY", "TXT", "SOA", "NS", "MX", "PTR", "CNAME", "AXFR"] {
            let option =
                |options| packet(&json!({"name": name, "type": qtype, "options": options}));
            questions.extend([
                ask(name, qtype),
                option(json!({"bufsize": 4096})),
                option(json!({"bufsize": 1232, "ecs": "10.1.2.0/24", "dnssec": true})),
                option(json!({"class": "CH", "norecurse": true})),
            ]);
        }
    }
    questions.push(vec![0; 5]);
    questions.push(packet(&json!({"questions": [], "options": {"questions": []}})));
    let mut out = vec![0; 65_535];
    for channel in [Channel::Udp, Channel::Tcp] {
        for question in &questions {
            let before = ALLOCATIONS.get();
            let fate = responder.round().answer(channel, question, &mut out);
            let made = ALLOCATIONS.get() - before;
            assert!(!matches!(fate, Fate::Detour(_)), "{question:?}");
            assert_eq!(made, 0, "{}", question.escape_ascii());
        }
    }
}

#[test]
fn nor_does_one_about_a_large_service_right_after_it_changed() {
    let world = World::new(Config::default());
    let lines = |range: std::ops::Range<u32>| {
        let line = |n: u32| {
            let node = n % 500;
            format!("large l{n} m{node}:{n} tags=v{} | one o{n} m0:{n} tags=all", n % 3)
        };
        range.map(line).collect::<Vec<_>>().join("\n")
    };
    let nodes = (0..500).map(|n| format!("node m{n} 10.1.{}.{}", n / 250, n % 250));
    world.lines_at_once(&nodes.collect::<Vec<_>>().join("\n"));
    world.lines_at_once(&lines(0..5_000));
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let mut out = vec![0; 65_535];
    for (nth, change) in [
        "gone m7 l7",
        "node m8 10.9.9.9",
        "large new m9:1",
        "one new m0:1",
        "gone m10",
        "node m0 10.8.8.8",
    ]
    .into_iter()
    .enumerate()
    {
        world.lines(change);
        for name in [
            "laRge.service.consul",
            "V1.Large.SERVICE.consul",
            "One.service.consul",
            "nope.Service.consul",
        ] {
            for qtype in ["A", "SRV", "ANY", "AAAA"] {
                for options in [json!({}), json!({"bufsize": 1232}), json!({"bufsize": 65_000})] {
                    let question =
                        packet(&json!({"name": name, "type": qtype, "options": options}));
                    let before = ALLOCATIONS.get();
                    let fate = responder.round().answer(Channel::Udp, &question, &mut out);
                    assert_eq!(ALLOCATIONS.get(), before, "{change}: {name} {qtype} {options}");
                    let Fate::Reply(reply) = fate else { panic!("{name}: {fate:?}") };
                    let is_full = !name.starts_with("nope") && qtype != "AAAA";
                    assert_eq!(u16::from_be_bytes([out[6], out[7]]) > 0, is_full, "{nth} {name}");
                    assert!(reply.length > 0);
                }
            }
        }
    }
}

/// What a table holds of so many instances, each on its own node, in bytes an instance.
fn bytes_of_an_instance(instances: u32, line: impl Fn(u32) -> String) -> i64 {
    let world = World::new(Config::default());
    for number in 0..instances {
        world.lines(&line(number));
    }
    let (view, before) = (world.catalog.view(), BYTES.get());
    let table = dns::table(&world.config);
    table.publish(&view, &Touched::everything());
    (BYTES.get() - before) / i64::from(instances)
}

#[test]
fn an_instance_and_its_address_are_kept_in_few_bytes() {
    let address =
        |number: u32| format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    let row = |number: u32| format!("node n{number} {} | web w n{number}:80", address(number));
    let plain = bytes_of_an_instance(2_000, row);
    let own = bytes_of_an_instance(2_000, |number| {
        format!("{} address={}", row(number), address(number | 1 << 20))
    });
    println!("{plain} bytes an instance, {} more with an address of its own", own - plain);
    assert!(plain < 800 && own - plain < 250, "{plain} {own}");
}
