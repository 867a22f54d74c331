//! What the DNS face counts. Each thread has a tally of its own; whoever reads adds them up.

use crate::answer::{Reason, Reply};
use dnswire::{rcode, rtype};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How an answer went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP, from the hot path.
    Udp,
    /// UDP, from the slow path.
    Slow,
    /// TCP.
    Tcp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Slow => "udp_slow",
            Transport::Tcp => "tcp",
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

/// Things counted one by one, beside answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Packets not answered: no header, or themselves answers.
    Ignored,
    /// Packets longer than any question, dropped.
    Oversized,
    /// Answers that the kernel did not take.
    Unsent,
    /// To the slow path: a message of an unusual shape, or a name that is not ASCII.
    Unusual,
    /// To the slow path: about something not held here.
    NotHeld,
    /// To the slow path: about another datacenter.
    OtherDatacenter,
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

const COUNTS: [(Count, &str); 11] = [
    (Count::Ignored, "ignored"),
    (Count::Oversized, "oversized"),
    (Count::Unsent, "unsent"),
    (Count::Unusual, "unusual"),
    (Count::NotHeld, "not_held"),
    (Count::OtherDatacenter, "other_datacenter"),
    (Count::Shed, "shed"),
    (Count::ConnectionsRefused, "connections_refused"),
    (Count::ConnectionsDropped, "connections_dropped"),
    (Count::ReceiveErrors, "receive_errors"),
    (Count::Panics, "panics"),
];

impl From<Reason> for Count {
    fn from(reason: Reason) -> Count {
        match reason {
            Reason::Unusual => Count::Unusual,
            Reason::NotHeld => Count::NotHeld,
            Reason::Datacenter => Count::OtherDatacenter,
        }
    }
}

/// One thread's numbers.
#[derive(Debug)]
pub(crate) struct Tally {
    transport: Transport,
    answers: [[AtomicU64; RCODES.len()]; QTYPES.len() + 1],
    counts: [AtomicU64; COUNTS.len()],
}

impl Tally {
    pub fn answered(&self, reply: &Reply) {
        let known = QTYPES.iter().position(|(qtype, _)| *qtype == reply.qtype);
        let code = RCODES.iter().position(|(code, _)| *code == reply.rcode).unwrap_or(0);
        self.answers[known.unwrap_or(OTHER_QTYPE)][code].fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self, what: Count) {
        self.add(what, 1);
    }

    pub fn add(&self, what: Count, by: usize) {
        self.counts[what as usize].fetch_add(by as u64, Ordering::Relaxed);
    }
}

/// The numbers of the DNS face; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Meters(Arc<Tallies>);

#[derive(Debug, Default)]
struct Tallies(Mutex<Vec<Arc<Tally>>>);

impl Meters {
    /// Adds these numbers to a registry: `dns_queries_total{qtype,rcode,transport}` and
    /// `dns_events_total{event}`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    pub(crate) fn tally(&self, transport: Transport) -> Arc<Tally> {
        let answers = std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)));
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        let tally = Arc::new(Tally { transport, answers, counts });
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        tally
    }

    /// All numbers, added up.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for tally in self.0.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (row, qtype) in tally.answers.iter().zip(qtypes()) {
                for (cell, (_, code)) in row.iter().zip(RCODES) {
                    counts.answer(qtype, code, tally.transport, cell.load(Ordering::Relaxed));
                }
            }
            for (sum, cell) in counts.events.iter_mut().zip(&tally.counts) {
                *sum += cell.load(Ordering::Relaxed);
            }
        }
        counts
    }
}

fn qtypes() -> impl Iterator<Item = &'static str> {
    QTYPES.iter().map(|(_, name)| *name).chain(["other"])
}

/// The numbers at one moment.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Answers by type asked, response code and transport; only what is not zero.
    pub answers: Vec<(&'static str, &'static str, Transport, u64)>,
    events: [u64; COUNTS.len()],
}

impl Counts {
    fn answer(&mut self, qtype: &'static str, code: &'static str, over: Transport, by: u64) {
        if by == 0 {
            return;
        }
        let same = |known: &&mut (&str, &str, Transport, u64)| {
            (known.0, known.1, known.2) == (qtype, code, over)
        };
        match self.answers.iter_mut().find(same) {
            Some(known) => known.3 += by,
            None => self.answers.push((qtype, code, over, by)),
        }
    }

    /// All answers over one transport.
    pub fn answered(&self, over: Transport) -> u64 {
        self.answers.iter().filter(|answer| answer.2 == over).map(|answer| answer.3).sum()
    }

    /// How often something happened.
    pub fn of(&self, what: Count) -> u64 {
        self.events[what as usize]
    }
}

impl Collector for Meters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts = self.counts();
        let none = ConstCounter::new(0u64);
        let mut queries = encoder.encode_descriptor(
            "dns_queries",
            "DNS answers by type, response code and transport",
            None,
            none.metric_type(),
        )?;
        for (qtype, code, over, count) in &counts.answers {
            let labels = [("qtype", *qtype), ("rcode", *code), ("transport", over.name())];
            ConstCounter::new(*count).encode(queries.encode_family(&labels)?)?;
        }
        let mut events = encoder.encode_descriptor(
            "dns_events",
            "what happened to DNS packets that the hot path did not answer",
            None,
            none.metric_type(),
        )?;
        for (what, name) in COUNTS {
            let counter = ConstCounter::new(counts.of(what));
            counter.encode(events.encode_family(&[("event", name)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_are_told_to_prometheus() {
        let meters = Meters::default();
        let reply = Reply { length: 1, rcode: rcode::NXDOMAIN, qtype: rtype::SRV };
        for transport in [Transport::Udp, Transport::Udp, Transport::Tcp] {
            let tally = meters.tally(transport);
            tally.answered(&reply);
            tally.answered(&Reply { qtype: 999, ..reply });
            tally.count(Count::Shed);
        }
        let counts = meters.counts();
        assert_eq!((counts.answered(Transport::Udp), counts.answered(Transport::Tcp)), (4, 2));
        assert_eq!((counts.of(Count::Shed), counts.of(Count::Ignored)), (3, 0));
        let mut registry = Registry::default();
        meters.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encodes");
        for line in [
            "dns_queries_total{qtype=\"SRV\",rcode=\"NXDOMAIN\",transport=\"udp\"} 2",
            "dns_queries_total{qtype=\"other\",rcode=\"NXDOMAIN\",transport=\"tcp\"} 1",
            "dns_events_total{event=\"shed\"} 3",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn counts_stand_in_their_own_order() {
        for (at, (what, _)) in COUNTS.iter().enumerate() {
            assert_eq!(*what as usize, at);
        }
    }
}
