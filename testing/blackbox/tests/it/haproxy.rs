//! HAProxy, configured by our example, follows a service by its SRV records and loses no request on the way.
//!
//! The backends and the client are threads of this test; HAProxy and rutter are processes. They listen on a loopback
//! address of this test's own, so that nobody takes rutter's ports while it restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use blackbox::addresses::own_loopback;
use blackbox::binary::workspace;
use blackbox::http::Http;
use blackbox::packet;
use blackbox::server::{Launch, Server};
use blackbox::tools::{find, present};
use blackbox::wait::{SOON, until};
use serde_json::json;

/// For what HAProxy does at its next resolution or two, on a busy machine.
const FOLLOWED: Duration = Duration::from_secs(30);

/// Requests that show who serves: with five equal servers in turn, each has its share several times over.
const ROUND: usize = 40;

/// A web server that answers with its name.
struct Backend {
    name: String,
    addr: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    fn start(name: &str) -> Result<Backend> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (addr, ended) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let (name, flag, body) = (name.to_owned(), ended.clone(), name.to_owned());
        let serve = move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(&stream, &body);
                if flag.load(Ordering::SeqCst) {
                    return;
                }
            }
        };
        Ok(Backend { name, addr, ended, thread: Some(std::thread::spawn(serve)) })
    }

    /// Ends it as a crash would: its port refuses connections from now on.
    fn die(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Registers it, or again with another weight. Its report outlives a restart, an initial status would not.
    fn register(&self, server: &Server, weight: u16) -> Result<()> {
        let body = json!({
            "Name": "web", "ID": self.name, "Port": self.addr.port(),
            "Weights": { "Passing": weight, "Warning": 1 },
            "Check": { "TTL": "10m" },
        });
        server.client().put_ok("/v1/agent/service/register", body.to_string())?;
        self.report(server, "pass")
    }

    fn report(&self, server: &Server, what: &str) -> Result<()> {
        let path = format!("/v1/agent/check/{what}/service:{}", self.name);
        server.client().put_ok(&path, "").map(drop)
    }

    fn deregister(&self, server: &Server) -> Result<()> {
        let path = format!("/v1/agent/service/deregister/{}", self.name);
        server.client().put_ok(&path, "").map(drop)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.die();
    }
}

/// HAProxy's own probes connect and say nothing.
fn answer(mut stream: &TcpStream, body: &str) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream).lines();
    ensure!(lines.next().transpose()?.is_some(), "nothing was asked");
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}

/// A client that never stops asking, one bounded request after another.
struct Traffic {
    seen: Arc<Mutex<Vec<Result<String, String>>>>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    fn start(proxy: SocketAddr) -> Traffic {
        let (stop, stopped) = mpsc::channel();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let book = seen.clone();
        let ask = move || {
            let mut http = Http::new(proxy).patient(Duration::from_secs(20));
            // The pause between two requests is also where the end is heard of.
            let pause = Duration::from_millis(2);
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                let answer = http.get("/").and_then(|answer| answer.expect_status(200));
                let answer = answer.map(|a| a.text()).map_err(|error| format!("{error:#}"));
                book.lock().expect("no thread panics while it holds this").push(answer);
            }
        };
        Traffic { seen, stop: Some(stop), thread: Some(std::thread::spawn(ask)) }
    }

    /// How often each backend answered since the request of that number; fails with the first request that failed.
    fn served(&self, since: usize) -> Result<BTreeMap<String, usize>> {
        let seen = self.seen.lock().expect("no thread panics while it holds this");
        let mut served = BTreeMap::new();
        for (n, answer) in seen.iter().enumerate() {
            let name = answer.as_ref().map_err(|error| anyhow::anyhow!("request {n}: {error}"))?;
            if n >= since {
                *served.entry(name.clone()).or_default() += 1;
            }
        }
        Ok(served)
    }

    fn count(&self) -> usize {
        self.seen.lock().expect("no thread panics while it holds this").len()
    }

    /// Waits for so many more requests, and tells who answered them.
    fn round(&self, requests: usize) -> Result<BTreeMap<String, usize>> {
        let began = self.count();
        until("more requests", FOLLOWED, || {
            let count = self.count();
            ensure!(count >= began + requests, "{count} since {began}");
            Ok(())
        })?;
        self.served(began)
    }

    /// Waits for a round that exactly these backends served.
    fn comes_to(&self, expected: &[&Backend]) -> Result<()> {
        let expected: BTreeSet<&str> = expected.iter().map(|b| b.name.as_str()).collect();
        until(&format!("traffic to {expected:?}"), FOLLOWED, || {
            // A request that failed ends the wait.
            let served = match self.round(ROUND) {
                Ok(served) => served,
                Err(failed) => return Ok(Err(failed)),
            };
            let names: BTreeSet<&str> = served.keys().map(String::as_str).collect();
            ensure!(names == expected, "{served:?}");
            Ok(Ok(()))
        })?
    }

    /// No request failed, from the first to this one.
    fn unharmed(&self, after: &str) -> Result<()> {
        self.served(0).map(drop).with_context(|| format!("after {after}"))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn free_port(ip: Ipv4Addr) -> Result<SocketAddr> {
    Ok(TcpListener::bind((ip, 0))?.local_addr()?)
}

/// For the SRV records of `web`, with room for 4096 bytes (EDNS).
fn question_for_large_answers(id: u16) -> Vec<u8> {
    let mut question = packet::question(id, "web.service.consul", 33);
    question[11] = 1; // one additional record
    question.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    question
}

/// Starts it again where it was, and sees that nobody is told of fewer instances while it reads its log.
fn restarted(launch: &Launch, before: (SocketAddr, SocketAddr), instances: u16) -> Result<Server> {
    let (http, dns) = (before.0.port().to_string(), before.1.port().to_string());
    let launch = launch.clone().args(&["-http-port", &http, "-dns-port", &dns]);
    let (stop, stopped) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || -> Result<usize> {
        let socket = packet::udp(before.1, SOON)?;
        let mut answers = 0;
        for id in 0.. {
            let last = stopped.recv_timeout(Duration::from_millis(5));
            // Nobody listens yet: a resolver keeps what it has.
            if let Ok(Some(answer)) = packet::ask(&socket, &question_for_large_answers(id)) {
                match (packet::rcode(&answer), packet::answers(&answer)) {
                    (0, count) if count == instances => answers += 1,
                    (2, _) => {} // not ready, it says
                    (rcode, count) => bail!("response code {rcode} with {count} answers"),
                }
            }
            if last != Err(mpsc::RecvTimeoutError::Timeout) {
                break;
            }
        }
        Ok(answers)
    });
    let server = launch.start();
    drop(stop);
    let answers = watch.join().expect("the watch does not panic")?;
    ensure!(answers > 0, "it was not asked after its start");
    server
}

