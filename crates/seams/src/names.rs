//! The DNS face, asked to explain itself.
//!
//! Whoever explains a name must not judge beside the code that answers it. So the face that answers
//! offers this, and answers an imagined question the way it would answer a packet.

use catalog::View;
use catalog::why::{Absence, Cause};
use model::{InstanceId, NodeName};

/// Explains what DNS answers.
pub trait Names: Send + Sync {
    /// The name by which a service is asked for, perhaps with a tag, whole; `None` where DNS cannot
    /// carry it.
    fn of_service(&self, service: &str, tag: Option<&str>) -> Option<String>;

    /// The name by which a node is asked for; `None` where DNS cannot carry it.
    fn of_node(&self, node: &str) -> Option<String>;

    /// What a name means to a question of this type; `None` where it is not of the zone, nor an address
    /// backwards.
    fn meaning(&self, name: &str, qtype: u16) -> Option<Meaning>;

    /// What would be answered, and why; `None` where the name is no domain name. What would have to be
    /// fetched is [`Absence::Unreachable`].
    fn explain(&self, view: &View, question: &NameQuestion<'_>) -> Option<NameAnswer>;
}

/// A question as far as it decides an answer.
#[derive(Debug, Clone, Copy)]
pub struct NameQuestion<'q> {
    /// The name, whole.
    pub name: &'q str,
    /// The record type by its number.
    pub qtype: u16,
    /// The size that EDNS offers; `None` without EDNS.
    pub edns: Option<u16>,
    /// Over TCP.
    pub tcp: bool,
    /// As if only what passes were told.
    pub passing: bool,
    /// Of the instances only those of this node are explained; the answer is the same.
    pub on: Option<&'q str>,
}

/// What a name of the zone means. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Instances of a service.
    Service {
        /// Its name.
        service: String,
        /// A tag that they must have; empty for none.
        tag: String,
        /// The datacenter named; `None` for this one.
        datacenter: Option<String>,
    },
    /// A node.
    Node {
        /// Its name.
        node: String,
        /// The datacenter named; `None` for this one.
        datacenter: Option<String>,
    },
    /// An address backwards, below `in-addr.arpa` or `ip6.arpa`.
    Reverse,
    /// Anything else: an address, or nothing.
    Other,
}

/// What DNS answers, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAnswer {
    /// The response code's name.
    pub code: &'static str,
    /// How many records the answer has.
    pub records: usize,
    /// Why it is empty or short, as it is told; `None` where it is whole.
    pub reason: Option<String>,
    /// Why there is nothing, where that is not the instances' doing.
    pub absence: Option<Absence>,
    /// Each instance of the service, or of the node asked for, with what keeps it out: nothing where it is among those of
    /// which the answer is made.
    pub instances: Vec<(NodeName, InstanceId, Vec<Cause>)>,
}
