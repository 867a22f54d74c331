//! HTTP: 2xx passes, 429 warns, all else is critical.
//!
//! Four clients serve all checks (redirects or not, certificates verified or not), made when first
//! needed. No connection is kept: what is checked is that one can be opened.
//!
//! Source: Consul, "Health check configuration", HTTP checks.

use super::{Limits, Observation, Probe, dial_error};
use model::{CheckDefinition, Status};
use reqwest::header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use seams::BoxFuture;
use std::error::Error;
use std::sync::{Arc, OnceLock};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

/// The HTTP probe.
pub const PROBE: Probe = Probe { name: "http", asked: |check| !check.http.is_empty(), run };

fn run(definition: Arc<CheckDefinition>, limits: Limits) -> BoxFuture<'static, Observation> {
    Box::pin(async move {
        let deadline = Instant::now() + limits.timeout;
        match timeout_at(deadline, request(&definition)).await {
            Ok(Ok(response)) => answered(&definition, response, limits, deadline).await,
            Ok(Err(why)) => Observation::critical(why),
            Err(_) => Observation::critical(format!(
                "{}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                operation(&definition)
            )),
        }
    })
}

/// Sends the request; an error is what the check says of it.
async fn request(definition: &CheckDefinition) -> Result<Response, String> {
    let method = method(definition);
    let url = Url::parse(&definition.http)
        .map_err(|error| format!("{}: {error}", operation(definition)))?;
    let address = format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    );
    let verb = Method::from_bytes(method.as_bytes())
        .map_err(|_| format!("net/http: invalid method {method:?}"))?;
    let mut request = client(definition).request(verb, url);
    let mut named = false;
    let mut accepts = false;
    for (name, values) in &definition.header {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        named |= name == USER_AGENT;
        accepts |= name == ACCEPT;
        for value in values.iter().filter_map(|value| HeaderValue::from_str(value).ok()) {
            request = request.header(name.clone(), value);
        }
    }
    if !named {
        request = request.header(USER_AGENT, "Consul Health Check");
    }
    if !accepts {
        request = request.header(ACCEPT, "text/plain, text/*, */*");
    }
    if !definition.body.is_empty() {
        request = request.body(definition.body.to_string());
    }
    let sent = request.send().await;
    sent.map_err(|error| format!("{}: {}", operation(definition), explain(&error, &address)))
}

/// The code decides; a body that does not come in time is shown as far as it came.
async fn answered(
    definition: &CheckDefinition,
    mut response: Response,
    limits: Limits,
    deadline: Instant,
) -> Observation {
    let code = response.status();
    // No more is read than is kept: a check must not be a way to fill this node's memory.
    let mut body = Vec::new();
    while body.len() < limits.output
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await
    {
        let room = limits.output - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    let status = match code {
        code if code.is_success() => Status::Passing,
        StatusCode::TOO_MANY_REQUESTS => Status::Warning,
        _ => Status::Critical,
    };
    let output = format!(
        "HTTP {} {}: {} Output: {}",
        method(definition),
        definition.http,
        with_reason(code),
        String::from_utf8_lossy(&body)
    );
    Observation { status, output }
}

fn with_reason(code: StatusCode) -> String {
    code.canonical_reason()
        .map_or_else(|| code.as_u16().to_string(), |reason| format!("{} {reason}", code.as_u16()))
}

fn method(definition: &CheckDefinition) -> &str {
    if definition.method.is_empty() { "GET" } else { &definition.method }
}

/// How Go begins the text of a failed request: `Get "http://…"`.
fn operation(definition: &CheckDefinition) -> String {
    let method = method(definition);
    let (first, rest) = method.split_at(method.chars().next().map_or(0, char::len_utf8));
    format!("{first}{} {:?}", rest.to_lowercase(), definition.http.as_str())
}

fn explain(error: &reqwest::Error, address: &str) -> String {
    let mut cause: &dyn Error = error;
    let mut text = error.to_string();
    while let Some(next) = cause.source() {
        if error.is_connect()
            && let Some(io) = next.downcast_ref::<std::io::Error>()
            && io.raw_os_error().is_some()
        {
            return dial_error(address, io);
        }
        text = next.to_string();
        cause = next;
    }
    text
}

fn client(definition: &CheckDefinition) -> &'static Client {
    static CLIENTS: [OnceLock<Client>; 4] = [const { OnceLock::new() }; 4];
    let (follow, verify) = (!definition.disable_redirects, !definition.tls_skip_verify);
    CLIENTS[usize::from(follow) * 2 + usize::from(verify)].get_or_init(|| make(follow, verify))
}

fn make(follow: bool, verify: bool) -> Client {
    let builder = || {
        let redirects =
            if follow { redirect::Policy::limited(10) } else { redirect::Policy::none() };
        // A proxy from the environment would be what is checked.
        Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .redirect(redirects)
            .tls_danger_accept_invalid_certs(!verify)
    };
    builder().build().unwrap_or_else(|error| {
        warn!(%error, "no certificate authorities found, https checks will fail");
        let without = builder().tls_certs_only([]);
        without.build().expect("a client without certificate authorities has nothing to load")
    })
}
