//! What is registered shows in the catalog, and what others own stays theirs.

use crate::world::{Narrow, World, catalog, leading, marathon, put_instance, ttl};
use agent::Config;
use catalog::{Claim, Command};
use model::{Author, Check, Instance, InstanceDetails, Registration, Status, Tenant};
use seams::{ExistingChecks, Proposal, Reader, RegisterError, WriteError, Writer};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn a_registration_shows_in_the_catalog_when_it_is_answered() {
    let world = World::new().await;
    world.register("web", vec![ttl("c", 60)]).await.unwrap();
    assert_eq!(world.rows(), ["agent/n1 web", "agent/n1 c critical "]);
    world.observe("c", Status::Passing, "fine").await.unwrap();
    assert_eq!(world.rows(), ["agent/n1 web", "agent/n1 c passing fine"]);
    world.registrar.deregister_check("c".into(), Author::default()).await.unwrap();
    assert_eq!(world.rows(), ["agent/n1 web"]);
    let node_check = Check { name: "node".into(), ..ttl("node", 60) };
    world.registrar.register_check(node_check, Author::default()).await.unwrap();
    world.deregister("web").await.unwrap();
    assert_eq!(world.rows(), ["agent/n1 node critical "]);
    assert_eq!(world.agent.counters().changes, 4);
}

#[tokio::test]
async fn an_instance_and_its_checks_are_one_entry_without_a_definition() {
    let world = World::new().await;
    world.register("web", vec![ttl("c", 60)]).await.unwrap();
    let view = world.catalog.view();
    let checks = view.checks(Tenant::DEFAULT).unwrap().value;
    let instances = view.services(Tenant::DEFAULT).unwrap().value;
    assert_eq!(checks[0].created, instances[0].created);
    assert_eq!((checks[0].definition.clone(), checks[0].service.as_str()), (None, "web"));
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let world = World::new().await;
    let unknown = RegisterError::UnknownInstance("nope".to_owned());
    assert_eq!(world.deregister("nope").await, Err(unknown.clone()));
    let check = Check { instance: "nope".into(), ..ttl("c", 60) };
    assert_eq!(world.registrar.register_check(check, Author::default()).await, Err(unknown));
    let unknown = RegisterError::UnknownCheck("nope".to_owned());
    assert_eq!(world.observe("nope", Status::Passing, "").await, Err(unknown));
}

