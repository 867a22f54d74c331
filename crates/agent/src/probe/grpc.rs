//! gRPC: a server that says SERVING of itself, or of the service named, is a healthy one.
//!
//! Source: gRPC Health Checking Protocol, `grpc.health.v1`; errors worded as grpc-go words them.

use super::tls::{self, Inside};
use super::{Limits, Observation, Probe, dial};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, Method, Request};
use model::{CheckDefinition, Status};
use prost::Message;
use seams::BoxFuture;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// The longest answer read; the right one has a few bytes.
const MAX_ANSWER: usize = 4096;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The gRPC probe.
pub const PROBE: Probe =
    Probe { name: "grpc", asked: |definition| !definition.grpc.is_empty(), run };

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

fn run(definition: Arc<CheckDefinition>, limits: Limits) -> BoxFuture<'static, Observation> {
    Box::pin(async move {
        let deadline = Instant::now() + limits.timeout;
        let asked = timeout_at(deadline, ask(&definition, deadline)).await;
        let late = |_| Err(rpc_error("DeadlineExceeded", "context deadline exceeded"));
        let target = definition.grpc.as_str();
        match asked.unwrap_or_else(late) {
            Ok("SERVING") => Observation {
                status: Status::Passing,
                output: format!("gRPC check {target}: success"),
            },
            Ok(other) => Observation::critical(format!("gRPC {target} serving status: {other}")),
            Err(why) => Observation::critical(why),
        }
    })
}

fn rpc_error(code: &str, why: &str) -> String {
    format!("rpc error: code = {code} desc = {why}")
}

async fn ask(definition: &CheckDefinition, deadline: Instant) -> Result<&'static str, String> {
    let target = definition.grpc.as_str();
    let (server, service) = target.split_once('/').unwrap_or((target, ""));
    let unavailable = |what: &str, why: String| {
        let why = lang::quote(&format!("transport: {what}: {why}"));
        rpc_error("Unavailable", &format!("connection error: desc = {why}"))
    };
    let stream =
        dial::tcp(server, deadline).await.map_err(|why| unavailable("Error while dialing", why))?;
    if !definition.grpc_use_tls {
        return call(stream, server, service).await;
    }
    let host = dial::split(server).map_or(server, |(host, _)| host);
    let stream = tls::open(definition, stream, host, Inside::Http2)
        .await
        .map_err(|why| unavailable("authentication handshake failed", why))?;
    call(stream, server, service).await
}

async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: &str,
    service: &str,
) -> Result<&'static str, String> {
    let broken = |error: h2::Error| rpc_error("Unavailable", &error.to_string());
    let (requests, connection) = h2::client::handshake(stream).await.map_err(broken)?;
    let _driven = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
    let mut requests = requests.ready().await.map_err(broken)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{server}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "Consul Health Check")
        .body(())
        .map_err(|error| rpc_error("Internal", &error.to_string()))?;
    let (answer, mut body) = requests.send_request(request, false).map_err(broken)?;
    let message = HealthCheckRequest { service: service.to_owned() };
    body.send_data(framed(&message), true).map_err(broken)?;
    let (head, body) = answer.await.map_err(broken)?.into_parts();
    // A call that fails at once brings its status with the headers.
    refused(&head.headers)?;
    read(body).await
}

fn framed(message: &impl Message) -> Bytes {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(message.encode_to_vec());
    frame.into()
}

async fn read(mut body: RecvStream) -> Result<&'static str, String> {
    let broken = |error: h2::Error| rpc_error("Unavailable", &error.to_string());
    let mut answer = BytesMut::new();
    while answer.len() < MAX_ANSWER
        && let Some(data) = body.data().await
    {
        let data = data.map_err(broken)?;
        // What cannot be given back is lost with the connection.
        let _ = body.flow_control().release_capacity(data.len());
        answer.extend_from_slice(&data);
    }
    if let Some(trailers) = body.trailers().await.map_err(broken)? {
        refused(&trailers)?;
    }
    let message = answer.get(PREFIX..).unwrap_or_default();
    let response = HealthCheckResponse::decode(message)
        .map_err(|error| rpc_error("Internal", &error.to_string()))?;
    Ok(match response.status {
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    })
}

/// An error if these headers or trailers say that the call failed.
fn refused(headers: &HeaderMap) -> Result<(), String> {
    const CODES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status").filter(|code| *code != "0") else { return Ok(()) };
    let known = code.parse().ok().and_then(|code: usize| CODES.get(code));
    let why = text("grpc-message").unwrap_or_default();
    Err(rpc_error(known.unwrap_or(&"Unknown"), &why.replace("%20", " ")))
}
