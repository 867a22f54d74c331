//! Every answer that is empty or short says so to who sent EDNS, with the reason that `why` gives, and no
//! other answer does: random catalogs and settings, asked in every way.
//!
//! What is left out is known by asking the same table again without limits, by TCP.

mod beside;

use self::beside::{lacks_addresses, lacks_texts, share_addresses};
use crate::ask::{packet, qtype, read};
use crate::why::{Chance, STATUSES, check, details, undo};
use crate::world::World;
use catalog::Command;
use catalog::why::{Absence, Cause, sentence};
use dns::{Channel, Config, Cut, Fate, Live, Reply, Responder, Why};
use model::{Instance, InstanceId, Node, NodeName, Phase, Text, TextMap};
use seams::{NameAnswer, NameQuestion, Names};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How many catalogs, and how many questions to each.
const SEEDS: u64 = 100;
const QUESTIONS: usize = 24;

/// What a number of questions is enough to reach of each kind.
const ENOUGH: usize = 3;

fn node(chance: &mut Chance, number: u64) -> Vec<Command> {
    let pad = ["", "-with-a-name-that-takes-as-much-room-as-there-is", "_x"]
        [chance.below(6).saturating_sub(3) as usize];
    let name = format!("n{number}{pad}");
    let address = match chance.below(10) {
        0 => "www.example.test".to_owned(),
        1 => "web.service.consul".to_owned(),
        2 | 3 => format!("fd00::{}", number + 1),
        _ => format!("10.0.0.{number}"),
    };
    // Few, or more than a small answer holds.
    let texts = if chance.below(3) == 0 { 12 } else { chance.below(3) };
    let meta = (0..texts).map(|count| {
        let value = "x".repeat(chance.below(60) as usize);
        (Text::new(format!("k{count}")), Text::new(value))
    });
    let meta: TextMap = meta.collect();
    let node = Node {
        name: name.as_str().into(),
        address: address.into(),
        meta: (!meta.is_empty()).then_some(meta),
        ..Node::default()
    };
    let mut commands = vec![Command::PutNode(node)];
    if chance.below(6) == 0 {
        commands.push(check(&name, "", "disk", chance.of(&STATUSES)));
    }
    commands
}

fn put(node: &str, id: &str, service: &str, address: &str, port: u64) -> Instance {
    Instance {
        node: node.into(),
        id: id.into(),
        service: service.into(),
        address: address.into(),
        port: port as i64,
        ..Instance::default()
    }
}

/// Nodes, instances of `web`, aliases to them, a chain of aliases, and servers.
fn catalog(chance: &mut Chance) -> Vec<Command> {
    let nodes: Vec<Vec<Command>> = (0..1 + chance.below(9)).map(|n| node(chance, n)).collect();
    let names: Vec<String> = nodes.iter().map(|commands| name_of(&commands[0])).collect();
    let mut commands: Vec<Command> = nodes.into_iter().flatten().collect();
    let most = [2, 12, 60, 60][chance.below(4) as usize];
    let instances = chance.below(most + 1);
    let families = chance.below(4);
    for number in 0..instances {
        let address = match (families, chance.below(6)) {
            (0, _) => format!("10.1.0.{number}"),
            (1, 0..4) => {
                ["www.example.test", "WWW.Example.test", "n0.node.consul", "few.service.consul"]
                    [chance.below(4) as usize]
                    .to_owned()
            }
            (_, 0) => format!("10.1.0.{}", number % 7),
            (_, 1) => format!("fd01::{}", number + 1),
            (2, 2) => "few.service.consul".to_owned(),
            _ => String::new(),
        };
        let on = &names[chance.below(names.len() as u64) as usize];
        let mut instance = put(on, &format!("w{number}"), "web", &address, 1000 + number % 40);
        instance.tags =
            [&[][..], &["v1"], &["v2"]][chance.below(3) as usize].iter().map(Text::new).collect();
        instance.details =
            details([Phase::Running, Phase::Draining][(chance.below(8) / 7) as usize]);
        let id = instance.id.as_str().to_owned();
        commands.push(Command::PutInstance(Box::new(instance)));
        if chance.below(3) == 0 {
            commands.push(check(on, &id, &format!("c{number}"), chance.of(&STATUSES)));
        }
    }
    let on = &names[0];
    for (service, address) in [
        ("to", "web.service.consul"),
        ("c1", "c2.service.consul"),
        ("c2", "c3.service.consul"),
        ("c3", "c4.service.consul"),
        (
            "c4",
            ["c5.service.consul", "c2.service.consul", "web.service.consul"]
                [chance.below(3) as usize],
        ),
        ("c5", "10.5.0.1"),
    ] {
        commands.push(Command::PutInstance(Box::new(put(on, service, service, address, 1))));
    }
    commands.push(check(on, "c5", "of-c5", chance.of(&STATUSES)));
    for number in 0..chance.below(4) {
        let (id, address) = (format!("few{number}"), format!("10.6.0.{number}"));
        commands.push(Command::PutInstance(Box::new(put(on, &id, "few", &address, 1))));
    }
    for name in names.iter().take(chance.below(7) as usize) {
        commands.push(Command::PutInstance(Box::new(put(name, "consul", "consul", "", 8300))));
    }
    commands
}

