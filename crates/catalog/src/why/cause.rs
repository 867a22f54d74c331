//! One thing that keeps an instance out, in words.

use super::{Remedy, meant};
use crate::Health;
use model::{Check, Instance, Phase, Row, Status, Text};
use std::fmt;
use std::sync::Arc;

/// One thing that keeps an instance out of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Its node is in maintenance.
    NodeMaintenance(Arc<Row<Check>>),
    /// It is in maintenance itself.
    Maintenance(Arc<Row<Check>>),
    /// A check of its node is worse than what is shown.
    NodeCheck(Arc<Row<Check>>),
    /// A check of its own is.
    Check(Arc<Row<Check>>),
    /// Its source says that it does not run.
    Phase(Phase),
    /// It lacks the tag that was asked for.
    Tag {
        /// The tag.
        asked: Text,
        /// Those that it has.
        has: Arc<[Text]>,
        /// The one of these that was perhaps meant.
        meant: Option<Text>,
    },
    /// It has no address that makes a record of the kind asked for.
    Address(Family),
    /// Its address is a host name, and others have IP addresses, which win.
    HostName(Text),
}

/// What kind of address a question wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A.
    V4,
    /// AAAA.
    V6,
    /// Any address.
    Any,
    /// A host name: CNAME.
    Host,
    /// None: a type that services have no records of.
    None,
    /// None either: SOA and NS are told of the zone, whatever the name.
    Zone,
}

impl Family {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::V4 => "IPv4 address",
            Family::V6 => "IPv6 address",
            Family::Any => "address",
            Family::Host => "host name for an address",
            Family::None => "record of this type",
            Family::Zone => "record of this type: it is the zone's own",
        }
    }

    /// The article that stands before these words.
    pub(super) fn article(self) -> &'static str {
        match self {
            Family::V4 | Family::V6 | Family::Any => "an",
            Family::Host | Family::None | Family::Zone => "a",
        }
    }
}

impl Cause {
    pub(super) fn tag(asked: &str, instance: &Instance) -> Cause {
        let meant = meant(asked, &instance.tags);
        Cause::Tag { asked: asked.into(), has: Arc::clone(&instance.tags), meant }
    }

    /// That an instance lacks this tag.
    pub fn lacks(asked: &str, instance: &Instance) -> Cause {
        Cause::tag(asked, instance)
    }

    /// Its name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Cause::NodeMaintenance(_) => "node_maintenance",
            Cause::Maintenance(_) => "maintenance",
            Cause::NodeCheck(check) if warns(check) => "node_check_warning",
            Cause::NodeCheck(_) => "node_check",
            Cause::Check(check) if warns(check) => "check_warning",
            Cause::Check(_) => "check",
            Cause::Phase(_) => "phase",
            Cause::Tag { .. } => "tag",
            Cause::Address(_) => "address",
            Cause::HostName(_) => "host_name",
        }
    }

    /// The check that it is about.
    pub fn check(&self) -> Option<&Arc<Row<Check>>> {
        match self {
            Cause::NodeMaintenance(check)
            | Cause::Maintenance(check)
            | Cause::NodeCheck(check)
            | Cause::Check(check) => Some(check),
            _ => None,
        }
    }

    /// What would bring the instance back.
    pub fn remedy(&self) -> Remedy {
        match self {
            Cause::NodeMaintenance(check) | Cause::Maintenance(check) => {
                Remedy::of_maintenance(check)
            }
            Cause::NodeCheck(check) | Cause::Check(check) => Remedy::of_check(check),
            Cause::Phase(_) => Remedy::Source,
            Cause::Tag { asked, meant, .. } => {
                Remedy::Tag { asked: asked.clone(), meant: meant.clone() }
            }
            Cause::Address(family) => Remedy::Address(*family),
            Cause::HostName(_) => Remedy::HostName,
        }
    }
}

/// Whether a check only warns.
fn warns(check: &Check) -> bool {
    Health::of(check) == Health::Warning
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::NodeMaintenance(check) => write!(f, "node {} is in maintenance", check.node),
            Cause::Maintenance(_) => f.write_str("it is in maintenance"),
            Cause::NodeCheck(check) => {
                write!(f, "check {:?} of node {} {}", check.id.as_str(), check.node, status(check))
            }
            Cause::Check(check) => write!(f, "check {:?} {}", check.id.as_str(), status(check)),
            Cause::Phase(phase) => write!(f, "its source says it is {}", word(*phase)),
            Cause::Tag { asked, .. } => write!(f, "it has no tag {asked:?}"),
            Cause::Address(family) => write!(f, "it has no {}", family.as_str()),
            Cause::HostName(host) => {
                write!(f, "its address is the host name {host}, and IP addresses win")
            }
        }
    }
}

fn status(check: &Check) -> String {
    match &check.status {
        Status::Critical => "is critical".to_owned(),
        Status::Warning => "warns, and only what passes is told".to_owned(),
        other => format!("is {:?}, and only what passes is told", other.as_str()),
    }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Staging => "staging",
        Phase::Running => "running",
        Phase::Unhealthy => "unhealthy",
        Phase::Unreachable => "unreachable",
        Phase::Draining => "draining",
        Phase::Killing => "being killed",
    }
}
