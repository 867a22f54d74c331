//! An HTTP/1.1 server with limits: what is common to every HTTP face.
//!
//! Everything a client can hold on to has a bound: connections of one address and of all, the time
//! for a header, the rate of a body and of reading an answer, the size of a body, and the bytes of
//! all bodies and all answers, of one address and together. A client that goes away while its request
//! is being answered takes the answer's future with it.

mod answers;
mod body;
mod desk;
mod late;
mod pool;
mod refusal;
mod stream;
mod traffic;

pub use body::BodyError;
pub use traffic::{Limit, Traffic};

use crate::connections::{Connections, Full as Crowd, Place};
use answers::Answers;
use body::{Budget, Taken};
use bytes::Bytes;
use desk::{Desk, Parked, Patience};
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use refusal::Refusals;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use stream::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// What a server puts up with.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of one client address; beyond it a connection is answered 429 and closed.
    pub connections_per_client: usize,
    /// Connections of all clients; beyond it a connection is answered 503 and closed.
    pub connections: usize,
    /// Connections that are just being told that they are too many; beyond it they are closed unheard.
    pub refusing: usize,
    /// Bytes of a request's head; beyond it the answer is 431.
    pub head: usize,
    /// Time for the header of a request to come in, and how long a connection may be idle.
    pub header_timeout: Duration,
    /// Time that a body has, besides what its bytes earn it.
    pub body_timeout: Duration,
    /// Bytes a second that a body must come in with.
    pub body_rate: usize,
    /// Bytes of one body.
    pub body: usize,
    /// Bytes of all bodies above 8 KiB whose requests are not answered yet. A smaller one is not
    /// counted: it takes no more than each buffer of its connection, and reports that something lives are
    /// small.
    pub bodies: usize,
    /// Time that a client has to take what is sent, besides what its bytes earn it.
    pub write_timeout: Duration,
    /// Bytes a second that a client must take, once it is behind.
    pub write_rate: usize,
    /// Bytes of all answers that are not sent yet; one client may have a quarter. Beyond, the answer
    /// is 503; answers below 16 KiB are not counted, and one alone may be of any size. A body that
    /// many are sent counts once.
    pub answers: usize,
    /// Time that running requests get at the end.
    pub shutdown_grace: Duration,
}

/// What one entry of the log can take, usually; a body may be a little longer, since it says the same
/// with more signs.
const LARGEST_ENTRY: usize = 4 << 20;

/// The least that a connection's buffer may be limited to.
const SMALLEST_BUFFER: usize = 8 << 10;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_per_client: 200,
            connections: 100_000,
            refusing: 128,
            head: 408 << 10,
            header_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(10),
            body_rate: 32 << 10,
            body: LARGEST_ENTRY + (LARGEST_ENTRY >> 2),
            bodies: 128 << 20,
            write_timeout: Duration::from_secs(30),
            write_rate: 32 << 10,
            answers: 256 << 20,
            shutdown_grace: Duration::from_millis(150),
        }
    }
}

/// A request whose body has not been read yet.
pub struct Request {
    /// Method, target, headers.
    pub head: http::request::Parts,
    /// Who asks.
    pub peer: SocketAddr,
    body: Incoming,
    taken: Taken,
    patience: Patience,
}

impl Request {
    /// Says that from now on this request waits, so that its connection keeps little meanwhile: of the
    /// head only the method and the target stay.
    pub fn waits(&mut self) {
        self.patience.wait();
        // Each of them holds on to the buffer that the head was read into.
        self.head.headers = http::HeaderMap::new();
        self.head.extensions = http::Extensions::new();
        if let Ok(uri) = http::Uri::try_from(self.head.uri.to_string()) {
            self.head.uri = uri;
        }
    }
}

/// An answer.
pub type Response = http::Response<Full<Bytes>>;

/// The future of an answer.
pub type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request; the future is dropped when the client goes away.
    fn call(&self, request: Request) -> Answer;
}

/// A running server; dropping it leaves it running.
pub struct Server {
    addresses: Vec<SocketAddr>,
    ending: CancellationToken,
    tasks: TaskTracker,
    grace: Duration,
}

struct Shared {
    limits: Limits,
    service: Arc<dyn Service>,
    connections: Connections,
    traffic: Traffic,
    refusals: Refusals,
    budget: Arc<Budget>,
    answers: Arc<Answers>,
    ending: CancellationToken,
    tasks: TaskTracker,
}

/// Serves on these listeners until `ending` is cancelled; must be called within a runtime.
///
/// The service sees the same token, so that what waits can end with it.
pub fn serve(
    listeners: Vec<std::net::TcpListener>,
    limits: Limits,
    service: Arc<dyn Service>,
    traffic: Traffic,
    ending: CancellationToken,
) -> std::io::Result<Server> {
    let tasks = TaskTracker::new();
    let grace = limits.shutdown_grace;
    let shared = Arc::new(Shared {
        connections: Connections::new(limits.connections_per_client, limits.connections),
        budget: Budget::new(&limits, traffic.clone()),
        traffic,
        refusals: Refusals::new(limits.refusing),
        answers: Answers::new(limits.answers, limits.answers / 4),
        limits,
        service,
        ending: ending.clone(),
        tasks: tasks.clone(),
    });
    let mut addresses = Vec::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        addresses.push(listener.local_addr()?);
        let listener = TcpListener::from_std(listener)?;
        tasks.spawn(accept(listener, Arc::clone(&shared)));
    }
    Ok(Server { addresses, ending, tasks, grace })
}