fn name_of(command: &Command) -> String {
    match command {
        Command::PutNode(node) => node.name.as_str().to_owned(),
        _ => unreachable!("a node comes first"),
    }
}

/// A question, and how it is put.
#[derive(Debug, Clone)]
struct Asked {
    name: String,
    qtype: &'static str,
    edns: Option<u16>,
    tcp: bool,
}

impl Asked {
    fn channel(&self) -> Channel {
        if self.tcp { Channel::Tcp } else { Channel::Udp }
    }

    fn packet(&self) -> Vec<u8> {
        let options = self.edns.map_or(json!({}), |size| json!({"bufsize": size}));
        packet(&json!({"name": self.name, "type": self.qtype, "options": options}))
    }

    /// How long its answer may be.
    fn limit(&self) -> usize {
        match self.tcp {
            true => 65_523,
            false => usize::from(self.edns.unwrap_or(0)).max(512),
        }
    }
}

fn answered(responder: &mut Responder, asked: &Asked) -> (Reply, Value) {
    let mut out = vec![0; 65_535];
    match responder.round().answer(asked.channel(), &asked.packet(), &mut out) {
        Fate::Reply(reply) => (reply, read(&out[..reply.length])),
        other => panic!("{asked:?}: {other:?}"),
    }
}

/// Records as owner, type and data.
fn records(answer: &Value, section: &str) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_lowercase();
    let records = answer[section].as_array().expect("records").iter();
    records.map(|it| (text(&it["name"]), text(&it["type"]), text(&it["rdata"]))).collect()
}

/// The extended error's code and text.
fn error(answer: &Value) -> Option<(u16, String)> {
    let options = answer["edns"]["options"].as_array()?;
    let option = options.iter().find(|option| option["code"] == 15)?;
    let hex = option["hex"].as_str().expect("hex").as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
    let bytes: Vec<u8> = hex.map(|pair| byte(pair).expect("hex")).collect();
    let (code, text) = bytes.split_first_chunk::<2>().expect("a code");
    Some((u16::from_be_bytes(*code), String::from_utf8(text.to_vec()).expect("UTF-8")))
}

struct Bench {
    world: World,
    live: Live,
    responder: Responder,
    /// The same table without limits.
    unlimited: Responder,
}

impl Bench {
    fn new(chance: &mut Chance) -> Bench {
        let config = Config {
            only_passing: chance.below(2) == 0,
            enable_truncate: chance.below(2) == 0,
            a_record_limit: [0, 0, 1, 2, 5, 30, 35][chance.below(7) as usize],
            udp_answer_limit: [1, 3, 8][chance.below(3) as usize],
            disable_compression: chance.below(6) == 0,
            enable_additional_node_meta_txt: chance.below(3) > 0,
            ..Config::default()
        };
        let world = World::new(config);
        world.write(catalog(chance));
        let free = Config { a_record_limit: 0, ..world.config.clone() };
        Bench {
            live: Live::over(&world.config, &world.table).expect("a domain"),
            responder: Responder::new(&world.config, &world.table).expect("a domain"),
            unlimited: Responder::new(&free, &world.table).expect("a domain"),
            world,
        }
    }

