//! The kinds of checks that this agent runs: a table, one file each.
//!
//! To add one: a file beside these and a line in [`PROBES`]. Where a definition names several, the
//! first of the table counts, as in Consul.

mod http;
mod tcp;

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
pub const PROBES: &[Probe] = &[http::PROBE, tcp::PROBE];

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
        Limits {
            timeout: definition.timeout.positive().unwrap_or(DEFAULT_TIMEOUT),
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

/// The name of what a definition asks for and this build does not give; `None` if it can be run.
pub fn unsupported(definition: &CheckDefinition) -> Option<&'static str> {
    let tls_name = !definition.tls_server_name.is_empty();
    if find(definition).is_some() {
        return (tls_name && !definition.http.is_empty()).then_some("HTTP with TLSServerName");
    }
    let kinds = [
        (definition.docker_container_id.as_str(), "Docker"),
        (definition.tcp.as_str(), "TCP with TLS"),
        (definition.udp.as_str(), "UDP"),
        (definition.grpc.as_str(), "GRPC"),
        (definition.h2ping.as_str(), "H2PING"),
        (definition.os_service.as_str(), "OSService"),
        (definition.script_args.first().map_or("", |arg| arg.as_str()), "script"),
    ];
    kinds.iter().find(|(given, _)| !given.is_empty()).map(|(_, kind)| *kind)
}

/// What Go's dialer says when it cannot connect; operators search for these words.
fn dial_error(address: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let why = match error.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::TimedOut => "i/o timeout".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {why}")
}

#[cfg(test)]
mod tests;
