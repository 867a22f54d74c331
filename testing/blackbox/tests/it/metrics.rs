//! The numbers that a process tells, and the page of the manual that lists them.

use anyhow::{Context, Result, ensure};
use blackbox::server::{Launch, Server};
use blackbox::tools::{curl, dig};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Every kind of thing that is counted happens once.
pub fn busy() -> Result<Server> {
    let server = Launch::dev().start()?;
    let mut http = server.client();
    let check = r#"{"Name":"web","Port":80,"Check":{"TTL":"1m","Status":"passing"}}"#;
    http.put_ok("/v1/agent/service/register", check)?;
    let index = http.get("/v1/health/service/web")?.index()?;
    http.get(&format!("/v1/health/service/web?index={index}&wait=10ms"))?.expect_status(200)?;
    dig(server.dns, "web.service.consul A")?;
    Ok(server)
}

#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// The families of an OpenMetrics text, by name.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut newest = String::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            newest = name.to_owned();
            let help = help.trim_end_matches('.').to_owned();
            families.entry(newest.clone()).or_default().help = help;
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((_, labels)) = line.split_once('{') {
            let names = labels.split("=\"").filter_map(|part| part.rsplit(['"', ',']).next());
            let count = labels.matches("=\"").count();
            let known = names.take(count).filter(|name| *name != "le").map(str::to_owned);
            families.entry(newest.clone()).or_default().labels.extend(known);
        }
    }
    families
}

fn table(text: &str) -> String {
    let mut table = "| Name | Type | Labels | What it tells |\n|---|---|---|---|\n".to_owned();
    for (name, family) in families(text) {
        let labels: Vec<String> = family.labels.iter().map(|name| format!("`{name}`")).collect();
        let suffix = if family.kind == "counter" { "_total" } else { "" };
        let (kind, labels, help) = (family.kind, labels.join(" "), family.help);
        writeln!(table, "| `{name}{suffix}` | {kind} | {labels} | {help} |").expect("a string");
    }
    table
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manual/metrics.md");
const BEGIN: &str = "<!-- made from the code: cargo xtask golden --update blackbox -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_manual_lists_the_metrics_that_there_are() -> Result<()> {
    let server = busy()?;
    let accept = ["-H", "Accept: application/openmetrics-text;version=1.0.0"];
    let (text, status) = curl(server.http, "/metrics", &accept)?;
    ensure!(status == 200 && text.ends_with("# EOF\n"), "{status} {text}");
    let made = table(&text);
    let page = std::fs::read_to_string(Path::new(PAGE))?;
    let (before, rest) = page.split_once(BEGIN).context("the table's begin is marked")?;
    let (is, after) = rest.split_once(END).context("the table's end is marked")?;
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(Path::new(PAGE), format!("{before}{BEGIN}{made}{END}{after}"))?;
        return Ok(());
    }
    ensure!(
        is == made,
        "docs/manual/metrics.md differs; `cargo xtask golden --update blackbox`:\n{made}"
    );
    Ok(())
}

#[track_caller]
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is missing in\n{text}")).parse().expect("a number")
}

#[test]
fn what_happened_is_counted() -> Result<()> {
    let server = busy()?;
    let text = server.client().get("/v1/agent/metrics?format=prometheus")?.text();
    let samples = [
        r#"rutter_http_requests_total{route="/v1/agent/service/register",method="PUT",status="200"}"#,
        r#"rutter_http_blocked_queries_looked_total{result="timed_out"}"#,
        r#"rutter_agent_checks{kind="ttl",status="passing"}"#,
        r#"rutter_dns_queries_total{qtype="A",rcode="NOERROR",transport="udp",path="hot"}"#,
    ];
    for sample in samples {
        ensure!(value(&text, sample) == 1.0, "{sample} in\n{text}");
    }
    ensure!(value(&text, r#"rutter_catalog_rows{table="services"}"#) == 2.0, "{text}");
    ensure!(value(&text, "rutter_leader") == 1.0, "{text}");
    ensure!(value(&text, "rutter_log_index") >= 2.0, "{text}");
    for sample in [
        "rutter_commit_seconds_count",
        "rutter_commit_batch_entries_count",
        "rutter_log_appends_total",
        "rutter_http_connections",
        "rutter_http_connections_accepted_total",
        "rutter_agent_sync_passes_total",
        "rutter_term",
        "rutter_process_resident_memory_bytes",
        "rutter_process_open_fds",
    ] {
        ensure!(value(&text, sample) >= 1.0, "{sample} in\n{text}");
    }
    for sample in [
        "rutter_snapshots_total",
        "rutter_dns_connections",
        "rutter_http_connections_refused_total",
    ] {
        ensure!(value(&text, sample) == 0.0, "{sample} in\n{text}");
    }
    ensure!(value(&text, "rutter_agent_synced_ago_seconds") < 600.0, "{text}");
    ensure!(text.contains("# TYPE rutter_dns_queries_total counter"), "{text}");
    Ok(())
}

#[test]
fn consuls_json_has_its_shape() -> Result<()> {
    let server = busy()?;
    let json = server.client().get_json("/v1/agent/metrics")?;
    for list in ["Gauges", "Points", "Counters", "Samples"] {
        ensure!(json[list].is_array(), "{list} in {json}");
    }
    ensure!(json["Timestamp"].as_str().is_some_and(|time| time.ends_with(" +0000 UTC")), "{json}");
    let found = |list: &str, name: &str| {
        json[list].as_array().into_iter().flatten().find(|row| row["Name"] == name).cloned()
    };
    let gauge = found("Gauges", "consul.leader").context("a gauge")?;
    ensure!(gauge["Value"] == 1.0 && gauge["Labels"].is_object(), "{gauge}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let memory = format!("consul.{}.runtime.alloc_bytes", host.trim());
    let memory = found("Gauges", &memory).context("the memory under Consul's name")?;
    ensure!(memory["Value"].as_f64() > Some(1e6), "{memory}");
    let counter = found("Counters", "consul.http.requests").context("a counter")?;
    for field in ["Count", "Rate", "Sum", "Min", "Max", "Mean", "Stddev"] {
        ensure!(counter[field].is_number(), "{field} in {counter}");
    }
    found("Samples", "consul.commit.seconds").context("a histogram")?;
    Ok(())
}