    fn all(&mut self, name: &str, qtype: &'static str) -> Value {
        let asked = Asked { name: name.to_owned(), qtype, edns: Some(65_535), tcp: true };
        answered(&mut self.unlimited, &asked).1
    }

    /// A question whose size may be just at the edge.
    fn question(&mut self, chance: &mut Chance) -> Asked {
        let long = ["a", "b", "c"].map(|letter| letter.repeat(63)).join(".");
        let longest = format!("{}.{long}.consul", "d".repeat(chance.below(50) as usize + 1));
        let services = [
            "web.service.consul",
            "web.service.consul",
            "v1.web.service.consul",
            "to.service.consul",
            "c1.service.consul",
            "c2.service.consul",
            "few.service.consul",
        ];
        let others =
            ["n0.node.consul", "n1.node.consul", "nope.service.consul", "0.0.0.10.in-addr.arpa"];
        let (name, qtype) = match chance.below(10) {
            0 => (longest.as_str(), chance.of(&["NS", "SOA"])),
            1 => ("consul", chance.of(&["NS", "NS", "SOA", "A"])),
            2 => (chance.of(&others), chance.of(&["A", "AAAA", "SRV", "ANY", "TXT", "SOA"])),
            3 => (chance.of(&services), chance.of(&["TXT", "CNAME", "MX", "AAAA", "ANY"])),
            4..6 => ("web.service.consul", chance.of(&["A", "SRV"])),
            6 => (chance.of(&["n0.node.consul", "n1.node.consul"]), chance.of(&["A", "A", "AAAA"])),
            7 => ("few.service.consul", "SRV"),
            _ => (chance.of(&services), chance.of(&["A", "AAAA", "SRV", "ANY"])),
        };
        let name = name.to_owned();
        let tcp = chance.below(6) == 0;
        let whole = Asked { name, qtype, edns: Some(65_535), tcp };
        let length = answered(&mut self.responder, &whole).0.length as u64;
        let edns = match chance.below(8) {
            0 => None,
            1 => Some(512),
            2 => Some(1232),
            3 => Some(65_535),
            4 => Some(513 + chance.below(length) as u16),
            _ => Some((length + 6).saturating_sub(chance.below(40)).max(513) as u16),
        };
        Asked { edns, ..whole }
    }

    /// Whether an answer is empty, or lacks something that there is.
    fn is_due(&mut self, asked: &Asked, answer: &Value) -> bool {
        let all = self.all(&asked.name, asked.qtype);
        let (told, there) = (records(answer, "answer"), records(&all, "answer"));
        let is_foreign = answer["rcode"] == "REFUSED";
        if told.is_empty() && !is_foreign {
            return true;
        }
        let aliases = told.union(&records(answer, "additional")).cloned().collect();
        told.len() < there.len()
            || self.has_other_aliases(&aliases)
            || self.leads_on(&aliases)
            || self.lacks_servers(asked, answer)
            || asked.qtype == "SRV"
                && (lacks_addresses(answer, &all, self.most(asked)) || lacks_texts(answer, &all))
            || asked.name.contains(".node.")
                && ["A", "AAAA"].contains(&asked.qtype)
                && records(answer, "additional") != records(&all, "additional")
    }

    /// How many records are told of an owner beside the answer, and how many of a target.
    fn most(&self, asked: &Asked) -> (usize, usize) {
        let limit = self.world.config.a_record_limit;
        let most = if limit == 0 { usize::MAX } else { limit };
        (most, if asked.edns.is_some() { usize::MAX } else { 5 })
    }

