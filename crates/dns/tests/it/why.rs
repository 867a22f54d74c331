//! What is explained is what is answered: random catalogs, asked and explained, then mended.

use crate::ask::{packet, read};
use crate::world::World;
use catalog::Command;
use catalog::why::{Absence, Cause, Family};
use dns::{Channel, Config, Fate, Live, Responder};
use model::{Check, Instance, Node, Phase, Status, Text};
use seams::{Meaning, NameAnswer, NameQuestion, Names};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Chance that can be repeated.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

pub fn check(node: &str, instance: &str, id: &str, status: &str) -> Command {
    Command::PutCheck(Box::new(Check {
        node: node.into(),
        id: id.into(),
        status: Status::parse(status),
        instance: instance.into(),
        ..Check::default()
    }))
}

pub const STATUSES: [&str; 6] = ["passing", "passing", "passing", "warning", "critical", "odd"];

/// Three nodes and some instances of `web`, each with a port of its own, and what may ail them.
fn catalog(chance: &mut Chance) -> Vec<Command> {
    let mut commands = Vec::new();
    for number in 0..3 {
        let name = format!("n{number}");
        let address =
            [format!("10.0.0.{number}"), format!("fd00::{}", number + 1), "h.test".to_owned()];
        let address = &address[chance.below(8).saturating_sub(5) as usize];
        let node = Node {
            name: name.as_str().into(),
            address: address.as_str().into(),
            ..Node::default()
        };
        commands.push(Command::PutNode(node));
        match chance.below(8) {
            0 => commands.push(check(&name, "", "_node_maintenance", "critical")),
            1..4 => commands.push(check(&name, "", "disk", chance.of(&STATUSES))),
            _ => {}
        }
    }
    for number in 0..chance.below(7) {
        let (node, id) = (format!("n{}", chance.below(3)), format!("w{number}"));
        let address = match chance.below(5) {
            0 => format!("10.1.0.{number}"),
            1 => format!("fd01::{}", number + 1),
            2 => format!("w{number}.example.test"),
            _ => String::new(),
        };
        let tags = [&[][..], &["v1"], &["V1", "blue"], &["v2"]][chance.below(4) as usize];
        let phase = match chance.below(8) {
            0 => Phase::Draining,
            1 => Phase::Staging,
            _ => Phase::Running,
        };
        commands.push(Command::PutInstance(Box::new(Instance {
            node: node.as_str().into(),
            id: id.as_str().into(),
            service: "web".into(),
            tags: tags.iter().map(Text::new).collect(),
            address: address.into(),
            port: 1000 + number as i64,
            details: details(phase),
        })));
        for count in 0..chance.below(3) {
            commands.push(check(&node, &id, &format!("c{number}-{count}"), chance.of(&STATUSES)));
        }
        if chance.below(8) == 0 {
            commands.push(check(&node, &id, &format!("_service_maintenance:{id}"), "critical"));
        }
    }
    commands
}

struct Bench {
    world: World,
    live: Live,
    responder: Responder,
    name: &'static str,
    qtype: &'static str,
}

impl Bench {
    fn new(chance: &mut Chance) -> Bench {
        let config = Config { only_passing: chance.below(2) == 0, ..Config::default() };
        let world = World::new(config);
        world.write(catalog(chance));
        let live = Live::over(&world.config, &world.table).expect("a domain");
        let responder = Responder::new(&world.config, &world.table).expect("a domain");
        let names = ["web.service.consul", "v1.web.service.consul", "_WEB._v2.service.dc1.consul"];
        let (name, qtype) = (chance.of(&names), chance.of(&["A", "AAAA", "SRV", "ANY", "CNAME"]));
        Bench { world, live, responder, name, qtype }
    }

    fn explain(&self) -> NameAnswer {
        self.explain_on(None)
    }

    fn explain_on(&self, on: Option<&str>) -> NameAnswer {
        let question = NameQuestion {
            name: self.name,
            qtype: crate::ask::qtype(self.qtype),
            edns: Some(65_000),
            tcp: true,
            passing: false,
            on,
        };
        self.live.explain(&self.world.catalog.doors().reader.view(), &question).expect("a name")
    }

    fn answer(&mut self) -> Value {
        let query = json!({
            "name": self.name, "type": self.qtype, "options": {"bufsize": 65_000},
        });
        let mut out = vec![0; 65_535];
        match self.responder.round().answer(Channel::Tcp, &packet(&query), &mut out) {
            Fate::Reply(reply) => read(&out[..reply.length]),
            other => panic!("{other:?}"),
        }
    }

    fn instance(&self, node: &str, id: &str) -> Instance {
        let key = catalog::NodeKey::new(model::Tenant::DEFAULT, &node.into());
        let view = self.world.catalog.doors().reader.view();
        let row = view.instance(&key.instance(&id.into())).expect("held").expect("there");
        row.claim.clone()
    }

