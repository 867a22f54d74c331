//! `PUT /v1/catalog/register` with a synced log against etcd's put, on the same disk.
//!
//! Both over 32 connections, one request outstanding on each; etcd by its own gRPC, values of the
//! same size. Each operation changes something, so neither may skip it. One server each: both sync
//! an append of the log before they answer.

use std::time::Duration;

use anyhow::Result;

use crate::grpc;
use crate::http;
use crate::load;
use crate::measure::{self, ROUNDS, Turn};
use crate::process::Server;

const CONNECTIONS: u64 = 32;
const TURN: Duration = Duration::from_secs(4);

/// So many instances (or keys) are written over and over.
const KEYS: u64 = 10_000;

/// Writes to both in turns.
pub fn run() -> Result<()> {
    let (ours, etcd) = (Server::rutter()?, Server::etcd()?);
    let (mut our_turns, mut their_turns) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        our_turns.push(register(&ours, round)?);
        their_turns.push(put(&etcd, round)?);
    }
    println!("  {} bytes a request, {CONNECTIONS} connections", registration(0, 0).len());
    measure::compare("write", &our_turns, "etcd", &their_turns);
    Ok(())
}

fn register(server: &Server, round: u64) -> Result<Turn> {
    let write = |number, out: &mut Vec<u8>| {
        http::put(out, "/v1/catalog/register", registration(round, number).as_bytes());
    };
    let clients = (0..CONNECTIONS).map(|_| http::Pusher::new(write));
    measure::turn(server.pid(), || load::push(server.http_port, clients, TURN))
}

fn put(server: &Server, round: u64) -> Result<Turn> {
    let write = |number: u64, out: &mut Vec<u8>| {
        let key = format!("web-{:05}", number % KEYS);
        // etcd's `PutRequest`: field 1 the key, field 2 the value.
        grpc::put_bytes(out, 1, key.as_bytes());
        grpc::put_bytes(out, 2, registration(round, number).as_bytes());
    };
    let clients = (0..CONNECTIONS).map(|_| grpc::Caller::new("/etcdserverpb.KV/Put", write));
    measure::turn(server.pid(), || load::push(server.http_port, clients, TURN))
}

fn registration(round: u64, number: u64) -> String {
    let (key, port) = (number % KEYS, 10_000 + (number / KEYS + round * 1000) % 50_000);
    let node = key % 1000;
    format!(
        r#"{{"Node":"node-{node:04}","Address":"10.0.{}.{}","Service":{{"ID":"web-{key:05}","Service":"web-{:03}","Port":{port},"Tags":["v1"]}}}}"#,
        node / 250,
        node % 250 + 1,
        key % 500
    )
}
