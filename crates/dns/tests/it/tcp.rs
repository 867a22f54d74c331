//! TCP: many questions on a connection, slow and half-closed clients, the largest answers.

use crate::ask::{ask, packet, read};
use crate::sockets::{LIMIT, Running, framed, own, serve, small_world, take};
use crate::world::World;
use dns::{Config, Count, Limits, Path, Reason, Transport};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

fn running(config: Config) -> Running {
    let world = small_world(config);
    let readers = own(&world);
    serve(world, readers)
}

fn with_id(mut packet: Vec<u8>, id: u16) -> Vec<u8> {
    packet[..2].copy_from_slice(&id.to_be_bytes());
    packet
}

/// The next answer's id and the rest of it.
fn take_with_id(stream: &mut TcpStream) -> Option<(u16, Value)> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).ok()?;
    Some((u16::from_be_bytes([answer[0], answer[1]]), read(&answer)))
}

#[test]
fn pipelined_questions_are_answered_in_order_each_under_its_id() {
    let running = running(Config::default());
    let mut stream = running.connect();
    let mut sent = Vec::new();
    for id in 0..200 {
        let mut question = match id % 4 {
            0 => ask("n1.node.consul", "A"),
            1 => ask("nope.service.consul", "SRV"),
            _ => ask("web.service.consul", "A"),
        };
        if id % 4 == 3 {
            // A byte left over: this one takes the slow path, and those behind it wait.
            question.push(0);
        }
        sent.extend(framed(&with_id(question, id)));
    }
    stream.write_all(&sent).expect("sent");
    for id in 0..200 {
        let (answered, answer) = take_with_id(&mut stream).expect("an answer");
        assert_eq!(answered, id);
        let name = ["n1.node.consul.", "nope.service.consul.", "web.service.consul."];
        assert_eq!(answer["question"][0][0], name[usize::from(id % 4).min(2)], "{id}");
    }
    let counts = running.server().counters();
    assert_eq!(counts.answered(Transport::Tcp, Path::Hot), 150);
    assert_eq!(counts.answered(Transport::Tcp, Path::Slow), 50);
    assert_eq!(counts.detoured(Reason::Extras, Transport::Tcp), 50);
    assert_eq!(counts.detoured(Reason::Extras, Transport::Udp), 0);
}

#[test]
fn who_asks_and_says_no_more_still_gets_all_answers() {
    let running = running(Config::default());
    let mut stream = running.connect();
    let questions: Vec<u8> =
        (1..=5).flat_map(|id| framed(&with_id(ask("web.service.consul", "A"), id))).collect();
    stream.write_all(&questions).expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    for id in 1..=5 {
        assert_eq!(take_with_id(&mut stream).expect("an answer").0, id);
    }
    assert_eq!(take(&mut stream), None, "and then it is closed");
    assert_eq!(running.server().counters().of(Count::ConnectionsDropped), 0);
}

#[test]
fn a_question_that_drips_in_is_not_waited_for() {
    let limits = Limits { tcp_idle: Duration::from_millis(300), ..Limits::default() };
    let running = running(Config { limits, ..Config::default() });
    let mut stream = running.connect();
    stream.set_read_timeout(Some(Duration::from_millis(10))).expect("a limit");
    stream.write_all(&4000u16.to_be_bytes()).expect("sent");
    let begun = Instant::now();
    // A byte now and then keeps nothing open: the message has to be whole in time.
    loop {
        assert!(begun.elapsed() < LIMIT, "the connection stays open");
        let sent = stream.write_all(&[0]);
        match stream.read(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => break,
            Ok(_) => panic!("an answer to {sent:?}"),
        }
    }
    running.until("it is counted", |server| server.counters().of(Count::ConnectionsDropped) == 1);
}

#[test]
fn who_takes_no_answers_is_dropped() {
    let limits = Limits { tcp_idle: Duration::from_millis(300), ..Limits::default() };
    let running = running(Config { limits, ..Config::default() });
    let nodes: Vec<String> = (0..500)
        .map(|n| format!("node m{n} 10.1.{}.{} | big b m{n}:80", n / 250, n % 250))
        .collect();
    running.world.lines_at_once(&nodes.join("\n"));
    let mut stream = running.connect();
    stream.set_write_timeout(Some(Duration::from_millis(50))).expect("a limit");
    let question = framed(&ask("big.service.consul", "SRV"));
    // Until the kernel takes no more questions, as the server waits for its answers to be taken.
    let begun = Instant::now();
    while stream.write_all(&question).is_ok() {
        assert!(begun.elapsed() < 2 * LIMIT, "answers are kept without end");
    }
    running.until("it is dropped", |server| server.counters().of(Count::ConnectionsDropped) == 1);
}

#[test]
fn the_largest_answers_are_bounded_in_records_and_bytes() {
    let world = World::new(Config::default());
    let nodes: Vec<String> = (0..5000)
        .map(|n| format!("node m{n} 10.1.{}.{} | big b m{n}:80", n / 250, n % 250))
        .collect();
    world.lines_at_once(&nodes.join("\n"));
    let hosts: Vec<String> =
        (0..1500).map(|n| format!("ext e{n} m{n}:80 address=h{n}.x")).collect();
    world.lines_at_once(&hosts.join("\n"));
    let readers = own(&world);
    let running = serve(world, readers);
    let mut stream = running.connect();
    let mut ask = |name: &str, qtype: &str| {
        let question = packet(&json!({"name": name, "type": qtype}));
        stream.write_all(&framed(&question)).expect("sent");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("all of it");
        let records = |at: usize| usize::from(u16::from_be_bytes([answer[at], answer[at + 1]]));
        (answer.len(), records(6), records(10))
    };
    // Sixteen bytes a record beside header and question: 65,523 bytes are full before 4,096 are.
    let (length, answers, additional) = ask("big.service.consul", "A");
    assert_eq!((answers, additional), ((65_523 - 12 - 24) / 16, 0));
    assert!(length <= 65_523, "{length}");
    let (length, answers, additional) = ask("big.service.consul", "SRV");
    assert!(length <= 65_523 && answers > 900 && answers == additional, "{answers} {additional}");
    assert_eq!(ask("ext.service.consul", "SRV").1, 1024);
    assert_eq!(running.server().counters().truncated(Transport::Tcp), 3);
    let small = running.udp(&packet(&json!({"name": "big.service.consul", "type": "A"})));
    assert_eq!(small.expect("an answer")["answer"].as_array().map(Vec::len), Some(3));
    assert_eq!(running.server().counters().truncated(Transport::Udp), 1);
}
