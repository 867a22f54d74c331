//! `/v1/agent/metrics` and `/metrics`: one registry, told in three ways.
//!
//! The registry's own text is OpenMetrics; older scrapers get the Prometheus text format of it, and
//! Consul's JSON is what changed in it over an interval. Source: Consul, "Agent HTTP API", "View
//! metrics"; OpenMetrics 1.0; "Prometheus exposition formats".

use super::error::Problem;
use crate::answer::{Answer, Content};
use crate::call::Call;
use http::StatusCode;
use http::header::{ACCEPT, HeaderMap};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least time over which `/v1/agent/metrics` tells what changed, as in Consul.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// All numbers of this process, and the moment since which changes are told.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    since: Arc<Mutex<Since>>,
}

/// Where the interval began that is told now, and where the next one may begin.
struct Since {
    began: Picture,
    next: Option<Picture>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new(Registry::default())
    }
}

impl Metrics {
    /// The numbers of a registry to which nothing is added any more.
    pub fn new(registry: Registry) -> Metrics {
        let began = Picture { at: Instant::now(), samples: BTreeMap::new() };
        let since = Arc::new(Mutex::new(Since { began, next: None }));
        Metrics { registry: Arc::new(registry), since }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a string takes all that is written");
        text
    }

    /// What changed since the interval began: at least [`INTERVAL`] ago, or the start.
    fn changes(&self) -> Json {
        let text = self.text();
        let families = Families::of(&text);
        let now = Picture { at: Instant::now(), samples: families.samples() };
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let json = families.told(&since.began, now.at);
        match since.next.take() {
            Some(next) if now.at - next.at >= INTERVAL => {
                since.began = next;
                since.next = Some(now);
            }
            None => since.next = Some(now),
            kept => since.next = kept,
        }
        json
    }
}

/// `GET /metrics`: OpenMetrics, or the older text for those who ask for it alone.
pub async fn scrape(call: Call) -> Result<Answer, Problem> {
    allow(&call)?;
    Ok(told_to_prometheus(&call))
}

fn allow(call: &Call) -> Result<(), Problem> {
    let node = call.context.identity.node_name.as_str();
    Problem::unless(call.authorizer().agent_read(node), "agent:read", node)
}

/// `GET /v1/agent/metrics`: JSON, with `format=prometheus` or such an `Accept` as text.
pub async fn metrics(call: Call) -> Result<Answer, Problem> {
    allow(&call)?;
    let format = call.query.first("format").unwrap_or_default();
    if format == "prometheus" || wants_text(&call.request.head.headers) {
        return Ok(told_to_prometheus(&call));
    }
    Ok(Answer::json(&call.context.metrics.changes()))
}

fn accepts(headers: &HeaderMap, what: &str) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.into_iter().any(|value| value.contains(what))
}

fn wants_text(headers: &HeaderMap) -> bool {
    let prometheus = accepts(headers, "text/plain") && accepts(headers, "version=0.0.4")
        || accepts(headers, "text/plain;version=0.4.0");
    prometheus || accepts(headers, "application/openmetrics-text")
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn told_to_prometheus(call: &Call) -> Answer {
    let text = call.context.metrics.text();
    let content = match accepts(&call.request.head.headers, "application/openmetrics-text") {
        true => Content::Typed(OPEN_METRICS, text.into()),
        false => Content::Typed(PROMETHEUS, older(&text).into()),
    };
    Answer::new(StatusCode::OK, content)
}

/// The same in the older format: a counter's family is named as its samples are, units and the end
/// are not told.
fn older(text: &str) -> String {
    let counters: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let named = ["# HELP ", "# TYPE "].iter().find_map(|word| {
            let (name, rest) = line.strip_prefix(word)?.split_once(' ')?;
            counters.contains(&name).then(|| format!("{word}{name}_total {rest}"))
        });
        out.push_str(named.as_deref().unwrap_or(line));
        out.push('\n');
    }
    out
}

/// The values of all samples at one moment, by the line that names them.
struct Picture {
    at: Instant,
    samples: BTreeMap<String, f64>,
}

/// The families of the registry's text.
struct Families<'t>(Vec<Family<'t>>);

struct Family<'t> {
    name: &'t str,
    kind: &'t str,
    /// (name with labels, value).
    samples: Vec<(&'t str, f64)>,
}

impl<'t> Families<'t> {
    /// Reads what our own encoder wrote.
    fn of(text: &'t str) -> Families<'t> {
        let mut families: Vec<Family<'t>> = Vec::new();
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap_or((typed, "unknown"));
                families.push(Family { name, kind, samples: Vec::new() });
            } else if !line.starts_with('#')
                && let Some((sample, value)) = line.rsplit_once(' ')
                && let Some(family) = families.last_mut()
            {
                family.samples.push((sample, value.parse().unwrap_or(0.0)));
            }
        }
        Families(families)
    }

    fn samples(&self) -> BTreeMap<String, f64> {
        let all = self.0.iter().flat_map(|family| &family.samples);
        all.map(|(sample, value)| ((*sample).to_owned(), *value)).collect()
    }

    fn told(&self, began: &Picture, now: Instant) -> Json {
        let seconds = (now - began.at).as_secs_f64().max(0.001);
        let mut json = Json::at(jiff::Timestamp::now());
        for family in &self.0 {
            if family.name == RESIDENT {
                json.gauges
                    .extend(family.gauges().map(|gauge| GaugeShape { name: allocated(), ..gauge }));
            }
            match family.kind {
                "gauge" => json.gauges.extend(family.gauges()),
                "counter" => json.counters.extend(family.counters(began, seconds)),
                "histogram" => json.samples.extend(family.spreads(began, seconds)),
                _ => {}
            }
        }
        json
    }
}

