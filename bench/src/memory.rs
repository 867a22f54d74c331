//! Memory with 100,000 instances, 10 on each of 10,000 nodes, a check each, against the limit.
//!
//! There is no peer in this one: the limit is what a small machine can give.

use std::time::Duration;

use anyhow::Result;

use crate::load;
use crate::measure;
use crate::process::Server;

const NODES: u64 = 10_000;
const PER_NODE: u64 = 10;
const LIMIT_BYTES: f64 = 150e6;

/// After so long an allocator has given back what it gives back.
const SETTLE: Duration = Duration::from_secs(3);

/// Fills a server and looks at its resident memory.
pub fn run() -> Result<()> {
    let server = Server::rutter()?;
    let empty = measure::resident_bytes(server.pid())?;
    let count = NODES * PER_NODE;
    let turn = measure::turn(server.pid(), || {
        load::fill(server.http_port, count, registration).map(|()| count)
    })?;
    std::thread::sleep(SETTLE);
    let full = measure::resident_bytes(server.pid())?;
    let server = server.again()?;
    std::thread::sleep(SETTLE);
    let again = measure::resident_bytes(server.pid())?;
    println!("  filled by {count} registrations at {:.0}/s", turn.rate());
    println!("  resident: {:.1} MB empty, {:.1} MB full", empty / 1e6, full / 1e6);
    println!("  {:.0} bytes an instance with its check", (full - empty) / count as f64);
    println!("  to the limit of {:.0} MB: × {:.2}", LIMIT_BYTES / 1e6, full / LIMIT_BYTES);
    println!(
        "  started again from disk: {:.1} MB, × {:.2}, {:.0} bytes an instance",
        again / 1e6,
        again / LIMIT_BYTES,
        (again - empty) / count as f64
    );
    Ok(())
}

/// Also what `idle` fills its server with.
pub fn registration(number: u64) -> String {
    let (node, instance) = (number % NODES, number / NODES);
    let service = number % 1_000;
    let address = format!("10.{}.{}.{}", node / 62_500, node / 250 % 250, node % 250 + 1);
    format!(
        r#"{{"Node":"node-{node:05}","Address":"{address}","Service":{{"ID":"svc-{service:03}-{instance}","Service":"svc-{service:03}","Port":{},"Tags":["v1"]}},"Check":{{"CheckID":"service:svc-{service:03}-{instance}","Name":"up","ServiceID":"svc-{service:03}-{instance}","Status":"passing"}}}}"#,
        20_000 + instance
    )
}
