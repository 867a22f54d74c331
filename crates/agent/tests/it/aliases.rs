//! Checks that follow others, on this agent and in the catalog.

use crate::world::{World, catalog, defined, ttl};
use catalog::Command;
use model::{Author, Check, CheckDefinition, Nanos, Node, Status};
use seams::Reader;
use std::time::Duration;

/// A check of the instance `of` (or of the node) that follows an instance here or on a node.
fn alias(id: &str, of: &str, node: &str, service: &str) -> Check {
    let definition = CheckDefinition {
        alias_node: node.into(),
        alias_service: service.into(),
        ..CheckDefinition::default()
    };
    let check = defined(id, "alias", definition);
    Check { name: id.into(), instance: of.into(), ..check }
}

impl World {
    async fn follow(&self, check: Check) {
        self.registrar.register_check(check, Author::default()).await.unwrap();
    }

    /// Waits until this is how a check stands here.
    #[track_caller]
    fn says(&self, id: &str, expected: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let said = || {
                let check = self.registrar.check(&id.into());
                check.map(|check| format!("{} {}", check.status, check.output))
            };
            for _ in 0..4_000 {
                if said().as_deref() == Some(expected) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("{caller}: not {expected:?} but {:?}", said());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_alias_follows_an_instance_of_its_agent_within_a_second() {
    let world = World::new().await;
    world.register("web", vec![Check { name: "c".into(), ..ttl("c", 600) }]).await.unwrap();
    world.register("dep", vec![]).await.unwrap();
    world.follow(Check { name: "n".into(), ..ttl("n", 600) }).await;
    world.observe("n", Status::Passing, "").await.unwrap();
    world.follow(alias("a", "dep", "", "WEB")).await;
    world.says("a", "critical Aliased check \"c\" failing: ").await;
    world.observe("c", Status::Warning, "hm").await.unwrap();
    world.says("a", "warning Aliased check \"c\" failing: hm").await;
    world.observe("c", Status::Passing, "").await.unwrap();
    world.says("a", "passing All checks passing.").await;
    world
        .becomes(&[
            "agent/n1 dep",
            "agent/n1 web",
            "agent/n1 a passing All checks passing.",
            "agent/n1 c passing ",
            "agent/n1 n passing ",
        ])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_check_counts_when_an_alias_looks_and_does_not_make_it_look() {
    let world = World::new().await;
    world.register("web", vec![ttl("c", 600)]).await.unwrap();
    world.register("dep", vec![]).await.unwrap();
    world.observe("c", Status::Passing, "").await.unwrap();
    world.follow(alias("a", "dep", "", "web")).await;
    world.says("a", "passing All checks passing.").await;
    world.follow(Check { name: "n".into(), ..ttl("n", 600) }).await;
    world.observe("n", Status::Critical, "bad").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.says("a", "passing All checks passing.").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.says("a", "critical Aliased check \"n\" failing: bad").await;
}

#[tokio::test(start_paused = true)]
async fn an_alias_sees_its_instance_come_and_go() {
    let world = World::new().await;
    world.register("dep", vec![]).await.unwrap();
    world.follow(alias("a", "dep", "", "web")).await;
    let missing = "critical Service web could not be found on node ";
    world.says("a", missing).await;
    world.register("web", vec![]).await.unwrap();
    world.says("a", "passing No checks found.").await;
    world.follow(Check { name: "c".into(), instance: "web".into(), ..ttl("c", 60) }).await;
    world.says("a", "critical Aliased check \"c\" failing: ").await;
    world.registrar.deregister_check("c".into(), Author::default()).await.unwrap();
    world.says("a", "passing No checks found.").await;
    world.deregister("web").await.unwrap();
    world.says("a", missing).await;
}

#[tokio::test(start_paused = true)]
async fn aliases_that_follow_each_other_come_to_rest() {
    let world = World::new().await;
    world.register("one", vec![alias("a", "one", "", "two")]).await.unwrap();
    world.register("two", vec![alias("b", "two", "", "one")]).await.unwrap();
    world.follow(alias("me", "", "", "one")).await;
    let limit = Duration::from_secs(10);
    tokio::time::sleep(limit).await;
    let before = world.checks();
    let changed = tokio::time::timeout(limit, world.registrar.changed()).await;
    assert!(changed.is_err(), "nothing moves any more");
    assert_eq!(world.checks(), before);
    assert!(before.iter().all(|check| check.len() < 5_000), "{before:?}");
}

#[tokio::test(start_paused = true)]
async fn an_alias_of_another_node_follows_the_catalog() {
    let world = World::new().await;
    let n2 = |command: fn(Check) -> Command, status: &str| {
        let status = Status::parse(status);
        command(Check {
            node: "n2".into(),
            id: "c".into(),
            name: "C".into(),
            status,
            ..Check::default()
        })
    };
    let put = |check| Command::PutCheck(Box::new(check));
    world.register("dep", vec![]).await.unwrap();
    let interval = Nanos::seconds(10);
    let mut of_node = alias("node", "dep", "N2", "");
    of_node.definition.as_mut().unwrap().interval = interval;
    world.follow(of_node).await;
    world.follow(alias("service", "dep", "n2", "web")).await;
    world.says("node", "critical Service  could not be found on node N2").await;
    let node = Node { name: "n2".into(), ..Node::default() };
    world.catalog.write(vec![Command::PutNode(node), n2(put, "passing")]);
    world.says("node", "passing All checks passing.").await;
    world.says("service", "critical Service web could not be found on node n2").await;
    let web = model::Instance { node: "n2".into(), id: "web".into(), ..Default::default() };
    world.catalog.write(vec![Command::PutInstance(Box::new(web))]);
    world.says("service", "passing All checks passing.").await;
    world.catalog.write(vec![n2(put, "warning")]);
    world.says("node", "warning Aliased check \"C\" failing: ").await;
    world.says("service", "warning Aliased check \"C\" failing: ").await;
    assert_eq!(world.catalog.waiters().watched(), 1, "one node is waited for");
    world.registrar.deregister_check("node".into(), Author::default()).await.unwrap();
    world.deregister("dep").await.unwrap();
    world.catalog.write(vec![n2(put, "passing")]);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.catalog.waiters().watched(), 0, "nobody is followed any more");
}

#[tokio::test(start_paused = true)]
async fn an_alias_obtains_the_rows_that_it_follows() {
    let world = World::new().await;
    world.register("dep", vec![]).await.unwrap();
    let node = Node { name: "n2".into(), ..Node::default() };
    let check =
        Check { node: "n2".into(), id: "c".into(), status: Status::Passing, ..Check::default() };
    world.catalog.write(vec![Command::PutNode(node), Command::PutCheck(Box::new(check))]);
    world.catalog.hold_nothing();
    world.follow(alias("node", "dep", "n2", "")).await;
    world.says("node", "passing All checks passing.").await;
    assert!(world.catalog.held_on_demand() > 0);
}

#[tokio::test]
async fn a_restart_takes_no_alias_of_a_healthy_service_out() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = CheckDefinition {
        tcp: listener.local_addr().unwrap().to_string().into(),
        interval: Nanos::seconds(3_600),
        ..CheckDefinition::default()
    };
    let mut check = defined("t", "tcp", tcp);
    check.status = Status::Passing;
    let world = World::on(directory.path(), catalog()).await;
    world.register("web", vec![check]).await.unwrap();
    world.register("dep", vec![alias("a", "dep", "", "web")]).await.unwrap();
    world.says("a", "passing All checks passing.").await;
    let rows = [
        "agent/n1 dep",
        "agent/n1 web",
        "agent/n1 a passing All checks passing.",
        "agent/n1 t passing ",
    ];
    world.becomes(&rows).await;
    world.agent.shutdown().await;
    let before = world.catalog.view().index();
    let world = World::on(directory.path(), world.catalog).await;
    world.register("more", vec![]).await.unwrap();
    world.deregister("more").await.unwrap();
    assert_eq!(world.rows(), rows);
    assert_eq!(world.catalog.view().index().0, before.0 + 2, "nothing was said of it");
}
