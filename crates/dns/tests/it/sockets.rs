//! Real sockets: one port for both, a second server refused, prompt ends, the slow path.

use crate::ask::{ask, packet, read};
use crate::world::World;
use catalog::Interest;
use dns::{
    Answers, Config, Count, Limits, Meters, Path, Readers, Reason, Server, StartError, Transport,
};
use seams::fakes::FakeCatalog;
use seams::{BoxFuture, Consistency, Leadership, Projection, ReadError, Reader, Subscription};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

pub const LIMIT: Duration = Duration::from_secs(20);

/// A server and the runtime under it.
pub struct Running {
    server: Option<Server>,
    pub address: SocketAddr,
    pub world: World,
    runtime: Runtime,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads")
}

pub fn serve(world: World, readers: Readers) -> Running {
    let runtime = runtime();
    let server = start(&runtime, "127.0.0.1:0", &world, readers).expect("starts");
    let address = server.addresses()[0];
    Running { server: Some(server), address, world, runtime }
}

fn start(
    runtime: &Runtime,
    address: &str,
    world: &World,
    readers: Readers,
) -> Result<Server, StartError> {
    let _inside = runtime.enter();
    let listen = [address.parse().expect("an address")];
    let sockets = dns::bind(&listen, &world.config)?;
    dns::start(sockets, &world.config, &world.table, readers, &Meters::default())
}

pub fn own(world: &World) -> Readers {
    let own = Arc::clone(&world.catalog) as Arc<dyn Reader>;
    Readers { own, others: Default::default() }
}

pub fn small_world(config: Config) -> World {
    let world = World::new(config);
    world.lines("node n1 10.0.0.1 | web w n1:80 | consul consul n1:8300");
    world
}

impl Running {
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("running")
    }

    pub fn udp(&self, packet: &[u8]) -> Option<Value> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit");
        socket.send_to(packet, self.address).expect("sent");
        let mut answer = vec![0; 65_535];
        let (length, from) = socket.recv_from(&mut answer).ok()?;
        assert_eq!(from, self.address);
        Some(read(&answer[..length]))
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream
    }

    fn connect_from(&self, client: &str) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(client.parse().expect("an address")).expect("an address of this host");
        let stream = self.runtime.block_on(socket.connect(self.address)).expect("connected");
        let stream = stream.into_std().expect("a stream");
        stream.set_nonblocking(false).expect("blocking");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream
    }

    pub fn until(&self, what: &str, holds: impl Fn(&Server) -> bool) {
        let begun = Instant::now();
        while !holds(self.server()) {
            assert!(begun.elapsed() < LIMIT, "{what}: {:?}", self.server().counters());
            std::thread::yield_now();
        }
    }
}

pub fn framed(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes()[..], packet].concat()
}

pub fn take(stream: &mut TcpStream) -> Option<Value> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).ok()?;
    Some(read(&answer))
}

#[test]
fn udp_and_tcp_answer_on_one_port_and_a_write_is_seen_at_once() {
    let world = small_world(Config::default());
    let readers = own(&world);
    let running = serve(world, readers);
    let question = ask("web.service.consul", "A");
    let over_udp = running.udp(&question).expect("an answer");
    assert_eq!(over_udp["answer"][0]["rdata"], "10.0.0.1");
    let mut stream = running.connect();
    stream.write_all(&framed(&question)).expect("sent");
    assert_eq!(take(&mut stream), Some(over_udp));
    for number in 2..200 {
        running.world.lines(&format!("node m{number} 10.1.0.{number} | s{number} s m{number}:1"));
        let answer =
            running.udp(&ask(&format!("s{number}.service.consul"), "A")).expect("an answer");
        assert_eq!(answer["answer"][0]["rdata"], format!("10.1.0.{number}"));
    }
    let counts = running.server().counters();
    assert_eq!(counts.answered(Transport::Tcp, Path::Hot), 1);
    let (qtype, rcode) = ("A", "NOERROR");
    let over_udp = Answers { qtype, rcode, transport: Transport::Udp, path: Path::Hot, count: 199 };
    assert!(counts.answers.contains(&over_udp), "{counts:?}");
}

#[test]
fn a_second_server_on_the_port_is_refused_and_the_first_goes_on() {
    let world = small_world(Config::default());
    let readers = own(&world);
    let running = serve(world, readers);
    let address = running.address.to_string();
    let error = start(&running.runtime, &address, &running.world, own(&running.world));
    let error = error.expect_err("taken");
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    assert_eq!(source, format!("TCP address {address} is already in use by another process"));
    assert!(running.udp(&ask("web.service.consul", "A")).is_some());
}

