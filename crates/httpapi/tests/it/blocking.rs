//! Who waits is answered when his own result changed, and nobody else.

use crate::support::{Face, Reply, ask, start, until};
use catalog::{Command, KvCondition, KvWrite};
use model::{Check, Instance, KvKey, Node, Session, Status};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Reads with one key each to wait for, all different, so that it shows when all of them wait.
const READERS: [&str; 11] = [
    "/v1/kv/a?x",
    "/v1/kv/b?x",
    "/v1/kv/p/?recurse",
    "/v1/kv/q/?keys&separator=/",
    "/v1/health/service/web?passing",
    "/v1/catalog/service/db?x",
    "/v1/catalog/nodes?x",
    "/v1/catalog/node/n2?x",
    "/v1/catalog/services?x",
    "/v1/session/list?x",
    "/v1/health/state/critical?x",
];

/// The same with filters.
const FILTERED: [&str; 6] = [
    "/v1/health/service/web?filter=Checks.Status==passing+or+Service.Port==1",
    "/v1/catalog/service/db?filter=ServicePort==1",
    "/v1/catalog/nodes?filter=Address+matches+%220$%22",
    "/v1/catalog/node/n2?filter=Port==1",
    "/v1/catalog/services?filter=Address+matches+%220$%22+and+ServicePort!=1",
    "/v1/health/state/any?filter=Status!=passing+and+ServiceName!=%22%22+or+Status==warning",
];

struct Waiting {
    path: &'static str,
    result: String,
    task: JoinHandle<Reply>,
}

async fn wait(face: &Face, path: &'static str) -> Waiting {
    let now = face.get(path).await;
    let (at, query) = (face.address(), format!("{path}&index={}&wait=60s", now.index()));
    let task = tokio::spawn(async move { ask(at, "GET", &query, "", "").await });
    Waiting { path, result: format!("{} {}", now.status, now.body), task }
}

