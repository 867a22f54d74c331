//! What was acknowledged outlives the process.

use crate::world::{World, catalog, ttl};
use model::{Author, Check, CheckDetails, Status};
use std::fs;
use std::time::{Duration, Instant};

#[tokio::test]
async fn registrations_and_fresh_reports_are_here_again() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::on(directory.path(), catalog()).await;
    let passing = Check { status: Status::Passing, ..ttl("initial", 600) };
    world.register("web", vec![ttl("told", 600), passing]).await.unwrap();
    world.registrar.register_check(ttl("node", 600), Author::default()).await.unwrap();
    world.register("gone", vec![]).await.unwrap();
    world.deregister("gone").await.unwrap();
    world.observe("told", Status::Passing, "fine").await.unwrap();
    world.agent.shutdown().await;
    let catalog = world.catalog;
    let world = World::on(directory.path(), catalog).await;
    assert_eq!(world.instances(), ["web"]);
    assert_eq!(world.checks(), ["initial critical ", "node critical ", "told passing fine"]);
    world
        .becomes(&[
            "agent/n1 web",
            "agent/n1 initial critical ",
            "agent/n1 node critical ",
            "agent/n1 told passing fine",
        ])
        .await;
}

#[tokio::test]
async fn maintenance_is_here_again_and_in_the_catalog() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::on(directory.path(), catalog()).await;
    let maintenance = |id: &str, instance: &str| Check {
        id: id.into(),
        instance: instance.into(),
        details: CheckDetails {
            kind: "maintenance".into(),
            notes: "work".into(),
            ..CheckDetails::default()
        }
        .into(),
        ..Check::default()
    };
    world.register("web", vec![]).await.unwrap();
    for (id, instance) in [("_node_maintenance", ""), ("_service_maintenance:web", "web")] {
        let check = maintenance(id, instance);
        world.registrar.register_check(check, Author::default()).await.unwrap();
    }
    let rows = world.rows();
    assert_eq!(rows.len(), 3);
    world.agent.shutdown().await;
    let world = World::on(directory.path(), catalog()).await;
    let kept: Vec<String> =
        world.registrar.checks().iter().map(|c| format!("{} {}", c.kind, c.notes)).collect();
    assert_eq!(kept, ["maintenance work"; 2]);
    world.becomes(&rows.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_catalog_that_forgot_is_told_again() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::on(directory.path(), catalog()).await;
    world.register("web", vec![]).await.unwrap();
    world.agent.shutdown().await;
    let world = World::on(directory.path(), catalog()).await;
    world.becomes(&["agent/n1 web"]).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_here_after_a_crash_at_any_byte() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::on(directory.path(), catalog()).await;
    let file = directory.path().join("agent/registrations");
    let mut acknowledged = Vec::new();
    for id in ["a", "b", "c"] {
        world.register(id, vec![ttl(id, 60)]).await.unwrap();
        acknowledged.push(fs::metadata(&file).unwrap().len());
    }
    world.agent.shutdown().await;
    let bytes = fs::read(&file).unwrap();
    let first = usize::try_from(acknowledged[0]).unwrap();
    for cut in (first..=bytes.len()).step_by(7) {
        fs::write(&file, &bytes[..cut]).unwrap();
        let world = World::on(directory.path(), catalog()).await;
        let needed = acknowledged.iter().filter(|length| **length <= cut as u64).count();
        assert!(world.instances().len() >= needed, "cut at {cut}");
        assert_eq!(world.checks().len(), world.instances().len(), "nothing half at {cut}");
        world.agent.shutdown().await;
    }
}

#[tokio::test]
async fn a_store_that_grows_without_end_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::on(directory.path(), catalog()).await;
    let file = directory.path().join("agent/registrations");
    let mut largest = 0;
    for round in 0..400 {
        let notes = format!("{round}{}", "x".repeat(10_000));
        let mut check = ttl("c", 60);
        check.notes = notes.into();
        world.register("web", vec![check]).await.unwrap();
        largest = largest.max(fs::metadata(&file).unwrap().len());
    }
    world.agent.shutdown().await;
    assert!(largest < 1_500_000, "{largest} bytes for one registration");
    let world = World::on(directory.path(), catalog()).await;
    assert!(world.registrar.checks()[0].notes.starts_with("399x"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_only_gets_reports_does_not_grow_without_end_either() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::on(directory.path(), catalog()).await;
    let file = directory.path().join("agent/registrations");
    let checks: Vec<Check> = (0..100).map(|number| ttl(&number.to_string(), 600)).collect();
    world.register("web", checks).await.unwrap();
    let length = || fs::metadata(&file).unwrap().len();
    let (mut last, mut largest) = (length(), 0);
    for round in 0..30 {
        for number in 0..100 {
            let output = format!("{round}{}", "x".repeat(4000));
            world.observe(&number.to_string(), Status::Passing, &output).await.unwrap();
        }
        let limit = Instant::now() + Duration::from_secs(20);
        while length() == last {
            assert!(Instant::now() < limit, "reports are not stored in round {round}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        last = length();
        largest = largest.max(last);
    }
    assert!(largest < 4_000_000, "{largest} bytes for reports of 400,000");
    world.agent.shutdown().await;
    let world = World::on(directory.path(), catalog()).await;
    assert!(world.checks().iter().all(|check| check.contains(" passing 29x")));
}

#[tokio::test]
async fn a_damaged_store_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::on(directory.path(), catalog()).await;
    world.register("web", vec![]).await.unwrap();
    world.register("web", vec![]).await.unwrap();
    world.agent.shutdown().await;
    let file = directory.path().join("agent/registrations");
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 4;
    fs::write(&file, &bytes).unwrap();
    let config = agent::Config {
        data: Some(directory.path().to_owned()),
        ..agent::Config::new("n1".into())
    };
    let refusal = agent::start(config, catalog().doors()).await.err().unwrap();
    assert!(refusal.to_string().contains("is damaged at byte"), "{refusal}");
}

#[tokio::test]
async fn an_agent_ends_at_once_and_says_so_to_who_comes_later() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let world = World::on(directory.path(), catalog()).await;
    let definition = model::CheckDefinition {
        http: url.as_str().into(),
        interval: model::Nanos(1),
        timeout: model::Nanos::seconds(3600),
        ..Default::default()
    };
    let hanging = crate::world::defined("h", "http", definition);
    world.register("web", vec![hanging]).await.unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while world.agent.counters().check_runs == 0 {
        assert!(Instant::now() < limit, "the check never ran");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The probe itself would hang for an hour.
    let limit = Duration::from_secs(300);
    tokio::time::timeout(limit, world.agent.shutdown()).await.expect("it ends");
    let late = world.register("late", vec![]).await.unwrap_err();
    assert!(late.to_string().contains("shutting down"), "{late}");
}
