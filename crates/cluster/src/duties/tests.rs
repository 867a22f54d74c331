//! The duties over a catalog in memory, on a clock that runs on by itself.

use super::*;
use catalog::Acl;
use model::{Check, CheckDefinition, Instance, Nanos, Node, Status};
use seams::Reader;
use seams::fakes::FakeCatalog;

fn start(catalog: &Arc<FakeCatalog>, leadership: watch::Receiver<Leadership>) -> Duties {
    let doors = catalog.doors();
    let sessions = Arc::new(SessionTimers::new(Arc::clone(&doors.reader)));
    let node = Node { name: "n1".into(), ..Node::default() };
    let server = ServerRow { node, port: 8300, version: "1.22.0".into() };
    let clock = Arc::new(Clock::new(catalog.view().time()));
    Duties::start(doors, leadership, sessions, server, clock)
}

fn put_check(id: &str, status: Status) -> Command {
    let definition = CheckDefinition {
        deregister_critical_service_after: Nanos::seconds(90),
        ..CheckDefinition::default()
    };
    Command::PutCheck(Box::new(Check {
        node: "away".into(),
        id: id.into(),
        instance: id.into(),
        status,
        definition: Some(Box::new(definition)),
        ..Check::default()
    }))
}

fn put_instance(id: &str) -> Command {
    let (node, id) = ("away".into(), id.into());
    Command::PutInstance(Box::new(Instance {
        node,
        id,
        service: "s".into(),
        ..Instance::default()
    }))
}

/// The instances of service `s`.
fn instances(catalog: &FakeCatalog) -> Vec<String> {
    let view = catalog.view();
    let rows = view.services(Tenant::DEFAULT).unwrap().value;
    let of_service = rows.into_iter().filter(|row| row.service.as_str() == "s");
    of_service.map(|row| row.id.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_leader_deregisters_what_stays_critical_and_spares_what_recovers() {
    let catalog = FakeCatalog::new(Acl::Off);
    let (_lead, leadership) = watch::channel(Leadership { is_leader: true, ..Default::default() });
    let duties = start(&catalog, leadership);
    let node = Node { name: "away".into(), ..Node::default() };
    catalog.write(vec![Command::PutNode(node)]);
    for id in ["dead", "flaps"] {
        catalog.write(vec![put_instance(id), put_check(id, Status::Critical)]);
    }
    let began = Instant::now();
    while instances(&catalog).len() == 2 {
        // It recovers for a moment now and then, always between two looks of the leader.
        tokio::time::sleep(Duration::from_secs(25)).await;
        catalog.write(vec![put_check("flaps", Status::Passing)]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        catalog.write(vec![put_check("flaps", Status::Critical)]);
        assert!(began.elapsed() < Duration::from_secs(600), "nothing is deregistered");
    }
    assert_eq!(instances(&catalog), ["flaps"]);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(90) && took < Duration::from_secs(200), "{took:?}");
    duties.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_lead_deregisters_nothing() {
    let catalog = FakeCatalog::new(Acl::Off);
    let (lead, leadership) = watch::channel(Leadership::default());
    let duties = start(&catalog, leadership);
    let node = Node { name: "away".into(), ..Node::default() };
    catalog.write(vec![Command::PutNode(node), put_instance("dead")]);
    catalog.write(vec![put_check("dead", Status::Critical)]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(instances(&catalog), ["dead"]);
    lead.send_replace(Leadership { is_leader: true, ..Default::default() });
    tokio::time::sleep(Duration::from_secs(85)).await;
    assert_eq!(instances(&catalog), ["dead"], "a new leader begins to count");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(instances(&catalog).is_empty());
    duties.stop().await;
}
