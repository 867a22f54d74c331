//! TCP: a connection that opens is a healthy one; with `TCPUseTLS` its handshake counts too.

use super::tls::{self, Inside};
use super::{Limits, Observation, Probe, dial};
use model::{CheckDefinition, Status};
use seams::BoxFuture;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// The TCP probe.
pub const PROBE: Probe = Probe { name: "tcp", asked: |definition| !definition.tcp.is_empty(), run };

fn run(definition: Arc<CheckDefinition>, limits: Limits) -> BoxFuture<'static, Observation> {
    Box::pin(async move {
        let deadline = Instant::now() + limits.timeout;
        let target = definition.tcp.as_str();
        match connect(&definition, deadline).await {
            Ok(what) => Observation {
                status: Status::Passing,
                output: format!("{what} connect {target}: Success"),
            },
            Err(why) => Observation::critical(why),
        }
    })
}

async fn connect(definition: &CheckDefinition, deadline: Instant) -> Result<&'static str, String> {
    let target = definition.tcp.as_str();
    let stream = dial::tcp(target, deadline).await?;
    if !definition.tcp_use_tls {
        return Ok("TCP");
    }
    let host = dial::split(target).map_or(target, |(host, _)| host);
    let opened = timeout_at(deadline, tls::open(definition, stream, host, Inside::Anything)).await;
    opened.unwrap_or_else(|_| Err(format!("dial tcp {target}: i/o timeout"))).map(|_| "TCP+TLS")
}
