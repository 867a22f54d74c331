//! Batches over loopback, and who may share a port.

use super::*;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

const ANY_PORT: &str = "127.0.0.1:0";

fn client() -> UdpSocket {
    let client = UdpSocket::bind(ANY_PORT).expect("a free port");
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
    client
}

/// Answers each packet with itself and an exclamation mark until `count` were answered.
fn echo(socket: &Socket, count: usize) {
    let mut batch = Batch::new(8, 64, 128);
    let mut seen = 0;
    let begun = Instant::now();
    while seen < count {
        assert!(begun.elapsed() < Duration::from_secs(5), "{seen} packets of {count}");
        seen += socket.receive(&mut batch).expect("sound");
        for slot in 0..batch.received() {
            let (packet, answer) = batch.exchange(slot);
            let Some(packet) = packet else { continue };
            let length = packet.len() + 1;
            answer[..length - 1].copy_from_slice(packet);
            answer[length - 1] = b'!';
            batch.reply(slot, length);
        }
        assert_eq!(socket.send(&mut batch).dropped, 0);
    }
}

#[test]
fn packets_come_and_answers_go_in_batches() {
    let bound = bind(ANY_PORT.parse().expect("an address"), 1).expect("free");
    let clients: Vec<UdpSocket> = (0..20).map(|_| client()).collect();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(&[number as u8], bound.address).expect("sent");
    }
    echo(&bound.udp[0], clients.len());
    for (number, client) in clients.iter().enumerate() {
        let mut answer = [0; 16];
        let (length, from) = client.recv_from(&mut answer).expect("an answer");
        assert_eq!((&answer[..length], from), (&[number as u8, b'!'][..], bound.address));
    }
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    for (any, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "::1")] {
        let Ok(bound) = bind(any.parse().expect("an address"), 1) else {
            eprintln!("no {any} here");
            continue;
        };
        let asked = SocketAddr::new(asked.parse().expect("an address"), bound.address.port());
        let client = UdpSocket::bind(SocketAddr::new(asked.ip(), 0)).expect("free");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        client.send_to(b"x", asked).expect("sent");
        let mut batch = Batch::new(8, 64, 64);
        while bound.udp[0].receive(&mut batch).expect("sound") == 0 {}
        let later = batch.peer(0);
        bound.udp[0].send_to(b"later", &later).expect("sent");
        let (_, room) = batch.exchange(0);
        room[0] = b'y';
        batch.reply(0, 1);
        assert_eq!(bound.udp[0].send(&mut batch), Sent { sent: 1, dropped: 0 });
        let mut answer = [0; 16];
        for expected in [5, 1] {
            let (length, from) = client.recv_from(&mut answer).expect("an answer");
            assert_eq!((length, from), (expected, asked));
        }
    }
}

#[test]
fn a_packet_longer_than_its_slot_is_known_to_be_cut() {
    let bound = bind(ANY_PORT.parse().expect("an address"), 1).expect("free");
    client().send_to(&[7; 65], bound.address).expect("sent");
    let mut batch = Batch::new(2, 64, 64);
    while bound.udp[0].receive(&mut batch).expect("sound") == 0 {}
    assert_eq!(batch.exchange(0).0, None);
}

/// How long a thread that waits for packets goes on when it is stopped.
fn woken_after() -> Duration {
    let bound = bind(ANY_PORT.parse().expect("an address"), 1).expect("free");
    let second = bound.udp[0].try_clone().expect("a handle");
    let waiting = std::thread::spawn(move || {
        let mut batch = Batch::new(1, 64, 64);
        let begun = Instant::now();
        (second.receive(&mut batch).expect("sound"), begun.elapsed())
    });
    bound.udp[0].stop();
    let (count, waited) = waiting.join().expect("no panic");
    assert_eq!(count, 0);
    waited
}

#[test]
fn stopping_wakes_a_thread_that_waits() {
    // By itself it looks up every half second. A busy machine may be slow once, not each time.
    let woken = (0..20).any(|_| woken_after() < Duration::from_millis(400));
    assert!(woken, "each time it slept on");
}

#[test]
fn tcp_and_udp_share_one_port_and_a_second_server_is_refused() {
    let first = bind(ANY_PORT.parse().expect("an address"), 2).expect("free");
    assert_eq!(first.tcp.local_addr().expect("bound"), first.address);
    assert_eq!(first.udp.len(), 2);
    let error = bind(first.address, 2).expect_err("taken");
    let expected = format!("TCP address {} is already in use by another process", first.address);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_udp_port_held_by_somebody_else_is_refused_and_nothing_stays_bound() {
    // Another program may hold TCP on the port just given to us; not each time.
    let given_back = (0..20).any(|_| {
        let holder = client();
        let address = holder.local_addr().expect("bound");
        let error = bind(address, 2).expect_err("taken");
        let for_udp = matches!(error, BindError::InUse { transport: "UDP", .. });
        for_udp && TcpListener::bind(address).is_ok()
    });
    assert!(given_back, "each time TCP was the one refused, or was kept");
}

#[test]
fn a_thread_can_be_pinned() {
    let pinned = |nth| std::thread::spawn(move || pin_to_cpu(nth).expect("allowed")).join();
    let first = pinned(0).expect("no panic");
    assert_eq!(pinned(0).expect("no panic"), first);
    // More threads than CPUs go round.
    pinned(1000).expect("no panic");
}
