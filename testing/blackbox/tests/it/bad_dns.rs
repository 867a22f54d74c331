//! Packets that no resolver sends: refused or ignored, and the next question is answered as before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use blackbox::memory::{returned_at_once, settles};
use blackbox::packet::{self, answers, ask, ask_tcp, header, name, question, rcode};
use blackbox::rng::Rng;
use blackbox::server::{Launch, Server};
use blackbox::wait::SOON;

const A: u16 = 1;

/// How often the server is asked whether it still answers: what was sent before may have filled its socket, so that a
/// question is lost, and a resolver asks as often.
const ATTEMPTS: usize = 3;

/// The server's own address, as proof that it still answers; a wrong answer is not forgiven.
fn answers_still(server: &Server) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let socket = packet::udp(server.dns, Duration::from_secs(5))?;
        if let Some(answer) = ask(&socket, &question(77, "consul.service.consul", A))? {
            ensure!(rcode(&answer) == 0 && answers(&answer) == 1, "{answer:?}");
            return Ok(());
        }
    }
    bail!("{ATTEMPTS} questions were not answered")
}

fn packed(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    [header(9, flags, counts), rest.to_vec()].concat()
}

/// What it is, the packet, the codes it may be answered with; -1 is no answer.
type Case<'a> = (&'a str, Vec<u8>, &'a [i16]);

#[track_caller]
fn check(cases: &[Case]) -> Result<()> {
    let server = Launch::dev().start()?;
    for (what, packet, allowed) in cases {
        // What may stay without an answer is not waited for so long. Late, it does not come to the next case.
        let patience = if allowed.contains(&-1) { Duration::from_millis(300) } else { SOON };
        let socket = packet::udp(server.dns, patience)?;
        let code = ask(&socket, packet)?.map_or(-1, |answer| i16::from(rcode(&answer)));
        ensure!(allowed.contains(&code), "{what}: answered with {code}, not one of {allowed:?}");
        answers_still(&server)?;
    }
    Ok(())
}

/// One question for a name's A record, without its header.
fn ask_a() -> Vec<u8> {
    [name("consul.service.consul"), vec![0, 1, 0, 1]].concat()
}

#[test]
fn a_header_that_lies_gets_a_refusal_or_nothing() -> Result<()> {
    let ask_a = ask_a();
    check(&[
        ("nothing at all", vec![], &[-1]),
        ("one byte", vec![9], &[-1]),
        ("a header cut short", header(9, 0x0100, [1, 0, 0, 0])[..11].to_vec(), &[-1, 1]),
        ("a header without its question", header(9, 0x0100, [1, 0, 0, 0]), &[-1, 1]),
        ("no question", header(9, 0x0100, [0; 4]), &[-1, 1]),
        ("two questions", packed(0x0100, [2, 0, 0, 0], &ask_a.repeat(2)), &[1]),
        ("65535 questions", packed(0x0100, [65535, 0, 0, 0], &ask_a), &[-1, 1]),
        ("an answer", packed(0x8100, [1, 0, 0, 0], &ask_a), &[-1]),
        ("an inverse query", packed(0x0900, [1, 0, 0, 0], &ask_a), &[4]),
        ("an update", packed(0x2900, [1, 0, 0, 0], &ask_a), &[4]),
    ])
}

#[test]
fn a_name_that_cannot_be_gets_a_refusal_or_nothing() -> Result<()> {
    let one = |rest: &[u8]| packed(0x0100, [1, 0, 0, 0], rest);
    let label = [vec![63; 1], vec![b'a'; 63]].concat();
    let long = [label.repeat(5), vec![0, 0, 1, 0, 1]].concat();
    check(&[
        ("a name that points at itself", one(&[0xc0, 12, 0, 1, 0, 1]), &[-1, 1]),
        ("two pointers at each other", one(&[0xc0, 14, 0xc0, 12, 0, 1, 0, 1]), &[-1, 1]),
        ("a label, then a pointer back at it", one(&[1, b'a', 0xc0, 12, 0, 1, 0, 1]), &[-1, 1]),
        ("a pointer beyond the end", one(&[0xff, 0xff, 0, 1, 0, 1]), &[-1, 1]),
        ("a label beyond the end", one(&[60, b'a']), &[-1, 1]),
        ("a label of the reserved kind", one(&[0x80, 0, 0, 1, 0, 1]), &[-1, 1]),
        ("a name over 255 bytes", one(&long), &[-1, 1]),
        ("a type cut short", one(&ask_a()[..ask_a().len() - 3]), &[-1, 1]),
    ])
}

