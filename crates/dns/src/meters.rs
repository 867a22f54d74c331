//! What the DNS face counts. Each thread has a tally of its own; whoever reads adds them up.

use crate::answer::{Reason, Reply};
use dnswire::{rcode, rtype};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What carried a question and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Transport {
    /// Both, in order.
    pub const ALL: [Transport; 2] = [Transport::Udp, Transport::Tcp];

    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// Which way an answer was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// At once, from the table.
    Hot,
    /// By the slow path; [`Snapshot::detoured`] says what for.
    Slow,
}

impl Path {
    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Path::Hot => "hot",
            Path::Slow => "slow",
        }
    }
}

const QTYPES: [(u16, &str); 9] = [
    (rtype::A, "A"),
    (rtype::AAAA, "AAAA"),
    (rtype::SRV, "SRV"),
    (rtype::ANY, "ANY"),
    (rtype::TXT, "TXT"),
    (rtype::SOA, "SOA"),
    (rtype::NS, "NS"),
    (rtype::PTR, "PTR"),
    (rtype::CNAME, "CNAME"),
];
const OTHER_QTYPE: usize = QTYPES.len();

const RCODES: [(u8, &str); 7] = [
    (rcode::NOERROR, "NOERROR"),
    (rcode::NXDOMAIN, "NXDOMAIN"),
    (rcode::SERVFAIL, "SERVFAIL"),
    (rcode::REFUSED, "REFUSED"),
    (rcode::FORMERR, "FORMERR"),
    (rcode::NOTIMP, "NOTIMP"),
    (rcode::BADVERS, "BADVERS"),
];

/// Things counted one by one, beside answers and detours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Packets not answered: no header, or themselves answers.
    Ignored,
    /// Packets longer than any question, dropped.
    Oversized,
    /// Answers that the kernel did not take.
    Unsent,
    /// Dropped because the slow path had enough to do.
    Shed,
    /// TCP connections closed at once because there were enough.
    ConnectionsRefused,
    /// TCP connections closed because they were silent, slow or broken.
    ConnectionsDropped,
    /// Times that a socket could not be read.
    ReceiveErrors,
    /// Batches lost to a fault of ours.
    Panics,
}

impl Count {
    /// All, in order.
    pub const ALL: [Count; 8] = [
        Count::Ignored,
        Count::Oversized,
        Count::Unsent,
        Count::Shed,
        Count::ConnectionsRefused,
        Count::ConnectionsDropped,
        Count::ReceiveErrors,
        Count::Panics,
    ];

    /// As a label of a metric.
    pub fn name(self) -> &'static str {
        match self {
            Count::Ignored => "ignored",
            Count::Oversized => "oversized",
            Count::Unsent => "unsent",
            Count::Shed => "shed",
            Count::ConnectionsRefused => "connections_refused",
            Count::ConnectionsDropped => "connections_dropped",
            Count::ReceiveErrors => "receive_errors",
            Count::Panics => "panics",
        }
    }
}

/// One thread's numbers.
#[derive(Debug)]
pub(crate) struct Tally {
    transport: Transport,
    path: Path,
    answers: [[AtomicU64; RCODES.len()]; QTYPES.len() + 1],
    truncated: AtomicU64,
    detours: [AtomicU64; Reason::ALL.len()],
    counts: [AtomicU64; Count::ALL.len()],
    open: AtomicU64,
}

