//! CPU per DNS query while the catalog changes, against Knot with the same names in a static zone.
//!
//! 10,000 services with 3 instances each on 1,000 nodes; 70 % A, 20 % SRV, 10 % NXDOMAIN, with
//! EDNS, in mixed case. Meanwhile 100 registrations and 100 removals a second change services that
//! are asked for. What those cost is measured in turns of their own, without questions, and taken off.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::answers::{Questions, service_name};
use crate::asking;
use crate::churn::Churn;
use crate::load;
use crate::measure::{self, ROUNDS, Spread, Turn};
use crate::metrics::Scrape;
use crate::process::Server;

const SERVICES: u64 = 10_000;
const INSTANCES: u64 = 3;
const NODES: u64 = 1_000;
const QUESTIONS: u64 = 1 << 16;
const TURN: Duration = Duration::from_secs(3);

/// Registrations a second, and as many removals.
const CHANGES: u32 = 100;

/// What an answer may hold while a fourth instance comes and goes.
const RECORDS: RangeInclusive<u16> = 3..=4;

/// The share of answers that the slow path may not have made.
const HOT: f64 = 0.999;

/// Fills both servers, then asks them in turns.
pub fn run() -> Result<()> {
    let mut ours = Server::rutter()?;
    load::fill(ours.http_port, SERVICES * INSTANCES, registration)?;
    let mut knot = Server::knot(&zone())?;
    let questions = Questions::mixed(QUESTIONS, SERVICES, service_name);
    for server in [&mut ours, &mut knot] {
        asking::until_it_answers(server, &questions, &RECORDS)?;
    }
    let before = Scrape::of(ours.http_port)?;
    let (mut our_turns, mut their_turns, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (turn, cost_us) = our_turn(&ours, &questions)?;
        our_turns.push(turn);
        costs.push(cost_us);
        their_turns.push(asking::turn(&knot, &questions, TURN, &RECORDS)?);
    }
    let after = Scrape::of(ours.http_port)?;
    let costs = Spread::of(costs).show(0);
    println!(
        "  {CHANGES} registrations and as many removals a second: CPU µs a change {costs}, taken off"
    );
    measure::compare("query", &our_turns, "knot", &their_turns);
    hot_path(&before, &after)
}

/// A turn with changes, their CPU taken off; and what a change costs in microseconds.
fn our_turn(server: &Server, questions: &Questions) -> Result<(Turn, f64)> {
    let churn = Churn {
        http_port: server.http_port,
        each: CHANGES,
        register: extra_registration,
        deregister: extra_removal,
    };
    let mut changed = 0;
    let mut asked = measure::turn(server.pid(), || {
        let load = || asking::plausible(server, questions, TURN, &RECORDS);
        let (answered, changes) = churn.during(load)?;
        changed = changes;
        Ok(answered)
    })?;
    let quiet = measure::turn(server.pid(), || {
        let load = || {
            std::thread::sleep(TURN);
            Ok(())
        };
        Ok(churn.during(load)?.1)
    })?;
    asked.cpu_seconds -= quiet.cpu_seconds / quiet.operations * changed as f64;
    asked.generator_seconds -= quiet.generator_seconds / quiet.operations * changed as f64;
    Ok((asked, quiet.cpu_us()))
}

/// Which share was answered on the hot path, by the server's own counters.
fn hot_path(before: &Scrape, after: &Scrape) -> Result<()> {
    let by = |path| after.since(before, "rutter_dns_queries_total", &["transport=\"udp\"", path]);
    let (hot, slow) = (by("path=\"hot\""), by("path=\"slow\""));
    let shed = after.since(before, "rutter_dns_events_total", &["event=\"shed\""]);
    let share = hot / (hot + slow + shed);
    println!("  on the hot path {:.4} % of {:.0}", share * 100.0, hot + slow + shed);
    ensure!(share >= HOT, "the slow path answered {slow}, {shed} were shed");
    Ok(())
}

fn node_of(service: u64, instance: u64) -> u64 {
    (service * INSTANCES + instance) % NODES
}

fn address(node: u64) -> String {
    format!("10.0.{}.{}", node / 250, node % 250 + 1)
}

fn registration(number: u64) -> String {
    let (service, instance) = (number / INSTANCES, number % INSTANCES);
    instance_on(node_of(service, instance), service, &instance.to_string(), 20_000 + instance)
}

/// A fourth instance of some service, on a node that has none of it.
fn extra_registration(number: u64) -> String {
    let service = extra_service(number);
    instance_on(node_of(service, INSTANCES), service, &format!("extra-{number}"), 30_000)
}

fn extra_removal(number: u64) -> String {
    let service = extra_service(number);
    let (node, name) = (node_of(service, INSTANCES), service_name(service));
    format!(r#"{{"Node":"node-{node:04}","ServiceID":"{name}-extra-{number}"}}"#)
}

fn extra_service(number: u64) -> u64 {
    number * 7_919 % SERVICES
}

fn instance_on(node: u64, service: u64, id: &str, port: u64) -> String {
    let (address, name) = (address(node), service_name(service));
    format!(
        r#"{{"Node":"node-{node:04}","Address":"{address}","Service":{{"ID":"{name}-{id}","Service":"{name}","Port":{port}}}}}"#
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
