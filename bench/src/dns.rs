//! CPU per DNS query against Knot, which answers the same names from a static zone.
//!
//! 10,000 services with 3 instances each on 1,000 nodes; 70 % A, 20 % SRV, 10 % NXDOMAIN, with
//! EDNS. Closed loop: each of 16 sockets has a batch outstanding, so both servers see full queues.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::answers::{Questions, Tally, service_name};
use crate::load;
use crate::measure::{self, ROUNDS, Turn};
use crate::packets::{Asker, BATCH};
use crate::process::Server;

const SERVICES: u64 = 10_000;
const INSTANCES: u64 = 3;
const NODES: u64 = 1_000;
const SOCKETS: usize = 16;
const QUESTIONS: u64 = 1 << 16;
const TURN: Duration = Duration::from_secs(3);

/// Fills both servers, then asks them in turns.
pub fn run() -> Result<()> {
    let mut ours = Server::rutter()?;
    load::fill(ours.http_port, SERVICES * INSTANCES, registration)?;
    let mut knot = Server::knot(&zone())?;
    let questions = Questions::mixed(QUESTIONS, SERVICES);
    for server in [&mut ours, &mut knot] {
        server.wait(|server| Ok(ask(server.dns_port, &questions, Duration::ZERO)?.full > 0))?;
    }
    let (mut our_turns, mut their_turns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_turns.push(one_turn(&ours, &questions)?);
        their_turns.push(one_turn(&knot, &questions)?);
    }
    measure::compare("query", &our_turns, "knot", &their_turns);
    Ok(())
}

fn one_turn(server: &Server, questions: &Questions) -> Result<Turn> {
    measure::turn(server.pid(), || {
        let tally = ask(server.dns_port, questions, TURN)?;
        tally.is_plausible()?;
        Ok(tally.full + tally.nx)
    })
}

/// Asks for `length`, and at least one batch a socket.
fn ask(port: u16, questions: &Questions, length: Duration) -> Result<Tally> {
    let mut askers: Vec<Asker> = (0..SOCKETS).map(|_| Asker::open(port)).collect::<Result<_>>()?;
    let mut outstanding = [0; SOCKETS];
    let (mut tally, mut next, began) = (Tally::default(), 0, Instant::now());
    let mut asking = true;
    while asking || outstanding.iter().any(|&count| count > 0) {
        for (asker, outstanding) in askers.iter_mut().zip(&mut outstanding) {
            if asking && *outstanding == 0 {
                *outstanding = asker.send(&questions.take(next, BATCH))?;
                next += *outstanding;
            }
        }
        for (asker, outstanding) in askers.iter_mut().zip(&mut outstanding) {
            if *outstanding == 0 {
                continue;
            }
            let received = asker.receive(*outstanding)?;
            let records = u16::try_from(INSTANCES).expect("a few");
            asker.answers(received).for_each(|answer| tally.count(answer, records));
            if received == 0 {
                tally.lost += *outstanding as u64;
                *outstanding = 0;
            } else {
                *outstanding -= received;
            }
        }
        asking = began.elapsed() < length;
    }
    Ok(tally)
}

fn node_of(service: u64, instance: u64) -> u64 {
    (service * INSTANCES + instance) % NODES
}

fn address(node: u64) -> String {
    format!("10.0.{}.{}", node / 250, node % 250 + 1)
}

fn registration(number: u64) -> String {
    let (service, instance) = (number / INSTANCES, number % INSTANCES);
    let (node, name) = (node_of(service, instance), service_name(service));
    let (address, port) = (address(node), 20_000 + instance);
    format!(
        r#"{{"Node":"node-{node:04}","Address":"{address}","Service":{{"ID":"{name}-{instance}","Service":"{name}","Port":{port}}}}}"#
    )
}

/// The same names as a zone file.
fn zone() -> String {
    let mut zone = String::from(
        "$ORIGIN consul.\n$TTL 0\n@ SOA ns hostmaster 1 3600 600 86400 0\n@ NS ns\nns A 127.0.0.1\n",
    );
    let line = "writing to a String cannot fail";
    for node in 0..NODES {
        writeln!(zone, "node-{node:04}.node.dc1 A {}", address(node)).expect(line);
    }
    for service in 0..SERVICES {
        let name = service_name(service);
        for instance in 0..INSTANCES {
            let node = node_of(service, instance);
            writeln!(zone, "{name}.service A {}", address(node)).expect(line);
            let port = 20_000 + instance;
            writeln!(zone, "{name}.service SRV 1 1 {port} node-{node:04}.node.dc1").expect(line);
        }
    }
    zone
}
