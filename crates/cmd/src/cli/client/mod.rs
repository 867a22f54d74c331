//! The client of every command: one request at a time over a connection of its own.
//!
//! Scripts match on the texts of its errors, and those are what Go's HTTP client says: `Get "URL": dial
//! tcp 127.0.0.1:8500: connect: connection refused`, `Unexpected response code: 500 (BODY)`.

mod connect;
mod query;
mod tls;
mod transport;

pub use query::{Query, path};
pub use tls::Tls;
pub use transport::Transport;

use super::failure::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;

/// How long a connection may take to open.
const DIAL_LIMIT: Duration = Duration::from_secs(30);

/// The longest answer that is read.
const ANSWER_LIMIT: usize = 1 << 30;

/// Where the agent is and who asks.
pub struct Settings {
    /// How it is reached.
    pub transport: Transport,
    /// Who asks.
    pub token: Option<String>,
    /// A name and a password for a proxy before the agent.
    pub auth: Option<(String, String)>,
    /// Sent along.
    pub namespace: Option<String>,
    /// Sent along.
    pub partition: Option<String>,
    /// How TLS is spoken, where it is.
    pub tls: Tls,
}

/// Asks one agent.
pub struct Client {
    settings: Settings,
    config: Option<tls::Config>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// Why there is no answer that can be used, in Consul's words.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error("{0}")]
    Unreachable(String),
    /// The agent refuses.
    #[error("Unexpected response code: {code} ({body})")]
    Refused {
        /// The status.
        code: u16,
        /// What it says of it.
        body: String,
    },
    /// The answer cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl Client {
    /// A client; the files of certificates are read now.
    pub fn new(settings: Settings) -> Result<Client, String> {
        let config = match settings.transport.is_encrypted() {
            true => Some(tls::Config::read(&settings.tls)?),
            false => None,
        };
        Ok(Client { settings, config })
    }

    /// Asks, and refuses what is not a success.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        body: impl Into<Bytes>,
    ) -> Result<Answer, ClientError> {
        let answer = self.send(method, path, query, body.into()).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(answer.refusal()) }
    }

    /// Where the agent is asked, as a URL without a path; empty for a socket's path.
    pub fn url(&self) -> String {
        match &self.settings.transport {
            Transport::Unix(_) => String::new(),
            tcp @ Transport::Tcp { .. } => tcp.url(""),
        }
    }

    /// Reads.
    pub async fn get(&self, path: &str, query: &Query) -> Result<Answer, ClientError> {
        self.ask(Method::GET, path, query, Bytes::new()).await
    }

    /// Reads; nothing where it is not found.
    pub async fn find(&self, path: &str, query: &Query) -> Result<Option<Answer>, ClientError> {
        let answer = self.send(Method::GET, path, query, Bytes::new()).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer)),
            _ => Err(answer.refusal()),
        }
    }

    /// Writes.
    pub async fn put(
        &self,
        path: &str,
        query: &Query,
        body: impl Into<Bytes>,
    ) -> Result<Answer, ClientError> {
        self.ask(Method::PUT, path, query, body).await
    }

    /// The name of the agent's node: what Consul's commands ask first, to see whether it is there.
    pub async fn node_name(&self) -> Result<String, Failure> {
        let answer = self.get("/v1/agent/self", &Query::new()).await;
        let own = answer.and_then(|answer| answer.json());
        let own = own.map_err(|why| format!("Error querying Consul agent: {why}"))?;
        Ok(own["Config"]["NodeName"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks and takes whatever is answered.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let mut query = query.clone();
        let Settings { namespace, partition, .. } = &self.settings;
        query.add_some("ns", namespace.as_deref());
        query.add_some("partition", partition.as_deref());
        let target = format!("{path}{}", query.text());
        let url = self.settings.transport.url(&target);
        let exchanged = self.exchange(method.clone(), &target, body).await;
        exchanged
            .map_err(|why| ClientError::Unreachable(format!("{} \"{url}\": {why}", go(&method))))
    }

    async fn exchange(&self, method: Method, target: &str, body: Bytes) -> Result<Answer, String> {
        let transport = &self.settings.transport;
        let stream =
            tokio::time::timeout(DIAL_LIMIT, connect::open(transport, self.config.as_ref()));
        let stream =
            stream.await.map_err(|_| format!("{}: i/o timeout", transport.dialled()))??;
        let opened = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream));
        let (mut sender, connection) = opened.await.map_err(|error| connect::explain(&error))?;
        let request = self.request(method, target, body)?;
        // Both ends in one task: the connection is driven while the answer is waited for.
        let answered = async move {
            let (head, body) = sender.send_request(request).await.map_err(told)?.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT).collect().await;
            let body = body.map_err(|error| format!("reading the answer: {error}"))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::pin!(answered);
        tokio::select! {
            answer = &mut answered => answer,
            ended = connection => match (ended, answered.await) {
                (_, Ok(answer)) => Ok(answer),
                (Err(error), Err(_)) => Err(connect::explain(&error)),
                (Ok(()), Err(why)) => Err(why),
            },
        }
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, String> {
        let transport = &self.settings.transport;
        let builder = Request::builder().method(method).uri(transport.target(target));
        let builder = builder
            .header(HOST, transport.host_header())
            .header(USER_AGENT, concat!("rutter/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*");
        let mut request = builder.body(Full::new(body)).map_err(|error| error.to_string())?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let Some(token) = &self.settings.token {
            headers.insert("x-consul-token", secret(token, "token")?);
        }
        if let Some((user, password)) = &self.settings.auth {
            let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            headers.insert(AUTHORIZATION, secret(&basic, "CONSUL_HTTP_AUTH")?);
        }
        Ok(request)
    }
}

fn told(error: hyper::Error) -> String {
    connect::explain(&error)
}

fn secret(text: &str, what: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| format!("the {what} has characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The method as Go's client says it.
fn go(method: &Method) -> String {
    let lower = method.as_str().to_ascii_lowercase();
    let (first, rest) = lower.split_at(1);
    format!("{}{rest}", first.to_ascii_uppercase())
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<Value, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ClientError::Unreadable(format!("the answer is no JSON: {error}")))
    }

    /// Whether the body says `true`.
    pub fn is_true(&self) -> bool {
        self.body.trim_ascii() == b"true"
    }

    /// The index at which it was read; 0 where there is none.
    pub fn index(&self) -> u64 {
        let header = self.headers.get("x-consul-index").and_then(|value| value.to_str().ok());
        header.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// What a status that is no success is told as.
    pub fn refusal(&self) -> ClientError {
        let body = String::from_utf8_lossy(self.body.trim_ascii()).into_owned();
        ClientError::Refused { code: self.status.as_u16(), body }
    }
}

impl ClientError {
    /// Whether the same question may be answered later: nobody answered, or not just now.
    pub fn may_pass(&self) -> bool {
        matches!(self, ClientError::Unreachable(_) | ClientError::Refused { code: 500.., .. })
    }
}

/// Runs a command that asks an agent.
pub fn run<T>(asking: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let done = runtime.block_on(asking);
    // A name that is still looked up, or a read of stdin, holds nobody up.
    runtime.shutdown_background();
    done
}
