//! The three ways to tell of one registry.

use super::*;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    name: String,
}

struct Rig {
    metrics: Metrics,
    odd: Labelled<Labels, Counter>,
    open: Gauge,
    took: Histogram,
}

fn rig() -> Rig {
    let mut registry = Registry::with_prefix("rutter");
    let (odd, open) = (Labelled::<Labels, Counter>::default(), Gauge::default());
    let took = Histogram::new([1.0, 2.0, 4.0]);
    registry.register("odd_things", "Things that were odd", odd.clone());
    registry.register("open_things", "Things that are open", open.clone());
    registry.register("took", "How long it took", took.clone());
    Rig { metrics: Metrics::new(registry), odd, open, took }
}

fn spread<'j>(spreads: &'j [SpreadShape], name: &str) -> &'j SpreadShape {
    spreads.iter().find(|spread| spread.name == name).expect("it is told")
}

#[test]
fn json_tells_gauges_as_they_are_and_the_rest_as_it_grew() {
    let rig = rig();
    let name = "a\"b\\c,d=\"e".to_owned();
    rig.odd.get_or_create(&Labels { name: name.clone() }).inc_by(3);
    rig.open.set(-7);
    for seconds in [0.5, 1.5, 1.5, 9.0] {
        rig.took.observe(seconds);
    }
    let json = rig.metrics.changes();
    assert_eq!((json.gauges[0].name.as_str(), json.gauges[0].value), ("consul.open.things", -7.0));
    let odd = spread(&json.counters, "consul.odd.things");
    assert_eq!((odd.count, odd.sum), (3, 3.0));
    assert_eq!(odd.labels, BTreeMap::from([("name".to_owned(), name)]));
    let took = spread(&json.samples, "consul.took");
    assert_eq!((took.count, took.sum, took.mean), (4, 12.5, 3.125));
    assert_eq!((took.min, took.max), (0.0, 4.0));
    assert!(took.rate > 0.0 && took.stddev > 0.0 && took.labels.is_empty());
}

#[test]
fn an_interval_begins_anew_and_only_what_grew_is_told() {
    let rig = rig();
    let odd = rig.odd.get_or_create(&Labels { name: "x".to_owned() }).clone();
    odd.inc();
    rig.metrics.changes();
    let at_least = |metrics: &Metrics| {
        let mut since = metrics.since.lock().expect("not poisoned");
        let next = since.next.as_mut().expect("the next interval may begin here");
        next.at = next.at.checked_sub(INTERVAL).expect("the machine runs for longer");
    };
    at_least(&rig.metrics);
    odd.inc_by(5);
    assert_eq!(spread(&rig.metrics.changes().counters, "consul.odd.things").count, 6);
    assert_eq!(spread(&rig.metrics.changes().counters, "consul.odd.things").count, 5);
    at_least(&rig.metrics);
    rig.metrics.changes();
    assert!(rig.metrics.changes().counters.is_empty());
}

#[test]
fn the_older_text_names_a_counter_as_its_samples() {
    let rig = rig();
    rig.odd.get_or_create(&Labels { name: "x".to_owned() }).inc();
    let text = rig.metrics.text();
    assert!(text.contains("# TYPE rutter_odd_things counter\n") && text.ends_with("# EOF\n"));
    let older = older(&text);
    for line in [
        "# TYPE rutter_odd_things_total counter",
        "# HELP rutter_odd_things_total Things that were odd.",
        "rutter_odd_things_total{name=\"x\"} 1",
        "# TYPE rutter_took histogram",
        "rutter_took_bucket{le=\"1.0\"} 0",
    ] {
        assert!(older.lines().any(|is| is == line), "{line} is missing in\n{older}");
    }
    assert!(!older.contains("EOF"));
}

#[track_caller]
fn check(accept: &str, text: bool) {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, accept.parse().expect("a header"));
    assert_eq!(wants_text(&headers), text, "{accept}");
}

#[test]
fn scrapers_say_what_they_take() {
    check("application/json", false);
    check("*/*", false);
    check("text/plain", false);
    check("text/plain;version=0.4.0", true);
    check("text/plain; version=0.0.4; q=0.5, */*;q=0.1", true);
    check("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5", true);
}
