//! An HTTP/1.1 server with limits: what is common to every HTTP face.
//!
//! Everything a client can hold on to has a bound: connections of one address and of all, the time
//! for a header and for a body, the size of a body and of all bodies together. A client that goes
//! away while its request is being answered takes the answer's future with it.

mod body;
mod connections;

pub use body::BodyError;

use body::Budget;
use bytes::Bytes;
use connections::Connections;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// What a server puts up with.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of one client address; beyond it a connection is answered 429 and closed.
    pub connections_per_client: usize,
    /// Connections of all clients; beyond it a connection is closed.
    pub connections: usize,
    /// Time for the header of a request to come in, and how long a connection may be idle.
    pub header_timeout: Duration,
    /// Time for a body to come in.
    pub body_timeout: Duration,
    /// Bytes of one body.
    pub body: usize,
    /// Bytes of all bodies being received.
    pub bodies: usize,
    /// Time that running requests get at the end.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_per_client: 200,
            connections: 100_000,
            header_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(60),
            body: 32 << 20,
            bodies: 128 << 20,
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
    budget: Arc<Budget>,
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
    refusing: Semaphore,
    budget: Arc<Budget>,
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
    ending: CancellationToken,
) -> std::io::Result<Server> {
    let tasks = TaskTracker::new();
    let grace = limits.shutdown_grace;
    let shared = Arc::new(Shared {
        connections: Connections::new(limits.connections_per_client, limits.connections),
        refusing: Semaphore::new(REFUSING),
        budget: Budget::new(limits.body, limits.bodies, limits.body_timeout),
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
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.ending.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let task = connection(stream, peer, Arc::clone(&shared));
                shared.tasks.spawn(task);
            }
            // Out of file descriptors, or the client was gone already: neither ends the listener.
            Err(error) => {
                warn!(%error, "connection not accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let place = match shared.connections.enter(peer.ip()) {
        Ok(place) => place,
        Err(connections::Full::Client) => {
            // Telling costs a little; a flood is not told.
            let Ok(_turn) = shared.refusing.try_acquire() else { return };
            return refuse(stream).await;
        }
        Err(connections::Full::All) => return,
    };
    // Small answers must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, peer, shared).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.header_timeout)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = shared.ending.cancelled() => {
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(shared.limits.shutdown_grace, serving).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "connection ended early");
    }
    drop(place);
}

async fn answer(
    request: http::Request<Incoming>,
    peer: SocketAddr,
    shared: Arc<Shared>,
) -> Response {
    let (head, body) = request.into_parts();
    let budget = Arc::clone(&shared.budget);
    shared.service.call(Request { head, peer, body, budget }).await
}

/// How many connections are being told that they are too many.
const REFUSING: usize = 256;

const TOO_MANY: &str =
    "Your IP is issuing too many concurrent connections, please rate limit your calls\n";

/// Tells a client that it has too many connections, without reading what it asks.
async fn refuse(mut stream: TcpStream) {
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{TOO_MANY}",
        TOO_MANY.len()
    );
    let telling = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection before the answer is read.
        let mut sink = [0; 4096];
        let mut left = 64 * 1024usize;
        while left > 0 {
            match stream.read(&mut sink).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), telling).await;
}

#[cfg(test)]
mod tests;