async fn run(readers: &[&'static str], writes: Vec<Command>) {
    let face = start();
    let mut waiting = Vec::new();
    for path in readers.iter().copied() {
        waiting.push(wait(&face, path).await);
    }
    for write in writes {
        let all = || face.catalog.waiters().watched() == readers.len();
        until("all readers wait", all).await;
        let said = format!("{write:?}");
        face.catalog.write(vec![write]);
        let mut next = Vec::new();
        for reader in waiting {
            let now = face.get(reader.path).await;
            let result = format!("{} {}", now.status, now.body);
            if result == reader.result {
                assert!(!reader.task.is_finished(), "{} answered by {said}", reader.path);
                next.push(reader);
                continue;
            }
            let answered = tokio::time::timeout(Duration::from_secs(10), reader.task).await;
            let reply = answered.unwrap_or_else(|_| panic!("{} slept through {said}", reader.path));
            let reply = reply.expect("no panic");
            assert_eq!(format!("{} {}", reply.status, reply.body), result, "{}", reader.path);
            next.push(wait(&face, reader.path).await);
        }
        waiting = next;
    }
    waiting.iter().for_each(|reader| reader.task.abort());
}

fn put(key: &str, value: u8) -> Command {
    Command::KvPut(KvWrite {
        key: KvKey::new(key.as_bytes()),
        value: Arc::from([value]),
        flags: 0,
        condition: KvCondition::Always,
    })
}

fn write() -> impl Strategy<Value = Command> {
    let key = || prop::sample::select(vec!["a", "b", "p/1", "p/2", "q/x/1", "q/x/2", "r"]);
    let node = || prop::sample::select(vec!["n1", "n2"]);
    let service = || prop::sample::select(vec!["web", "db"]);
    let status = prop::sample::select(vec![Status::Passing, Status::Warning, Status::Critical]);
    let instance = |node: &str, service: &str, port: u8| Instance {
        node: node.into(),
        id: service.into(),
        service: service.into(),
        port: port.into(),
        ..Instance::default()
    };
    prop_oneof![
        (key(), 0u8..3).prop_map(|(key, value)| put(key, value)),
        key().prop_map(|key| Command::KvDelete(KvKey::new(key.as_bytes()), None)),
        prop::sample::select(vec!["p", "q/", ""])
            .prop_map(|prefix| Command::KvDeleteTree(KvKey::new(prefix.as_bytes()))),
        (node(), 0u8..3).prop_map(|(node, last)| Command::PutNode(Node {
            name: node.into(),
            address: format!("10.0.0.{last}").as_str().into(),
            ..Node::default()
        })),
        (node(), service(), 0u8..2)
            .prop_map(move |(n, s, port)| Command::PutInstance(Box::new(instance(n, s, port)))),
        (node(), service(), status, any::<bool>()).prop_map(|(node, service, status, own)| {
            Command::PutCheck(Box::new(Check {
                node: node.into(),
                id: if own { service } else { "node" }.into(),
                status,
                instance: if own { service } else { "" }.into(),
                ..Check::default()
            }))
        }),
        (node(), service())
            .prop_map(|(node, service)| Command::RemoveInstance(node.into(), service.into())),
        node().prop_map(|node| Command::RemoveNode(node.into())),
        (1u128..4, node()).prop_map(|(id, node)| Command::CreateSession(Box::new(Session {
            id: Uuid::from_u128(id),
            node: node.into(),
            ..Session::default()
        }))),
        (1u128..4).prop_map(|id| Command::DestroySession(Uuid::from_u128(id))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_readers_answered_are_those_whose_own_result_changed(
        writes in prop::collection::vec(write(), 1..25)
    ) {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(run(&READERS, writes.clone()));
        runtime.block_on(run(&FILTERED, writes));
    }
}

#[tokio::test]
async fn nothing_happening_brings_back_the_same_at_the_same_index() {
    let face = start();
    face.must("/v1/kv/a", "1").await;
    let now = face.get("/v1/kv/a").await;
    let began = Instant::now();
    let again = face.get(&format!("/v1/kv/a?index={}&wait=100ms", now.index())).await;
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!((again.index(), &again.body), (now.index(), &now.body));
    let from_the_future = face.get("/v1/kv/a?index=99999&wait=50ms").await;
    assert_eq!(from_the_future.index(), now.index());
}

#[tokio::test]
async fn a_touch_that_changes_nothing_wakes_nobody_and_moves_the_index() {
    let face = start();
    face.must("/v1/kv/k/a", "1").await;
    let now = face.get("/v1/kv/k/?keys").await;
    let at = face.address();
    let path = format!("/v1/kv/k/?keys&index={}&wait=2s", now.index());
    let reader = tokio::spawn(async move { ask(at, "GET", &path, "", "").await });
    until("it waits", || face.catalog.waiters().watched() == 1).await;
    face.must("/v1/kv/k/a", "2").await;
    face.must("/v1/kv/elsewhere", "3").await;
    let reply = reader.await.unwrap();
    assert_eq!((reply.index(), &reply.body), (now.index() + 1, &now.body));
}

#[tokio::test]
async fn the_end_of_a_wait_needs_a_leader_unless_stale_will_do() {
    let face = start();
    face.must("/v1/kv/a", "1").await;
    let index = face.get("/v1/kv/a").await.index();
    let at = face.address();
    let readers = ["", "&consistent", "&stale"].map(|query| {
        let path = format!("/v1/kv/a?index={index}&wait=2s{query}");
        tokio::spawn(async move { ask(at, "GET", &path, "", "").await })
    });
    until("all wait", || face.catalog.waiters().waiting() == 3).await;
    face.catalog.set_leadership(seams::Leadership::default());
    let mut statuses = Vec::new();
    for reader in readers {
        statuses.push(reader.await.unwrap().status);
    }
    assert_eq!(statuses, [500, 500, 200]);
}

#[tokio::test]
async fn an_older_index_is_answered_at_once_and_zero_never_waits() {
    let face = start();
    face.must("/v1/kv/a", "1").await;
    for query in ["index=1&wait=60s", "index=0&wait=60s", "wait=60s", "index="] {
        assert_eq!(face.get(&format!("/v1/kv/a?{query}")).await.status, 200, "{query}");
    }
}

#[tokio::test]
async fn a_leader_lost_while_waiting_is_told_at_the_next_touch_unless_stale_will_do() {
    let face = start();
    face.must("/v1/kv/a", "1").await;
    let index = face.get("/v1/kv/a").await.index();
    let at = face.address();
    let task = |query: &str| {
        let path = format!("/v1/kv/a?index={index}&wait=60s{query}");
        tokio::spawn(async move { ask(at, "GET", &path, "", "").await })
    };
    let (fresh, stale) = (task(""), task("&stale"));
    let both = || face.catalog.waiters().waiting() == 2;
    until("both wait", both).await;
    face.catalog.set_leadership(seams::Leadership::default());
    face.catalog.write(vec![put("a", 9)]);
    let fresh = fresh.await.unwrap();
    assert_eq!((fresh.status, fresh.body.as_str()), (500, "No cluster leader"));
    let stale = stale.await.unwrap();
    assert_eq!((stale.status, stale.header("X-Consul-KnownLeader")), (200, Some("false")));
}

#[tokio::test]
async fn the_end_answers_who_waits_and_a_client_that_goes_leaves_nothing() {
    let face = start();
    let at = face.address();
    let gone =
        tokio::spawn(async move { ask(at, "GET", "/v1/kv/a?index=1&wait=60s", "", "").await });
    until("it waits", || face.catalog.waiters().watched() == 1).await;
    gone.abort();
    until("its interest is gone", || face.catalog.waiters().watched() == 0).await;
    let task =
        tokio::spawn(async move { ask(at, "GET", "/v1/kv/a?index=1&wait=600s", "", "").await });
    until("it waits", || face.catalog.waiters().watched() == 1).await;
    face.server.shutdown().await;
    let answered = tokio::time::timeout(Duration::from_secs(300), task).await;
    let reply = answered.expect("before its time is over").unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (500, "shutting down"));
}