#[test]
fn haproxy_follows_srv_records_and_loses_no_request() -> Result<()> {
    if !present("haproxy_follows_srv_records_and_loses_no_request", &["haproxy"]) {
        return Ok(());
    }
    let ip = own_loopback();
    let launch = Launch::durable().args(&["-client", &ip.to_string()]);
    let server = launch.start()?;
    let mut web =
        (1..=5).map(|n| Backend::start(&format!("web-{n}"))).collect::<Result<Vec<_>>>()?;
    web[..2].iter().try_for_each(|backend| backend.register(&server, 1))?;

    let (proxy, status) = (free_port(ip)?, free_port(ip)?);
    let config = workspace().join("examples/haproxy/haproxy.cfg");
    let _haproxy = Launch::bare(&["-db", "-f", &config.to_string_lossy()])
        .program(&find("haproxy").context("it was there")?)
        .env("RUTTER_DNS", server.dns.to_string())
        .env("WEB", proxy.to_string())
        .env("STATUS", status.to_string())
        .spawn()?;
    until("HAProxy to have a server", FOLLOWED, || {
        Http::new(proxy).get("/")?.expect_status(200).map(drop)
    })?;
    let traffic = Traffic::start(proxy);
    traffic.comes_to(&[&web[0], &web[1]])?;

    web[2..].iter().try_for_each(|backend| backend.register(&server, 1))?;
    traffic.comes_to(&web.iter().collect::<Vec<_>>())?;
    traffic.unharmed("scaling to five")?;

    web[4].report(&server, "fail")?;
    let healthy: Vec<&Backend> = web[..4].iter().collect();
    traffic.comes_to(&healthy)?;
    traffic.unharmed("one became critical")?;

    let addresses = (server.http, server.dns);
    server.stop()?;
    traffic.round(10 * ROUND)?;
    let server = restarted(&launch, addresses, 4)?;
    traffic.comes_to(&healthy)?;
    traffic.unharmed("a restart of rutter")?;
    web[4].report(&server, "pass")?;
    traffic.comes_to(&web.iter().collect::<Vec<_>>())?;

    // 51 parts of 55: HAProxy's weight is a 256th of the SRV record's, and one more.
    web[0].register(&server, 50 * 256)?;
    until("most of the traffic at one", FOLLOWED, || {
        let served = traffic.round(ROUND)?;
        let most = served.get("web-1").copied().unwrap_or_default();
        ensure!(most >= ROUND / 2, "{served:?}");
        Ok(())
    })?;
    web[0].register(&server, 1)?;
    traffic.comes_to(&web.iter().collect::<Vec<_>>())?;
    traffic.unharmed("weights")?;

    web[1].die();
    traffic.comes_to(&[&web[0], &web[2], &web[3], &web[4]])?;
    traffic.unharmed("one died unannounced")?;

    web[1..].iter().try_for_each(|backend| backend.deregister(&server))?;
    traffic.comes_to(&[&web[0]])?;
    web[1..].iter_mut().for_each(Backend::die);
    traffic.round(ROUND)?;
    traffic.unharmed("scaling to one")
}
