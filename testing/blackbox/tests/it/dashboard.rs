//! The dashboard in `examples/grafana`: it asks for what there is, and Prometheus understands it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use blackbox::addresses::own_loopback;
use blackbox::binary::workspace;
use blackbox::http::Http;
use blackbox::server::Server;
use blackbox::tools::{dig, present};
use blackbox::wait::until;
use serde_json::Value;

/// Prometheus' own start, scrapes and evaluations, on a processor that others use.
const EVALUATED: Duration = Duration::from_secs(60);

/// Every query of the dashboard with its panel's title.
fn queries() -> Result<Vec<(String, String)>> {
    let path = workspace().join("examples/grafana/rutter.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("panels")? {
        let title = panel["title"].as_str().context("a title")?;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().context("an expression")?;
            queries.push((title.to_owned(), query.to_owned()));
        }
    }
    ensure!(queries.len() > 40, "only {} queries", queries.len());
    Ok(queries)
}

/// A query without what Grafana fills in.
fn filled(query: &str) -> String {
    query.replace("$instance", ".*").replace("$__rate_interval", "10s")
}

/// Something of every kind that a panel shows.
fn disturb(server: &Server) -> Result<()> {
    let mut http = server.client();
    for _ in 0..3 {
        http.put_ok("/v1/kv/a", "1")?;
        http.get("/v1/nowhere")?;
        for question in ["web.service.consul A", "nope.service.consul SRV", "consul SOA +tcp"] {
            dig(server.dns, question)?;
        }
    }
    Ok(())
}

/// The names of metrics that a query asks for, each with the labels it asks of them.
fn names(query: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == ':';
    let grouped: BTreeSet<String> = query
        .split("by (")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .flat_map(|list| list.split(',').map(|label| label.trim().to_owned()))
        .collect();
    for at in query.match_indices("rutter_").map(|(at, _)| at) {
        let end = query[at..].find(|sign| !part(sign)).map_or(query.len(), |end| at + end);
        let labels = names.entry(query[at..end].to_owned()).or_default();
        labels.extend(grouped.iter().cloned());
        let matchers = query[end..].strip_prefix('{').and_then(|rest| rest.split('}').next());
        for matcher in matchers.into_iter().flat_map(|list| list.split("\",")) {
            let label: String = matcher.chars().take_while(|sign| part(*sign)).collect();
            labels.insert(label);
        }
    }
    names
}

/// Labels of every sample by its name.
fn told(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut told: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once(['{', ' ']).unwrap_or((line, ""));
        let known = told.entry(name).or_default();
        known.extend(labels.split("=\"").filter_map(|part| part.rsplit(['"', ',']).next()));
    }
    told
}

#[test]
fn the_dashboard_asks_for_what_is_told() -> Result<()> {
    let server = super::metrics::busy()?;
    disturb(&server)?;
    let text = server.client().get("/metrics")?.text();
    let told = told(&text);
    // The scraper adds these.
    let added = ["instance", "job"];
    for (title, query) in queries()? {
        let names = names(&query);
        ensure!(!names.is_empty(), "{title}: {query}");
        for (name, labels) in names {
            let known = told.get(name.as_str());
            let known = known.with_context(|| format!("{title}: no {name} in\n{text}"))?;
            let mut unknown = labels.iter().filter(|label| {
                !added.contains(&label.as_str()) && !known.contains(label.as_str())
            });
            ensure!(unknown.next().is_none(), "{title}: {labels:?} of {name}: {known:?}");
        }
    }
    Ok(())
}

#[test]
fn names_and_labels_are_found_in_a_query() {
    let query = "sum by (le, route) (rate(rutter_a_bucket{instance=~\"$instance\",code!=\"5,}\"}[5m])) / rutter_b";
    let found = names(query);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["rutter_a_bucket", "rutter_b"]);
    let labels: Vec<&String> = found["rutter_a_bucket"].iter().collect();
    assert_eq!(labels, ["code", "instance", "le", "route"]);
}

/// A Prometheus that scrapes one server; ended when dropped.
struct Prometheus {
    child: Child,
    at: SocketAddr,
}

impl Prometheus {
    fn start(directory: &Path, server: SocketAddr) -> Result<Prometheus> {
        let at = TcpListener::bind((own_loopback(), 0))?.local_addr()?;
        let config = directory.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n- \
             {{job_name: rutter, static_configs: [{{targets: ['{server}']}}]}}\n"
        );
        std::fs::write(&config, text)?;
        let log = std::fs::File::create(directory.join("prometheus.log"))?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={at}"))
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("prometheus")?;
        Ok(Prometheus { child, at })
    }

    /// What an expression comes to now: its samples.
    fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = Http::new(self.at).get(&format!("/api/v1/query?query={encoded}"))?;
        let json: Value = serde_json::from_str(&answer.text())?;
        ensure!(json["status"] == "success", "{expression}: {json}");
        Ok(json["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_draws_every_panel_of_the_dashboard() -> Result<()> {
    let tools = ["prometheus", "dig"];
    if !present("prometheus_draws_every_panel_of_the_dashboard", &tools) {
        return Ok(());
    }
    let server = super::metrics::busy()?;
    let directory = tempfile::tempdir()?;
    let prometheus = Prometheus::start(directory.path(), server.http)?;
    let mut left = queries()?;
    until("data for every query", EVALUATED, || {
        disturb(&server)?;
        let mut empty = Vec::new();
        for (title, query) in std::mem::take(&mut left) {
            let drawn = prometheus.query(&filled(&query));
            let number = |sample: &Value| sample["value"][1].as_str() != Some("NaN");
            if !drawn.as_ref().is_ok_and(|samples| samples.iter().any(number)) {
                empty.push((title, query, drawn));
            }
        }
        let told = format!("{empty:#?}");
        left = empty.into_iter().map(|(title, query, _)| (title, query)).collect();
        ensure!(left.is_empty(), "no data yet:\n{told}");
        Ok(())
    })
}
