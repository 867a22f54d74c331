//! Prometheus' own discovery for Consul finds what is registered. Debian's Prometheus is built without it, so its Go
//! package runs in a program of ours, `testing/clients/go/prometheus`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use blackbox::golang;
use blackbox::http::Http;
use blackbox::server::{Launch, Process, Server};
use blackbox::wait::{SOON, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A target's labels.
type Labels = BTreeMap<String, String>;

/// The discovery at work; what it emitted is read from what it printed.
struct Discovery {
    process: Process,
}

impl Discovery {
    /// Starts it with an element of `consul_sd_configs`; nothing where it cannot be built.
    fn start(test: &str, server: &Server, config: &str) -> Result<Option<Discovery>> {
        let Some(program) = golang::program(test, "prometheus")? else { return Ok(None) };
        let launch = Launch::bare(&[&server.http.to_string()]).program(&program);
        let file = launch.dir().join("sd.yml");
        std::fs::write(&file, format!("refresh_interval: 50ms\n{config}"))?;
        Ok(Some(Discovery { process: launch.args(&[file]).spawn()? }))
    }

    fn printed(&self) -> Vec<Value> {
        let said = self.process.said();
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Every group that was emitted, in order.
    fn emitted(&self) -> Vec<(String, BTreeSet<Labels>)> {
        let groups = self.printed().into_iter().filter_map(|group| {
            let targets = serde_json::from_value(group["targets"].clone()).ok()?;
            Some((group["source"].as_str()?.to_owned(), targets))
        });
        groups.collect()
    }

    /// The targets there are now, by service.
    fn targets(&self) -> BTreeMap<String, BTreeSet<Labels>> {
        let mut now: BTreeMap<_, _> = self.emitted().into_iter().collect();
        now.retain(|_, targets| !targets.is_empty());
        now
    }

    /// How often it has asked, all of which must have been answered.
    fn calls(&self) -> Result<u64> {
        let counts = || self.printed().into_iter().filter(|line| line.get("calls").is_some());
        let before = counts().count();
        self.process.signal(Signal::SIGUSR1)?;
        let last = until("the counts", SOON, || counts().nth(before).context("none yet"))?;
        ensure!(last["failures"] == 0, "{last}; it said:\n{}", self.process.said());
        last["calls"].as_u64().context("no number")
    }

    fn comes_to(&self, what: &str, expected: impl Fn() -> Result<Found>) -> Result<()> {
        let come = until(what, SOON, || {
            let (seen, expected) = (self.targets(), expected()?);
            ensure!(seen == expected, "{seen:#?}\ninstead of {expected:#?}");
            Ok(())
        });
        come.with_context(|| format!("it said:\n{}", self.process.said()))
    }

    fn finds(&self, what: &str, ids: &[&str]) -> Result<()> {
        let come = until(what, SOON, || {
            let found = self.targets().into_values().flatten();
            let mut seen: Vec<_> = found.map(|t| t["__meta_consul_service_id"].clone()).collect();
            seen.sort();
            ensure!(seen == ids, "{seen:?} instead of {ids:?}");
            Ok(())
        });
        come.with_context(|| format!("it said:\n{}", self.process.said()))
    }
}

/// Targets by service.
type Found = BTreeMap<String, BTreeSet<Labels>>;

/// What Prometheus should find: the registry as it is read now.
fn registered(http: &mut Http) -> Result<Found> {
    let services = http.get_json("/v1/catalog/services")?;
    let names = services.as_object().context("services")?.keys();
    let mut found = Found::new();
    for name in names {
        let rows = http.get_json(&format!("/v1/health/service/{name}"))?;
        let targets = rows.as_array().context("rows")?.iter().map(|row| labels(name, row));
        found.insert(name.clone(), targets.collect());
    }
    Ok(found)
}

fn labels(name: &str, row: &Value) -> Labels {
    let (node, service) = (&row["Node"], &row["Service"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (node_address, own_address) = (text(&node["Address"]), text(&service["Address"]));
    let address = if own_address.is_empty() { &node_address } else { &own_address };
    let port = service["Port"].as_u64().unwrap_or_default();
    let tags = service["Tags"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let checks = || row["Checks"].as_array().into_iter().flatten();
    let maintained = checks().any(|check| text(&check["CheckID"]).contains("_maintenance"));
    let mut worst = ["critical", "warning"].into_iter();
    let worst = worst.find(|worst| checks().any(|check| check["Status"] == *worst));
    let health = if maintained { "maintenance" } else { worst.unwrap_or("passing") };
    let mut labels = Labels::from([
        ("__address__".to_owned(), format!("{address}:{port}")),
        ("__meta_consul_address".to_owned(), node_address),
        ("__meta_consul_dc".to_owned(), "dc1".to_owned()),
        ("__meta_consul_health".to_owned(), health.to_owned()),
        ("__meta_consul_namespace".to_owned(), String::new()),
        ("__meta_consul_node".to_owned(), text(&node["Node"])),
        ("__meta_consul_partition".to_owned(), String::new()),
        ("__meta_consul_service".to_owned(), name.to_owned()),
        ("__meta_consul_service_address".to_owned(), own_address),
        ("__meta_consul_service_id".to_owned(), text(&service["ID"])),
        ("__meta_consul_service_port".to_owned(), port.to_string()),
        ("__meta_consul_tags".to_owned(), format!(",{},", tags.join(","))),
    ]);
    let prefixes = [
        ("metadata", &node["Meta"]),
        ("service_metadata", &service["Meta"]),
        ("tagged_address", &node["TaggedAddresses"]),
    ];
    for (prefix, pairs) in prefixes {
        for (key, value) in pairs.as_object().into_iter().flatten() {
            let key = key.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            labels.insert(format!("__meta_consul_{prefix}_{key}"), text(value));
        }
    }
    labels
}

fn instance(number: usize) -> Value {
    json!({ "ID": format!("web-{number}"), "Name": "web", "Port": 8000 + number, "Tags": ["v1"],
            "Check": { "CheckID": format!("beat-{number}"), "TTL": "1h", "Status": "passing" } })
}

fn follow(test: &str, launch: Launch) -> Result<()> {
    let server = launch.start()?;
    let Some(discovery) = Discovery::start(test, &server, "")? else { return Ok(()) };
    let mut http = server.client();
    let follows = |what: &str| discovery.comes_to(what, || registered(&mut server.client()));
    follows("the server itself")?;
    for number in 1..=5 {
        http.put_ok("/v1/agent/service/register", instance(number).to_string())?;
        follows("one more")?;
    }
    for (report, number) in [("fail", 2), ("warn", 3), ("pass", 2)] {
        http.put_ok(&format!("/v1/agent/check/{report}/beat-{number}"), "")?;
        follows(report)?;
    }
    http.put_ok("/v1/agent/service/maintenance/web-4?enable=true", "")?;
    follows("maintenance")?;
    for enable in [true, false] {
        http.put_ok(&format!("/v1/agent/maintenance?enable={enable}"), "")?;
        follows("maintenance of the node")?;
    }
    let far = json!({ "Node": "far", "Address": "10.3.0.1", "NodeMeta": { "rack-no": "7" },
                      "Service": { "Service": "db", "Address": "10.3.0.2", "Port": 5432 } });
    http.put_ok("/v1/catalog/register", far.to_string())?;
    follows("another service on another node")?;
    http.put_ok("/v1/catalog/deregister", json!({ "Node": "far" }).to_string())?;
    follows("its node goes")?;
    for number in (1..=5).rev() {
        http.put_ok(&format!("/v1/agent/service/deregister/web-{number}"), "")?;
        follows("one less")?;
    }
    ensure!(discovery.targets().len() == 1, "only the server is left: {:?}", discovery.targets());
    discovery.calls().map(drop)
}

#[test]
fn prometheus_follows_an_agent_in_memory() -> Result<()> {
    follow("prometheus_follows_an_agent_in_memory", Launch::dev())
}

#[test]
fn prometheus_follows_a_durable_server() -> Result<()> {
    follow("prometheus_follows_a_durable_server", Launch::durable())
}

#[test]
fn prometheus_labels_a_target_with_all_that_is_registered() -> Result<()> {
    let test = "prometheus_labels_a_target_with_all_that_is_registered";
    let server = Launch::dev().start()?;
    let Some(discovery) = Discovery::start(test, &server, "services: [web]\ntag_separator: '|'")?
    else {
        return Ok(());
    };
    let far = json!({
        "Node": "far", "Address": "10.3.0.1", "NodeMeta": { "rack-no": "7" },
        "TaggedAddresses": { "lan": "10.3.0.1", "wan": "198.51.100.3" },
        "Service": { "ID": "web-1", "Service": "web", "Address": "10.3.0.2", "Port": 80, "Tags": ["a", "b c"],
                     "Meta": { "team": "blue", "x.y": "é" } },
        "Check": { "CheckID": "c", "Name": "c", "Status": "warning", "ServiceID": "web-1" },
    });
    server.client().put_ok("/v1/catalog/register", far.to_string())?;
    let expected = json!({
        "__address__": "10.3.0.2:80", "__meta_consul_address": "10.3.0.1", "__meta_consul_dc": "dc1",
        "__meta_consul_health": "warning", "__meta_consul_metadata_rack_no": "7", "__meta_consul_namespace": "",
        "__meta_consul_node": "far", "__meta_consul_partition": "", "__meta_consul_service": "web",
        "__meta_consul_service_address": "10.3.0.2", "__meta_consul_service_id": "web-1",
        "__meta_consul_service_metadata_team": "blue", "__meta_consul_service_metadata_x_y": "é",
        "__meta_consul_service_port": "80", "__meta_consul_tagged_address_lan": "10.3.0.1",
        "__meta_consul_tagged_address_wan": "198.51.100.3", "__meta_consul_tags": "|a|b c|",
    });
    let target: Labels = serde_json::from_value(expected)?;
    let expected = Found::from([("web".to_owned(), BTreeSet::from([target]))]);
    discovery.comes_to("the target", || Ok(expected.clone()))
}

#[test]
fn prometheus_finds_those_of_its_tags_and_node_meta() -> Result<()> {
    let test = "prometheus_finds_those_of_its_tags_and_node_meta";
    let server = Launch::dev().start()?;
    let mut http = server.client();
    let mut register = |node: &str, rack: &str, id: &str, name: &str, tags: &[&str]| {
        let row = json!({ "Node": node, "Address": "10.3.0.1", "NodeMeta": { "rack": rack },
                          "Service": { "ID": id, "Service": name, "Port": 1, "Tags": tags } });
        http.put_ok("/v1/catalog/register", row.to_string())
    };
    register("a", "1", "web-1", "web", &["prod", "http"])?;
    register("a", "1", "web-2", "web", &["prod"])?;
    register("b", "2", "web-3", "web", &["prod", "http"])?;
    register("b", "2", "db-1", "db", &["prod", "sql"])?;
    let cases: [(&str, &[&str]); 5] = [
        ("services: [web]", &["web-1", "web-2", "web-3"]),
        ("tags: [http]", &["web-1", "web-3"]),
        ("tags: [prod, sql]", &["db-1"]),
        ("node_meta: { rack: '2' }", &["db-1", "web-3"]),
        ("services: [web]\ntags: [http]\nnode_meta: { rack: '1' }", &["web-1"]),
    ];
    let mut all = Vec::new();
    for (config, expected) in cases {
        let Some(one) = Discovery::start(test, &server, config)? else { return Ok(()) };
        one.finds(config, expected)?;
        all.push(one);
    }
    // Each hears of what concerns it.
    register("a", "1", "web-4", "web", &["prod", "http"])?;
    let later: [&[&str]; 5] = [
        &["web-1", "web-2", "web-3", "web-4"],
        &["web-1", "web-3", "web-4"],
        &["db-1"],
        &["db-1", "web-3"],
        &["web-1", "web-4"],
    ];
    for ((discovery, (config, _)), expected) in all.iter().zip(cases).zip(later) {
        discovery.finds(config, expected)?;
    }
    Ok(())
}

#[test]
fn prometheus_is_told_nothing_again_when_its_waits_run_out() -> Result<()> {
    let test = "prometheus_is_told_nothing_again_when_its_waits_run_out";
    let server = Launch::dev().config(&json!({ "max_query_time": "200ms" })).start()?;
    let Some(discovery) = Discovery::start(test, &server, "")? else { return Ok(()) };
    let mut http = server.client();
    http.put_ok("/v1/agent/service/register", instance(1).to_string())?;
    discovery.finds("both services", &["consul", "web-1"])?;
    // What was registered last may be told in two steps; a group told at each wait's end never comes to rest.
    until("twenty waits that run out without a word", SOON, || {
        let (before, asked) = (discovery.emitted(), discovery.calls()?);
        until("twenty waits that run out", SOON, || {
            let calls = discovery.calls()?;
            ensure!(calls > asked + 20, "{calls} calls after {asked}");
            Ok(())
        })?;
        ensure!(discovery.emitted() == before, "{}", discovery.process.said());
        Ok(())
    })
}