impl Server {
    /// Where it listens, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends it: nothing is accepted any more, running requests get their grace, then are dropped.
    pub fn shutdown(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.ending.cancel();
            self.tasks.close();
            // A connection ends itself after the grace; the wait is only a little longer.
            let _ = tokio::time::timeout(self.grace * 2, self.tasks.wait()).await;
        })
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut complaints = Complaints::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.ending.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => take(stream, peer, &shared),
            // Out of file descriptors, or the client was gone already: neither ends the listener.
            Err(error) => {
                shared.traffic.refuse(Limit::Descriptors);
                complaints.warn(&error);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Serves a connection, or refuses it; this is decided before another one is accepted, so that there
/// are never more than places and refusals have file descriptors for.
fn take(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    match shared.connections.enter(peer.ip()) {
        Ok(place) => {
            shared.tasks.spawn(connection(place, stream, peer, Arc::clone(shared)));
        }
        Err(crowd) => {
            shared.traffic.refuse(match crowd {
                Crowd::Client => Limit::ConnectionsOfClient,
                Crowd::All => Limit::Connections,
            });
            if let Some(telling) = shared.refusals.tell(stream, crowd) {
                shared.tasks.spawn(telling);
            }
        }
    }
}

/// The place is given back after all that holds the connection is gone.
async fn connection(place: Place, stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let _held = (place, shared.traffic.begin());
    // Small answers must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let (mut stream, watch) = Stream::new(stream, &shared.limits, shared.traffic.clone());
    let desk = Desk::new(&shared, peer, watch);
    // A connection on which nothing comes has no engine: its client may be silent, or still be reading.
    while shared.hears(&stream).await {
        let Some((mut idle, parked)) = Box::pin(engine(stream, &desk, &shared)).await else {
            break;
        };
        let goes_on = tokio::select! {
            biased;
            goes_on = desk.tell(parked, &mut idle.stream) => goes_on,
            () = shared.out_of_time() => false,
        };
        if !goes_on {
            break;
        }
        stream = idle.stream.after(idle.unread);
    }
}

/// A connection without an engine, and what was read of the next requests.
struct Idle {
    stream: Stream,
    unread: Vec<u8>,
}

/// Speaks HTTP until the connection ends or its request waits.
async fn engine(stream: Stream, desk: &Arc<Desk>, shared: &Shared) -> Option<(Idle, Parked)> {
    #[cfg(test)]
    shared.traffic.start_engine();
    let service = service_fn(|request| Arc::clone(desk).ask(request));
    let mut serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_timeout)
        .title_case_headers(true)
        .half_close(true)
        .max_buf_size(shared.limits.head.max(SMALLEST_BUFFER))
        .serve_connection(TokioIo::new(stream), service);
    let served = poll_fn(|context| match Pin::new(&mut serving).poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if desk.may_park() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let ended = tokio::select! {
        biased;
        served = served => match served {
            Some(ended) => ended,
            None => {
                let parked = desk.park()?;
                let parts = serving.into_parts();
                // Copied: what was read, even nothing, holds on to the whole buffer.
                let unread = parts.read_buf.to_vec();
                return Some((Idle { stream: parts.io.into_inner(), unread }, parked));
            }
        },
        () = shared.ending.cancelled() => {
            Pin::new(&mut serving).graceful_shutdown();
            match tokio::time::timeout(shared.limits.shutdown_grace, serving).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        if error.is_timeout() {
            shared.traffic.refuse(Limit::HeadTime);
        }
        debug!(peer = %desk.peer(), %error, "connection ended early");
    }
    None
}

impl Shared {
    /// Waits for the first byte of a request; false at the end, or where none comes in time.
    async fn hears(&self, stream: &Stream) -> bool {
        tokio::select! {
            biased;
            heard = stream.hears() => heard.unwrap_or(false),
            () = self.ending.cancelled() => false,
            () = tokio::time::sleep(self.limits.header_timeout) => {
                self.traffic.refuse(Limit::HeadTime);
                false
            }
        }
    }

    /// Comes when what is still running at the end gets no more time.
    async fn out_of_time(&self) {
        self.ending.cancelled().await;
        tokio::time::sleep(self.limits.shutdown_grace).await;
    }
}

/// The bytes of a head as it was sent, about; the connection's buffer ends only far larger ones.
fn head_size(head: &http::request::Parts) -> usize {
    let line = head.method.as_str().len() + head.uri.path().len() + " HTTP/1.1\r\n".len() + 1;
    let query = head.uri.query().map_or(0, |query| query.len() + 1);
    let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + ": \r\n".len()
    };
    line + query + head.headers.iter().map(header).sum::<usize>()
}

fn too_large_a_head() -> Response {
    let text = "431 Request Header Fields Too Large";
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Below this size an answer is not counted: buffers of the connection are as large.
const WORTH_COUNTING: usize = 16 << 10;

/// The answer, counted; where there are too many bytes already, a refusal instead.
fn counted(response: Response, client: IpAddr, shared: &Shared) -> Response {
    let size = response.body().size_hint().exact().unwrap_or_default();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size < WORTH_COUNTING {
        return response;
    }
    let (head, body) = response.into_parts();
    match shared.answers.send(client, late::whole(body)) {
        Some(bytes) => Response::from_parts(head, Full::new(bytes)),
        None => {
            shared.traffic.refuse(Limit::Answers);
            too_many_answers()
        }
    }
}

fn too_many_answers() -> Response {
    let text = "too many answers are being sent, try again later";
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Complaints that are told now and then, however often they come.
#[derive(Default)]
struct Complaints {
    told: Option<Instant>,
    untold: u64,
}

impl Complaints {
    fn warn(&mut self, error: &std::io::Error) {
        if self.told.is_some_and(|told| told.elapsed() < COMPLAIN_EVERY) {
            self.untold += 1;
            return;
        }
        warn!(%error, untold = self.untold, "connection not accepted");
        (self.told, self.untold) = (Some(Instant::now()), 0);
    }
}

const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