    /// Whether one of these names, or one that they lead to, has more than one alias to choose from.
    fn has_other_aliases(&mut self, told: &BTreeSet<(String, String, String)>) -> bool {
        let aliases = told.iter().filter(|(_, rtype, _)| rtype == "cname");
        let owners: BTreeSet<&str> = aliases.map(|(owner, ..)| owner.as_str()).collect();
        let leading = told.iter().filter(|(_, rtype, _)| ["cname", "srv"].contains(&&**rtype));
        let ends = leading.map(|(_, _, data)| data.rsplit(' ').next().expect("a target"));
        owners.union(&ends.collect()).any(|name| {
            let asked = name.trim_end_matches('.');
            let beyond = records(&self.all(asked, "ANY"), "answer");
            let mut beyond = beyond.iter().filter(|(_, rtype, _)| rtype == "cname");
            let is_alias = owners.contains(name) || beyond.any(|(owner, ..)| owner == *name);
            let targets = targets(&self.all(asked, "SRV"), "answer");
            is_alias && targets.iter().filter(|target| !target.contains(".dc1.")).count() > 1
        })
    }

    /// Whether the last alias told leads to something that is not told.
    fn leads_on(&mut self, told: &BTreeSet<(String, String, String)>) -> bool {
        let owners: BTreeSet<&str> = told.iter().map(|(owner, ..)| owner.as_str()).collect();
        let aliases = told.iter().filter(|(_, rtype, _)| rtype == "cname");
        let mut ends = aliases.map(|(_, _, end)| end).filter(|end| !owners.contains(end.as_str()));
        ends.any(|end| {
            let beyond = self.all(end.trim_end_matches('.'), "ANY");
            let back = |(_, rtype, target): &(String, String, String)| {
                rtype == "cname" && (target == end || owners.contains(target.as_str()))
            };
            let beyond = records(&beyond, "answer");
            beyond.iter().any(|record| record.0 == *end && !back(record))
        })
    }

    /// Whether there are name servers, where they were asked for or belong, that are not named or whose
    /// address is not told.
    fn lacks_servers(&mut self, asked: &Asked, answer: &Value) -> bool {
        let (section, most) = match asked.qtype {
            "NS" => ("answer", usize::MAX),
            "SOA" => ("authority", 3),
            _ => return false,
        };
        let servers = targets(&self.all("consul.service.consul", "SRV"), "answer");
        let safe = |name: &&String| name.contains(".node.dc1.") && !name.contains('_');
        if asked.name.ends_with("arpa") {
            return false;
        }
        let (named, beside) = (records(answer, section), records(answer, "additional"));
        let named: Vec<_> = named.iter().filter(|(_, rtype, _)| rtype == "ns").collect();
        let has_address = |name: &str| beside.iter().any(|(owner, ..)| owner == name);
        named.len() < servers.iter().filter(safe).count().min(most)
            || named.iter().any(|(_, _, target)| !has_address(target))
    }

    /// What `why` says: its choice is as random as the answer's.
    fn explain(&self, asked: &Asked) -> NameAnswer {
        let question = NameQuestion {
            name: &asked.name,
            qtype: qtype(asked.qtype),
            edns: asked.edns,
            tcp: asked.tcp,
            passing: false,
            on: None,
        };
        self.live.explain(&self.world.catalog.doors().reader.view(), &question).expect("a name")
    }

    /// Undoes all that keeps the instance out that a text names; false where it names none.
    fn mend(&self, asked: &Asked, text: &str) -> bool {
        let explained = self.explain(asked).instances;
        let is_named = |it: &&(NodeName, InstanceId, Vec<Cause>)| {
            sentence_of(it).is_some_and(|told| text.starts_with(&told))
        };
        let Some((node, id, causes)) = explained.iter().find(is_named) else { return false };
        let key = catalog::NodeKey::new(model::Tenant::DEFAULT, node).instance(id);
        let view = self.world.catalog.doors().reader.view();
        let mut instance = view.instance(&key).expect("held").expect("there").claim.clone();
        let mut commands = Vec::new();
        causes.iter().for_each(|cause| undo(cause, &mut instance, &mut commands));
        commands.push(Command::PutInstance(Box::new(instance)));
        self.world.write(commands);
        true
    }

