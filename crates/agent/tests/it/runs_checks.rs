//! Checks run, count and deregister, on a clock that runs on by itself.

use crate::world::{World, catalog, defined, http, ttl};
use agent::Config;
use model::{CheckDefinition, Nanos, Status};
use seams::Reader;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_ttl_check_that_nobody_reports_on_turns_critical_in_the_catalog() {
    let world = World::new().await;
    world.register("web", vec![ttl("c", 10)]).await.unwrap();
    world.observe("c", Status::Passing, "fine").await.unwrap();
    let began = Instant::now();
    let text = "TTL expired (last output before timeout follows): fine";
    world.becomes(&["agent/n1 web", &format!("agent/n1 c critical {text}")]).await;
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(11), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn output_that_changes_all_the_time_reaches_the_log_seldom() {
    let world = World::new().await;
    world.register("web", vec![ttl("c", 60)]).await.unwrap();
    world.observe("c", Status::Passing, "0").await.unwrap();
    let before = world.catalog.view().index();
    let began = Instant::now();
    for round in 1.. {
        world.observe("c", Status::Passing, &round.to_string()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if began.elapsed() > Duration::from_secs(3600) {
            break;
        }
    }
    let entries = world.catalog.view().index().0 - before.0;
    assert!((12..=24).contains(&entries), "{entries} entries in an hour");
    assert_eq!(world.agent.counters().reports, 3602);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_runs_that_only_talk_write_nothing() {
    let world = World::new().await;
    let mut check = ttl("c", 600);
    check.status = Status::Passing;
    world.register("web", vec![check]).await.unwrap();
    let told = world.catalog.view().index();
    for run in 0..1000 {
        world.observe("c", Status::Passing, &run.to_string()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(140)).await;
    }
    assert!(world.agent.counters().sync_passes > 1, "everything was compared meanwhile");
    assert_eq!(world.catalog.view().index(), told);
    assert_eq!(world.checks(), ["c passing 999"]);
    world.observe("c", Status::Warning, "hm").await.unwrap();
    assert_eq!(world.rows()[1], "agent/n1 c warning hm");
}

#[tokio::test(start_paused = true)]
async fn output_is_told_at_once_where_no_interval_is_set() {
    let config = Config { check_update_interval: Duration::ZERO, ..Config::new("n1".into()) };
    let world = World::with(catalog(), config).await;
    world.register("web", vec![ttl("c", 60)]).await.unwrap();
    world.observe("c", Status::Critical, "one").await.unwrap();
    assert_eq!(world.rows()[1], "agent/n1 c critical one");
}

#[tokio::test]
async fn long_output_is_cut() {
    let world = World::new().await;
    let mut small = ttl("small", 60);
    small.definition.as_mut().unwrap().output_max_size = 3;
    world.register("web", vec![ttl("c", 60), small]).await.unwrap();
    world.observe("c", Status::Passing, &"x".repeat(5000)).await.unwrap();
    world.observe("small", Status::Passing, "12345").await.unwrap();
    let checks = world.checks();
    assert!(checks[0].ends_with("xxx ... (captured 4096 of 5000 bytes)"), "{}", checks[0]);
    assert_eq!(checks[1], "small passing 123 ... (captured 3 of 5 bytes)");
}

#[tokio::test(start_paused = true)]
async fn a_service_critical_for_too_long_goes_with_its_rows() {
    let world = World::new().await;
    let definition = CheckDefinition {
        ttl: Nanos::seconds(10),
        deregister_critical_service_after: Nanos::seconds(90),
        ..CheckDefinition::default()
    };
    world.register("web", vec![defined("c", "ttl", definition)]).await.unwrap();
    world.register("stays", vec![ttl("d", 10)]).await.unwrap();
    let began = Instant::now();
    world.becomes(&["agent/n1 stays", "agent/n1 d critical "]).await;
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(90) && waited <= Duration::from_secs(125), "{waited:?}");
    assert_eq!(world.instances(), ["stays"]);
    assert_eq!(world.agent.counters().reaped, 1);
}

#[tokio::test]
async fn what_was_deregistered_for_being_critical_stays_away_and_the_unknown_stays() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limit = Nanos::seconds(60);
    let dead = CheckDefinition {
        ttl: Nanos::seconds(10),
        deregister_critical_service_after: limit,
        ..CheckDefinition::default()
    };
    // It runs once in a month, so not in this test but for an unlikely chance; then it passes.
    let seldom = CheckDefinition {
        tcp: listener.local_addr().unwrap().to_string().into(),
        interval: Nanos::seconds(30 * 86_400),
        deregister_critical_service_after: limit,
        ..CheckDefinition::default()
    };
    let world = World::on(directory.path(), catalog()).await;
    world.register("dead", vec![defined("d", "ttl", dead)]).await.unwrap();
    world.register("web", vec![defined("w", "tcp", seldom)]).await.unwrap();
    world.agent.shutdown().await;
    let world = World::on(directory.path(), world.catalog).await;
    let instances = |world: &World| world.instances().join(" ");
    assert_eq!(instances(&world), "dead web");
    tokio::time::pause();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // The disk's clock does not stand still: what is decided is stored a moment later.
    tokio::time::resume();
    let stored = async {
        while instances(&world) != "web" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let stored = tokio::time::timeout(Duration::from_secs(300), stored).await;
    assert!(stored.is_ok(), "{}", instances(&world));
    world.agent.shutdown().await;
    let world = World::on(directory.path(), world.catalog).await;
    assert_eq!(instances(&world), "web", "store and row went together");
    assert!(world.rows().iter().all(|row| !row.contains("dead")), "{:?}", world.rows());
}

#[tokio::test]
async fn an_http_check_follows_its_service() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            let _ = stream.write_all(answer).await;
        }
    });
    let world = World::new().await;
    let mut check = http("h", &url, Nanos(10_000_000));
    check.interval = "10ms".into();
    world.register("web", vec![check]).await.unwrap();
    let passing = format!("agent/n1 h passing HTTP GET {url}: 200 OK Output: ok");
    world.becomes(&["agent/n1 web", &passing]).await;
    serving.abort();
    let refused = url.trim_start_matches("http://").trim_end_matches('/');
    let refused = format!("dial tcp {refused}: connect: connection refused");
    world
        .becomes(&["agent/n1 web", &format!("agent/n1 h critical Get \"{url}\": {refused}")])
        .await;
}