#[test]
fn shutting_down_is_prompt_and_frees_the_port() {
    let world = small_world(Config::default());
    let readers = own(&world);
    let mut running = serve(world, readers);
    let mut stream = running.connect();
    stream.write_all(&framed(&ask("web.service.consul", "A"))).expect("sent");
    assert!(take(&mut stream).is_some());
    let begun = Instant::now();
    running.server.take().expect("running").shutdown();
    // The idle connection would be waited for ten seconds.
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    assert_eq!(take(&mut stream), None, "the connection is closed");
    let begun = Instant::now();
    let address = running.address.to_string();
    while start(&running.runtime, &address, &running.world, own(&running.world)).is_err() {
        assert!(begun.elapsed() < LIMIT, "the port is not free again");
        std::thread::yield_now();
    }
}

#[test]
fn questions_over_tcp_may_be_pipelined() {
    let world = small_world(Config::default());
    let readers = own(&world);
    let running = serve(world, readers);
    let mut stream = running.connect();
    let names = ["web.service.consul", "n1.node.consul", "nope.service.consul"];
    let mut sent = Vec::new();
    for round in 0..30 {
        sent.extend(framed(&ask(names[round % 3], "A")));
    }
    // An answer among them is passed over.
    let mut odd = ask("web.service.consul", "A");
    odd[2] |= 0x80;
    sent.splice(0..0, framed(&odd));
    stream.write_all(&sent).expect("sent");
    for round in 0..30 {
        let answer = take(&mut stream).expect("an answer");
        assert_eq!(answer["question"][0][0], format!("{}.", names[round % 3]));
    }
}

#[test]
fn an_answer_over_tcp_does_not_wait_for_the_next_question() {
    let limits = Limits { tcp_idle: Duration::from_secs(60), ..Limits::default() };
    let world = small_world(Config { limits, ..Config::default() });
    let readers = own(&world);
    let running = serve(world, readers);
    let question = framed(&ask("web.service.consul", "A"));
    let mut odd = question.clone();
    odd[4] |= 0x80;
    for after in [&question[..1], &question[..20], &odd] {
        let mut stream = running.connect();
        stream.write_all(&[&question, after].concat()).expect("sent");
        assert!(take(&mut stream).is_some(), "nothing came before {} bytes", after.len());
    }
}

#[test]
fn names_beyond_ascii_are_found_as_they_were_handed_out() {
    let world = World::new(Config::default());
    world.lines(
        "node É1 10.0.0.1 | WÉB w É1:80 tags=Ätag
         node n2 10.0.0.2 | \u{212a} k n2:80 address=10.0.0.9 | plain p n2:80 address=wéb.service.consul",
    );
    let readers = own(&world);
    let running = serve(world, readers);
    let data = |name: &str, qtype: &str| {
        let answer = running.udp(&ask(name, qtype)).expect("an answer");
        answer["answer"][0]["rdata"].as_str().map(str::to_owned)
    };
    for name in ["wéb", "WÉB", "WéB", "ätag.WÉB", "Ätag.wéb", "ÄTAG.wéb"] {
        let name = format!("{name}.service.consul");
        assert_eq!(data(&name, "A").as_deref(), Some("10.0.0.1"), "{name}");
        assert!(data(&name, "SRV").is_some(), "{name}");
    }
    for name in ["É1.node.dc1.consul", "é1.node.consul"] {
        assert_eq!(data(name, "A").as_deref(), Some("10.0.0.1"), "{name}");
    }
    // The Kelvin sign folds to a letter of ASCII.
    for name in ["\u{212a}.service.consul", "k.service.consul"] {
        assert_eq!(data(name, "A").as_deref(), Some("10.0.0.9"), "{name}");
    }
    assert!(data("9.0.0.10.in-addr.arpa", "PTR").is_some());
    let alias = running.udp(&ask("plain.service.consul", "A")).expect("an answer");
    assert_eq!(alias["answer"][1]["rdata"], "10.0.0.1", "{alias}");
    let mut broken = ask("xyz.service.consul", "A");
    broken[13] = 0xFF;
    assert_eq!(running.udp(&broken).expect("an answer")["rcode"], "NXDOMAIN");
}

