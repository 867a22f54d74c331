//! What is kept is never told from what is rendered anew: two faces of one catalog, of which one keeps
//! nothing, answer alike whatever happens in between.

use crate::support::{Face, ask, start, start_with};
use catalog::{Acl, Command, Interest, View, Watch};
use model::{Check, Instance, Node, Status};
use prometheus_client::registry::Registry;
use seams::fakes::FakeCatalog;
use seams::{
    BoxFuture, Consistency, Datacenters, Doors, Leadership, LogPosition, Marks, ReadError, Reader,
    Subscription,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const READS: &[&str] = &[
    "/v1/health/service/web",
    "/v1/health/service/web?passing",
    "/v1/health/service/web?passing&tag=v1",
    "/v1/health/service/web?filter=Service.Port==3",
    "/v1/health/service/web?node-meta=zone:a",
    "/v1/health/service/web?peer=other",
    "/v1/health/service/absent",
    "/v1/health/service/db",
    "/v1/health/node/a",
    "/v1/health/checks/web",
    "/v1/health/state/any",
    "/v1/health/state/critical?node-meta=zone:a",
    "/v1/catalog/nodes",
    "/v1/catalog/nodes?node-meta=zone:a",
    "/v1/catalog/services",
    "/v1/catalog/services?node-meta=zone:a",
    "/v1/catalog/services?filter=ServicePort==3",
    "/v1/catalog/service/web",
    "/v1/catalog/service/web?tag=v1",
    "/v1/catalog/service/absent",
];

/// A face that keeps nothing, over the catalog of another.
fn forgetful(face: &Face) -> Face {
    let datacenters = face.catalog.datacenters();
    start_with(Acl::Off, |context| {
        context.settings.kept_bytes = 0;
        context.datacenters = datacenters;
    })
}

/// Chance that is the same in every run (Knuth's multiplier; the high bits are the good ones).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.below(words.len() as u64)).unwrap()]
    }
}

fn node(chance: &mut Chance, name: &str) -> Command {
    let zone = chance.of(&["a", "b"]);
    Command::PutNode(Node {
        name: name.into(),
        address: chance.of(&["10.0.0.1", "10.0.0.2"]).into(),
        meta: Some([("zone".into(), zone.into())].into()),
        ..Node::default()
    })
}

fn instance(chance: &mut Chance, node: &str, service: &str) -> Command {
    let tag = chance.of(&["v1", "v2"]);
    Command::PutInstance(Box::new(Instance {
        node: node.into(),
        id: service.into(),
        service: service.into(),
        port: i64::try_from(chance.below(8)).unwrap(),
        tags: [tag.into()].into(),
        ..Instance::default()
    }))
}

fn check(chance: &mut Chance, node: &str, service: &str) -> Command {
    let status = [Status::Passing, Status::Warning, Status::Critical];
    let of_node = chance.below(3) == 0;
    Command::PutCheck(Box::new(Check {
        node: node.into(),
        id: if of_node { "node" } else { service }.into(),
        instance: if of_node { "" } else { service }.into(),
        service: if of_node { "" } else { service }.into(),
        status: status[usize::try_from(chance.below(3)).unwrap()].clone(),
        output: chance.of(&["fine", "slow", "down"]).into(),
        ..Check::default()
    }))
}

fn change(chance: &mut Chance) -> Vec<Command> {
    let (on, service) = (chance.of(&["a", "b", "c"]), chance.of(&["web", "db"]));
    match chance.below(10) {
        0 => vec![Command::RemoveNode(on.into())],
        1 => vec![Command::RemoveInstance(on.into(), service.into())],
        2 => vec![Command::RemoveCheck(on.into(), service.into())],
        3 => vec![node(chance, on)],
        4..=6 => vec![node(chance, on), instance(chance, on, service)],
        _ => vec![check(chance, on, service)],
    }
}

