//! HTTP/2: a server that answers a PING frame is a healthy one.

use super::tls::{self, Inside};
use super::{Limits, Observation, Probe, dial};
use h2::Ping;
use model::{CheckDefinition, Status};
use seams::BoxFuture;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// The HTTP/2 ping probe.
pub const PROBE: Probe =
    Probe { name: "h2ping", asked: |definition| !definition.h2ping.is_empty(), run };

fn run(definition: Arc<CheckDefinition>, limits: Limits) -> BoxFuture<'static, Observation> {
    Box::pin(async move {
        let deadline = Instant::now() + limits.timeout;
        let pinged = timeout_at(deadline, connect_and_ping(&definition, deadline)).await;
        match pinged.unwrap_or_else(|_| failed("context deadline exceeded")) {
            Ok(()) => Observation {
                status: Status::Passing,
                output: "HTTP2 ping was successful".to_owned(),
            },
            Err(why) => Observation::critical(why),
        }
    })
}

fn failed<T>(why: impl std::fmt::Display) -> Result<T, String> {
    Err(format!("HTTP2 ping failed: {why}"))
}

async fn connect_and_ping(definition: &CheckDefinition, deadline: Instant) -> Result<(), String> {
    let target = definition.h2ping.as_str();
    let not_dialed = |why| format!("Failed to dial to {target}: {why}");
    let stream = dial::tcp(target, deadline).await.map_err(not_dialed)?;
    if !definition.h2ping_use_tls {
        return ping(stream).await;
    }
    let host = dial::split(target).map_or(target, |(host, _)| host);
    ping(tls::open(definition, stream, host, Inside::Http2).await.map_err(not_dialed)?).await
}

async fn ping(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<(), String> {
    let opened = h2::client::handshake(stream).await;
    let (_requests, mut connection) =
        opened.map_err(|error| format!("Failed to create client connection {error}"))?;
    let mut pings = connection.ping_pong().expect("nobody has taken it yet");
    let _driven = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
    pings.ping(Ping::opaque()).await.map(drop).or_else(failed)
}