#[test]
fn tcp_connections_are_bounded_in_number_time_and_size() {
    let limits =
        Limits { tcp_connections: 2, tcp_idle: Duration::from_secs(2), ..Limits::default() };
    let world = small_world(Config { limits, ..Config::default() });
    let readers = own(&world);
    let running = serve(world, readers);
    let mut silent = [running.connect(), running.connect()];
    silent[0].write_all(&framed(&ask("web.service.consul", "A"))).expect("sent");
    assert!(take(&mut silent[0]).is_some());
    assert_eq!(take(&mut running.connect()), None, "the third is closed at once");
    running.until("one refused", |server| server.counters().of(Count::ConnectionsRefused) == 1);
    for stream in &mut silent {
        assert_eq!(take(stream), None, "closed after its idle time");
    }
    running.until("two dropped", |server| server.counters().of(Count::ConnectionsDropped) == 2);
    let mut large = running.connect();
    large.write_all(&[0xFF, 0xFF, 0]).expect("sent");
    assert_eq!(take(&mut large), None);
}

#[test]
fn one_client_does_not_take_all_tcp_connections() {
    let limits = Limits { tcp_connections_per_client: 2, ..Limits::default() };
    let world = small_world(Config { limits, ..Config::default() });
    let readers = own(&world);
    let running = serve(world, readers);
    let question = framed(&ask("web.service.consul", "A"));
    let mut silent = vec![running.connect(), running.connect()];
    assert_eq!(take(&mut running.connect()), None, "the third is closed at once");
    let mut other = running.connect_from("127.0.0.2:0");
    other.write_all(&question).expect("sent");
    assert!(take(&mut other).is_some(), "another client is answered");
    silent.pop();
    let begun = Instant::now();
    loop {
        let mut again = running.connect();
        // A connection that is closed at once may refuse the bytes already.
        if again.write_all(&question).is_ok() && take(&mut again).is_some() {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "a place given back is not taken again");
    }
}

#[test]
fn odd_messages_are_read_on_the_slow_path() {
    let world = small_world(Config::default());
    let readers = own(&world);
    let running = serve(world, readers);
    let plain = running.udp(&ask("web.service.consul", "A")).expect("an answer");
    // Bytes after the end.
    let mut trailing = ask("web.service.consul", "A");
    trailing.extend_from_slice(b"xyz");
    assert_eq!(running.udp(&trailing), Some(plain.clone()));
    // A record beside the question.
    let mut extra = ask("web.service.consul", "A");
    extra[11] = 1;
    extra.extend_from_slice(b"\0\0\x10\0\x01\0\0\0\0\0\x02\x01x");
    assert_eq!(running.udp(&extra), Some(plain));
    // A question that points to itself, and one that points into the header.
    for pointer in [12, 0] {
        let mut looping = ask("web.service.consul", "A");
        looping.truncate(12);
        looping.extend_from_slice(&[0xC0, pointer, 0, 1, 0, 1]);
        let answer = running.udp(&looping).expect("an answer");
        assert_eq!((&answer["rcode"], &answer["question"]), (&json!("FORMERR"), &json!([])));
    }
    // A record cut short.
    let mut cut = ask("web.service.consul", "A");
    cut[7] = 1;
    cut.extend_from_slice(b"\0\0\x10\0\x01\0\0");
    assert_eq!(running.udp(&cut).expect("an answer")["rcode"], "FORMERR");
    let counts = running.server().counters();
    let detoured = |why| counts.detoured(why, Transport::Udp);
    assert_eq!((detoured(Reason::Extras), detoured(Reason::Compressed)), (3, 2));
    assert_eq!(counts.answered(Transport::Udp, Path::Slow), 5);
    // Over TCP the same.
    let mut stream = running.connect();
    stream.write_all(&framed(&trailing)).expect("sent");
    assert_eq!(take(&mut stream).expect("an answer")["answer"][0]["rdata"], "10.0.0.1");
}

#[test]
fn what_is_not_held_is_obtained_and_answered() {
    let catalog = FakeCatalog::new(catalog::Acl::Off);
    let config = Config::default();
    // The table follows an agent's view, which holds nothing.
    let world = World { table: dns::table(&config), catalog, config };
    world.lines("node n1 10.0.0.1 | web w n1:80 tags=v1 | down d n1:1 critical");
    world.catalog.hold_nothing();
    world.table.publish(&world.catalog.view(), &catalog::Touched::everything());
    let readers = own(&world);
    let running = serve(world, readers);
    for (name, rcode, held) in [
        ("v1.web.service.consul", "NOERROR", 1),
        ("web.service.consul", "NOERROR", 1),
        ("n1.node.consul", "NOERROR", 2),
        ("down.service.consul", "NXDOMAIN", 3),
        ("nope.service.consul", "NXDOMAIN", 4),
        ("nope.node.consul", "NXDOMAIN", 5),
        ("web.service.dc9.consul", "NXDOMAIN", 5),
        ("7f000001.addr.consul", "NOERROR", 5),
    ] {
        let answer = running.udp(&ask(name, "A")).expect("an answer");
        assert_eq!(answer["rcode"], rcode, "{name}");
        assert_eq!(running.world.catalog.held_on_demand(), held, "{name}");
    }
    // Once the table holds it, the hot path answers.
    let before = running.server().counters().detoured(Reason::NotHeld, Transport::Udp);
    let node = model::Node { name: "n1".into(), address: "10.0.0.9".into(), ..Default::default() };
    let entry = catalog::Entry {
        time: model::Timestamp(0),
        author: model::Author::default(),
        owner: model::Owner::http(),
        claim: Default::default(),
        tenant: model::Tenant::DEFAULT,
        request: None,
        commands: vec![catalog::Command::PutNode(node)],
    };
    let held = running.world.catalog.view();
    let applied = catalog::apply(&held, [(model::Index(held.index().0 + 1), entry)]);
    running.world.table.publish(&Arc::new(applied.view), &applied.touched);
    let answer = running.udp(&ask("web.service.consul", "SRV")).expect("an answer");
    assert_eq!(answer["additional"][0]["rdata"], "10.0.0.9");
    assert_eq!(running.server().counters().detoured(Reason::NotHeld, Transport::Udp), before);
}