    /// What the records of the answer name: ports, addresses or host names.
    fn told(&mut self) -> BTreeSet<String> {
        let answer = self.answer();
        let records = answer["answer"].as_array().expect("records").iter();
        let data = records.map(|record| record["rdata"].as_str().expect("text").to_owned());
        match self.qtype {
            "SRV" => data.map(|data| data.split(' ').nth(2).expect("a port").to_owned()).collect(),
            _ => data.map(|data| data.trim_end_matches('.').to_owned()).collect(),
        }
    }

    /// What an instance is told as.
    fn as_told(&self, instance: &Instance) -> String {
        if self.qtype == "SRV" {
            return instance.port.to_string();
        }
        if !instance.address.is_empty() {
            return instance.address.to_string();
        }
        let key = catalog::NodeKey::new(model::Tenant::DEFAULT, &instance.node);
        let view = self.world.catalog.doors().reader.view();
        view.node(&key).expect("held").value.expect("there").address.to_string()
    }

    /// Compares; gives what keeps each instance out that is out.
    #[track_caller]
    fn compare(&mut self) -> Vec<(Instance, Vec<Cause>)> {
        let explained = self.explain();
        let mut each_node = Vec::new();
        let nodes: BTreeSet<_> = explained.instances.iter().map(|(node, ..)| node).collect();
        for node in &nodes {
            each_node.extend(self.explain_on(Some(&node.as_str().to_uppercase())).instances);
        }
        assert_eq!(each_node, explained.instances, "{} {}", self.name, self.qtype);
        let (mut served, mut out) = (BTreeSet::new(), Vec::new());
        for (node, id, causes) in explained.instances {
            let instance = self.instance(node.as_str(), id.as_str());
            match causes.is_empty() {
                true => _ = served.insert(self.as_told(&instance)),
                false => out.push((instance, causes)),
            }
        }
        let told = self.told();
        let what = format!("{} {}: {out:?}", self.name, self.qtype);
        assert_eq!(explained.code, self.answer()["rcode"], "{what}");
        assert_eq!(explained.records, told.len(), "{what}");
        // Of several aliases one is told, at random.
        let is_alias = |name: &String| name.ends_with(".test");
        if self.qtype != "SRV" && !served.is_empty() && served.iter().all(is_alias) {
            assert!(told.len() == 1 && told.is_subset(&served), "{what}: {told:?} of {served:?}");
            assert!(served.len() == 1 || explained.reason.is_some(), "{what}");
        } else {
            assert_eq!(told, served, "{what}");
            assert_eq!(explained.reason.is_some(), told.is_empty(), "{what}");
        }
        out
    }
}

pub fn details(phase: Phase) -> model::Rare<model::InstanceDetails> {
    model::InstanceDetails { phase, ..model::InstanceDetails::default() }.into()
}

/// What undoes a cause.
pub fn undo(cause: &Cause, instance: &mut Instance, commands: &mut Vec<Command>) {
    let address = |v6: bool| match v6 {
        true => format!("fd02::{}", instance.port - 999),
        false => format!("10.2.0.{}", instance.port - 1000),
    };
    match cause {
        Cause::Tag { asked, .. } => {
            instance.tags = instance.tags.iter().chain([asked]).cloned().collect();
        }
        Cause::Phase(_) => instance.details = details(Phase::Running),
        Cause::Address(Family::V6) => instance.address = address(true).into(),
        Cause::Address(Family::Host) => {
            instance.address = format!("w{}.example.test", instance.port).into();
        }
        // An address of the family that wins.
        Cause::Address(_) | Cause::HostName(_) => instance.address = address(false).into(),
        Cause::NodeMaintenance(row)
        | Cause::Maintenance(row)
        | Cause::NodeCheck(row)
        | Cause::Check(row) => {
            let claim = Check { status: Status::Passing, ..row.claim.clone() };
            commands.push(Command::PutCheck(Box::new(claim)));
        }
    }
}

