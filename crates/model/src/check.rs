//! A check: its definition and its last result. The catalog stores both and runs nothing.

use crate::{CheckId, Fields, InstanceId, Nanos, NodeName, Rare, ServiceName, Text, empty_tags};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A check of a node (empty `instance`) or of one instance on it; its key is (tenant, node, id).
///
/// Source: Consul, "Check HTTP API" and "Health HTTP API".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The node it belongs to.
    pub node: NodeName,
    /// The id, unique on the node without regard to case.
    pub id: CheckId,
    /// A name for people.
    pub name: Text,
    /// The last result.
    pub status: Status,
    /// What the last run said.
    pub output: Text,
    /// The instance it watches; empty for a check of the node.
    pub instance: InstanceId,
    /// That instance's service, filled in when the check is written.
    pub service: ServiceName,
    /// That instance's tags, filled in when the check is written.
    pub service_tags: Arc<[Text]>,
    /// How it is run; `None` where whoever runs it keeps that to itself.
    pub definition: Option<Box<CheckDefinition>>,
    /// What few give; read as if it stood here.
    pub details: Rare<CheckDetails>,
}

/// What few checks say of themselves; the same in each result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckDetails {
    /// Notes for people.
    pub notes: Text,
    /// Consul's type (`ttl`, `http` …).
    pub kind: Text,
    /// How often it runs, as text (`"10s"` or empty).
    pub interval: Text,
    /// How long one run may take, as text.
    pub timeout: Text,
    /// The port a sidecar exposes it on; 0 where none.
    pub exposed_port: i64,
}

impl Fields for CheckDetails {
    const NONE: &'static CheckDetails = &CheckDetails {
        notes: Text::EMPTY,
        kind: Text::EMPTY,
        interval: Text::EMPTY,
        timeout: Text::EMPTY,
        exposed_port: 0,
    };
}

impl Default for CheckDetails {
    fn default() -> CheckDetails {
        CheckDetails::NONE.clone()
    }
}

impl Deref for Check {
    type Target = CheckDetails;

    fn deref(&self) -> &CheckDetails {
        &self.details
    }
}

impl DerefMut for Check {
    fn deref_mut(&mut self) -> &mut CheckDetails {
        &mut self.details
    }
}

impl Default for Check {
    fn default() -> Check {
        Check {
            node: NodeName::default(),
            id: CheckId::default(),
            name: Text::default(),
            status: Status::Critical,
            output: Text::default(),
            instance: InstanceId::default(),
            service: ServiceName::default(),
            service_tags: empty_tags(),
            definition: None,
            details: Rare::NONE,
        }
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// All is well.
    Passing,
    /// Serving, but someone should look.
    Warning,
    /// Not to be used.
    Critical,
    /// Anything else a client wrote; Consul stores it and counts it as not passing.
    Other(Text),
}

impl Status {
    /// Reads a status; nothing is refused.
    pub fn parse(text: &str) -> Status {
        match text {
            "passing" => Status::Passing,
            "warning" => Status::Warning,
            "critical" => Status::Critical,
            other => Status::Other(Text::new(other)),
        }
    }

    /// The word for it.
    pub fn as_str(&self) -> &str {
        match self {
            Status::Passing => "passing",
            Status::Warning => "warning",
            Status::Critical => "critical",
            Status::Other(text) => text,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a check is run. Empty texts, zeros and `false` mean "not given".
///
/// Source: Consul, "Health check configuration"; field names are ours, the meaning is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckDefinition {
    /// HTTP: the URL.
    pub http: Text,
    /// TLS: the server name to ask for.
    pub tls_server_name: Text,
    /// TLS: accept any certificate.
    pub tls_skip_verify: bool,
    /// HTTP: headers, several values each.
    pub header: BTreeMap<Text, Vec<Text>>,
    /// HTTP: the method; empty means GET.
    pub method: Text,
    /// HTTP: the body.
    pub body: Text,
    /// HTTP: do not follow redirects.
    pub disable_redirects: bool,
    /// TCP: `host:port`.
    pub tcp: Text,
    /// TCP: speak TLS.
    pub tcp_use_tls: bool,
    /// UDP: `host:port`.
    pub udp: Text,
    /// HTTP/2 ping: `host:port`.
    pub h2ping: Text,
    /// HTTP/2 ping: speak TLS.
    pub h2ping_use_tls: bool,
    /// The name of a service of the operating system.
    pub os_service: Text,
    /// Time between two runs.
    pub interval: Nanos,
    /// The most bytes of output kept; 0 means the agent's default.
    pub output_max_size: i64,
    /// Time one run may take; 0 means the kind's default.
    pub timeout: Nanos,
    /// How long it may stay critical before its service is deregistered; 0 means for ever.
    pub deregister_critical_service_after: Nanos,
    /// Script: the command and its arguments.
    pub script_args: Vec<Text>,
    /// Docker: the container to run the script in.
    pub docker_container_id: Text,
    /// Docker: the shell.
    pub shell: Text,
    /// gRPC: `host:port[/service]`.
    pub grpc: Text,
    /// gRPC: speak TLS.
    pub grpc_use_tls: bool,
    /// Alias: the node.
    pub alias_node: Text,
    /// Alias: the instance id.
    pub alias_service: Text,
    /// TTL: how long a report counts.
    pub ttl: Nanos,
    /// Successes in a row before passing.
    pub success_before_passing: i64,
    /// Failures in a row before warning.
    pub failures_before_warning: i64,
    /// Failures in a row before critical.
    pub failures_before_critical: i64,
}
