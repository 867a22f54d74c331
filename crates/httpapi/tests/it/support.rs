//! A face on a free port, and a client for it that hides nothing.

use catalog::{Acl, View};
use httpapi::{Context, Identity, Server, Settings};
use model::TextMap;
use seams::fakes::{FakeAgent, FakeCatalog, FakeProcess};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

pub struct Face {
    pub server: Server,
    pub catalog: Arc<FakeCatalog>,
    pub agent: Arc<FakeAgent>,
    pub process: Arc<FakeProcess>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn index(&self) -> u64 {
        self.header("X-Consul-Index").expect("an index").parse().expect("a number")
    }
}

pub fn start() -> Face {
    start_with(Acl::Off, |_| {})
}

/// A face on node `n1`, with what `change` changes.
pub fn start_with(acl: Acl, change: impl FnOnce(&mut Context)) -> Face {
    let catalog = FakeCatalog::with(View::new(acl), Vec::new());
    let agent = FakeAgent::new("n1", Arc::clone(&catalog));
    let process = Arc::new(FakeProcess::default());
    let mut context = Context {
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
        registrar: Arc::<FakeAgent>::clone(&agent),
        lifecycle: Arc::<FakeProcess>::clone(&process),
        meters: httpapi::Meters::default(),
        metrics: httpapi::Metrics::default(),
    };
    change(&mut context);
    let listener = net::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let server = httpapi::start(vec![listener], context).expect("started");
    Face { server, catalog, agent, process }
}

impl Face {
    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        ask(self.address(), method, path, headers, body).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "", "").await
    }

    pub async fn put(&self, path: &str, body: &str) -> Reply {
        self.ask("PUT", path, "", body).await
    }

    #[track_caller]
    pub fn must(&self, path: &str, body: &str) -> impl Future<Output = ()> + use<'_> {
        let place = std::panic::Location::caller();
        let (path, body) = (path.to_owned(), body.to_owned());
        async move {
            let reply = self.put(&path, &body).await;
            assert_eq!(reply.status, 200, "{place}: PUT {path}: {}", reply.body);
        }
    }
}

/// One request on a connection of its own; `headers` are whole lines.
pub async fn ask(at: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let mut stream = TcpStream::connect(at).await.expect("connected");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("in time").expect("read");
    parse(&answer)
}

fn parse(answer: &[u8]) -> Reply {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.lines();
    let status = lines.next().expect("a status line").split(' ').nth(1).expect("a status");
    let headers = lines.map(|line| line.split_once(": ").expect("a header"));
    Reply {
        status: status.parse().expect("a number"),
        headers: headers.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        body: String::from_utf8_lossy(&answer[end + 4..]).into_owned(),
    }
}

/// Waits until this holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), waiting).await.is_err() {
        panic!("waited in vain until {what}");
    }
}