    /// Whether an error's text is the reason that `why` gives.
    fn is_same(&self, asked: &Asked, text: &str, told: usize) -> bool {
        let explained = self.explain(asked);
        let Some(reason) = explained.reason else { return false };
        if let Some(absence) = explained.absence {
            return absence.text().starts_with(text);
        }
        if let Some(count) = reason.strip_prefix("none of ") {
            let count: usize =
                count.split(' ').next().and_then(|it| it.parse().ok()).expect("how many");
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            let mut causes = explained.instances.iter().filter_map(sentence_of);
            return causes.any(|cause| text == format!("{cause}{more}"));
        }
        let by = reason.split_once(": ").expect("a limit").1;
        let counted = reason.split_once(" of ").map(|(_, rest)| format!("{told} of {rest}"));
        text.is_empty() || text == by || text == counted.unwrap_or(reason.clone()) || text == reason
    }
}

/// The first that keeps an instance out, as DNS says it.
fn sentence_of((node, id, causes): &(NodeName, InstanceId, Vec<Cause>)) -> Option<String> {
    let instance = put(node.as_str(), id.as_str(), "", "", 0);
    Some(sentence(&instance, causes.first()?))
}

fn targets(answer: &Value, section: &str) -> BTreeSet<String> {
    let last = |data: String| data.rsplit(' ').next().expect("a target").to_owned();
    records(answer, section).into_iter().map(|(_, _, data)| last(data)).collect()
}

impl Bench {
    /// Asks; gives what the answer was an example of.
    fn check(&mut self, asked: &Asked) -> String {
        let (reply, answer) = answered(&mut self.responder, asked);
        let what = format!("{asked:?} {:?}: {reply:?} {answer}", self.world.config);
        if answer["rcode"] == "REFUSED" {
            assert!(answer["edns"].is_null(), "{what}");
            return "refused".to_owned();
        }
        assert_eq!(answer["edns"].is_null(), asked.edns.is_none(), "{what}");
        let is_due = self.is_due(asked, &answer);
        let told = answer["answer"].as_array().expect("records").len();
        match error(&answer) {
            _ if asked.edns.is_none() => {
                // Which servers fit is chance.
                let is_same = (0..100).any(|_| self.explain(asked).reason.is_some() == is_due);
                assert!(is_same, "{what}");
                "no EDNS".to_owned()
            }
            None if is_due => {
                // No room, and nothing that may give way for it.
                let room = asked.limit() - reply.length;
                assert!(room < 6 && (!reply.truncated || told <= 1), "{room}: {what}");
                let has_tc = answer["flags"].as_array().expect("flags").contains(&json!("tc"));
                assert_eq!(has_tc, self.world.config.enable_truncate, "{what}");
                "silent".to_owned()
            }
            None => "whole".to_owned(),
            Some((_, text)) => {
                let all = self.all(&asked.name, asked.qtype);
                let beside = matches!(reply.why, Why::Short { by: Cut::Beside, .. });
                assert!(is_due || beside && share_addresses(&all), "{text}: {what}");
                let is_same = (0..100).any(|_| self.is_same(asked, &text, told));
                assert!(is_same, "{text}, {:?}: {what}", self.explain(asked));
                match told == 0 && self.mend(asked, &text) {
                    true => self.check_mended(asked, &what),
                    false => text.rsplit(": ").next().expect("a reason").to_owned(),
                }
            }
        }
    }

    /// What was named and mended is told now, or has nothing of the type asked for.
    fn check_mended(&mut self, asked: &Asked, what: &str) -> String {
        let (_, mended) = answered(&mut self.responder, asked);
        let is_told = mended["answer"] != json!([]);
        assert!(mended["rcode"] == "NOERROR", "{what}, then {mended}");
        assert!(is_told || self.explain(asked).absence.is_some(), "{what}, then {mended}");
        if is_told { "mended" } else { "of another type" }.to_owned()
    }
}