#[tokio::test]
async fn what_is_kept_is_what_would_be_rendered() {
    let keeps = start_with(Acl::Off, |context| {
        let mut registry = Registry::default();
        context.meters.register(&mut registry);
        context.metrics = httpapi::Metrics::new(registry);
    });
    let forgets = forgetful(&keeps);
    for seed in 1..=2 {
        let mut chance = Chance(seed);
        for step in 0..40 {
            keeps.catalog.write(change(&mut chance));
            for path in READS {
                let (first, again) = (keeps.get(path).await, keeps.get(path).await);
                let fresh = forgets.get(path).await;
                let place = format!("seed {seed}, step {step}: {path}");
                assert_eq!(first.body, fresh.body, "{place}");
                assert_eq!(again.body, fresh.body, "{place}");
                assert_eq!(
                    (first.index(), again.index()),
                    (fresh.index(), fresh.index()),
                    "{place}"
                );
            }
        }
    }
    let metrics = keeps.get("/metrics").await.body;
    for result in ["hit", "miss"] {
        let name = format!("http_kept_looked_total{{kind=\"read\",result=\"{result}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
        assert!(count.is_some_and(|count| count != "0"), "{name}{count:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_shows_what_was_written_before_it_however_many_read() {
    let face = start();
    face.catalog.write(vec![node(&mut Chance(1), "a")]);
    let written = AtomicU64::new(0);
    let put = |port: u64| {
        let instance = Instance {
            node: "a".into(),
            id: "web".into(),
            service: "web".into(),
            port: i64::try_from(port).unwrap(),
            ..Instance::default()
        };
        face.catalog.write(vec![Command::PutInstance(Box::new(instance))]);
        written.store(port, Ordering::SeqCst);
    };
    put(1);
    let read = async || {
        while written.load(Ordering::SeqCst) < 300 {
            let least = written.load(Ordering::SeqCst);
            let body = face.get("/v1/health/service/web?passing").await.body;
            let (_, rest) = body.split_once(r#""Port":"#).expect("a port");
            let port: u64 = rest.split(',').next().unwrap().parse().expect("a number");
            assert!(port >= least, "{port} after {least} was written");
        }
    };
    let write = async {
        for port in 2..=300 {
            put(port);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(read(), read(), read(), write);
}

const WEB: &str = "/v1/health/service/web";

fn put_web(catalog: &FakeCatalog, port: i64) {
    let node = Node { name: "a".into(), address: "10.0.0.1".into(), ..Node::default() };
    let (id, service) = ("web".into(), "web".into());
    let web = Instance { node: "a".into(), id, service, port, ..Instance::default() };
    catalog.write(vec![Command::PutNode(node), Command::PutInstance(Box::new(web))]);
}

/// A reader that has once loaded a view when something changes, and somebody else asks of it.
struct Late {
    inner: Arc<dyn Reader>,
    catalog: Arc<FakeCatalog>,
    face: OnceLock<SocketAddr>,
    loads: AtomicU64,
}

impl Reader for Late {
    fn view(&self) -> Arc<View> {
        self.inner.view()
    }

    fn marks(&self) -> Option<&Marks> {
        self.inner.marks()
    }

    fn current(&self, how: Consistency) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        Box::pin(async move {
            let view = self.inner.current(how).await?;
            // The second to load is the one that is late.
            if self.loads.fetch_add(1, Ordering::Relaxed) == 1 {
                put_web(&self.catalog, 2);
                ask(*self.face.get().expect("a face"), "GET", WEB, "", "").await;
            }
            Ok(view)
        })
    }

    fn subscribe(&self, watches: &[Watch]) -> Subscription {
        self.inner.subscribe(watches)
    }

    fn hold(&self, what: Interest, limit: Duration) -> BoxFuture<'_, Result<Arc<View>, ReadError>> {
        self.inner.hold(what, limit)
    }

    fn leadership(&self) -> Leadership {
        self.inner.leadership()
    }

    fn log_position(&self) -> LogPosition {
        self.inner.log_position()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_kept_of_a_newer_view_is_news_to_who_waits() {
    let face = start();
    let doors = face.catalog.doors();
    let late = Arc::new(Late {
        inner: Arc::clone(&doors.reader),
        catalog: Arc::clone(&face.catalog),
        face: OnceLock::new(),
        loads: AtomicU64::new(0),
    });
    let doors = Doors { reader: late.clone(), writer: doors.writer, sessions: doors.sessions };
    let waiting = start_with(Acl::Off, |context| {
        context.datacenters = Datacenters::only("dc1", doors);
    });
    late.face.set(waiting.address()).expect("set once");
    put_web(&face.catalog, 1);
    let first = waiting.get(WEB).await;
    let told = waiting.get(&format!("{WEB}?index={}&wait=2s", first.index())).await;
    let now = waiting.get(WEB).await;
    assert_eq!((told.index(), &told.body), (now.index(), &now.body));
    assert!(told.index() > first.index());
}