#[test]
fn an_instance_is_said_to_be_served_exactly_where_it_is_and_appears_when_its_causes_are_undone() {
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut served, mut mended) = (0, 0);
    for seed in 1..=600u64 {
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ (seed << 20 | seed));
        let mut bench = Bench::new(&mut chance);
        let out = bench.compare();
        served += bench.told().len();
        for (_, causes) in &out {
            causes.iter().for_each(|cause| *reached.entry(cause.name()).or_default() += 1);
        }
        let Some((instance, causes)) = out.get(chance.below(out.len().max(1) as u64) as usize)
        else {
            continue;
        };
        let (mut instance, mut commands) = (instance.clone(), Vec::new());
        let wants_v6 = bench.qtype == "AAAA";
        for cause in causes {
            undo(cause, &mut instance, &mut commands);
            if matches!(cause, Cause::HostName(_)) && wants_v6 {
                instance.address = format!("fd02::{}", instance.port).into();
            }
        }
        // A tag that is looked at only once the instance is well may be named next.
        commands.push(Command::PutInstance(Box::new(instance.clone())));
        bench.world.write(commands);
        let left = bench.compare();
        let still = left.iter().find(|(other, _)| other.id == instance.id);
        // Health hides what an address lacks: that is named once the rest is undone.
        let still = still.map(|(_, causes)| causes.clone()).unwrap_or_default();
        let only_addresses =
            still.iter().all(|cause| matches!(cause, Cause::Address(_) | Cause::HostName(_)));
        assert!(only_addresses, "seed {seed}: {causes:?} were undone and {still:?} are left");
        if !still.is_empty() {
            let mut commands = Vec::new();
            still.iter().for_each(|cause| undo(cause, &mut instance, &mut commands));
            if matches!(still[0], Cause::HostName(_)) && wants_v6 {
                instance.address = format!("fd02::{}", instance.port).into();
            }
            commands.push(Command::PutInstance(Box::new(instance.clone())));
            bench.world.write(commands);
            let left = bench.compare();
            assert!(left.iter().all(|(other, _)| other.id != instance.id), "seed {seed}: {left:?}");
        }
        mended += 1;
    }
    for cause in [
        "node_maintenance",
        "maintenance",
        "node_check",
        "node_check_warning",
        "check",
        "check_warning",
        "phase",
        "tag",
        "address",
        "host_name",
    ] {
        assert!(reached.get(cause).is_some_and(|count| *count >= 10), "{cause}: {reached:?}");
    }
    assert!(served > 100 && mended > 200, "{served} {mended}");
}

#[test]
fn what_is_not_here_is_out_of_reach_and_no_bad_name() {
    let world = World::new(Config::default());
    world.lines("node n1 10.0.0.1 | web w1 n1:80");
    let view = world.catalog.doors().reader.view();
    // A table that nobody has published anything to holds nothing.
    let elsewhere = dns::table(&world.config);
    let live = Live::over(&world.config, &elsewhere).expect("a domain");
    for (name, expected) in [
        ("web.service.consul", Some(Absence::Unreachable)),
        ("n1.node.consul", Some(Absence::Unreachable)),
        ("web.service.dc2.consul", Some(Absence::NoSuchDatacenter)),
        ("a..service.consul", None),
    ] {
        let passing = false;
        let qtype = crate::ask::qtype("SRV");
        let question = NameQuestion { name, qtype, edns: None, tcp: false, passing, on: None };
        let told = live.explain(&view, &question);
        assert_eq!(told.as_ref().and_then(|told| told.absence), expected, "{name}");
        let Some(told) = told else { continue };
        let code = if expected == Some(Absence::Unreachable) { "SERVFAIL" } else { "NXDOMAIN" };
        assert_eq!((told.code, told.instances.len()), (code, 0), "{name}");
    }
}

#[test]
fn a_name_means_what_it_is_answered_as() {
    let world = World::new(Config { alt_domain: Some("alt.".to_owned()), ..Config::default() });
    let live = Live::over(&world.config, &world.table).expect("a domain");
    let service = |service: &str, tag: &str, datacenter: Option<&str>| Meaning::Service {
        service: service.to_owned(),
        tag: tag.to_owned(),
        datacenter: datacenter.map(str::to_owned),
    };
    let node = |node: &str| Meaning::Node { node: node.to_owned(), datacenter: None };
    for (name, expected) in [
        ("web.service.consul", Some(service("web", "", None))),
        ("V1.Web.service.DC2.alt", Some(service("web", "v1", Some("dc2")))),
        ("_web._tcp.service.consul.", Some(service("web", "", None))),
        ("n1.x.node.consul", Some(node("n1.x"))),
        ("4.3.2.1.in-addr.arpa", Some(Meaning::Reverse)),
        ("1.ip6.arpa", Some(Meaning::Reverse)),
        ("7f000001.addr.consul", Some(Meaning::Other)),
        ("nothing.consul", Some(Meaning::Other)),
        ("web", None),
        ("example.test", None),
        ("..", None),
    ] {
        for qtype in ["SRV", "A"] {
            let meaning = live.meaning(name, crate::ask::qtype(qtype));
            assert_eq!(meaning, expected, "{name} {qtype}");
        }
    }
    // Only an SRV question may leave the label `service` out.
    for (qtype, expected) in [("SRV", service("web", "", None)), ("A", Meaning::Other)] {
        let meaning = live.meaning("_web._tcp.consul", crate::ask::qtype(qtype));
        assert_eq!(meaning, Some(expected), "{qtype}");
    }
    for (asked, tag, expected) in [
        ("web", None, Some("web.service.consul.")),
        ("Web", Some("v1.x"), Some("v1.x.Web.service.consul.")),
        ("a.b", None, None),
        ("", None, None),
    ] {
        assert_eq!(live.of_service(asked, tag).as_deref(), expected, "{asked}");
    }
    assert_eq!(live.of_service(&"x".repeat(64), None), None);
    assert_eq!(live.of_node("a.b").as_deref(), Some("a.b.node.consul."));
}
