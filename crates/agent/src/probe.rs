//! The kinds of checks that this agent runs: a table, one file each.
//!
//! To add one: a file beside these and a line in [`PROBES`]. Where a definition names several, the
//! first of the table counts, as in Consul.

mod dial;
mod grpc;
mod h2ping;
mod http;
mod script;
mod tail;
mod tcp;
mod tls;
mod udp;

use model::{CheckDefinition, Status};
use seams::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// How long a probe may take where its check does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// One kind of check that is run.
pub struct Probe {
    /// Its name, as Consul's `Type`.
    pub name: &'static str,
    /// Whether a definition asks for it.
    pub asked: fn(&CheckDefinition) -> bool,
    /// Runs it once.
    pub run: fn(Arc<CheckDefinition>, Limits) -> BoxFuture<'static, Observation>,
}

/// Every kind of check that is run here.
pub const PROBES: &[Probe] =
    &[http::PROBE, tcp::PROBE, udp::PROBE, grpc::PROBE, script::PROBE, h2ping::PROBE];

/// What one run may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time.
    pub timeout: Duration,
    /// Bytes of what it says.
    pub output: usize,
}

impl Limits {
    /// Those of a check, given the agent's own limit on output.
    pub fn of(definition: &CheckDefinition, output_max_size: usize) -> Limits {
        let given = usize::try_from(definition.output_max_size).unwrap_or(0);
        let usual = if is_script(definition) { script::DEFAULT_TIMEOUT } else { DEFAULT_TIMEOUT };
        Limits {
            timeout: definition.timeout.positive().unwrap_or(usual),
            output: if given == 0 { output_max_size } else { given.min(output_max_size) },
        }
    }
}

/// The result of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// The status.
    pub status: Status,
    /// What it said.
    pub output: String,
}

impl Observation {
    /// A failed run.
    pub fn critical(output: impl Into<String>) -> Observation {
        Observation { status: Status::Critical, output: output.into() }
    }
}

/// Finds the probe that a definition asks for.
pub fn find(definition: &CheckDefinition) -> Option<&'static Probe> {
    PROBES.iter().find(|probe| (probe.asked)(definition))
}

/// Whether a definition has a program run, here or in a container.
///
/// Only agents that enable it do that, whatever else the definition names beside.
pub fn is_script(definition: &CheckDefinition) -> bool {
    !definition.script_args.is_empty() || !definition.docker_container_id.is_empty()
}

/// The name of what a definition asks for and this build does not give; `None` if it can be run.
pub fn unsupported(definition: &CheckDefinition) -> Option<&'static str> {
    if find(definition).is_some() {
        return None;
    }
    let kinds = [
        (definition.docker_container_id.as_str(), "Docker"),
        (definition.os_service.as_str(), "OSService"),
    ];
    kinds.iter().find(|(given, _)| !given.is_empty()).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests;