#[tokio::test(start_paused = true)]
async fn where_this_node_does_not_lead_nobody_waits_for_the_catalog() {
    let world = World::new().await;
    world.catalog.set_leadership(leading(false));
    world.catalog.fail_writes(Some(WriteError::NoLeader));
    let began = Instant::now();
    world.register("web", vec![]).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    world.catalog.fail_writes(None);
    world.becomes(&["agent/n1 web"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_takes_no_writes_is_waited_for_five_seconds_and_told_later() {
    let world = World::new().await;
    world.becomes(&[]).await;
    world.catalog.fail_writes(Some(WriteError::Busy));
    let began = Instant::now();
    world.register("web", vec![]).await.unwrap();
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_millis(5100), "{waited:?}");
    assert_eq!(world.instances(), ["web"]);
    assert!(world.agent.counters().sync_failures > 1);
    world.catalog.fail_writes(None);
    world.becomes(&["agent/n1 web"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_person_removed_comes_back_with_the_next_full_pass() {
    let world = World::new().await;
    world.register("web", vec![]).await.unwrap();
    world.catalog.write(vec![Command::RemoveInstance("n1".into(), "web".into())]);
    world.register("other", vec![]).await.unwrap();
    assert_eq!(world.rows(), ["agent/n1 other"]);
    let began = Instant::now();
    world.becomes(&["agent/n1 other", "agent/n1 web"]).await;
    assert!(began.elapsed() > Duration::from_secs(50), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_another_reconciler_has_is_left_and_counted() {
    let catalog = catalog();
    let proposal = Proposal {
        author: Author::default(),
        owner: marathon(),
        claim: Claim::Reconcile,
        tenant: Tenant::DEFAULT,
        request: None,
        commands: vec![put_instance("task")],
    };
    catalog.propose(proposal).await.unwrap();
    let world = World::with(catalog, Config::new("n1".into())).await;
    world.register("task", vec![]).await.unwrap();
    world.register("own", vec![]).await.unwrap();
    assert_eq!(world.rows(), ["agent/n1 own", "source/marathon/main task"]);
    assert_eq!(world.agent.counters().conflicts, 1);
    world.deregister("task").await.unwrap();
    assert_eq!(world.agent.counters().conflicts, 0);
    assert_eq!(world.rows(), ["agent/n1 own", "source/marathon/main task"]);
}

#[tokio::test]
async fn rows_that_this_node_does_not_hold_are_obtained_first() {
    let catalog = catalog();
    catalog.hold_nothing();
    let world = World::with(catalog, Config::new("n1".into())).await;
    world.register("web", vec![]).await.unwrap();
    assert!(world.catalog.held_on_demand() > 0);
    assert_eq!(world.rows(), ["agent/n1 web"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let world = std::sync::Arc::new(World::on(directory.path(), catalog()).await);
    let before = world.agent.counters().store_syncs;
    let writers = (0..64).map(|writer| {
        let world = std::sync::Arc::clone(&world);
        tokio::spawn(async move {
            for number in 0..10 {
                let id = format!("{writer}-{number}");
                world.register(&id, vec![]).await.unwrap();
                let row = format!("agent/n1 {id}");
                assert!(world.rows().contains(&row), "{id} is answered and not there");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(world.instances().len(), 640);
    // How many share a sync depends on how slow the disk is beside the scheduler: ten to thirty a
    // sync on a disk, and still more than two where a sync takes no time (271 syncs at most, in
    // memory). Without sharing there is one each, and a lucky quarter must not pass for it. The
    // black-box tests hold it to eight a sync on a disk of known speed.
    let syncs = world.agent.counters().store_syncs - before;
    assert!(syncs <= 480, "{syncs} syncs for 640 registrations");
}

#[tokio::test]
async fn a_registration_that_is_too_large_is_refused_with_its_size() {
    let directory = tempfile::tempdir().unwrap();
    for data in [None, Some(directory.path().to_owned())] {
        let config = Config { data, ..Config::new("n1".into()) };
        let limit = config.registration_max_size;
        let world = World::with(catalog(), config).await;
        let long = |length: usize| {
            let mut check = ttl("c", 60);
            check.notes = "x".repeat(length).into();
            check
        };
        let refusal = world.register("web", vec![long(limit)]).await.unwrap_err();
        assert!(
            matches!(refusal, RegisterError::TooLarge { size, limit: named }
                if size > limit && named == limit),
            "{refusal}"
        );
        assert_eq!(world.instances(), [""; 0]);
        world.register("web", vec![long(limit - 200)]).await.unwrap();
        assert_eq!(world.rows().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_log_cannot_take_holds_back_nothing_else() {
    let catalog = catalog();
    let narrow = Narrow { catalog: catalog.clone(), limit: 20_000, refused: "" };
    let world = World::behind(narrow.doors(), catalog, Config::new("n1".into())).await;
    let address = "x".repeat(20_000).into();
    let large = Instance { id: "large".into(), address, ..Instance::default() };
    let large = Registration { instance: large, checks: vec![ttl("of-large", 60)] };
    world.registrar.register(large, ExistingChecks::Keep, Author::default()).await.unwrap();
    world.register("web", vec![ttl("c", 60)]).await.unwrap();
    world.becomes(&["agent/n1 web", "agent/n1 c critical "]).await;
    world.observe("of-large", Status::Passing, "").await.unwrap();
    let began = Instant::now();
    world.observe("c", Status::Passing, "fine").await.unwrap();
    assert_eq!(world.rows(), ["agent/n1 web", "agent/n1 c passing fine"]);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_holds_back_nothing_else() {
    let catalog = catalog();
    let narrow = Narrow { catalog: catalog.clone(), limit: usize::MAX, refused: "unwanted" };
    let config = Config { full_sync_interval: Duration::from_secs(5), ..Config::new("n1".into()) };
    let world = World::behind(narrow.doors(), catalog, config).await;
    world.becomes(&[]).await;
    world.catalog.set_leadership(leading(false));
    let checks = || vec![ttl("unwanted", 60), ttl("c", 60)];
    let others = (0..300).map(|number| format!("i{number}"));
    let (web, others) = (world.register("web", checks()), others.collect::<Vec<_>>());
    web.await.unwrap();
    for id in &others {
        world.register(id, vec![]).await.unwrap();
    }
    let everything = || world.rows().len() == 302;
    for _ in 0..2_000 {
        if everything() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(everything(), "{:?}", world.rows());
    world.catalog.set_leadership(leading(true));
    let began = Instant::now();
    world.observe("c", Status::Passing, "fine").await.unwrap();
    assert!(world.rows().contains(&"agent/n1 c passing fine".to_owned()));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn one_look_up_finds_what_the_lists_show_and_a_change_ends_a_wait() {
    let world = World::new().await;
    let registrar = &world.registrar;
    let instances = registrar.changed();
    world.register("Web", vec![ttl("C", 60)]).await.unwrap();
    instances.await;
    assert_eq!(registrar.instance(&"wEB".into()), registrar.instances().pop());
    assert_eq!(registrar.check(&"c".into()), registrar.checks().pop());
    assert_eq!((registrar.instance(&"c".into()), registrar.check(&"web".into())), (None, None));
    assert_eq!(registrar.checks_of(&"web".into()), registrar.checks());
    assert!(registrar.checks_of(&"".into()).is_empty());
    let results = registrar.changed();
    world.observe("c", Status::Passing, "fine").await.unwrap();
    results.await;
    let node_check = Check { name: "node".into(), ..ttl("node", 60) };
    let checks = registrar.changed();
    registrar.register_check(node_check, Author::default()).await.unwrap();
    checks.await;
    assert_eq!(registrar.checks_of(&"".into()), [registrar.check(&"node".into()).unwrap()]);
}

/// An instance `web` with one tag, which a person changes in the catalog later.
async fn retagged(enable_tag_override: bool) -> World {
    let world = World::new().await;
    let instance = Instance {
        id: "web".into(),
        service: "web".into(),
        tags: std::sync::Arc::from(["own".into()]),
        details: InstanceDetails { enable_tag_override, ..InstanceDetails::default() }.into(),
        ..Instance::default()
    };
    let registration = Registration { instance: instance.clone(), checks: vec![ttl("c", 60)] };
    let existing = ExistingChecks::Keep;
    world.registrar.register(registration, existing, Author::default()).await.unwrap();
    let tags = std::sync::Arc::from(["new".into()]);
    let instance = Instance { node: "n1".into(), tags, ..instance };
    world.catalog.write(vec![Command::PutInstance(Box::new(instance))]);
    world
}

/// Tags of `web` as the agent, its check and the catalog tell them.
fn tags(world: &World) -> [String; 3] {
    let services = world.catalog.view();
    let services = services.services(Tenant::DEFAULT).unwrap().value;
    let own = world.registrar.instance(&"web".into()).unwrap();
    let check = world.registrar.check(&"c".into()).unwrap();
    [own.tags, check.service_tags, services[0].tags.clone()].map(|tags| tags.join(" "))
}

#[tokio::test(start_paused = true)]
async fn tags_that_anybody_may_change_are_taken_from_the_catalog() {
    let world = retagged(true).await;
    world.becomes(&["agent/n1 web", "agent/n1 c critical "]).await;
    assert_eq!(tags(&world), ["new", "new", "new"]);
    let again = world.registrar.instance(&"web".into()).unwrap();
    let again = Instance { tags: std::sync::Arc::from(["own".into()]), ..again };
    let again = Registration { instance: again, checks: vec![] };
    world.registrar.register(again, ExistingChecks::Keep, Author::default()).await.unwrap();
    assert_eq!(tags(&world), ["own", "own", "own"], "registered anew, its own count");
}

#[tokio::test(start_paused = true)]
async fn tags_that_nobody_may_change_are_put_back() {
    let world = retagged(false).await;
    world.becomes(&["agent/n1 web", "agent/n1 c critical "]).await;
    assert_eq!(tags(&world), ["own", "own", "own"]);
}

#[tokio::test]
async fn a_whole_node_is_told_in_few_entries_of_bounded_size() {
    const INSTANCES: usize = 5_000;
    let world = World::new().await;
    world.becomes(&[]).await;
    world.catalog.set_leadership(leading(false));
    world.catalog.fail_writes(Some(WriteError::NoLeader));
    for number in 0..INSTANCES {
        let id = format!("i{number:04}");
        world.register(&id, vec![ttl(&id, 600)]).await.unwrap();
    }
    world.catalog.fail_writes(None);
    let before = world.catalog.view().index().0;
    let limit = std::time::Instant::now() + Duration::from_secs(60);
    while world.rows().len() < 2 * INSTANCES {
        assert!(std::time::Instant::now() < limit, "{} rows", world.rows().len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let entries = world.catalog.view().index().0 - before;
    assert_eq!(entries, (2 * INSTANCES).div_ceil(256) as u64);
}
