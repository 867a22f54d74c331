//! From a request to an answer: path, method, query, handler, headers.
//!
//! The order of the refusals is Consul's: what cannot be printed, a path to clean, an unknown path,
//! a wrong method, a query that cannot be read, parameters of the Enterprise edition.

use crate::answer::{Answer, Content};
use crate::aside::Aside;
use crate::call::Call;
use crate::consul::blocking;
use crate::consul::params;
use crate::context::Context;
use crate::dialects::{Door, Place, Route, Verb, find};
use crate::recent::Recent;
use crate::target::{Query, clean, decode, is_printable};
use http::header::{ALLOW, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use net::http::{Request, Response, Service};
use seams::BoxFuture;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

/// A running face.
pub struct Server {
    server: net::http::Server,
}

/// Starts the face on these listeners; must be called within a runtime.
pub fn start(listeners: Vec<std::net::TcpListener>, context: Context) -> std::io::Result<Server> {
    let ending = CancellationToken::new();
    let limits = context.limits.clone();
    let (aside, recent) = (Arc::default(), Arc::default());
    let face = Face { context: Arc::new(context), aside, recent, ending: ending.clone() };
    let server = net::http::serve(listeners, limits, Arc::new(face), ending)?;
    Ok(Server { server })
}

impl Server {
    /// Where it listens, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// Ends it: blocked queries are answered 500, running requests get a moment.
    pub fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.server.shutdown()
    }
}

struct Face {
    context: Arc<Context>,
    aside: Arc<Aside>,
    recent: Arc<Recent>,
    ending: CancellationToken,
}

impl Service for Face {
    fn call(&self, request: Request) -> net::http::Answer {
        let context = Arc::clone(&self.context);
        let (aside, recent) = (Arc::clone(&self.aside), Arc::clone(&self.recent));
        Box::pin(serve(context, aside, recent, self.ending.clone(), request))
    }
}

async fn serve(
    context: Arc<Context>,
    aside: Arc<Aside>,
    recent: Arc<Recent>,
    ending: CancellationToken,
    request: Request,
) -> Response {
    let began = Instant::now();
    let id = Uuid::new_v4().simple().to_string();
    let headers = request.head.headers.clone();
    let method = request.head.method.clone();
    let path = request.head.uri.path().to_owned();
    let pretty = context.identity.dev_mode;
    let meters = context.meters.clone();
    let (answer, pretty) = match lead(&method, &path, &request) {
        Lead::Away(answer) => {
            let status = answer.status.as_u16();
            meters.answered("none", "other", status, began.elapsed(), false);
            (answer, pretty)
        }
        Lead::To { route, verb, door, rest, query } => {
            let could_wait = query.has("index") || query.has("hash");
            let pretty = pretty || query.has("pretty");
            let token = params::token(&query, &headers);
            let id = id.clone();
            let aside = Arc::clone(&aside);
            let filter = OnceLock::new();
            let call =
                Call { context, aside, recent, ending, request, query, filter, rest, token, id };
            let answer = knock(door, call).await.with(POLICY, ALLOW_ALL);
            let status = answer.status.as_u16();
            meters.answered(route, verb.as_str(), status, began.elapsed(), could_wait);
            (answer, pretty)
        }
    };
    debug!(
        %method, path, status = answer.status.as_u16(), request = id,
        elapsed_s = began.elapsed().as_secs_f64(), "answered"
    );
    let id = HeaderValue::from_str(&id).expect("hexadecimal digits are a header");
    aside.finish(answer.with(REQUEST_ID, id), pretty, &headers).await
}

const POLICY: HeaderName = HeaderName::from_static("x-consul-default-acl-policy");
const ALLOW_ALL: HeaderValue = HeaderValue::from_static("allow");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-rutter-request-id");

async fn knock(door: Door, call: Call) -> Answer {
    match door {
        Door::Read(door) => blocking::answer(&call, &door).await,
        Door::Act(act) => match act(call).await {
            Ok(answer) => answer,
            Err(problem) => problem.answer(),
        },
    }
}

