//! What a registration changes and what it keeps, as recorded from Consul.

use super::*;
use model::CheckDetails;
use model::{Nanos, ServiceName};
use std::time::Duration;

fn ttl(id: &str) -> Check {
    let definition = CheckDefinition { ttl: Nanos::seconds(60), ..CheckDefinition::default() };
    Check {
        id: id.into(),
        name: id.into(),
        definition: Some(Box::new(definition)),
        ..Check::default()
    }
}

fn http(id: &str) -> Check {
    let definition = CheckDefinition {
        http: "http://127.0.0.1:1/".into(),
        interval: Nanos::seconds(10),
        ..CheckDefinition::default()
    };
    Check { definition: Some(Box::new(definition)), ..ttl(id) }
}

fn register(id: &str, checks: Vec<Check>) -> Operation {
    register_with(id, id, checks, ExistingChecks::Keep)
}

fn register_with(id: &str, name: &str, checks: Vec<Check>, existing: ExistingChecks) -> Operation {
    let instance = Instance {
        id: id.into(),
        service: ServiceName::from(name),
        tags: Arc::from([Text::new(name)]),
        ..Instance::default()
    };
    Operation::Register(Box::new(Registration { instance, checks }), existing)
}

fn report(id: &str, status: Status, output: &str, expires: u64) -> Operation {
    Operation::TtlState(TtlState {
        id: id.into(),
        status,
        output: output.into(),
        expires: WallTime(expires),
    })
}

fn local(operations: Vec<Operation>) -> Local {
    let mut local = Local::new("n1".into());
    for operation in operations {
        local.apply(operation).unwrap();
    }
    local
}

/// `id status output service` of each check.
fn checks(local: &Local) -> Vec<String> {
    let line = |held: &Held| {
        let check = &held.check;
        format!("{} {} {:?} {}", check.id, check.status, check.output, check.service)
    };
    local.checks().map(|(_, held)| line(held)).collect()
}

#[track_caller]
fn check(operations: Vec<Operation>, expected: &[&str]) {
    assert_eq!(checks(&local(operations)), expected);
}

#[test]
fn a_check_keeps_its_status_and_output_when_registered_again() {
    let again = Check { name: "new".into(), status: Status::Warning, ..ttl("one") };
    let operations = vec![
        register("web", vec![ttl("one")]),
        report("one", Status::Passing, "fine", 1),
        register("web", vec![again]),
    ];
    let local = local(operations);
    assert_eq!(checks(&local), ["one passing \"fine\" web"]);
    assert_eq!(local.check(&Folded::new("ONE")).unwrap().check.name, "new");
}

#[test]
fn checks_not_named_stay_unless_they_are_to_be_replaced() {
    let first = || register("web", vec![ttl("one"), ttl("two")]);
    check(
        vec![first(), register("web", vec![])],
        &["one critical \"\" web", "two critical \"\" web"],
    );
    let replace = |checks| register_with("web", "web", checks, ExistingChecks::Replace);
    check(vec![first(), replace(vec![ttl("two")])], &["two critical \"\" web"]);
    check(vec![first(), replace(vec![])], &[]);
}

#[test]
fn a_new_name_reaches_the_checks_that_stay() {
    let renamed = register_with("web", "other", vec![], ExistingChecks::Keep);
    let local = local(vec![register("web", vec![ttl("one")]), renamed]);
    assert_eq!(checks(&local), ["one critical \"\" other"]);
    let held = local.check(&Folded::new("one")).unwrap();
    assert_eq!(&held.check.service_tags[..], ["other"]);
}

#[test]
fn an_instance_takes_its_checks_along_and_no_others() {
    let node_check = Operation::RegisterCheck(Box::new(ttl("node")));
    let of_web = Check { instance: "WEB".into(), ..ttl("late") };
    let operations = vec![
        node_check,
        register("web", vec![ttl("a")]),
        register("web2", vec![ttl("b")]),
        Operation::RegisterCheck(Box::new(of_web)),
        Operation::Deregister("Web".into()),
    ];
    check(operations, &["b critical \"\" web2", "node critical \"\" "]);
}

