//! HTTP: 2xx passes, 429 warns, all else is critical.
//!
//! Every run opens a connection of its own: what is checked is that one can be opened. No proxy of
//! the environment is used: it would be what is checked.
//!
//! Source: Consul, "Health check configuration", HTTP checks; redirects as Go's client follows them.

mod exchange;
mod request;

use super::tail::Tail;
use super::{Limits, Observation, Probe};
use exchange::Answer;
use http::StatusCode;
use http_body_util::BodyExt;
use model::{CheckDefinition, Status};
use request::{MAX_REDIRECTS, Request, operation, shown};
use seams::BoxFuture;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// No more of a body is read; the last bytes of it are shown.
pub const MAX_BODY_READ: u64 = 1 << 20;

/// The HTTP probe.
pub const PROBE: Probe = Probe { name: "http", asked: |check| !check.http.is_empty(), run };

fn run(definition: Arc<CheckDefinition>, limits: Limits) -> BoxFuture<'static, Observation> {
    Box::pin(async move {
        let deadline = Instant::now() + limits.timeout;
        match timeout_at(deadline, follow(&definition, deadline)).await {
            Ok(Ok(answer)) => answered(&definition, answer, limits, deadline).await,
            Ok(Err(why)) => Observation::critical(why),
            Err(_) => Observation::critical(format!(
                "{} {}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                operation(method(&definition)),
                lang::quote(&definition.http)
            )),
        }
    })
}

fn method(definition: &CheckDefinition) -> &str {
    if definition.method.is_empty() { "GET" } else { &definition.method }
}

/// Asks, and asks again where the answer says; an error is what the check says of it.
async fn follow(definition: &CheckDefinition, deadline: Instant) -> Result<Answer, String> {
    let operation = operation(method(definition));
    let mut request = Request::first(definition, method(definition))?;
    let mut asked = 0;
    loop {
        let answer = exchange::send(definition, &request, deadline)
            .await
            .map_err(|why| format!("{operation} {}: {why}", lang::quote(&shown(&request.url))))?;
        asked += 1;
        let Some(location) = request.redirected(&answer.head, definition) else {
            return Ok(answer);
        };
        if asked >= MAX_REDIRECTS {
            let to = lang::quote(&location);
            return Err(format!("{operation} {to}: stopped after {MAX_REDIRECTS} redirects"));
        }
        request = request
            .next(answer.head.status, &location)
            .map_err(|why| format!("{operation} {}: {why}", lang::quote(&location)))?;
    }
}

/// The code decides; a body that does not come in time is shown as far as it came.
async fn answered(
    definition: &CheckDefinition,
    mut answer: Answer,
    limits: Limits,
    deadline: Instant,
) -> Observation {
    let code = answer.head.status;
    let mut body = Tail::new(limits.output);
    while body.total() < MAX_BODY_READ
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, answer.body.frame()).await
    {
        if let Some(data) = frame.data_ref() {
            body.push(data);
        }
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
        answer.status_line(),
        body.text()
    );
    Observation { status, output }
}
