//! One DNS answer, packet in to packet out: 70 % A, 20 % SRV, 10 % of names that are not there, with EDNS.

use crate::world;
use anyhow::{Context, Result, ensure};
use catalog::Touched;
use dns::{Channel, Config, Fate, Responder};
use seams::Projection;
use std::sync::Arc;

const SERVICES: usize = 1_000;
const ROUNDS: usize = 20_000;
/// As many as a thread takes in one call.
const BATCH: usize = 64;

/// Answers questions about a thousand services of three instances.
pub fn run() -> Result<usize> {
    let config = Config::default();
    let table = dns::table(&config);
    table.publish(&Arc::new(world::view(SERVICES, 3)), &Touched::everything());
    let mut responder = Responder::new(&config, &table).context("the domain is one")?;
    let questions: Vec<Vec<u8>> = (0..ROUNDS).map(question).collect();
    let mut out = vec![0; 4096];
    let mut ask = |questions: &[Vec<u8>]| {
        let mut answered = 0;
        for batch in questions.chunks(BATCH) {
            let mut round = responder.round();
            for question in batch {
                let fate = round.answer(Channel::Udp, question, &mut out);
                answered += usize::from(matches!(fate, Fate::Reply(_)));
            }
        }
        answered
    };
    ask(&questions);
    let mut answered = 0;
    crate::measured(|| answered = ask(&questions));
    ensure!(answered == ROUNDS, "{answered} of {ROUNDS} were answered");
    Ok(ROUNDS)
}

/// In mixed case, as resolvers send them.
fn question(number: usize) -> Vec<u8> {
    let (service, qtype) = match number % 10 {
        0..7 => (format!("SeRvice-{}", number * 7 % SERVICES), 1),
        7..9 => (format!("serVICE-{}", number * 7 % SERVICES), 33),
        _ => (format!("absent-{number}"), 1),
    };
    let mut packet = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in [service.as_str(), "Service", "conSUL"] {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, qtype, 0, 1]);
    packet.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    packet
}