/// Where a request leads.
enum Lead {
    /// Nowhere: this is the answer.
    Away(Answer),
    /// To a door.
    To { route: &'static str, verb: Verb, door: Door, rest: Vec<u8>, query: Query },
}

fn lead(method: &Method, path: &str, request: &Request) -> Lead {
    let query = request.head.uri.query().unwrap_or_default();
    let Some(decoded) = decode(path, false) else {
        let text = "400 Bad Request: malformed escape in the path";
        return Lead::Away(Answer::text(StatusCode::BAD_REQUEST, text));
    };
    if !is_printable(&String::from_utf8_lossy(&decoded)) {
        return Lead::Away(Answer::new(StatusCode::BAD_REQUEST, Content::Nothing));
    }
    if *method == Method::OPTIONS && path == "*" {
        return Lead::Away(Answer::new(StatusCode::OK, Content::Nothing));
    }
    let cleaned = clean(path);
    if cleaned != path {
        return Lead::Away(redirect(method, &cleaned, query));
    }
    match find(path) {
        Place::Slash => Lead::Away(redirect(method, &format!("{path}/"), query)),
        Place::Nowhere => Lead::Away(nowhere(path, method)),
        Place::Route(route, rest) => enter(route, rest, method, query)
            .unwrap_or_else(|answer| Lead::Away(answer.with(POLICY, ALLOW_ALL))),
    }
}

/// The door of a route for a method; else the refusal.
fn enter(route: &'static Route, rest: &str, method: &Method, query: &str) -> Result<Lead, Answer> {
    let door = route.doors.iter().find(|(verb, _)| verb.as_str() == method.as_str());
    let Some((verb, door)) = door else { return Err(not_allowed(route, method)) };
    let Some(query) = Query::parse(query) else {
        return Err(Answer::text(StatusCode::INTERNAL_SERVER_ERROR, ""));
    };
    route.enterprise.check(&query).map_err(|problem| problem.answer())?;
    let rest = decode(rest, false).unwrap_or_default();
    Ok(Lead::To { route: route.pattern, verb: *verb, door: *door, rest, query })
}

fn not_allowed(route: &Route, method: &Method) -> Answer {
    let verbs = route.doors.iter().map(|(verb, _)| verb.as_str());
    let allow = std::iter::once("OPTIONS").chain(verbs).collect::<Vec<_>>().join(",");
    let allow = HeaderValue::from_str(&allow).expect("methods are a header");
    let answer = match *method == Method::OPTIONS {
        true => Answer::empty(),
        false => {
            let text = format!("method {method} not allowed");
            Answer::text(StatusCode::METHOD_NOT_ALLOWED, text)
        }
    };
    answer.with(ALLOW, allow)
}

/// A redirect as Go writes it: with a page for a GET, with nothing for the rest.
fn redirect(method: &Method, path: &str, query: &str) -> Answer {
    let target = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    let Ok(location) = HeaderValue::from_str(&target) else {
        return Answer::new(StatusCode::BAD_REQUEST, Content::Nothing);
    };
    let status = StatusCode::TEMPORARY_REDIRECT;
    let answer = match *method == Method::GET {
        true => {
            let page = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", escaped(&target));
            Answer::new(status, Content::Typed("text/html; charset=utf-8", page.into()))
        }
        false => Answer::new(status, Content::Nothing),
    };
    answer.with(LOCATION, location)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}

const NO_UI: &str = "Consul Agent: UI disabled. To enable, set ui_config.enabled=true in the agent \
                     configuration and restart.";

fn nowhere(path: &str, method: &Method) -> Answer {
    if path == "/" && *method == Method::GET {
        return Answer::text(StatusCode::OK, NO_UI);
    }
    let text = match path.contains("/v1/") {
        true => "Invalid URL path: not a recognized HTTP API endpoint\n",
        false => {
            "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with \
             '/v1/'\n"
        }
    };
    Answer::text(StatusCode::NOT_FOUND, text)
}