#[test]
fn an_answer_says_why_exactly_where_it_is_empty_or_short_and_why_says_the_same() {
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 1..=SEEDS {
        // A failure prints the seed.
        println!("seed {seed}");
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ (seed << 20 | seed));
        let mut bench = Bench::new(&mut chance);
        for _ in 0..QUESTIONS {
            let asked = bench.question(&mut chance);
            *reached.entry(bench.check(&asked)).or_default() += 1;
        }
    }
    for kind in [
        "no EDNS",
        "whole",
        "mended",
        "",
        "a_record_limit",
        "udp_answer_limit",
        "no room for more",
        "no room for all that goes with it",
        "a name has one alias",
        "aliases are followed no further",
        "three name servers are named",
        Absence::NoIpv4.text(),
        Absence::NoIpv6.text(),
        Absence::NoSuchType.text(),
        Absence::NoSuchTag.text(),
        Absence::NoSuchService.text(),
    ] {
        assert!(reached.get(kind).is_some_and(|count| *count >= ENOUGH), "{kind}: {reached:#?}");
    }
}

/// Asks about forty instances of `web`, each on its own node: how many records are told and how many
/// beside them, the error's text, and whether TC is set.
fn of_forty(
    config: Config,
    qtype: &'static str,
    sizes: std::ops::Range<u16>,
) -> Vec<(usize, usize, usize, Option<String>, bool)> {
    let world = World::new(config);
    let lines = (10..50).map(|n| format!("node n{n} 10.0.0.{n} | web w n{n}:80"));
    world.lines_at_once(&lines.collect::<Vec<_>>().join("\n"));
    let mut responder = Responder::new(&world.config, &world.table).expect("a domain");
    let told = sizes.map(|size| {
        let name = "web.service.consul".to_owned();
        let asked = Asked { name, qtype, edns: Some(size), tcp: false };
        let (_, answer) = answered(&mut responder, &asked);
        let count = |section: &str| answer[section].as_array().expect("records").len();
        let text = error(&answer).map(|(_, text)| text);
        let has_tc = answer["flags"].as_array().expect("flags").contains(&json!("tc"));
        (usize::from(size), count("answer"), count("additional"), text, has_tc)
    });
    told.collect()
}

/// The question with a header, and an OPT record.
const FRAME: usize = 36 + 11;

/// An address, and an SRV record with its address.
const ADDRESS: usize = 16;
const TARGET: usize = 39;

/// RFC 8914 §3: words go before records; and so does the error where no record is left out for size.
#[test]
fn no_record_of_an_answer_that_fits_is_given_up_for_a_reason() {
    for enable_truncate in [false, true] {
        let config = Config { a_record_limit: 30, enable_truncate, ..Config::default() };
        let whole = FRAME + 30 * ADDRESS;
        for (size, told, _, text, has_tc) in of_forty(config, "A", whole as u16..600) {
            assert_eq!(told, 30, "{size}");
            let expected = match size - whole {
                0..6 => None,
                6..20 => Some(""),
                20..35 => Some("a_record_limit"),
                _ => Some("30 of 40 told: a_record_limit"),
            };
            assert_eq!(text.as_deref(), expected, "{size}");
            // Who leaves the error out says so, where that is wanted.
            assert_eq!(has_tc, enable_truncate && text.is_none(), "{size}");
        }
    }
}

#[test]
fn an_answer_that_does_not_fit_always_says_so() {
    for (size, told, _, text, _) in of_forty(Config::default(), "A", 513..FRAME as u16 + 640) {
        let (most, left) = ((size - FRAME) / ADDRESS, (size - FRAME) % ADDRESS);
        assert_eq!(told, most - usize::from(left < 6), "{size}");
        assert!(text.is_some(), "{size}");
    }
    let each = TARGET + ADDRESS;
    for (size, told, beside, text, _) in of_forty(Config::default(), "SRV", 513..2247) {
        let (most, left) = ((size - FRAME) / each, (size - FRAME) % each);
        // An address beside the answer gives way, and no record of the answer.
        assert_eq!(told, most, "{size}");
        assert_eq!(beside, most - usize::from(left < 6), "{size}");
        assert!(text.is_some(), "{size}");
    }
}
