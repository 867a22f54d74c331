//! What goes on while others have all the turns, and what is made once for all.

use crate::support::{Face, Reply, ask, start, start_with, until};
use catalog::{Acl, Command};
use model::{Instance, Node};
use prometheus_client::registry::Registry;
use serde_json::json;
use std::net::SocketAddr;
use tokio::task::JoinHandle;

/// Takes all turns there are: lists of the agent's services that do not end.
async fn take_all_turns(face: &Face) -> Vec<JoinHandle<Reply>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let list = || tokio::spawn(get(face.address(), "/v1/agent/services"));
    let lists = (0..threads).map(|_| list()).collect();
    until("all turns are taken", || face.agent.listing() >= (threads - 1).max(1)).await;
    lists
}

async fn get(at: SocketAddr, path: &'static str) -> Reply {
    ask(at, "GET", path, "", "").await
}

fn txn(verb: &str, key: &str) -> String {
    json!([{"KV": {"Verb": verb, "Key": key, "Value": "eA=="}}]).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_small_goes_on_while_others_have_all_the_turns() {
    let face = start();
    let check = r#"{"Name":"web","Check":{"TTL":"60s","Status":"passing"}}"#;
    face.must("/v1/agent/service/register", check).await;
    face.must("/v1/event/fire/deploy", "").await;
    face.must("/v1/kv/large", &"x".repeat(400 << 10)).await;
    let large = face.put("/v1/txn", &txn("get", "large")).await;
    assert!(large.body.len() > 400 << 10);
    let shut = face.agent.shut();
    let lists = take_all_turns(&face).await;
    for (method, path, body) in [
        ("PUT", "/v1/agent/check/pass/service:web", String::new()),
        ("PUT", "/v1/agent/check/update/service:web", r#"{"Status":"passing"}"#.to_owned()),
        // However large another transaction was.
        ("PUT", "/v1/txn", txn("set", "small")),
        ("PUT", "/v1/txn", txn("get", "small")),
        ("GET", "/v1/event/list", String::new()),
        ("GET", "/v1/agent/health/service/name/web", String::new()),
        ("GET", "/v1/agent/health/service/id/web", String::new()),
        ("GET", "/v1/agent/service/web", String::new()),
        ("GET", "/v1/kv/small", String::new()),
    ] {
        let reply = face.ask(method, path, "", &body).await;
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.body);
    }
    let at = face.address();
    let read = txn("get", "large");
    let mut late = vec![tokio::spawn(async move { ask(at, "PUT", "/v1/txn", "", &read).await })];
    for path in ["/metrics", "/v1/agent/metrics", "/v1/agent/checks"] {
        late.push(tokio::spawn(get(at, path)));
    }
    face.must("/v1/agent/check/pass/service:web", "").await;
    assert!(late.iter().all(|late| !late.is_finished()), "what is long has no turn yet");
    drop(shut);
    for ended in lists.into_iter().chain(late) {
        assert_eq!(ended.await.expect("no panic").status, 200);
    }
}

const INSTANCES: i64 = 1000;

/// More than 256 KiB of instances of one service.
fn many_instances(face: &Face) {
    let commands = (0..INSTANCES).flat_map(|n| {
        let node = format!("node-{n:04}");
        let put =
            Node { name: node.as_str().into(), address: "10.0.0.1".into(), ..Node::default() };
        [Command::PutNode(put), put_web(&node, n)]
    });
    face.catalog.write(commands.collect());
}

fn put_web(node: &str, port: i64) -> Command {
    let (id, service) = ("web".into(), "web".into());
    let web = Instance { node: node.into(), id, service, port, ..Instance::default() };
    Command::PutInstance(Box::new(web))
}

/// The sum of the samples that are named like this.
async fn counted(face: &Face, name: &str) -> u64 {
    let metrics = face.ask("GET", "/metrics", TOKEN, "").await.body;
    let samples = metrics.lines().filter(|line| line.starts_with(name));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// How many rows were looked for to render answers.
async fn rows_rendered(face: &Face) -> u64 {
    counted(face, r#"http_kept_looked_total{kind="row""#).await
}

const TOKEN: &str = "X-Consul-Token: secret\r\n";
const WEB: &str = "/v1/health/service/web";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_large_answer_is_made_once_for_all_who_wait_and_may_see_the_same() {
    const WAITERS: usize = 40;
    let face = start_with(Acl::DenyAnonymous, |context| {
        let mut registry = Registry::default();
        context.meters.register(&mut registry);
        context.metrics = httpapi::Metrics::new(registry);
    });
    many_instances(&face);
    let before = rows_rendered(&face).await;
    let first = face.ask("GET", WEB, TOKEN, "").await;
    let once = rows_rendered(&face).await - before;
    assert!(
        once >= INSTANCES as u64 && first.body.len() > 256 << 10,
        "{once} rows, {}",
        first.body.len()
    );
    let at = face.address();
    let wait = |token: &'static str| {
        let query = format!("{WEB}?index={}&wait=60s", first.index());
        tokio::spawn(async move { ask(at, "GET", &query, token, "").await })
    };
    let waiting: Vec<_> = (0..WAITERS).map(|_| wait(TOKEN)).collect();
    let denied: Vec<_> = (0..WAITERS).map(|_| wait("")).collect();
    until("all wait", || face.catalog.waiters().waiting() == 2 * WAITERS).await;
    let before = rows_rendered(&face).await;
    face.catalog.write(vec![put_web("node-0007", 9999)]);
    for waiting in waiting {
        let reply = waiting.await.expect("no panic");
        assert!(reply.status == 200 && reply.body.contains("9999"), "{}", reply.status);
        assert_eq!(reply.body.len(), first.body.len() + 3, "a port of one digit had four");
    }
    assert_eq!(rows_rendered(&face).await - before, once, "rendered once for {WAITERS}");
    assert!(denied.iter().all(|denied| !denied.is_finished()), "they see no difference");
    denied.iter().for_each(JoinHandle::abort);
    for (token, sees) in [(TOKEN, true), ("", false), (TOKEN, true), ("", false)] {
        let body = face.ask("GET", WEB, token, "").await.body;
        assert_eq!((body.contains("9999"), body == "[]"), (sees, !sees));
    }
}
