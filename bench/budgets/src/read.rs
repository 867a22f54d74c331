//! One health read over HTTP, from socket to socket, the client's few instructions with it.
//!
//! Server and client run by turns in one thread. The whole way is counted since that is what a client pays
//! for, and since what is rendered when, and what is kept of it, may change inside.

use crate::world;
use anyhow::{Context as _, Result, ensure};
use httpapi::{Context, Identity, Server, Settings};
use model::TextMap;
use seams::fakes::{FakeAgent, FakeCatalog, FakeProcess};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

const ROUNDS: usize = 200;
const REQUEST: &[u8] =
    b"GET /v1/health/service/service-7?passing HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Three instances, again and again.
pub fn three() -> Result<usize> {
    run(3, false)
}

/// A hundred instances, again and again.
pub fn hundred() -> Result<usize> {
    run(100, false)
}

/// A hundred instances, one of which has changed since the last read.
pub fn changed() -> Result<usize> {
    run(100, true)
}

fn run(instances: usize, changes: bool) -> Result<usize> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let catalog = FakeCatalog::with(world::view(20, instances), Vec::new());
    let server = {
        let _entered = runtime.enter();
        let listener = net::listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        httpapi::start(vec![listener], context(&catalog))?
    };
    let mut client = Client::connect(&runtime, &server)?;
    for _ in 0..10 {
        client.read(&runtime)?;
    }
    let (mut least, mut failure) = (usize::MAX, None);
    // One by one, so that a change is not counted.
    for round in 0..ROUNDS {
        if changes {
            let number = 7 * instances + round % instances;
            let nodes = 20 * instances / 10;
            let output = format!("HTTP GET: 200 OK ({round})");
            catalog.write(world::registration("service-7", number, nodes, &output));
        }
        crate::measured(|| match client.read(&runtime) {
            Ok(length) => least = least.min(length),
            Err(error) => failure = Some(error),
        });
    }
    failure.map_or(Ok(()), Err)?;
    ensure!(least > 200 * instances, "an answer of {least} bytes is too short");
    Ok(ROUNDS)
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(runtime: &Runtime, server: &Server) -> Result<Client> {
        let stream = runtime.block_on(TcpStream::connect(server.addresses()[0]))?;
        Ok(Client { stream, buffer: Vec::with_capacity(1 << 20) })
    }

    /// Asks once; says how long the body was.
    fn read(&mut self, runtime: &Runtime) -> Result<usize> {
        runtime.block_on(async {
            self.buffer.clear();
            self.stream.write_all(REQUEST).await?;
            let (mut whole, mut body) = (usize::MAX, 0);
            while self.buffer.len() < whole {
                ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "it was closed");
                if whole == usize::MAX {
                    let Some((head, length)) = lengths(&self.buffer)? else { continue };
                    (whole, body) = (head + length, length);
                }
            }
            ensure!(self.buffer.starts_with(b"HTTP/1.1 200"), "it was refused");
            Ok(body)
        })
    }
}

/// The lengths of an answer's head and body, once the head is there.
fn lengths(answer: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(Some((end + 4, length.context("an answer without a length")?.parse()?)))
}

fn context(catalog: &Arc<FakeCatalog>) -> Context {
    Context {
        identity: Identity {
            node_name: "n1".into(),
            node_id: Uuid::from_u128(1),
            node_meta: TextMap::new(),
            datacenter: "dc1".to_owned(),
            primary_datacenter: "dc1".to_owned(),
            version: "1.22.0".to_owned(),
            revision: String::new(),
            build_date: "2026-01-01T00:00:00Z".to_owned(),
            address: [127, 0, 0, 1].into(),
            server_address: SocketAddr::from(([127, 0, 0, 1], 8300)),
            serf_lan_port: 8301,
            serf_wan_port: 8302,
            http_port: 8500,
            dns_port: 8600,
            server: true,
            bootstrap: true,
            dev_mode: false,
            data_dir: String::new(),
        },
        settings: Settings::default(),
        limits: net::http::Limits::default(),
        datacenters: catalog.datacenters(),
        names: None,
        registrar: FakeAgent::new("n1", Arc::clone(catalog)),
        lifecycle: Arc::new(FakeProcess::default()),
        meters: httpapi::Meters::default(),
        metrics: httpapi::Metrics::default(),
    }
}