#[test]
fn a_check_moves_with_the_instance_it_names_last() {
    let moved = Check { instance: "b".into(), ..ttl("c") };
    let operations = vec![
        register("a", vec![ttl("c")]),
        register("b", vec![]),
        Operation::RegisterCheck(Box::new(moved)),
        Operation::Deregister("a".into()),
    ];
    check(operations, &["c critical \"\" b"]);
}

#[test]
fn what_is_not_there_or_cannot_be_done_is_refused_and_changes_nothing() {
    let before = local(vec![register("web", vec![ttl("t"), http("h")])]);
    let docker = CheckDefinition {
        script_args: vec!["true".into()],
        docker_container_id: "c".into(),
        interval: Nanos::seconds(1),
        ..CheckDefinition::default()
    };
    let docker = Check { definition: Some(Box::new(docker)), ..ttl("s") };
    let unknown = |id: &str| RegisterError::UnknownInstance(id.to_owned());
    let rows = [
        (Operation::Deregister("nope".into()), unknown("nope")),
        (Operation::Deregister("".into()), unknown("")),
        (
            Operation::RegisterCheck(Box::new(Check { instance: "nope".into(), ..ttl("x") })),
            unknown("nope"),
        ),
        (Operation::DeregisterCheck("web".into()), RegisterError::UnknownCheck("web".to_owned())),
        (report("nope", Status::Passing, "", 1), RegisterError::UnknownCheck("nope".to_owned())),
        (report("h", Status::Passing, "", 1), RegisterError::NotTtl("h".to_owned())),
        (register("web", vec![docker]), RegisterError::UnsupportedCheck("Docker")),
    ];
    for (operation, refusal) in rows {
        let mut local = before.clone();
        assert_eq!(local.apply(operation), Err(refusal));
        assert_eq!(local, before);
    }
}

#[test]
fn after_a_restart_a_ttl_check_counts_while_its_last_report_lasts() {
    let passing = |check: Check| Check { status: Status::Passing, ..check };
    let mut local = local(vec![
        register("web", vec![passing(ttl("initial")), ttl("fresh"), ttl("stale"), http("run")]),
        Operation::RegisterCheck(Box::new(Check { definition: None, ..passing(ttl("given")) })),
        report("fresh", Status::Passing, "fine", 2_000),
        report("stale", Status::Passing, "fine", 1_000),
    ]);
    local.restored(WallTime(1_000));
    let expected = [
        "fresh passing \"fine\" web",
        "given passing \"\" ",
        "initial critical \"\" web",
        "run critical \"\" web",
        "stale critical \"\" web",
    ];
    assert_eq!(checks(&local), expected);
    assert!(local.check(&Folded::new("run")).unwrap().unproven);
    assert!(!local.check(&Folded::new("stale")).unwrap().unproven);
}

#[test]
fn its_own_operations_make_it_again() {
    let mut before = local(vec![
        register("web", vec![ttl("a"), http("b")]),
        register("db", vec![]),
        Operation::RegisterCheck(Box::new(ttl("node"))),
        report("a", Status::Warning, "hm", 7),
    ]);
    before.observe(&Folded::new("b"), Status::Passing, "ok".into(), None);
    assert_eq!(local(before.operations()), before);
}

#[test]
fn an_observation_says_what_is_new_of_it() {
    let mut local = local(vec![register("web", vec![http("h")])]);
    let id = Folded::new("h");
    let mut observe = |status, output: &str| local.observe(&id, status, output.into(), None);
    assert_eq!(observe(Status::Critical, ""), Observed::Nothing);
    assert_eq!(observe(Status::Passing, ""), Observed::Status);
    assert_eq!(observe(Status::Passing, "ok"), Observed::Output);
    assert_eq!(observe(Status::Critical, "down"), Observed::Status);
    let gone = Folded::new("gone");
    assert_eq!(local.observe(&gone, Status::Passing, "".into(), None), Observed::Nothing);
}