impl Tally {
    pub fn answered(&self, reply: &Reply) {
        let known = QTYPES.iter().position(|(qtype, _)| *qtype == reply.qtype);
        let code = RCODES.iter().position(|(code, _)| *code == reply.rcode).unwrap_or(0);
        self.answers[known.unwrap_or(OTHER_QTYPE)][code].fetch_add(1, Ordering::Relaxed);
        if reply.truncated {
            self.truncated.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn detoured(&self, why: Reason) {
        self.detours[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection as open for as long as what is returned lives.
    pub fn open(self: &Arc<Tally>) -> Opened {
        self.open.fetch_add(1, Ordering::Relaxed);
        Opened(Arc::clone(self))
    }

    pub fn count(&self, what: Count) {
        self.add(what, 1);
    }

    pub fn add(&self, what: Count, by: usize) {
        self.counts[what as usize].fetch_add(by as u64, Ordering::Relaxed);
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Opened(Arc<Tally>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The numbers of the DNS face; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Meters(Arc<Tallies>);

#[derive(Debug, Default)]
struct Tallies(Mutex<Vec<Arc<Tally>>>);

impl Meters {
    /// Adds these numbers to a registry: `dns_queries_total{qtype,rcode,transport,path}`,
    /// `dns_truncated_total{transport}`, `dns_detours_total{reason,transport}`,
    /// `dns_events_total{event}` and `dns_connections`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    pub(crate) fn tally(&self, transport: Transport, path: Path) -> Arc<Tally> {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        let tally = Arc::new(Tally {
            transport,
            path,
            answers: std::array::from_fn(|_| zeros()),
            truncated: AtomicU64::new(0),
            detours: std::array::from_fn(|_| AtomicU64::new(0)),
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            open: AtomicU64::new(0),
        });
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        tally
    }

    /// All numbers at this moment, added up: a few hundred loads, and no thread waits for it.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for tally in self.0.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            snapshot.add(tally);
        }
        snapshot
    }
}

fn qtypes() -> impl Iterator<Item = &'static str> {
    QTYPES.iter().map(|(_, name)| *name).chain(["other"])
}

/// How many answers of one kind there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// The type asked, `other` for what is rare.
    pub qtype: &'static str,
    /// The response code.
    pub rcode: &'static str,
    /// What carried them.
    pub transport: Transport,
    /// Which way they were made.
    pub path: Path,
    /// How many.
    pub count: u64,
}

/// The numbers at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Answers by kind; only what is not zero.
    pub answers: Vec<Answers>,
    truncated: [u64; Transport::ALL.len()],
    detours: [[u64; Transport::ALL.len()]; Reason::ALL.len()],
    events: [u64; Count::ALL.len()],
    open: u64,
}

impl Snapshot {
    fn add(&mut self, tally: &Tally) {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let (transport, path) = (tally.transport, tally.path);
        for (row, qtype) in tally.answers.iter().zip(qtypes()) {
            for (cell, (_, rcode)) in row.iter().zip(RCODES) {
                self.add_answers(Answers { qtype, rcode, transport, path, count: load(cell) });
            }
        }
        self.truncated[transport as usize] += load(&tally.truncated);
        for (sums, cell) in self.detours.iter_mut().zip(&tally.detours) {
            sums[transport as usize] += load(cell);
        }
        self.open += load(&tally.open);
        for (sum, cell) in self.events.iter_mut().zip(&tally.counts) {
            *sum += load(cell);
        }
    }

    fn add_answers(&mut self, more: Answers) {
        if more.count == 0 {
            return;
        }
        let kind = |answers: &Answers| Answers { count: 0, ..*answers };
        match self.answers.iter_mut().find(|known| kind(known) == kind(&more)) {
            Some(known) => known.count += more.count,
            None => self.answers.push(more),
        }
    }

    /// All answers over one transport by one path.
    pub fn answered(&self, over: Transport, by: Path) -> u64 {
        let same = self.answers.iter().filter(|kind| (kind.transport, kind.path) == (over, by));
        same.map(|kind| kind.count).sum()
    }

    /// Answers that left records out because they did not fit, with TC or without.
    pub fn truncated(&self, over: Transport) -> u64 {
        self.truncated[over as usize]
    }

    /// Questions that took the slow path, by what took them there.
    pub fn detoured(&self, why: Reason, over: Transport) -> u64 {
        self.detours[why as usize][over as usize]
    }

    /// TCP connections that are open.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// How often something happened.
    pub fn of(&self, what: Count) -> u64 {
        self.events[what as usize]
    }
}

