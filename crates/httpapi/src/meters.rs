//! What the HTTP face counts: requests by route, and what waiting was worth.

use crate::consul::error::{Crowded, Problem};
use crate::dialects::{ROUTES, Route, Verb};
use crate::kept;
use net::http::{Limit, Traffic};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use seams::WriteError;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The numbers of an HTTP face; clones are the same.
#[derive(Debug, Clone)]
pub struct Meters {
    requests: Family<Request, Counter>,
    seconds: Family<Place, Histogram, fn() -> Histogram>,
    waiting: Gauge,
    woken: Family<Woken, Counter>,
    traffic: Traffic,
    kept: kept::Meters,
    refused: Refused,
    usual: Usual,
}

/// The handles of what is answered 200, found once each instead of by their labels each time.
#[derive(Debug, Clone)]
struct Usual(Arc<[OnceLock<(Counter, Histogram)>]>);

impl Default for Usual {
    fn default() -> Usual {
        Usual((0..ROUTES.len() * Verb::COUNT).map(|_| OnceLock::new()).collect())
    }
}

/// What was refused for a moment, by the limit that was met.
#[derive(Debug, Clone, Default)]
struct Refused {
    lists: Counter,
    lists_time: Counter,
    writes: Counter,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            waiting: Gauge::default(),
            woken: Family::default(),
            traffic: Traffic::default(),
            kept: kept::Meters::default(),
            usual: Usual::default(),
            refused: Refused::default(),
        }
    }
}

/// From 50 µs to a quarter of a minute.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 18))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    route: &'static str,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Woken {
    result: &'static str,
}

/// Why a blocked query looked again, or was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A key of its own was touched and its answer differed.
    Answered,
    /// A key of its own was touched and its answer was the same.
    Nothing,
    /// Its time was over.
    TimedOut,
}

impl Meters {
    /// Adds these numbers to a registry; `docs/manual/metrics.md` lists them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests answered by route, method and status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request",
            "Time to answer by route and method, of requests that could not wait for a change",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "http_blocked_queries",
            "Queries that wait for a change just now",
            self.waiting.clone(),
        );
        registry.register(
            "http_blocked_queries_looked",
            "How often blocked queries ended their sleep, by what came of it",
            self.woken.clone(),
        );
        self.kept.register(registry);
        let (traffic, refused) = (self.traffic.clone(), self.refused.clone());
        registry.register_collector(Box::new(Connections { traffic, refused }));
    }

    /// Notes a refusal that is for a moment only; what the server below refuses it counts itself.
    pub(crate) fn refused(&self, problem: &Problem) {
        match problem {
            Problem::Crowded(Crowded::TooMany) => self.refused.lists.inc(),
            Problem::Crowded(Crowded::TooLong) => self.refused.lists_time.inc(),
            Problem::Write(WriteError::Busy) => self.refused.writes.inc(),
            _ => return,
        };
    }

    /// What the server below counts.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// What is counted of kept answers.
    pub(crate) fn kept(&self) -> kept::Meters {
        self.kept.clone()
    }

    /// Notes an answer; `could_wait` leaves its time out.
    pub fn answered(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        took: Duration,
        could_wait: bool,
    ) {
        self.requests.get_or_create(&Request { route, method, status }).inc();
        if !could_wait {
            self.seconds.get_or_create(&Place { route, method }).observe(took.as_secs_f64());
        }
    }

    /// Notes an answer of 200 of an endpoint.
    pub fn served(&self, route: &'static Route, verb: Verb, took: Duration, could_wait: bool) {
        let slot = &self.usual.0[route.number() * Verb::COUNT + verb as usize];
        let (count, seconds) = slot.get_or_init(|| {
            let (route, method) = (route.pattern, verb.as_str());
            let count = self.requests.get_or_create(&Request { route, method, status: 200 });
            let seconds = self.seconds.get_or_create(&Place { route, method });
            (count.clone(), seconds.clone())
        });
        count.inc();
        if !could_wait {
            seconds.observe(took.as_secs_f64());
        }
    }

    /// Counts a query as waiting for as long as what is returned lives.
    pub fn wait(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }

    /// Notes what came of a sleep.
    pub fn looked(&self, wake: Wake) {
        let result = match wake {
            Wake::Answered => "answered",
            Wake::Nothing => "nothing_new",
            Wake::TimedOut => "timed_out",
        };
        self.woken.get_or_create(&Woken { result }).inc();
    }
}

/// The server's connections, read when somebody asks.
#[derive(Debug)]
struct Connections {
    traffic: Traffic,
    refused: Refused,
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let help = "HTTP connections that are open";
        let open = encoder.encode_descriptor("http_connections", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.traffic.open()).encode(open)?;
        let counts = [
            ("http_connections_accepted", "HTTP connections served", self.traffic.accepted()),
            (
                "http_connections_refused",
                "HTTP connections closed at once because there were enough",
                self.traffic.refused(Limit::Connections)
                    + self.traffic.refused(Limit::ConnectionsOfClient),
            ),
        ];
        for (name, help, value) in counts {
            let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(counter)?;
        }
        let help = "What was refused or broken off, by the limit that was met";
        let mut refused =
            encoder.encode_descriptor("http_refused", help, None, MetricType::Counter)?;
        let below = Limit::ALL.map(|limit| (limit.name(), self.traffic.refused(limit)));
        let Refused { lists, lists_time, writes } = &self.refused;
        let own = [("lists", lists), ("lists_time", lists_time), ("writes", writes)];
        let own = own.map(|(name, counter)| (name, counter.get()));
        for (limit, count) in below.into_iter().chain(own) {
            let labels = [("limit", limit)];
            ConstCounter::new(count).encode(refused.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// A query that waits.
#[derive(Debug)]
pub struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