#[test]
fn a_definition_stays_here_and_its_spec_knows_the_limits() {
    let definition = CheckDefinition {
        http: "http://x/".into(),
        interval: Nanos(10_000_000),
        failures_before_critical: 3,
        deregister_critical_service_after: Nanos::seconds(1),
        ..CheckDefinition::default()
    };
    let fast = Check { definition: Some(Box::new(definition)), ..ttl("fast") };
    let node = Operation::RegisterCheck(Box::new(Check { id: "node".into(), ..fast.clone() }));
    let local = local(vec![register("web", vec![fast]), node]);
    let held = local.check(&Folded::new("fast")).unwrap();
    assert_eq!(held.check.definition, None);
    let spec = held.spec();
    assert_eq!(spec.kind, Kind::Probe(Duration::from_secs(1)));
    assert_eq!(spec.failures_before_warning, 3);
    assert_eq!(spec.critical_limit, Some(Duration::from_secs(60)));
    assert_eq!(local.check(&Folded::new("node")).unwrap().spec().critical_limit, None);
}

#[test]
fn the_first_result_after_a_restart_is_news_whatever_it_is() {
    let mut local = local(vec![register("web", vec![http("h")])]);
    local.restored(WallTime(0));
    let id = Folded::new("h");
    let mut observe = || local.observe(&id, Status::Critical, "down".into(), None);
    assert_eq!((observe(), observe()), (Observed::Status, Observed::Nothing));
}

#[test]
fn tags_from_the_catalog_reach_the_instance_and_its_checks() {
    let id = Folded::new("web");
    let mut local = local(vec![register("web", vec![ttl("c")])]);
    let before = Arc::clone(local.instance(&id).unwrap());
    let tags = |local: &Local| {
        let check = &local.check(&Folded::new("c")).unwrap().check;
        (local.instance(&id).unwrap().tags.to_vec(), check.service_tags.to_vec())
    };
    let both = |tag: &str| (vec![Text::new(tag)], vec![Text::new(tag)]);
    local.take_tags(&id, &before, Arc::from([Text::new("new")]));
    assert_eq!(tags(&local), both("new"));
    local.take_tags(&id, &before, Arc::from([Text::new("late")]));
    assert_eq!(tags(&local), both("new"), "it was another when the catalog was looked at");
}

fn maintenance(id: &str, instance: &str) -> Operation {
    Operation::RegisterCheck(Box::new(Check {
        id: id.into(),
        name: "Service Maintenance Mode".into(),
        instance: instance.into(),
        details: CheckDetails {
            notes: "work".into(),
            kind: "maintenance".into(),
            ..CheckDetails::default()
        }
        .into(),
        ..Check::default()
    }))
}

#[test]
fn maintenance_outlives_a_restart_and_goes_with_its_service() {
    let operations = vec![
        register("web", vec![ttl("c")]),
        maintenance("_node_maintenance", ""),
        maintenance("_service_maintenance:web", "web"),
    ];
    let mut local = local(operations);
    let before = checks(&local);
    assert_eq!(before.len(), 3);
    local.restored(WallTime(0));
    assert_eq!(checks(&local), before);
    let held = local.check(&Folded::new("_node_maintenance")).unwrap();
    assert_eq!((held.spec().kind, held.unproven), (Kind::Passive, false));
    local.apply(register("web", vec![ttl("c")])).unwrap();
    assert_eq!(checks(&local), before, "registered again");
    local.apply(Operation::Deregister("web".into())).unwrap();
    assert_eq!(checks(&local), ["_node_maintenance critical \"\" "]);
}

#[test]
fn replacing_the_checks_of_a_service_ends_its_maintenance_as_in_consul() {
    let replace = register_with("web", "web", vec![], ExistingChecks::Replace);
    let operations = vec![
        register("web", vec![]),
        maintenance("_service_maintenance:web", "web"),
        maintenance("_node_maintenance", ""),
        replace,
    ];
    check(operations, &["_node_maintenance critical \"\" "]);
}
