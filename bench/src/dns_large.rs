//! DNS of one service with 5,000 instances while it changes, against itself while it does not.
//!
//! The instances stand on 1,000 nodes, five on each; the questions are as in `dns`, all after the
//! one service. Ten changes a second: half new instances, half removals. What changes cost is not
//! taken off. How long a publish takes is read from the server's own histogram; once more with all
//! instances on one node, which changes twenty times as often. Besides, the largest answers over TCP.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;

use crate::answers::{self, A, Questions, SRV};
use crate::asking;
use crate::churn::Churn;
use crate::load;
use crate::measure::{self, ROUNDS, Turn};
use crate::metrics::Scrape;
use crate::process::Server;

const INSTANCES: u64 = 5_000;
const NODES: u64 = 1_000;
const QUESTIONS: u64 = 1 << 12;
const TURN: Duration = Duration::from_secs(3);

/// Registrations a second, and as many removals.
const CHANGES: u32 = 5;

/// What fits into the 1,232 bytes that the questions allow.
const RECORDS: RangeInclusive<u16> = 10..=100;

/// Questions over TCP of each type.
const TCP_QUESTIONS: u64 = 2_000;

const PUBLISH: &str = "rutter_publish_seconds";

/// Fills a server, then asks it in turns with and without changes.
pub fn run() -> Result<()> {
    let mut server = Server::rutter()?;
    load::fill(server.http_port, INSTANCES, registration)?;
    let questions = Questions::mixed(QUESTIONS, 1, |_| "large".into());
    asking::until_it_answers(&mut server, &questions, &RECORDS)?;
    let churn = Churn {
        http_port: server.http_port,
        each: CHANGES,
        register: |number| registration(INSTANCES + number),
        deregister: removal,
    };
    over_tcp(&server)?;
    let (mut changing, mut still) = (Vec::new(), Vec::new());
    let before = Scrape::of(server.http_port)?;
    for _ in 0..ROUNDS {
        changing.push(changing_turn(&server, &questions, &churn)?);
        still.push(asking::turn(&server, &questions, TURN, &RECORDS)?);
    }
    measure::compare("query", &changing, "still", &still);
    publishes("while asked", &server, &before)?;
    on_one_node(&server)
}

/// Prints how long publishes took since an earlier look.
fn publishes(when: &str, server: &Server, before: &Scrape) -> Result<()> {
    let below = Scrape::of(server.http_port)?.below(before, PUBLISH)?;
    let ms = |seconds: f64| seconds * 1e3;
    println!(
        "  {when}: {:.0} publishes, 99 % took at most {:.1} ms, all at most {:.1} ms ({PUBLISH})",
        below.count,
        ms(below.p99),
        ms(below.all)
    );
    Ok(())
}

/// The CPU of the largest answers, one after the other on one connection.
fn over_tcp(server: &Server) -> Result<()> {
    for kind in [A, SRV] {
        let question =
            answers::question(1, &["large", "service", "consul"].map(String::from), kind);
        let mut bytes = 0;
        let turn = measure::turn(server.pid(), || {
            bytes = asking::over_tcp(server.dns_port, &question, TCP_QUESTIONS)?;
            Ok(TCP_QUESTIONS)
        })?;
        let name = if kind == A { "A" } else { "SRV" };
        let each = bytes / TCP_QUESTIONS;
        println!("  TCP {name}: {each} bytes an answer, CPU µs/query {:.0}", turn.cpu_us());
    }
    Ok(())
}

/// As many instances of another service, all on one node, while some of them change.
fn on_one_node(server: &Server) -> Result<()> {
    let instance = |number: u64| {
        format!(
            r#"{{"Node":"node-0000","Address":"10.0.0.1","Service":{{"ID":"crowd-{number}","Service":"crowd","Port":{}}}}}"#,
            20_000 + number % 10_000
        )
    };
    let before = Scrape::of(server.http_port)?;
    load::fill(server.http_port, INSTANCES, instance)?;
    publishes("filling one node", server, &before)?;
    let churn = Churn {
        http_port: server.http_port,
        each: 20 * CHANGES,
        register: |number| instance(INSTANCES + number),
        deregister: |number| {
            format!(r#"{{"Node":"node-0000","ServiceID":"crowd-{}"}}"#, INSTANCES + number)
        },
    };
    let before = Scrape::of(server.http_port)?;
    churn.during(|| {
        std::thread::sleep(TURN);
        Ok(())
    })?;
    publishes("all on one node", server, &before)
}

fn changing_turn(
    server: &Server,
    questions: &Questions,
    churn: &Churn<impl Fn(u64) -> String + Sync, impl Fn(u64) -> String + Sync>,
) -> Result<Turn> {
    measure::turn(server.pid(), || {
        let load = || asking::plausible(server, questions, TURN, &RECORDS);
        Ok(churn.during(load)?.0)
    })
}

fn registration(number: u64) -> String {
    let (node, port) = (number % NODES, 20_000 + number % 10_000);
    format!(
        r#"{{"Node":"node-{node:04}","Address":"10.0.{}.{}","Service":{{"ID":"large-{number}","Service":"large","Port":{port}}}}}"#,
        node / 250,
        node % 250 + 1
    )
}

fn removal(number: u64) -> String {
    let number = INSTANCES + number;
    format!(r#"{{"Node":"node-{:04}","ServiceID":"large-{number}"}}"#, number % NODES)
}