#[test]
fn records_that_do_not_belong_get_a_refusal_or_nothing() -> Result<()> {
    let opt = |size: u16, length: u16| {
        [&[0, 0, 41], &size.to_be_bytes()[..], &[0; 4], &length.to_be_bytes()].concat()
    };
    let with =
        |count: u16, rest: &[u8]| packed(0x0100, [1, 0, 0, count], &[&ask_a()[..], rest].concat());
    check(&[
        ("an OPT cut short", with(1, &opt(1232, 0)[..6]), &[-1, 1]),
        ("an OPT longer than the packet", with(1, &opt(1232, 500)), &[-1, 1]),
        ("two OPTs", with(2, &opt(1232, 0).repeat(2)), &[-1, 0, 1]),
        ("a size of zero", with(1, &opt(0, 0)), &[0]),
        ("bytes after the end", with(0, &[1; 40]), &[-1, 0, 1]),
        ("a large packet", with(0, &[0; 60_000]), &[-1, 0, 1]),
    ])
}

#[test]
fn noise_changes_nothing_and_costs_no_memory() -> Result<()> {
    let server = returned_at_once(Launch::dev()).start()?;
    answers_still(&server)?;
    let socket = packet::udp(server.dns, Duration::from_millis(1))?;
    let mut rng = Rng::new(8);
    let sound = question(9, "v1.web.service.dc1.consul", 33);
    let mut send = |n| {
        let mut packet = sound.clone();
        for _ in 0..rng.below(8) {
            let at = rng.below(packet.len() as u64) as usize;
            packet[at] = rng.next() as u8;
        }
        packet.truncate(1 + rng.below(packet.len() as u64) as usize);
        if n % 5 == 0 {
            packet.extend((0..rng.below(500)).map(|b| b as u8));
        }
        socket.send(&packet).map(drop)
    };
    // A packet that left 100 bytes behind would show.
    settles(&server.process, || {
        (0..2_000).try_for_each(&mut send)?;
        answers_still(&server)
    })
}

#[test]
fn a_tcp_client_that_dawdles_or_lies_holds_nobody_up() -> Result<()> {
    let server = Launch::dev().start()?;
    let mut idle = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(server.dns)?;
        match n % 3 {
            0 => {}
            1 => stream.write_all(&[0xff, 0xff, 1, 2])?, // a length, and never the message
            _ => stream.write_all(&[0])?,                // half a length
        }
        idle.push(stream);
    }
    answers_still(&server)?;
    let mut stream = TcpStream::connect(server.dns)?;
    stream.set_read_timeout(Some(SOON))?;
    for id in 1..5 {
        let answer = ask_tcp(&mut stream, &question(id, "consul.service.consul", A))?;
        ensure!(answers(&answer) == 1, "question {id} on one connection: {answer:?}");
    }
    stream.write_all(&[0, 3, 1, 2, 3])?; // a message too short for a header: the connection may be closed
    let _ = stream.read(&mut [0; 512]);
    let two =
        [0, 39].into_iter().chain(question(5, "consul.service.consul", A)).collect::<Vec<u8>>();
    let mut stream = TcpStream::connect(server.dns)?;
    stream.set_read_timeout(Some(SOON))?;
    ensure!(two.len() == 41, "the length of the message is written above");
    stream.write_all(&two.repeat(2))?; // two questions at once, two answers
    let mut both = Vec::new();
    while both.len() < 2 * 57 {
        let mut part = [0; 512];
        let n = stream.read(&mut part)?;
        ensure!(n > 0, "closed after {} bytes", both.len());
        both.extend_from_slice(&part[..n]);
    }
    answers_still(&server)
}
