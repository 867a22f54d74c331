//! What is explained of HTTP is what HTTP answers: random catalogs, asked, explained and mended.

use crate::support::{Face, start, start_with};
use catalog::why::Absence;
use catalog::{Acl, Claim, Command, View};
use model::{Author, Check, Folded, Instance, Node, Owner, Phase, Status, Tenant, Text};
use seams::{Meaning, NameAnswer, NameQuestion, Names, Proposal};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Chance that can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

fn check(node: &str, instance: &str, id: &str, status: &str) -> Command {
    Command::PutCheck(Box::new(Check {
        node: node.into(),
        id: id.into(),
        status: Status::parse(status),
        instance: instance.into(),
        ..Check::default()
    }))
}

fn catalog(chance: &mut Chance, service: &str) -> Vec<Command> {
    let statuses = ["passing", "passing", "passing", "warning", "critical"];
    let mut commands = Vec::new();
    for number in 0..2 {
        let (name, address) = (format!("{service}-n{number}"), format!("10.0.0.{number}"));
        let node = Node { name: name.as_str().into(), address: address.into(), ..Node::default() };
        commands.push(Command::PutNode(node));
        match chance.below(6) {
            0 => commands.push(check(&name, "", "_node_maintenance", "critical")),
            1..4 => {
                let status = statuses[chance.below(5) as usize];
                commands.push(check(&name, "", "disk", status));
            }
            _ => {}
        }
    }
    for number in 0..1 + chance.below(5) {
        let (node, id) = (format!("{service}-n{}", chance.below(2)), format!("w{number}"));
        let tags = [&[][..], &["v1"], &["V1", "blue"], &["v2"]][chance.below(4) as usize];
        commands.push(Command::PutInstance(Box::new(Instance {
            node: node.as_str().into(),
            id: id.as_str().into(),
            service: service.into(),
            tags: tags.iter().map(Text::new).collect(),
            // HTTP tells what does not run, too.
            details: model::InstanceDetails {
                phase: [Phase::Running, Phase::Draining][chance.below(2) as usize],
                ..model::InstanceDetails::default()
            }
            .into(),
            ..Instance::default()
        })));
        for count in 0..chance.below(3) {
            let status = statuses[chance.below(5) as usize];
            commands.push(check(&node, &id, &format!("c{number}-{count}"), status));
        }
        if chance.below(6) == 0 {
            commands.push(check(&node, &id, &format!("_service_maintenance:{id}"), "critical"));
        }
    }
    commands
}

fn key(instance: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&instance["Node"]), text(&instance["ID"]))
}

/// Compares; gives what keeps each instance out that is out.
async fn compare(
    face: &Face,
    service: &str,
    query: &str,
) -> BTreeMap<(String, String), Vec<Value>> {
    let answered = face.get(&format!("/v1/health/service/{service}?{query}")).await.body;
    let answered: Value = serde_json::from_str(&answered).expect("JSON");
    let answered: BTreeSet<(String, String)> = answered
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (text(&row["Node"]["Node"]), text(&row["Service"]["ID"]))
        })
        .collect();
    let told = face.get(&format!("/v1/rutter/why/{service}?as=http&{query}")).await;
    let told: Value = serde_json::from_str(&told.body).expect("JSON");
    let (mut served, mut out) = (BTreeSet::new(), BTreeMap::new());
    for instance in told["Instances"].as_array().expect("a list") {
        let verdict = &instance["Verdicts"][0];
        assert_eq!(verdict["Door"], "http");
        match verdict["Served"] == true {
            true => _ = served.insert(key(instance)),
            false => {
                let causes = verdict["Causes"].as_array().expect("a list").clone();
                assert!(!causes.is_empty(), "{instance}");
                out.insert(key(instance), causes);
            }
        }
    }
    assert_eq!(served, answered, "{service} {query}: {out:?}");
    assert_eq!(told["Doors"][0]["Served"], answered.len());
    out
}