impl Collector for Meters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let snapshot = self.snapshot();
        let queries = "DNS answers by type, response code, transport and path";
        let queries = family(&mut encoder, "dns_queries", queries, |put| {
            snapshot.answers.iter().try_for_each(|kind| {
                let labels = [
                    ("qtype", kind.qtype),
                    ("rcode", kind.rcode),
                    ("transport", kind.transport.name()),
                    ("path", kind.path.name()),
                ];
                put(&labels, kind.count)
            })
        });
        queries?;
        let truncated = "DNS answers that left records out because they did not fit";
        let truncated = family(&mut encoder, "dns_truncated", truncated, |put| {
            Transport::ALL
                .into_iter()
                .try_for_each(|over| put(&[("transport", over.name())], snapshot.truncated(over)))
        });
        truncated?;
        let detours = "DNS questions that took the slow path, by reason";
        let detours = family(&mut encoder, "dns_detours", detours, |put| {
            let all =
                Reason::ALL.into_iter().flat_map(|why| Transport::ALL.map(|over| (why, over)));
            all.into_iter().try_for_each(|(why, over)| {
                let labels = [("reason", why.name()), ("transport", over.name())];
                put(&labels, snapshot.detoured(why, over))
            })
        });
        detours?;
        let open = "DNS connections over TCP that are open";
        let open = encoder.encode_descriptor("dns_connections", open, None, MetricType::Gauge)?;
        ConstGauge::new(snapshot.open()).encode(open)?;
        let events = "What else happened to DNS packets and connections";
        family(&mut encoder, "dns_events", events, |put| {
            Count::ALL
                .into_iter()
                .try_for_each(|what| put(&[("event", what.name())], snapshot.of(what)))
        })
    }
}

type Labels<'l> = &'l [(&'static str, &'static str)];

/// Encodes a counter with labels; `fill` puts each of its values.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    fill: impl FnOnce(&mut dyn FnMut(Labels<'_>, u64) -> std::fmt::Result) -> std::fmt::Result,
) -> std::fmt::Result {
    let kind = ConstCounter::new(0u64).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    fill(&mut |labels, value| ConstCounter::new(value).encode(family.encode_family(&labels)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_are_told_to_prometheus() {
        let meters = Meters::default();
        let reply = Reply {
            length: 1,
            rcode: rcode::NXDOMAIN,
            qtype: rtype::SRV,
            truncated: true,
            why: crate::answer::Why::Whole,
        };
        for (transport, path) in [
            (Transport::Udp, Path::Hot),
            (Transport::Udp, Path::Hot),
            (Transport::Udp, Path::Slow),
            (Transport::Tcp, Path::Hot),
        ] {
            let tally = meters.tally(transport, path);
            tally.answered(&reply);
            tally.answered(&Reply { qtype: 999, truncated: false, ..reply });
            tally.count(Count::Shed);
            tally.detoured(Reason::NotAscii);
        }
        let snapshot = meters.snapshot();
        let answered = |over, by| snapshot.answered(over, by);
        assert_eq!(answered(Transport::Udp, Path::Hot), 4);
        assert_eq!(answered(Transport::Udp, Path::Slow), 2);
        assert_eq!(answered(Transport::Tcp, Path::Hot), 2);
        assert_eq!(Transport::ALL.map(|over| snapshot.truncated(over)), [3, 1]);
        assert_eq!(snapshot.detoured(Reason::NotAscii, Transport::Udp), 3);
        assert_eq!((snapshot.of(Count::Shed), snapshot.of(Count::Ignored)), (4, 0));
        let mut registry = Registry::default();
        meters.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encodes");
        let queries = |labels: &str| format!("dns_queries_total{{{labels}}}");
        for line in [
            queries("qtype=\"SRV\",rcode=\"NXDOMAIN\",transport=\"udp\",path=\"hot\"") + " 2",
            queries("qtype=\"other\",rcode=\"NXDOMAIN\",transport=\"tcp\",path=\"hot\"") + " 1",
            "dns_truncated_total{transport=\"udp\"} 3".to_owned(),
            "dns_detours_total{reason=\"not_ascii\",transport=\"udp\"} 3".to_owned(),
            "dns_detours_total{reason=\"compressed\",transport=\"tcp\"} 0".to_owned(),
            "dns_events_total{event=\"shed\"} 4".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn counts_and_reasons_stand_in_their_own_order() {
        assert!(Count::ALL.iter().enumerate().all(|(at, what)| *what as usize == at));
        assert!(Reason::ALL.iter().enumerate().all(|(at, why)| *why as usize == at));
        assert!(Transport::ALL.iter().enumerate().all(|(at, over)| *over as usize == at));
    }
}
