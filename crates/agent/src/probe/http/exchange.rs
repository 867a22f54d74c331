//! One request over a connection of its own.

use super::request::Request;
use crate::probe::dial;
use crate::probe::tls::{self, Inside};
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Uri, Version, response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::ext::ReasonPhrase;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::CheckDefinition;
use std::error::Error;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use url::Position;

/// What was answered; the body comes as long as this lives.
pub struct Answer {
    /// Status and headers.
    pub head: response::Parts,
    /// The body, not read yet.
    pub body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl Answer {
    /// The status with its reason, as the server worded it.
    pub fn status_line(&self) -> String {
        let code = self.head.status.as_u16();
        let given = self.head.extensions.get::<ReasonPhrase>();
        let reason = match given {
            Some(given) => String::from_utf8_lossy(given.as_bytes()).into_owned(),
            None => self.head.status.canonical_reason().unwrap_or_default().to_owned(),
        };
        format!("{code} {reason}").trim_end().to_owned()
    }
}

/// Asks once; an error says why there is no answer.
pub async fn send(
    definition: &CheckDefinition,
    request: &Request,
    deadline: Instant,
) -> Result<Answer, String> {
    let host = request.url.host_str().unwrap_or_default();
    let port = request.url.port_or_known_default().unwrap_or_default();
    let stream = dial::tcp(&format!("{host}:{port}"), deadline).await?;
    if request.url.scheme() != "https" {
        return over_http1(stream, request).await;
    }
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let stream = tls::open(definition, stream, name, Inside::Http).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return over_http2(stream, request).await;
    }
    over_http1(stream, request).await
}

async fn over_http1<S>(stream: S, request: &Request) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream));
    let (mut sender, connection) = opened.await.map_err(|error| explain(&error))?;
    // How it ends is told with the answer.
    let connection = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
    let mut message = message(request, &request.url[Position::BeforePath..Position::AfterQuery])?;
    let host = match &request.host {
        Some(host) => host.clone(),
        None => HeaderValue::from_str(&request.url[Position::BeforeHost..Position::AfterPort])
            .map_err(|_| "http: invalid Host header".to_owned())?,
    };
    message.headers_mut().insert(HOST, host);
    let (head, body) =
        sender.send_request(message).await.map_err(|error| explain(&error))?.into_parts();
    Ok(Answer { head, body, _connection: connection })
}

async fn over_http2<S>(stream: S, request: &Request) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = opened.await.map_err(|error| explain(&error))?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async { drop(connection.await) }));
    let authority = match &request.host {
        Some(host) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        None => request.url[Position::BeforeHost..Position::AfterPort].to_owned(),
    };
    let path = &request.url[Position::BeforePath..Position::AfterQuery];
    let mut message = message(request, &format!("https://{authority}{path}"))?;
    *message.version_mut() = Version::HTTP_2;
    message.headers_mut().remove(CONNECTION);
    let (head, body) =
        sender.send_request(message).await.map_err(|error| explain(&error))?.into_parts();
    Ok(Answer { head, body, _connection: connection })
}

fn message(request: &Request, target: &str) -> Result<http::Request<Full<Bytes>>, String> {
    let uri: Uri = target.parse().map_err(|error| format!("invalid request target: {error}"))?;
    let mut message = http::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = uri;
    *message.headers_mut() = request.headers.clone();
    Ok(message)
}

/// What Go says of a connection that brought no answer.
fn explain(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    if error.is_parse() {
        return format!("net/http: HTTP/1.x transport connection broken: {error}");
    }
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        if let Some(io) = next.downcast_ref::<io::Error>() {
            return net::dial::call_text("read", io);
        }
        cause = next;
    }
    cause.to_string()
}
