//! From a request to an answer: path, method, query, handler, headers.
//!
//! The order of the refusals is Consul's: what cannot be printed, a path to clean, an unknown path, a
//! query that cannot be read, a blocked path, a wrong method, a writer from elsewhere, parameters of
//! the Enterprise edition.

use crate::admission::Class;
use crate::answer::{Answer, Content, takes_gzip};
use crate::aside::Aside;
use crate::call::Call;
use crate::consul::blocking;
use crate::consul::params;
use crate::context::{Context, Settings};
use crate::dialects::{Door, Place, Route, Verb, find};
use crate::events::Events;
use crate::kept::Kept;
use crate::meters::Meters;
use crate::recent::Recent;
use crate::target::{Query, clean, decode, is_printable};
use http::header::{ALLOW, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use net::http::{Request, Service};
use seams::BoxFuture;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span};
use uuid::Uuid;

/// A running face.
pub struct Server {
    server: net::http::Server,
}

/// Starts the face on these listeners; must be called within a runtime.
pub fn start(listeners: Vec<std::net::TcpListener>, context: Context) -> std::io::Result<Server> {
    let ending = CancellationToken::new();
    let (limits, traffic) = (context.limits.clone(), context.meters.traffic());
    let kept = Kept::new(context.settings.kept_bytes, context.meters.kept());
    let face = Face {
        context: Arc::new(context),
        aside: Arc::default(),
        events: Arc::default(),
        recent: Arc::default(),
        kept: Arc::new(kept),
        since: Timestamp::now(),
        ending: ending.clone(),
    };
    let server = net::http::serve(listeners, limits, Arc::new(face), traffic, ending)?;
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

#[derive(Clone)]
struct Face {
    context: Arc<Context>,
    aside: Arc<Aside>,
    events: Arc<Events>,
    since: Timestamp,
    recent: Arc<Recent>,
    kept: Arc<Kept>,
    ending: CancellationToken,
}

impl Service for Face {
    fn call(&self, request: Request) -> net::http::Answer {
        serve(self.clone(), request)
    }
}

/// What is known of an answer once its request is taken apart.
enum Coming {
    /// It is there.
    There(Answer),
    /// It is behind a door.
    Behind { route: &'static str, verb: Verb, door: Door, call: Box<Call>, could_wait: bool },
}

/// Takes a request apart at once, so that only what is needed stays while it is answered.
fn serve(face: Face, request: Request) -> net::http::Answer {
    let (began, peer) = (Instant::now(), request.peer);
    let gzip = takes_gzip(&request.head.headers);
    let id = request_id(&request.head.headers);
    let method = request.head.method.clone();
    let path = request.head.uri.path().to_owned();
    let (context, aside) = (Arc::clone(&face.context), Arc::clone(&face.aside));
    let lead = lead(&context.settings, &method, &path, &request);
    let bare = matches!(lead, Lead::Away(_));
    let mut pretty = context.identity.dev_mode;
    let coming = match lead {
        Lead::Away(answer) | Lead::Nowhere(answer) => Coming::There(answer),
        Lead::To { route, verb, class, door, rest, query } => {
            let could_wait = query.has("index") || query.has("hash");
            pretty |= query.has("pretty");
            let call = Box::new(face.call(request, class, query, rest, &id));
            Coming::Behind { route, verb, door, call, could_wait }
        }
    };
    Box::pin(async move {
        let answer = fetch(coming, &context.meters, began, &id).await;
        debug!(
            %method, path, status = answer.status.as_u16(), request = id, %peer,
            elapsed_s = began.elapsed().as_secs_f64(), "answered"
        );
        let id = HeaderValue::from_str(&id).expect("printable letters are a header");
        let mut response = aside.finish(answer.with(REQUEST_ID, id), pretty, gzip).await;
        if !bare {
            for (name, value) in &context.settings.response_headers {
                response.headers_mut().entry(name).or_insert_with(|| value.clone());
            }
        }
        response
    })
}

async fn fetch(coming: Coming, meters: &Meters, began: Instant, id: &str) -> Answer {
    match coming {
        Coming::There(answer) => {
            let status = answer.status.as_u16();
            meters.answered("none", "other", status, began.elapsed(), false);
            answer
        }
        Coming::Behind { route, verb, door, call, could_wait } => {
            let span = debug_span!("http.request", request = id);
            let answer = knock(door, call).instrument(span).await;
            let status = answer.status.as_u16();
            meters.answered(route, verb.as_str(), status, began.elapsed(), could_wait);
            answer.with(POLICY, ALLOW_ALL)
        }
    }
}

impl Face {
    fn call(self, request: Request, class: Class, query: Query, rest: Vec<u8>, id: &str) -> Call {
        let token = params::token(&query, &request.head.headers);
        let Face { context, aside, events, recent, kept, since, ending } = self;
        let (id, filter) = (id.to_owned(), OnceLock::new());
        Call {
            context,
            aside,
            events,
            recent,
            since,
            kept,
            ending,
            request,
            class,
            query,
            filter,
            rest,
            token,
            id,
        }
    }
}

const POLICY: HeaderName = HeaderName::from_static("x-consul-default-acl-policy");
const ALLOW_ALL: HeaderValue = HeaderValue::from_static("allow");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-rutter-request-id");

/// What a client or a proxy before us may call the request, in this order.
const REQUEST_IDS: [HeaderName; 2] = [REQUEST_ID, HeaderName::from_static("x-request-id")];

/// The longest id that is taken over; entries of the log keep it.
const LONGEST_REQUEST_ID: usize = 128;

/// The id that the client sent, if it is one that a log can carry; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let fits = |id: &&str| (1..=LONGEST_REQUEST_ID).contains(&id.len());
    let sent = REQUEST_IDS.iter().find_map(|name| {
        let id = headers.get(name)?.to_str().ok().filter(fits)?;
        id.bytes().all(|sign| sign.is_ascii_graphic()).then(|| id.to_owned())
    });
    sent.unwrap_or_else(|| Uuid::new_v4().simple().to_string())
}

async fn knock(door: Door, call: Box<Call>) -> Answer {
    match door {
        Door::Read(door) => blocking::answer(call, &door).await,
        Door::Act(act) => {
            let context = Arc::clone(&call.context);
            let answered = match call.class {
                Class::Bulk => {
                    let aside = Arc::clone(&call.aside);
                    let path = call.request.head.uri.path().to_owned();
                    aside.act(&path, act(*call)).await
                }
                _ => act(*call).await,
            };
            answered.unwrap_or_else(|problem| {
                context.meters.refused(&problem);
                problem.answer()
            })
        }
    }
}

/// Where a request leads.
enum Lead {
    /// To no endpoint, by the path alone: this is the answer, without the configured headers.
    Away(Answer),
    /// To no endpoint, or refused by one: this is the answer.
    Nowhere(Answer),
    /// To a door.
    To { route: &'static str, verb: Verb, class: Class, door: Door, rest: Vec<u8>, query: Query },
}

fn lead(settings: &Settings, method: &Method, path: &str, request: &Request) -> Lead {
    let query = request.head.uri.query().unwrap_or_default();
    let Some(decoded) = decode(path, false) else {
        let text = "400 Bad Request: malformed escape in the path";
        return Lead::Away(Answer::text(StatusCode::BAD_REQUEST, text));
    };
    if settings.printable_paths && !is_printable(&String::from_utf8_lossy(&decoded)) {
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
        Place::Nowhere => Lead::Nowhere(nowhere(path, method)),
        Place::Route(route, rest) => {
            let entered = guard(settings, &decoded, query)
                .and_then(|query| enter(settings, route, rest, request, query));
            entered.unwrap_or_else(|answer| Lead::Nowhere(answer.with(POLICY, ALLOW_ALL)))
        }
    }
}

/// Passes a query that can be read, to a path that is not blocked; else the refusal.
fn guard(settings: &Settings, path: &[u8], query: &str) -> Result<Query, Answer> {
    let Some(query) = Query::parse(query) else {
        return Err(Answer::text(StatusCode::INTERNAL_SERVER_ERROR, ""));
    };
    let mut blocked = settings.block_endpoints.iter();
    if blocked.any(|prefix| path.starts_with(prefix.as_bytes())) {
        let text = "Endpoint is blocked by agent configuration";
        return Err(Answer::text(StatusCode::FORBIDDEN, text));
    }
    Ok(query)
}

/// The door of a route for a method; else the refusal.
fn enter(
    settings: &Settings,
    route: &'static Route,
    rest: &str,
    request: &Request,
    query: Query,
) -> Result<Lead, Answer> {
    let method = &request.head.method;
    let Some((verb, door)) = route.door(method.as_str()) else {
        return Err(not_allowed(route, method));
    };
    if !may_write(settings, method, request.peer.ip()) {
        return Err(Answer::text(StatusCode::FORBIDDEN, "Access is restricted"));
    }
    route.enterprise.check(&query).map_err(|problem| problem.answer())?;
    let rest = decode(rest, false).unwrap_or_default();
    let class = route.class_of(verb);
    Ok(Lead::To { route: route.pattern, verb, class, door, rest, query })
}

/// Whether a client at this address may use this method.
fn may_write(settings: &Settings, method: &Method, peer: IpAddr) -> bool {
    let networks = &settings.allow_write_from;
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || networks.is_empty()
        || networks.iter().any(|network| network.contains(peer))
}

fn not_allowed(route: &Route, method: &Method) -> Answer {
    let allow = HeaderValue::from_str(&route.allowed()).expect("methods are a header");
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
    // Consul tells nothing there unless `enable_debug` is set.
    if path.starts_with("/debug/pprof/") {
        return Answer::new(StatusCode::NOT_FOUND, Content::Nothing);
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