/// The memory of the process, which clients look for by Consul's name too.
const RESIDENT: &str = "rutter_process_resident_memory_bytes";

/// Consul's name for it: its gauges carry the host's name. Source: Consul, "Agent telemetry".
fn allocated() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("consul.{}.runtime.alloc_bytes", host.trim_end())
}

impl Family<'_> {
    /// As Consul's names are built: dots, and the product's name first.
    fn consul_name(&self) -> String {
        let name = self.name.strip_prefix("rutter_").unwrap_or(self.name);
        format!("consul.{}", name.replacen('_', ".", 1))
    }

    fn gauges(&self) -> impl Iterator<Item = GaugeShape> {
        self.samples.iter().map(|(sample, value)| GaugeShape {
            name: self.consul_name(),
            value: *value,
            labels: labels(sample, ""),
        })
    }

    fn counters(&self, began: &Picture, seconds: f64) -> Vec<SpreadShape> {
        let grown = self.samples.iter().map(|(sample, value)| {
            (sample, value - began.samples.get(*sample).copied().unwrap_or(0.0))
        });
        let told = grown.filter(|(_, by)| *by > 0.0).map(|(sample, by)| SpreadShape {
            name: self.consul_name(),
            count: by as u64,
            rate: by / seconds,
            sum: by,
            min: 1.0,
            max: 1.0,
            mean: 1.0,
            stddev: 0.0,
            labels: labels(sample, ""),
        });
        told.collect()
    }

    /// A histogram's buckets by their other labels; least and most are those of buckets.
    fn spreads(&self, began: &Picture, seconds: f64) -> Vec<SpreadShape> {
        let mut spreads: BTreeMap<String, Spread> = BTreeMap::new();
        for (sample, value) in &self.samples {
            let by = value - began.samples.get(*sample).copied().unwrap_or(0.0);
            let key = serde_json::to_string(&labels(sample, "le")).unwrap_or_default();
            let spread = spreads.entry(key).or_default();
            spread.labels = labels(sample, "le");
            let name = sample.split('{').next().unwrap_or_default();
            if name.ends_with("_sum") {
                spread.sum = by;
            } else if name.ends_with("_count") {
                spread.count = by;
            } else if let Some(edge) = labels(sample, "").get("le") {
                let edge = edge.parse().unwrap_or(f64::INFINITY);
                spread.bucket(edge, by);
            }
        }
        let told = spreads.into_values().filter(|spread| spread.count > 0.0);
        told.map(|spread| spread.shape(self.consul_name(), seconds)).collect()
    }
}

#[derive(Default)]
struct Spread {
    labels: BTreeMap<String, String>,
    sum: f64,
    count: f64,
    below: f64,
    edge: f64,
    min: Option<f64>,
    max: f64,
    /// Sums over the middles of the buckets, of which the deviation is an estimate.
    middles: f64,
    squares: f64,
}

impl Spread {
    /// The next bucket: how many lie at or below its edge.
    fn bucket(&mut self, edge: f64, up_to: f64) {
        let within = up_to - self.below;
        let most = if edge.is_finite() { edge } else { self.edge };
        if within > 0.0 {
            self.min.get_or_insert(self.edge);
            self.max = most;
            let middle = f64::midpoint(self.edge, most);
            self.middles += within * middle;
            self.squares += within * middle * middle;
        }
        (self.below, self.edge) = (up_to, most);
    }

    fn shape(self, name: String, seconds: f64) -> SpreadShape {
        let mean = self.sum / self.count;
        let middle = self.middles / self.count;
        let variance = (self.squares / self.count - middle * middle).max(0.0);
        SpreadShape {
            name,
            count: self.count as u64,
            rate: self.sum / seconds,
            sum: self.sum,
            min: self.min.unwrap_or(0.0),
            max: self.max,
            mean,
            stddev: variance.sqrt(),
            labels: self.labels,
        }
    }
}

/// The labels of a sample's name, one left out.
fn labels(sample: &str, without: &str) -> BTreeMap<String, String> {
    let inside = sample.split_once('{').map_or("", |(_, rest)| rest.trim_end_matches('}'));
    let mut labels = BTreeMap::new();
    let mut rest = inside;
    while let Some((name, value)) = rest.split_once("=\"") {
        let Some(end) = closing_quote(value) else { break };
        if name != without {
            labels.insert(name.to_owned(), unescape(&value[..end]));
        }
        rest = value[end + 1..].trim_start_matches(',');
    }
    labels
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, sign)| {
        let ends = sign == '"' && !escaped;
        escaped = sign == '\\' && !escaped;
        ends.then_some(at)
    })
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Json {
    timestamp: String,
    gauges: Vec<GaugeShape>,
    points: [(); 0],
    counters: Vec<SpreadShape>,
    samples: Vec<SpreadShape>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GaugeShape {
    name: String,
    value: f64,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SpreadShape {
    name: String,
    count: u64,
    rate: f64,
    sum: f64,
    min: f64,
    max: f64,
    mean: f64,
    stddev: f64,
    labels: BTreeMap<String, String>,
}

impl Json {
    fn at(time: jiff::Timestamp) -> Json {
        Json {
            timestamp: time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
            gauges: Vec::new(),
            points: [],
            counters: Vec::new(),
            samples: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
