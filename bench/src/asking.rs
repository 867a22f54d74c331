//! Asking a DNS server as fast as it answers.
//!
//! Closed loop: each of some sockets has a batch outstanding, so that every server sees full queues.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::answers::{Questions, Tally};
use crate::measure::{self, Turn};
use crate::packets::{Asker, BATCH};
use crate::process::Server;

const SOCKETS: usize = 16;

/// How long an answer over TCP may take.
const TCP_LIMIT: Duration = Duration::from_secs(10);

/// Asks for `length`; every answer must be plausible, with so many records where there are any.
pub fn turn(
    server: &Server,
    questions: &Questions,
    length: Duration,
    records: &RangeInclusive<u16>,
) -> Result<Turn> {
    measure::turn(server.pid(), || plausible(server, questions, length, records))
}

/// The same without measuring: how many were answered.
pub fn plausible(
    server: &Server,
    questions: &Questions,
    length: Duration,
    records: &RangeInclusive<u16>,
) -> Result<u64> {
    let tally = ask(server.dns_port, questions, length, records)?;
    tally.is_plausible()?;
    Ok(tally.full + tally.nx)
}

/// Waits until a server answers questions with records.
pub fn until_it_answers(
    server: &mut Server,
    questions: &Questions,
    records: &RangeInclusive<u16>,
) -> Result<()> {
    server.wait(|server| Ok(ask(server.dns_port, questions, Duration::ZERO, records)?.full > 0))
}

/// Asks the same so many times over one TCP connection, one at a time; the bytes that came back.
pub fn over_tcp(port: u16, question: &[u8], times: u64) -> Result<u64> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TCP_LIMIT))?;
    let length = u16::try_from(question.len()).expect("a question is short");
    let framed = [&length.to_be_bytes()[..], question].concat();
    let (mut answer, mut bytes) = (vec![0; usize::from(u16::MAX)], 0);
    for _ in 0..times {
        stream.write_all(&framed).context("ask")?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).context("answer")?;
        let length = u16::from_be_bytes(length);
        stream.read_exact(&mut answer[..usize::from(length)]).context("answer")?;
        ensure!(answer[3] & 0x0f == 0, "refused with {}", answer[3] & 0x0f);
        bytes += u64::from(length);
    }
    Ok(bytes)
}

/// Asks for `length`, and at least one batch a socket.
fn ask(
    port: u16,
    questions: &Questions,
    length: Duration,
    records: &RangeInclusive<u16>,
) -> Result<Tally> {
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
