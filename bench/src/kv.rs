//! `PUT` and `GET /v1/kv/` against etcd's put and range, on the same disk.
//!
//! The same keys and values over 32 connections, one request outstanding on each; etcd by its own
//! gRPC. Puts are synced by both before they are answered. Both read what is newest, ours by the
//! leader's lease, etcd by its read index.

use std::time::Duration;

use anyhow::Result;

use crate::grpc;
use crate::http;
use crate::load;
use crate::measure::{self, ROUNDS, Turn};
use crate::process::Server;

const CONNECTIONS: u64 = 32;
const TURN: Duration = Duration::from_secs(2);

/// So many keys are written over and over, and then read.
const KEYS: u64 = 5_000;

/// Bytes of a value.
const VALUE: usize = 128;

/// Puts to both in turns, and gets from both in turns.
pub fn run() -> Result<()> {
    let (ours, etcd) = (Server::rutter()?, Server::etcd()?);
    let turns = |one: &dyn Fn(&Server, u64) -> Result<Turn>,
                 other: &dyn Fn(&Server, u64) -> Result<Turn>| {
        let (mut our_turns, mut their_turns) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS as u64 {
            our_turns.push(one(&ours, round)?);
            their_turns.push(other(&etcd, round)?);
        }
        Result::<_>::Ok((our_turns, their_turns))
    };
    println!("  {KEYS} keys with {VALUE} bytes each, {CONNECTIONS} connections");
    let (our_puts, their_puts) = turns(&put, &etcd_put)?;
    measure::compare("put", &our_puts, "etcd", &their_puts);
    // A turn may not have come to every key.
    for (server, fill) in [(&ours, put as fn(&Server, u64) -> Result<Turn>), (&etcd, etcd_put)] {
        fill(server, ROUNDS as u64)?;
    }
    let (our_gets, their_gets) = turns(&get, &etcd_get)?;
    measure::compare("get", &our_gets, "etcd", &their_gets);
    Ok(())
}

fn key(number: u64) -> String {
    format!("bench/app-{:05}", number % KEYS)
}

/// Differs with each pass over the keys and each round, so that nothing is written twice.
fn value(round: u64, number: u64) -> [u8; VALUE] {
    let mut value = [b'x'; VALUE];
    let text = format!("{round} {number} ");
    value[..text.len()].copy_from_slice(text.as_bytes());
    value
}

fn put(server: &Server, round: u64) -> Result<Turn> {
    push(server, move |number, out| {
        http::put(out, &format!("/v1/kv/{}", key(number)), &value(round, number));
    })
}

fn get(server: &Server, _: u64) -> Result<Turn> {
    push(server, |number, out| http::get(out, &format!("/v1/kv/{}", key(number))))
}

fn push(server: &Server, write: impl FnMut(u64, &mut Vec<u8>) + Clone) -> Result<Turn> {
    let clients = (0..CONNECTIONS).map(|_| http::Pusher::new(write.clone()));
    measure::turn(server.pid(), || load::push(server.http_port, clients, TURN))
}

fn etcd_put(server: &Server, round: u64) -> Result<Turn> {
    // `PutRequest`: field 1 the key, field 2 the value.
    call(server, "/etcdserverpb.KV/Put", move |number, out| {
        grpc::put_bytes(out, 1, key(number).as_bytes());
        grpc::put_bytes(out, 2, &value(round, number));
    })
}

fn etcd_get(server: &Server, _: u64) -> Result<Turn> {
    // `RangeRequest`: field 1 the key; without a second it asks for this one alone.
    call(server, "/etcdserverpb.KV/Range", |number, out| {
        grpc::put_bytes(out, 1, key(number).as_bytes());
    })
}

fn call(
    server: &Server,
    method: &str,
    write: impl FnMut(u64, &mut Vec<u8>) + Clone,
) -> Result<Turn> {
    let clients = (0..CONNECTIONS).map(|_| grpc::Caller::new(method, write.clone()));
    measure::turn(server.pid(), || load::push(server.http_port, clients, TURN))
}