/// Does what the remedies of these causes say, as a program would.
async fn follow(face: &Face, causes: &[Value]) {
    for cause in causes {
        let requests = cause["Requests"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(!requests.is_empty(), "{cause}");
        for request in requests {
            let text = |key: &str| request[key].as_str().unwrap_or_default();
            assert_eq!(text("Node"), "", "no agent has these: {request}");
            let body = request["Body"].to_string();
            let reply = face.ask(text("Method"), text("Path"), "", &body).await;
            assert_eq!(reply.status, 200, "{request}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn an_instance_is_said_to_be_served_exactly_where_http_tells_it() {
    let face = start();
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    let mut mended = 0;
    for seed in 1..=120u64 {
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ (seed << 20 | seed));
        let service = format!("web{seed}");
        face.catalog.write(catalog(&mut chance, &service));
        let query = ["", "passing", "passing", "tag=v1", "passing&tag=v2"];
        let query = query[chance.below(5) as usize];
        let out = compare(&face, &service, query).await;
        for cause in out.values().flatten() {
            *reached.entry(cause["Name"].as_str().expect("a name").to_owned()).or_default() += 1;
        }
        let Some((instance, causes)) = out.iter().next() else { continue };
        follow(&face, causes).await;
        let left = compare(&face, &service, query).await;
        assert!(!left.contains_key(instance), "{service} {query}: {causes:?} were undone");
        mended += 1;
    }
    for cause in [
        "node_maintenance",
        "maintenance",
        "node_check",
        "node_check_warning",
        "check",
        "check_warning",
        "tag",
    ] {
        assert!(reached.get(cause).is_some_and(|count| *count >= 5), "{cause}: {reached:?}");
    }
    assert!(mended > 40, "{mended}");
}

#[tokio::test]
async fn a_name_is_a_service_a_node_or_both_with_an_at() {
    let face = start();
    face.must(
        "/v1/catalog/register",
        r#"{"Node":"n7","Address":"10.0.0.7","Service":{"Service":"web"}}"#,
    )
    .await;
    face.must(
        "/v1/catalog/register",
        r#"{"Node":"n8","Address":"10.0.0.8","Service":{"Service":"a@b"}}"#,
    )
    .await;
    for (path, kind, name, instances, absence) in [
        ("web", "service", "web", 1, ""),
        ("WEB", "service", "WEB", 1, ""),
        ("web@n7", "service", "web", 1, ""),
        ("web?node=n8", "service", "web", 0, "not_on_node"),
        ("wep@n8", "service", "wep", 0, "no_such_service"),
        ("web@n9", "service", "web", 0, "no_such_node"),
        ("a@b", "service", "a@b", 1, ""),
        ("a@b@n8", "service", "a@b", 1, ""),
        ("n7", "node", "n7", 1, ""),
        ("@n7", "node", "n7", 1, ""),
        ("n7?tag=none", "node", "n7", 1, ""),
        ("@n9", "node", "n9", 0, "no_such_node"),
        ("wep", "service", "wep", 0, "no_such_service"),
    ] {
        let reply = face.get(&format!("/v1/rutter/why/{path}")).await;
        let told: Value = serde_json::from_str(&reply.body).expect("JSON");
        assert_eq!((&told["Kind"], &told["Name"]), (&kind.into(), &name.into()), "{path}");
        assert_eq!(told["Instances"].as_array().map(Vec::len), Some(instances), "{path}: {told}");
        assert_eq!(told["Absence"]["Name"].as_str().unwrap_or_default(), absence, "{path}");
    }
    let nearest = |path: &str| {
        let (face, path) = (&face, format!("/v1/rutter/why/{path}"));
        async move {
            let told: Value = serde_json::from_str(&face.get(&path).await.body).expect("JSON");
            told["Nearest"].as_str().map(str::to_owned)
        }
    };
    assert_eq!(nearest("wep").await.as_deref(), Some("web"));
    assert_eq!(nearest("web@n77").await.as_deref(), Some("n7"));
    assert_eq!(nearest("payments").await, None);
    assert_eq!(nearest("web?node=n8").await, None, "never the name itself");
    assert_eq!(nearest("n7?node=n8").await.as_deref(), Some("n1"), "nor among nodes");
    let elsewhere = face.get("/v1/rutter/why/web@n8").await.body;
    let elsewhere: Value = serde_json::from_str(&elsewhere).expect("JSON");
    assert_eq!(elsewhere["Elsewhere"], serde_json::json!({"Nodes": ["n7"], "Count": 1}));
    let tagged = face.get("/v1/rutter/why/n7?tag=none").await.body;
    let tagged: Value = serde_json::from_str(&tagged).expect("JSON");
    assert_eq!(tagged["Instances"][0]["Verdicts"][0]["Causes"][0]["Name"], "tag", "{tagged}");
}

#[tokio::test]
async fn who_wrote_and_who_removed_is_told() {
    let face = start();
    let body = r#"{"Node":"n7","Address":"10.0.0.7","Service":{"ID":"w","Service":"web"}}"#;
    face.must("/v1/catalog/register", body).await;
    let ask = |path: &str| {
        let (face, path) = (&face, format!("/v1/rutter/why/{path}"));
        async move { serde_json::from_str::<Value>(&face.get(&path).await.body).expect("JSON") }
    };
    let told = ask("web").await;
    let registered = &told["Instances"][0]["Registered"];
    assert_eq!((&registered["Door"], &registered["Actor"]), (&"http".into(), &"anonymous".into()));
    face.must("/v1/catalog/deregister", r#"{"Node":"n7","ServiceID":"w"}"#).await;
    let told = ask("web").await;
    assert_eq!(told["Absence"]["Name"], "no_such_service");
    assert_eq!((&told["Gone"][0]["ID"], &told["Gone"][0]["Node"]), (&"w".into(), &"n7".into()));
    assert!(told["Gone"][0]["Removed"]["Remote"].as_str().is_some_and(|at| at.contains(':')));
}

#[tokio::test]
async fn of_those_that_are_gone_only_the_nodes_own_count() {
    let face = start();
    let on = |node: &str, id: &str| {
        format!(
            r#"{{"Node":"{node}","Address":"10.0.0.7","Service":{{"ID":"{id}","Service":"web"}}}}"#
        )
    };
    face.must("/v1/catalog/register", &on("n8", "old")).await;
    face.must("/v1/catalog/deregister", r#"{"Node":"n8","ServiceID":"old"}"#).await;
    for number in 0..12 {
        let id = format!("w{number}");
        face.must("/v1/catalog/register", &on("n7", &id)).await;
        let body = format!(r#"{{"Node":"n7","ServiceID":"{id}"}}"#);
        face.must("/v1/catalog/deregister", &body).await;
    }
    for (path, count) in [("web", 10), ("web@n7", 10), ("web@n8", 1)] {
        let reply = face.get(&format!("/v1/rutter/why/{path}")).await;
        let told: Value = serde_json::from_str(&reply.body).expect("JSON");
        assert_eq!(told["Gone"].as_array().map(Vec::len), Some(count), "{path}");
    }
}

#[tokio::test]
async fn a_remedy_leaves_the_rest_of_a_row_as_it_was() {
    let face = start();
    let body = r#"{"Node":"n7","Address":"10.0.0.7","TaggedAddresses":{"lan":"10.0.0.8"},
        "Service":{"ID":"a b/c","Service":"web","Port":80,"Tags":["v1"],"Meta":{"k":"v"},
                   "TaggedAddresses":{"lan":{"Address":"10.0.0.9","Port":81}},
                   "Weights":{"Passing":3,"Warning":2}},
        "Check":{"CheckID":"it's 100%","Name":"Memory","Notes":"free","Status":"critical",
                 "ServiceID":"a b/c","Output":"full",
                 "Definition":{"HTTP":"http://x/","Interval":"10s","Timeout":"2s",
                               "Header":{"X":["y"]}}}}"#;
    face.must("/v1/catalog/register", body).await;
    let read = async || {
        let body = face.get("/v1/health/service/web").await.body;
        serde_json::from_str::<Value>(&body).expect("JSON")[0].clone()
    };
    let before = read().await;
    let told = face.get("/v1/rutter/why/web?tag=beta&passing").await.body;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let causes = told["Instances"][0]["Verdicts"][0]["Causes"].as_array().expect("a list").clone();
    assert_eq!(causes.len(), 2, "{causes:?}");
    follow(&face, &causes).await;
    let mut expected = before;
    expected["Service"]["Tags"] = serde_json::json!(["v1", "beta"]);
    expected["Checks"][0]["ServiceTags"] = serde_json::json!(["v1"]);
    expected["Checks"][0]["Status"] = "passing".into();
    expected["Checks"][0]["Output"] = "".into();
    let mut after = read().await;
    for row in [&mut expected, &mut after] {
        row["Service"]["ModifyIndex"].take();
        row["Checks"][0]["ModifyIndex"].take();
        row["Checks"][0]["ServiceTags"].take();
    }
    assert_eq!(after, expected);
}

fn node(name: &str) -> Command {
    Command::PutNode(Node { name: name.into(), address: "10.0.0.7".into(), ..Node::default() })
}

fn instance(node: &str, id: &str, service: &str) -> Command {
    Command::PutInstance(Box::new(Instance {
        node: node.into(),
        id: id.into(),
        service: service.into(),
        ..Instance::default()
    }))
}

async fn told(face: &Face, path: &str) -> Value {
    let reply = face.get(&format!("/v1/rutter/why/{path}")).await;
    serde_json::from_str(&reply.body).expect("JSON")
}

fn laid_out(told: &Value) -> Vec<&str> {
    let instances = told["Instances"].as_array().expect("a list").iter();
    instances.map(|instance| instance["ID"].as_str().expect("text")).collect()
}

#[tokio::test]
async fn of_many_instances_all_are_counted_and_those_left_out_are_told_first() {
    let face = start();
    face.catalog.write(vec![node("n7"), node("n8")]);
    let mut commands: Vec<_> =
        (0..1_030).map(|number| instance("n7", &format!("w{number:04}"), "web")).collect();
    commands.push(instance("n8", "z", "web"));
    commands.push(check("n8", "z", "mem", "critical"));
    commands.push(check("n7", "w1020", "mem", "critical"));
    face.catalog.write(commands);
    let web = told(&face, "web?passing").await;
    assert_eq!(
        (&web["Doors"][0]["Served"], &web["Doors"][0]["Instances"]),
        (&1_029.into(), &1_031.into())
    );
    assert_eq!(web["MoreInstances"], 31);
    let ids = laid_out(&web);
    assert_eq!(ids.len(), 1_000);
    assert_eq!((ids[997], ids[998], ids[999]), ("w0997", "w1020", "z"));
    let on = told(&face, "web@N8?passing").await;
    assert_eq!(laid_out(&on), ["z"]);
    assert_eq!((&on["Doors"][0]["Instances"], &on["MoreInstances"]), (&1.into(), &Value::Null));
    face.catalog.write(
        (0..1_030).map(|number| check("n7", &format!("w{number:04}"), "mem", "critical")).collect(),
    );
    let web = told(&face, "web?passing").await;
    assert_eq!((laid_out(&web).len(), &web["MoreInstances"]), (1_000, &31.into()));
    assert_eq!(told(&face, "@n7").await["MoreInstances"], 30);
}

#[tokio::test]
async fn a_node_tells_of_each_of_its_services_once() {
    let face = start();
    let mut commands = vec![node("n7")];
    commands.extend((0..70).map(|number| instance("n7", &format!("a{number}"), "aaa")));
    commands.extend([instance("n7", "b", "bbb"), check("n7", "b", "mem", "critical")]);
    commands.extend([instance("n7", "c1", "Web"), instance("n7", "c2", "web")]);
    face.catalog.write(commands);
    let all = told(&face, "@n7?passing").await;
    let ids = laid_out(&all);
    assert_eq!((ids.len(), &ids[70..]), (73, &["b", "c1", "c2"][..]));
    assert_eq!(all["Instances"][70]["Verdicts"][0]["Causes"][0]["Name"], "check", "{all}");
    assert_eq!(all["MoreServices"], Value::Null);
    face.catalog.write(
        (0..70)
            .map(|number| instance("n7", &format!("s{number}"), &format!("service{number:02}")))
            .collect(),
    );
    let some = told(&face, "@n7").await;
    assert_eq!((&some["MoreServices"], laid_out(&some).len()), (&9.into(), 71 + 62));
}

#[tokio::test]
async fn of_many_checks_those_that_do_not_pass_are_told_first() {
    let face = start();
    let mut commands = vec![node("n7"), instance("n7", "w", "web")];
    for number in 0..60 {
        commands.push(check("n7", "w", &format!("a{number}"), "passing"));
    }
    for number in 0..30 {
        commands.push(check("n7", "w", &format!("z{number}"), "critical"));
    }
    face.catalog.write(commands);
    let web = told(&face, "web?passing").await;
    let instance = &web["Instances"][0];
    let checks = instance["Checks"].as_array().expect("a list");
    let failing = checks.iter().filter(|check| check["Status"] == "critical").count();
    assert_eq!((checks.len(), failing, &instance["MoreChecks"]), (50, 30, &40.into()));
    let verdict = &instance["Verdicts"][0];
    assert_eq!(verdict["Causes"].as_array().map(Vec::len), Some(20));
    assert_eq!(verdict["MoreCauses"], 10);
}

#[tokio::test]
async fn no_request_is_offered_that_the_agent_would_refuse() {
    let face = start();
    let by_agent = async |commands: Vec<Command>| {
        let proposal = Proposal {
            author: Author::default(),
            owner: Owner::agent(&Folded::new("n7")),
            claim: Claim::default(),
            tenant: Tenant::DEFAULT,
            request: None,
            commands,
        };
        face.catalog.doors().writer.propose(proposal).await.expect("written");
    };
    for (id, path) in [
        ("it is", "/v1/agent/check/pass/it%20is"),
        (".", ""),
        ("..", ""),
        ("a\u{200e}b", ""),
        ("a\u{a0}b", ""),
    ] {
        let check = Check {
            node: "n7".into(),
            id: id.into(),
            status: Status::Critical,
            instance: "w".into(),
            details: model::CheckDetails { kind: "ttl".into(), ..Default::default() }.into(),
            ..Check::default()
        };
        let put = Command::PutCheck(Box::new(check));
        by_agent(vec![node("n7"), instance("n7", "w", "web"), put]).await;
        let web = told(&face, "web?passing").await;
        let cause = &web["Instances"][0]["Verdicts"][0]["Causes"][0];
        let offered = cause["Requests"][0]["Path"].as_str().unwrap_or_default();
        assert_eq!(offered, path, "{id}: {cause}");
        let remedy = cause["Remedy"].as_str().expect("text");
        let anew = "no path carries its id: with the agent on n7, register it anew";
        assert_eq!(remedy.starts_with(anew), path.is_empty(), "{id}: {remedy}");
        face.catalog.write(vec![Command::RemoveInstance("n7".into(), "w".into())]);
    }
    face.catalog.write(vec![instance("n7", "dot", ".")]);
    let dot = told(&face, ".@n7").await;
    let door = &dot["Doors"][0];
    assert_eq!((&door["Asked"], &door["Served"]), (&"".into(), &1.into()));
    assert_eq!(door["Reason"], "no path carries this name");
}

/// A DNS face that says nothing of any instance.
struct Silent(Option<Absence>);

impl Names for Silent {
    fn of_service(&self, service: &str, _tag: Option<&str>) -> Option<String> {
        (service != "unspeakable").then(|| format!("{service}.service.consul."))
    }

    fn of_node(&self, _node: &str) -> Option<String> {
        None
    }

    fn meaning(&self, _name: &str, _qtype: u16) -> Option<Meaning> {
        None
    }

    fn explain(&self, _view: &View, _question: &NameQuestion<'_>) -> Option<NameAnswer> {
        let (reason, instances) = (None, Vec::new());
        Some(NameAnswer { code: "NXDOMAIN", records: 0, reason, absence: self.0, instances })
    }
}

#[tokio::test]
async fn of_what_dns_says_nothing_is_never_said_to_be_served() {
    for (absence, service, expected) in [
        (None, "web", "unseen"),
        (Some(Absence::NoSuchForm), "web", "no_such_form"),
        (Some(Absence::Unreachable), "web", "unreachable"),
        (None, "unspeakable", "name"),
    ] {
        let face = start_with(Acl::Off, |context| context.names = Some(Arc::new(Silent(absence))));
        let body =
            format!(r#"{{"Node":"n7","Address":"10.0.0.7","Service":{{"Service":"{service}"}}}}"#);
        face.must("/v1/catalog/register", &body).await;
        let told = face.get(&format!("/v1/rutter/why/{service}")).await.body;
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let [dns, http] = [0, 1].map(|door| &told["Instances"][0]["Verdicts"][door]);
        assert_eq!((&dns["Door"], &dns["Served"]), (&"dns".into(), &false.into()), "{told}");
        assert_eq!(dns["Causes"][0]["Name"], expected, "{told}");
        assert_eq!((&http["Door"], &http["Served"]), (&"http".into(), &true.into()), "{told}");
        assert_eq!(told["Doors"][0]["Served"], 0, "{told}");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let face = start();
    for (path, expected) in [
        ("/v1/rutter/why/", "Missing name"),
        ("/v1/rutter/why/web?as=smtp", "Invalid as: dns or http"),
        ("/v1/rutter/why/web?as=dns", "Invalid as: this agent does not answer DNS"),
        ("/v1/rutter/why/web?tag=a&tag=b", "Invalid tag: one at a time"),
        ("/v1/rutter/why/web@n7?node=n8", "Invalid node: the name asks for node \"n7\" already"),
        ("/v1/rutter/why/web?edns=x", "Invalid edns: a number of bytes"),
        ("/v1/rutter/why/web?passing=maybe", "Invalid value for ?passing"),
    ] {
        let reply = face.get(path).await;
        assert_eq!((reply.status, reply.body.as_str()), (400, expected), "{path}");
    }
    let reply = face.get("/v1/rutter/why/web?type=MX").await;
    assert!(reply.status == 400 && reply.body.starts_with("Invalid type: one of A, "));
}