/// A reader that never obtains anything.
struct Stuck(Arc<FakeCatalog>);

impl Reader for Stuck {
    fn view(&self) -> Arc<catalog::View> {
        self.0.view()
    }

    fn current(
        &self,
        consistency: Consistency,
    ) -> BoxFuture<'_, Result<Arc<catalog::View>, ReadError>> {
        self.0.current(consistency)
    }

    fn subscribe(&self, watches: &[catalog::Watch]) -> Subscription {
        self.0.subscribe(watches)
    }

    fn hold(
        &self,
        _: Interest,
        _: Duration,
    ) -> BoxFuture<'_, Result<Arc<catalog::View>, ReadError>> {
        Box::pin(std::future::pending())
    }

    fn leadership(&self) -> Leadership {
        self.0.leadership()
    }

    fn log_position(&self) -> seams::LogPosition {
        self.0.log_position()
    }
}

#[test]
fn what_does_not_come_in_time_is_a_server_failure_and_nothing_is_unbounded() {
    let catalog = FakeCatalog::new(catalog::Acl::Off);
    let limits =
        Limits { hold: Duration::from_millis(300), slow_questions: 4, ..Limits::default() };
    let config = Config { limits, threads: 1, ..Config::default() };
    let world = World { table: dns::table(&config), catalog, config };
    world.catalog.hold_nothing();
    let stuck = Arc::new(Stuck(Arc::clone(&world.catalog)));
    let running = serve(world, Readers { own: stuck, others: Default::default() });
    let begun = Instant::now();
    let answer = running.udp(&packet(
        &json!({"name": "web.service.consul", "type": "A", "options": {"bufsize": 1232}}),
    ));
    let answer = answer.expect("an answer");
    assert_eq!((&answer["rcode"], &answer["edns"]["udp"]), (&json!("SERVFAIL"), &json!(1232)));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for _ in 0..30 {
        socket.send_to(&ask("web.service.consul", "A"), running.address).expect("sent");
    }
    running.until("most are shed", |server| server.counters().of(Count::Shed) >= 20);
    assert!(running.udp(&ask("7f000001.addr.consul", "A")).is_some(), "the hot path goes on");
}

#[test]
fn another_datacenter_is_asked_through_its_reader() {
    let world = small_world(Config::default());
    let far = World::new(Config::default());
    far.lines("node f1 10.2.0.1 | far f f1:90");
    let mut readers = own(&world);
    readers.others.insert("dc2".to_owned(), Arc::clone(&far.catalog) as Arc<dyn Reader>);
    let running = serve(world, readers);
    let answer = running.udp(&ask("far.service.DC2.consul", "SRV")).expect("an answer");
    assert_eq!(answer["answer"][0]["rdata"], "1 1 90 f1.node.dc2.consul.");
    assert_eq!(answer["additional"][0]["name"], "f1.node.dc2.consul.");
    for (name, rcode) in [
        ("f1.node.dc2.consul", "NOERROR"),
        ("f1.node.consul", "NXDOMAIN"),
        ("nope.node.dc2.consul", "NXDOMAIN"),
        ("n1.node.dc3.consul", "NXDOMAIN"),
        ("n1.node.dc1.consul", "NOERROR"),
    ] {
        assert_eq!(running.udp(&ask(name, "A")).expect("an answer")["rcode"], rcode, "{name}");
    }
    let far = running.server().counters().detoured(Reason::Datacenter, Transport::Udp);
    assert_eq!(far, 3);
}
