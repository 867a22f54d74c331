//! The hot path allocates nothing: packet in, packet out, counted by the allocator.

use crate::ask::{ask, packet};
use crate::world::World;
use dns::{Channel, Config, Fate, Responder};
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    // A thread that is ending has no counter any more; its allocations are nobody's.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: passes everything on to the system's allocator and counts calls in a thread-local cell
// that is initialised without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
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
    world.lines("ext e1 n1:1 address=web.service.consul | ext e2 n1:2 address=www.example.test");
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
        "n1.node.consul",
        "nope.node.consul",
        "7f000001.addr.consul",
        "1.0.0.10.in-addr.arpa",
        "example.test",
        "consul",
    ] {
        for qtype in ["A", "AAAA", "SRV", "ANY", "TXT", "SOA", "NS", "MX"] {
            let edns = json!({"name": name, "type": qtype, "options": {"bufsize": 4096}});
            questions.extend([ask(name, qtype), packet(&edns)]);
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
