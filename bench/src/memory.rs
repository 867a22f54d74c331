//! Memory with 100,000 instances, 10 on each of 10,000 nodes, a check each, and the way back from disk,
//! against the limits.
//!
//! There is no peer in this one: the limits are what a small machine can give and what a restart may
//! take.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http::Connection;
use crate::load;
use crate::measure::{self, Spread};
use crate::process::Server;

const NODES: u64 = 10_000;
const PER_NODE: u64 = 10;
const SERVICES: u64 = 1_000;
const LIMIT_BYTES: f64 = 150e6;
const READY_LIMIT_SECONDS: f64 = 3.0;

/// How often it is started again.
const STARTS: usize = 5;

/// After so long an allocator has given back what it gives back.
const SETTLE: Duration = Duration::from_secs(3);

/// Fills a server and looks at its resident memory, then starts it again from disk.
pub fn run() -> Result<()> {
    let mut server = Server::rutter()?;
    std::thread::sleep(SETTLE);
    let empty = measure::resident_bytes(server.pid())?;
    let count = NODES * PER_NODE;
    let turn = measure::turn(server.pid(), || {
        load::fill(server.http_port, count, registration).map(|()| count)
    })?;
    std::thread::sleep(SETTLE);
    let full = measure::resident_bytes(server.pid())?;
    println!("  filled by {count} registrations at {:.0}/s", turn.rate());
    println!("  resident: {:.1} MB empty, {:.1} MB full", empty / 1e6, full / 1e6);
    println!("  {:.0} bytes an instance with its check", (full - empty) / count as f64);
    println!("  to the limit of {:.0} MB: × {:.2}", LIMIT_BYTES / 1e6, full / LIMIT_BYTES);
    let (mut ready, mut cpu, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        server = server.again()?;
        server
            .wait(|server| Ok(is_served_by_http(server.http_port)? && is_served_by_dns(server)?))?;
        ready.push(began.elapsed().as_secs_f64());
        cpu.push(measure::cpu_seconds(server.pid())?);
        std::thread::sleep(SETTLE);
        again.push(measure::resident_bytes(server.pid())? / 1e6);
    }
    let (ready, again) = (Spread::of(ready), Spread::of(again));
    println!("  started again from disk: {} MB", again.show(1));
    println!("  to the limit: × {:.2}", again.median * 1e6 / LIMIT_BYTES);
    println!("  ready after {} s, of CPU {} s", ready.show(2), Spread::of(cpu).show(2));
    println!(
        "  to the limit of {READY_LIMIT_SECONDS:.0} s: × {:.2}",
        ready.median / READY_LIMIT_SECONDS
    );
    Ok(())
}

/// Also what `idle` fills its server with.
pub fn registration(number: u64) -> String {
    let (node, instance) = (number % NODES, number / NODES);
    let service = number % SERVICES;
    let address = format!("10.{}.{}.{}", node / 62_500, node / 250 % 250, node % 250 + 1);
    format!(
        r#"{{"Node":"node-{node:05}","Address":"{address}","Service":{{"ID":"svc-{service:03}-{instance}","Service":"svc-{service:03}","Port":{},"Tags":["v1"]}},"Check":{{"CheckID":"service:svc-{service:03}-{instance}","Name":"up","ServiceID":"svc-{service:03}-{instance}","Status":"passing"}}}}"#,
        20_000 + instance
    )
}

/// Whether a service has all its instances over HTTP.
fn is_served_by_http(port: u16) -> Result<bool> {
    let path = "/v1/health/service/svc-001?passing";
    let (status, body) = Connection::open(port)?.get(path)?;
    // Each instance has one check.
    let instances = body.windows(9).filter(|part| part == br#""CheckID""#).count() as u64;
    Ok(status == 200 && instances == NODES * PER_NODE / SERVICES)
}

/// Whether the same service has addresses over DNS.
fn is_served_by_dns(server: &Server) -> Result<bool> {
    const QUESTION: &[u8] =
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07svc-001\x07service\x06consul\0\0\x01\0\x01";
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind")?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    socket.send_to(QUESTION, ("127.0.0.1", server.dns_port)).context("ask")?;
    let mut answer = [0; 512];
    // No answer is no error: it may not listen yet.
    let Ok(length) = socket.recv(&mut answer) else { return Ok(false) };
    ensure!(length >= 12, "an answer of {length} bytes");
    let (rcode, records) = (answer[3] & 15, u16::from_be_bytes([answer[6], answer[7]]));
    Ok(rcode == 0 && records > 0)
}
