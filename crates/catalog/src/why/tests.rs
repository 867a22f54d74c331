//! Every cause by its row: what keeps an instance out, in which order, in which words.

use super::*;
use crate::entry::Command;
use crate::tables::rig::{Rig, put_check, put_instance, put_node};
use model::Status;

/// An instance `a` of `web` on `n1` with these checks (id, instance, status) and this phase, judged.
#[track_caller]
fn check(terms: &Terms, checks: &[(&str, &str, &str)], phase: Phase, expected: &[&str]) {
    let mut rig = Rig::new();
    rig.does(put_node("n1", 0, "10.0.0.1"));
    let Command::PutInstance(mut instance) = put_instance("n1", "a", "web") else { unreachable!() };
    instance.phase = phase;
    instance.tags = ["v1".into(), "Blue".into()].into();
    rig.does(Command::PutInstance(instance));
    for (id, of, status) in checks {
        rig.does(put_check("n1", id, of, status));
    }
    let node = NodeKey::new(Tenant::DEFAULT, &"n1".into());
    let instance = rig.view.instances_on(&node).expect("held")[0].clone();
    let causes: Vec<Cause> = terms.causes(&rig.view, Tenant::DEFAULT, &instance).collect();
    let told: Vec<String> = causes.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected);
    let judged = terms.judge(&rig.view, Tenant::DEFAULT, &instance);
    assert_eq!(judged.err().as_deref(), causes.first());
    assert_eq!(
        terms.admit(&rig.view, Tenant::DEFAULT, &instance).is_some(),
        causes.is_empty(),
        "{causes:?}"
    );
}

#[test]
fn what_a_person_did_comes_first_and_then_the_node() {
    let all = [
        ("mem", "a", "critical"),
        ("_service_maintenance:a", "a", "critical"),
        ("disk", "", "critical"),
        ("load", "", "warning"),
        ("_node_maintenance", "", "critical"),
    ];
    check(
        &Terms::dns(false),
        &all,
        Phase::Draining,
        &[
            "node n1 is in maintenance",
            "it is in maintenance",
            "check \"disk\" of node n1 is critical",
            "check \"mem\" is critical",
            "its source says it is draining",
        ],
    );
    check(&Terms::http(false, Vec::new()), &all, Phase::Draining, &[]);
}

#[test]
fn warnings_count_where_only_what_passes_is_told() {
    let checks = [("mem", "a", "warning"), ("odd", "a", "strange"), ("disk", "", "passing")];
    check(&Terms::dns(false), &checks, Phase::Running, &[]);
    for terms in [Terms::dns(true), Terms::http(true, Vec::new())] {
        check(
            &terms,
            &checks,
            Phase::Running,
            &[
                "check \"mem\" warns, and only what passes is told",
                "check \"odd\" is \"strange\", and only what passes is told",
            ],
        );
    }
}

#[test]
fn a_tag_is_compared_without_case_and_an_empty_one_is_nobodys() {
    let tags =
        |tags: &[&str]| Terms::http(false, tags.iter().map(|tag| Folded::new(tag)).collect());
    check(&tags(&["V1", "blue"]), &[], Phase::Running, &[]);
    check(&tags(&["v1", "v2"]), &[], Phase::Running, &["it has no tag \"v2\""]);
    check(&tags(&[""]), &[], Phase::Running, &["it has no tag \"\""]);
}

#[test]
fn a_sentence_has_a_bound() {
    let row = Row {
        claim: Check {
            id: "ö".repeat(100).as_str().into(),
            status: Status::Critical,
            ..Check::default()
        },
        owner: model::Owner::http(),
        created: model::Index(1),
        modified: model::Index(1),
    };
    let instance = Instance { id: "a".into(), node: "n1".into(), ..Instance::default() };
    let told = sentence(&instance, &Cause::Check(Arc::new(row)));
    assert!(told.len() <= LONGEST_SENTENCE && told.ends_with('…'), "{told}");
    let told = sentence(&instance, &Cause::Phase(Phase::Killing));
    assert_eq!(told, "a on n1: its source says it is being killed");
}

/// A check of `a` on `n1` by this owner.
fn owned(owner: &str, id: &str, kind: &str, interval: &str, alias: &str) -> Arc<Row<Check>> {
    let definition = (!alias.is_empty()).then(|| {
        Box::new(model::CheckDefinition {
            alias_service: alias.into(),
            ..model::CheckDefinition::default()
        })
    });
    Arc::new(Row {
        claim: Check {
            node: "n1".into(),
            id: id.into(),
            instance: "it's a".into(),
            definition,
            details: model::CheckDetails {
                kind: kind.into(),
                interval: interval.into(),
                ..model::CheckDetails::default()
            }
            .into(),
            ..Check::default()
        },
        owner: model::Owner::new(owner),
        created: model::Index(1),
        modified: model::Index(1),
    })
}

#[test]
fn every_cause_says_what_brings_the_instance_back() {
    let agents = |id: &str, kind: &str, interval: &str, alias: &str| {
        Cause::Check(owned("agent/n1", id, kind, interval, alias))
    };
    let past_agents = |kind: &str| Cause::NodeCheck(owned("http", "c", kind, "10s", "db"));
    let anew = "nobody runs it: register it anew with Status passing";
    let instance = Instance { tags: ["v1".into()].into(), ..Instance::default() };
    for (cause, expected) in [
        (agents("c", "ttl", "", ""), "a report: `PUT /v1/agent/check/pass/c` to the agent on n1"),
        (
            agents("a b/c", "ttl", "", ""),
            "a report: `PUT /v1/agent/check/pass/a%20b%2Fc` to the agent on n1",
        ),
        (agents("c", "http", "10s", ""), "its next http probe, one each 10s, passes"),
        (agents("c", "", "", ""), "it passes"),
        (agents("c", "alias", "", "db"), "the checks of instance db on n1, which it follows, pass"),
        (past_agents(""), anew),
        (past_agents("ttl"), anew),
        (past_agents("http"), anew),
        (past_agents("alias"), anew),
        (Cause::NodeCheck(owned("nobody", "c", "", "", "")), anew),
        (
            Cause::NodeCheck(owned("leader", "serfHealth", "", "", "")),
            "the leader finds that it passes",
        ),
        (
            Cause::Maintenance(owned("agent/n1", "_service_maintenance:it's a", "", "", "")),
            r"`rutter maint -disable -service='it'\''s a'` on node n1",
        ),
        (
            Cause::NodeMaintenance(owned("http", "_node_maintenance", "", "", "")),
            "no agent holds it: deregister check \"_node_maintenance\" of node \"n1\" from the \
             catalog",
        ),
        (
            Cause::lacks("v2", &instance),
            "ask for the tag \"v1\", or register it with the tag \"v2\"",
        ),
        (Cause::lacks("edge", &instance), "register it with the tag \"edge\""),
        (Cause::Phase(Phase::Staging), "its source says that it runs"),
        (Cause::Address(Family::V6), "register it with an IPv6 address"),
        (Cause::Address(Family::Host), "register it with a host name for an address"),
        (Cause::Address(Family::Zone), "ask for A, AAAA or SRV"),
    ] {
        assert_eq!(cause.remedy().to_string(), expected);
    }
}
