//! CPU per `GET /v1/health/service/:name?passing` against nginx, which sends the very same bytes from
//! files.
//!
//! 32 kept connections, one request outstanding on each; services of 3 and of 100 instances, each
//! instance on a node of its own with one passing check. The first answer is compared with what the
//! registrations must give, each later one with the first.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::http::{self, Connection};
use crate::load;
use crate::measure::{self, ROUNDS, Turn};
use crate::process::Server;

const CONNECTIONS: u64 = 32;
const TURN: Duration = Duration::from_secs(3);

/// Services by how many instances they have.
const SIZES: [u64; 2] = [3, 100];

/// Fills ours, gives nginx its answers as files, then asks both in turns.
pub fn run() -> Result<()> {
    let ours = Server::rutter()?;
    let mut files = Vec::new();
    for size in SIZES {
        load::fill(ours.http_port, size, |number| registration(size, number))?;
        let body = ask_once(&ours, &path(size))?;
        let (shown, expected) = (without_indexes(&body)?, expected(size));
        ensure!(shown == expected, "not what was registered:\n{shown}\n{expected}");
        files.push((path(size).trim_end_matches("?passing").to_owned(), body));
    }
    let nginx = Server::nginx(&files)?;
    for (size, (_, body)) in SIZES.into_iter().zip(files) {
        let body = Arc::from(body);
        let (mut our_turns, mut their_turns) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            our_turns.push(one_turn(&ours, &path(size), &body)?);
            their_turns.push(one_turn(&nginx, &path(size), &body)?);
        }
        println!("  {size} instances, {} bytes, {CONNECTIONS} connections", body.len());
        measure::compare("request", &our_turns, "nginx", &their_turns);
    }
    Ok(())
}

fn one_turn(server: &Server, path: &str, body: &Arc<[u8]>) -> Result<Turn> {
    let client = |_| http::Pusher::new(|_, out| http::get(out, path)).expecting(body);
    let clients = (0..CONNECTIONS).map(client);
    measure::turn(server.pid(), || load::push(server.http_port, clients, TURN))
}

fn ask_once(server: &Server, path: &str) -> Result<Vec<u8>> {
    let (status, body) = Connection::open(server.http_port)?.get(path)?;
    ensure!(status == 200, "{status} {}", String::from_utf8_lossy(&body));
    Ok(body)
}

fn path(size: u64) -> String {
    format!("/v1/health/service/of-{size}?passing")
}

fn address(number: u64) -> String {
    format!("10.0.{}.{}", number / 250, number % 250 + 1)
}

fn registration(size: u64, number: u64) -> String {
    format!(
        r#"{{"Node":"node-{size}-{number:03}","Address":"{}","Service":{{"ID":"of-{size}-{number}","Service":"of-{size}","Port":8080,"Tags":["v1"]}},"Check":{{"CheckID":"c-{size}-{number}","Name":"answers","Status":"passing","ServiceID":"of-{size}-{number}"}}}}"#,
        address(number)
    )
}

/// The answer as it must be, with every index as 0; nodes are in the order of their names.
fn expected(size: u64) -> String {
    let of = |number: u64| {
        let (node, id) = (format!("node-{size}-{number:03}"), format!("of-{size}-{number}"));
        format!(
            concat!(
                r#"{{"Node":{{"ID":"","Node":"{node}","Address":"{address}","Datacenter":"dc1","#,
                r#""TaggedAddresses":null,"Meta":null,"CreateIndex":0,"ModifyIndex":0}},"#,
                r#""Service":{{"ID":"{id}","Service":"of-{size}","Tags":["v1"],"Address":"","#,
                r#""Meta":null,"Port":8080,"Weights":{{"Passing":1,"Warning":1}},"#,
                r#""EnableTagOverride":false,"Proxy":{{"Expose":{{}},"MeshGateway":{{}},"Mode":""}},"#,
                r#""Connect":{{}},"PeerName":"","CreateIndex":0,"ModifyIndex":0}},"#,
                r#""Checks":[{{"Node":"{node}","CheckID":"c-{size}-{number}","Name":"answers","#,
                r#""Status":"passing","Notes":"","Output":"","ServiceID":"{id}","#,
                r#""ServiceName":"of-{size}","ServiceTags":["v1"],"Type":"","Interval":"","#,
                r#""Timeout":"","ExposedPort":0,"Definition":{{}},"CreateIndex":0,"ModifyIndex":0}}]}}"#,
            ),
            node = node,
            id = id,
            size = size,
            number = number,
            address = address(number),
        )
    };
    format!("[{}]", (0..size).map(of).collect::<Vec<_>>().join(","))
}

/// A body with every index as 0: which entry of the log made a row depends on who came first.
fn without_indexes(body: &[u8]) -> Result<String> {
    const MARK: &str = "Index\":";
    let mut rest = std::str::from_utf8(body).context("an answer in UTF-8")?;
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find(MARK) {
        let (before, number) = rest.split_at(at + MARK.len());
        out.push_str(before);
        out.push('0');
        rest = number.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_taken_out_and_nothing_else() {
        let body = br#"[{"a":12,"CreateIndex":34,"ModifyIndex":5}]"#;
        let shown = without_indexes(body).expect("text");
        assert_eq!(shown, r#"[{"a":12,"CreateIndex":0,"ModifyIndex":0}]"#);
    }
}
