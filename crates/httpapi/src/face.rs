//! From a request to an answer: path, method, query, handler, headers.
//!
//! The order of the refusals is Consul's: what cannot be printed, a path to clean, an unknown path, a
//! query that cannot be read, a blocked path, a wrong method, a writer from elsewhere, parameters of
//! the Enterprise edition.

use crate::admission::Class;
use crate::answer::{Answer, Content, Shown, takes_gzip};
use crate::aside::{self, Aside, Insists, is_finished_soon};
use crate::call::{Call, Shared};
use crate::consul::blocking;
use crate::consul::error::Problem;
use crate::consul::params;
use crate::context::{Context, Settings};
use crate::dialects::{Door, Place as Leads, Route, Verb, find};
use crate::events::Events;
use crate::kept::Kept;
use crate::recent::Recent;
use crate::target::{Query, clean, decode, is_clean, is_printable};
use http::header::{ALLOW, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use net::http::{Request, Response, Service};
use seams::BoxFuture;
use std::borrow::Cow;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
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
    let shared = Shared {
        kept: Kept::new(context.settings.kept_bytes, context.meters.kept()),
        context,
        aside: Aside::default(),
        events: Events::default(),
        recent: Recent::default(),
        since: Timestamp::now(),
        ending: ending.clone(),
    };
    let face = Face { shared: Arc::new(shared), ids: Ids::new() };
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

struct Face {
    shared: Arc<Shared>,
    ids: Ids,
}

impl Service for Face {
    /// What needs nothing but the view that is there is answered at once, without a future of its own
    /// size.
    fn call(&self, request: Request) -> net::http::Answer {
        let exchange = Exchange::begin(&self.shared, &self.ids, &request);
        match lead(&self.shared.context.settings, &request) {
            Lead::Away(answer) => Box::pin(ready(exchange.astray(answer))),
            Lead::Nowhere(answer) => {
                let mut response = exchange.astray(answer);
                exchange.add_configured(&mut response);
                Box::pin(ready(response))
            }
            Lead::To { route, verb, door, rest, query } => {
                let place = Place {
                    route,
                    verb,
                    could_wait: query.has("index") || query.has("hash"),
                    pretty: self.shared.context.identity.dev_mode || query.has("pretty"),
                };
                let call = self.call_of(&exchange, place, request, query, rest);
                match door {
                    Door::Read(read) => match blocking::answer_at_once(call, &read) {
                        Ok(answer) => exchange.told(place, answer),
                        Err(call) => Box::pin(knock(exchange, place, door, call)),
                    },
                    Door::Act(_) | Door::Wait(_) => Box::pin(knock(exchange, place, door, call)),
                }
            }
        }
    }
}

impl Face {
    fn call_of(
        &self,
        exchange: &Exchange,
        place: Place,
        request: Request,
        query: Query,
        rest: Vec<u8>,
    ) -> Box<Call> {
        Box::new(Call {
            shared: Arc::clone(&self.shared),
            class: place.route.class_of(place.verb),
            token: params::token(&query, &request.head.headers),
            request,
            query,
            filter: OnceLock::new(),
            rest,
            id: exchange.id.clone(),
        })
    }
}

/// Which endpoint a request came to, and how.
#[derive(Clone, Copy)]
struct Place {
    route: &'static Route,
    verb: Verb,
    could_wait: bool,
    pretty: bool,
}

/// What is known of a request before it is answered and needed after. Nothing of it holds on to the
/// buffer that the head was read into: it lasts as long as a request waits.
struct Exchange {
    shared: Arc<Shared>,
    began: Instant,
    peer: SocketAddr,
    method: Method,
    path: String,
    id: HeaderValue,
    gzip: bool,
}

impl Exchange {
    fn begin(shared: &Arc<Shared>, ids: &Ids, request: &Request) -> Exchange {
        let headers = &request.head.headers;
        Exchange {
            shared: Arc::clone(shared),
            began: Instant::now(),
            peer: request.peer,
            method: request.head.method.clone(),
            path: request.head.uri.path().to_owned(),
            id: ids.of(headers),
            gzip: takes_gzip(headers),
        }
    }

    fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// Says in the log that it is answered.
    fn log(&self, answer: &Answer) {
        debug!(
            method = %self.method, path = self.path, status = answer.status.as_u16(),
            request = self.id(), peer = %self.peer,
            elapsed_s = self.began.elapsed().as_secs_f64(), "answered"
        );
    }

    /// The response to a request that came to no endpoint.
    fn astray(&self, answer: Answer) -> Response {
        let (context, status) = (&self.shared.context, answer.status.as_u16());
        context.meters.answered("none", "other", status, self.began.elapsed(), false);
        self.log(&answer);
        let shown = Shown { pretty: context.identity.dev_mode, gzip: self.gzip };
        answer.with(REQUEST_ID, self.id.clone()).finish(shown)
    }

    fn shown(&self, place: Place) -> Shown {
        Shown { pretty: place.pretty, gzip: self.gzip }
    }

    /// Counts an answer and gives it what all have.
    fn note(&self, place: Place, answer: Answer) -> Answer {
        let Place { route, verb, could_wait, .. } = place;
        let (meters, took) = (&self.shared.context.meters, self.began.elapsed());
        match answer.status {
            StatusCode::OK => meters.served(route, verb, took, could_wait),
            status => {
                let (route, method) = (route.pattern, verb.as_str());
                meters.answered(route, method, status.as_u16(), took, could_wait);
            }
        }
        self.log(&answer);
        answer.with(POLICY, ALLOW_ALL).with(REQUEST_ID, self.id.clone())
    }

    /// The response, at once unless finishing it takes a turn.
    fn told(self, place: Place, answer: Answer) -> net::http::Answer {
        let shown = self.shown(place);
        if !is_finished_soon(&answer, shown) {
            return Box::pin(self.finish(place, answer));
        }
        let mut response = self.note(place, answer).finish(shown);
        self.add_configured(&mut response);
        Box::pin(ready(response))
    }

    async fn finish(self, place: Place, answer: Answer) -> Response {
        let shown = self.shown(place);
        let insists = match place.route.class_of(place.verb) {
            Class::Heartbeat | Class::Write => Insists::ToTheEnd,
            Class::Read | Class::Bulk => Insists::AWhile,
        };
        let turn = self.shared.aside.turn_to_finish(&answer, shown, insists).await;
        let (_turn, answer) = match turn {
            Ok(turn) => (turn, answer),
            Err(problem) => (None, acted(&self, Err(problem))),
        };
        let mut response = aside::finish(self.note(place, answer), shown);
        self.add_configured(&mut response);
        response
    }

    fn add_configured(&self, response: &mut Response) {
        for (name, value) in &self.shared.context.settings.response_headers {
            response.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
    }
}

const POLICY: HeaderName = HeaderName::from_static("x-consul-default-acl-policy");
const ALLOW_ALL: HeaderValue = HeaderValue::from_static("allow");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-rutter-request-id");

/// What a client or a proxy before us may call the request, in this order.
static REQUEST_IDS: [HeaderName; 2] = [REQUEST_ID, HeaderName::from_static("x-request-id")];

/// The longest id that is taken over; entries of the log keep it.
const LONGEST_REQUEST_ID: usize = 128;

/// Gives requests their ids.
struct Ids {
    /// Random of this process.
    seed: (u64, u64),
    next: AtomicU64,
}

impl Ids {
    fn new() -> Ids {
        Ids { seed: Uuid::new_v4().as_u64_pair(), next: AtomicU64::new(0) }
    }

    /// The id that the client sent, if it is one that a log can carry; else a new one.
    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let fits = |id: &&HeaderValue| {
            (1..=LONGEST_REQUEST_ID).contains(&id.len())
                && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        let sent = REQUEST_IDS.iter().find_map(|name| headers.get(name).filter(fits));
        let sent = sent.and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        sent.unwrap_or_else(|| self.make())
    }

    /// One that no other request has: asking the kernel for chance each time would cost more than the
    /// rest of it.
    fn make(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let halves = [mix(number ^ self.seed.0), mix(number.wrapping_add(self.seed.1))];
        let mut text = [0; 32];
        for (half, text) in halves.into_iter().zip(text.chunks_exact_mut(16)) {
            for (digit, shift) in text.iter_mut().zip((0..16).rev()) {
                *digit = b"0123456789abcdef"[usize::from((half >> (4 * shift)) as u8 & 15)];
            }
        }
        HeaderValue::from_bytes(&text).expect("digits are a header")
    }
}

/// Spreads a number over all bits; no two numbers give the same (SplitMix64's finisher).
fn mix(number: u64) -> u64 {
    let z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

async fn knock(exchange: Exchange, place: Place, door: Door, call: Box<Call>) -> Response {
    let span = debug_span!("http.request", request = exchange.id());
    let answering = async {
        match door {
            Door::Read(door) => blocking::answer(call, &door).await,
            Door::Wait(act) => acted(&exchange, act(*call).await),
            Door::Act(act) => match call.class {
                Class::Heartbeat | Class::Write => acted(&exchange, act(*call).await),
                class => {
                    let acting = act(*call);
                    let aside = &exchange.shared.aside;
                    acted(&exchange, aside.act(class, &exchange.path, acting).await)
                }
            },
        }
    };
    let answer = answering.instrument(span).await;
    exchange.finish(place, answer).await
}

fn acted(exchange: &Exchange, answered: Result<Answer, Problem>) -> Answer {
    answered.unwrap_or_else(|problem| {
        exchange.shared.context.meters.refused(&problem);
        problem.answer()
    })
}

/// Where a request leads.
enum Lead {
    /// To no endpoint, by the path alone: this is the answer, without the configured headers.
    Away(Answer),
    /// To no endpoint, or refused by one: this is the answer.
    Nowhere(Answer),
    /// To a door.
    To { route: &'static Route, verb: Verb, door: Door, rest: Vec<u8>, query: Query },
}

fn lead(settings: &Settings, request: &Request) -> Lead {
    let (method, path) = (&request.head.method, request.head.uri.path());
    let query = request.head.uri.query().unwrap_or_default();
    let Some(decoded) = decoded(path) else {
        let text = "400 Bad Request: malformed escape in the path";
        return Lead::Away(Answer::text(StatusCode::BAD_REQUEST, text));
    };
    let is_plain = || decoded.iter().all(u8::is_ascii_graphic);
    let is_shown = || is_plain() || is_printable(&String::from_utf8_lossy(&decoded));
    if settings.printable_paths && !is_shown() {
        return Lead::Away(Answer::new(StatusCode::BAD_REQUEST, Content::Nothing));
    }
    if *method == Method::OPTIONS && path == "*" {
        return Lead::Away(Answer::new(StatusCode::OK, Content::Nothing));
    }
    if !is_clean(path) {
        return Lead::Away(redirect(method, &clean(path), query));
    }
    match find(path) {
        Leads::Slash => Lead::Away(redirect(method, &format!("{path}/"), query)),
        Leads::Nowhere => Lead::Nowhere(nowhere(path, method)),
        Leads::Route(route, rest) => {
            let entered = guard(settings, &decoded, query)
                .and_then(|query| enter(settings, route, rest, request, query));
            entered.unwrap_or_else(|answer| Lead::Nowhere(answer.with(POLICY, ALLOW_ALL)))
        }
    }
}

/// The path decoded; most have nothing to decode.
fn decoded(path: &str) -> Option<Cow<'_, [u8]>> {
    match path.contains('%') {
        true => decode(path, false).map(Cow::Owned),
        false => Some(Cow::Borrowed(path.as_bytes())),
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
    Ok(Lead::To { route, verb, door, rest, query })
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
