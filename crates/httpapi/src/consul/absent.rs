//! Endpoints that Consul has and this version does not, and what is true of them all the same.
//!
//! Nothing was ever stored behind them, so a read of all is empty and a read of one finds nothing, as
//! in a Consul that nobody told anything. What cannot be done is 501: clients print its text, know it
//! for a server's answer rather than a missing row (404), and Go's retrying client, which repeats
//! every other 5xx, lets it be. The mesh's own answer is Consul's where `connect` is off.

use super::blocking::{Found, Scene};
use super::catalog::nothing;
use super::error::{Problem, Stop};
use crate::answer::Answer;
use crate::call::Call;
use http::header::{ALLOW, HeaderValue};
use lang::quote;
use model::Index;

/// What cannot be done yet.
pub async fn later(call: Call) -> Result<Answer, Problem> {
    let path = call.request.head.uri.path();
    Err(Problem::Unsupported(format!("{path} is not supported by this version")))
}

/// `GET /v1/agent/monitor`: the log is not sent over HTTP; a level that is none is told first.
pub async fn monitor(call: Call) -> Result<Answer, Problem> {
    let node = call.context.identity.node_name.as_str();
    Problem::unless(call.authorizer().agent_read(node), "agent:read", node)?;
    let level = call.query.first("loglevel").unwrap_or_default();
    let known = ["", "TRACE", "DEBUG", "INFO", "WARN", "ERR", "ERROR"];
    if !known.contains(&level.to_ascii_uppercase().as_str()) {
        return Err(Problem::Bad(format!("Unknown log level: {level}")));
    }
    later(call).await
}

/// What needs the mesh's certificates.
pub async fn no_mesh(_: Call) -> Result<Answer, Problem> {
    Err(Problem::invalid("Connect must be enabled in order to use this endpoint"))
}

/// Lists of what cannot be written yet: peerings, prepared queries, intentions, exported services.
pub fn none(_: &Scene) -> Result<Found, Stop> {
    Ok(nothing(Index(1), Vec::new()))
}

/// `GET /v1/internal/ui/exported-services`: of no peer.
pub fn exported_to_peer(scene: &Scene) -> Result<Found, Stop> {
    match scene.call.query.given("peer") {
        Some(_) => none(scene),
        None => Err(Problem::invalid("must provide PeerName").into()),
    }
}

/// `GET /v1/query/…`: there is no such query.
pub async fn query(call: Call) -> Result<Answer, Problem> {
    call.doors()?;
    Err(Problem::Absent("Query not found".to_owned()))
}

/// `OPTIONS /v1/query/…`, which Consul answers with an object.
pub async fn query_methods(call: Call) -> Result<Answer, Problem> {
    let name = call.name();
    let reads = name.ends_with("/execute") || name.ends_with("/explain");
    let methods = if reads { "OPTIONS,GET" } else { "OPTIONS,GET,PUT,DELETE" };
    let answer = Answer::json(&serde_json::json!({}));
    Ok(answer.with(ALLOW, HeaderValue::from_static(methods)))
}

/// What a config entry may be of.
const KINDS: [&str; 19] = [
    "api-gateway",
    "bound-api-gateway",
    "control-plane-request-limit",
    "exported-services",
    "file-system-certificate",
    "http-route",
    "ingress-gateway",
    "inline-certificate",
    "jwt-provider",
    "mesh",
    "proxy-defaults",
    "sameness-group",
    "service-defaults",
    "service-intentions",
    "service-resolver",
    "service-router",
    "service-splitter",
    "tcp-route",
    "terminating-gateway",
];

/// `GET /v1/config/:kind` and `:kind/:name`: no entry was ever written.
pub fn config(scene: &Scene) -> Result<Found, Stop> {
    let name = scene.call.name();
    let (kind, entry) = match name.split_once('/') {
        Some((kind, entry)) => (kind, Some(entry)),
        None => (name.as_str(), None),
    };
    if !kind.is_empty() && !KINDS.contains(&kind) {
        return Err(Problem::invalid(format!("invalid config entry kind: {kind}")).into());
    }
    match entry {
        None => none(scene),
        Some(entry) => {
            let (kind, entry) = (quote(kind), quote(entry));
            let text = format!("Config entry not found for {kind} / {entry}");
            Err(Problem::Absent(text).into())
        }
    }
}
