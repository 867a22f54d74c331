//! What is being answered on a connection, apart from the engine that speaks HTTP there.
//!
//! The engine keeps two buffers of 8 KiB for as long as it lives, which is as long as a blocked query
//! waits. So a request that says that it waits, or is not answered for a while, is taken from its engine,
//! and the engine dropped. When the answer is there a new engine is shown the head of a request of the
//! same kind, asks, gets that answer, and goes on with whatever comes next.

use super::body::Taken;
use super::stream::Watch;
use super::{Answer, Limit, Request, Response, Shared, counted, head_size, too_large_a_head};
use http::{HeaderValue, Method, Version, header, request};
use hyper::body::{Body, Incoming};
use std::future::poll_fn;
use std::io::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// One connection's desk: one request lies on it at a time.
pub(super) struct Desk {
    shared: Arc<Shared>,
    peer: SocketAddr,
    watch: Watch,
    patience: Patience,
    on_it: Mutex<OnIt>,
}

#[derive(Default)]
struct OnIt {
    answer: Option<Answer>,
    /// A head that asks for an answer of the same kind; `None` where the engine cannot be spared.
    again: Option<Vec<u8>>,
    /// What the next request is answered with.
    ready: Option<Response>,
}

/// Says that a request waits.
#[derive(Clone, Default)]
pub(super) struct Patience(Arc<AtomicBool>);

impl Patience {
    /// The request waits: nothing that only working on it needs should be kept.
    pub fn wait(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request that waits without an engine.
pub(super) struct Parked {
    answer: Answer,
    again: Vec<u8>,
}

impl Desk {
    pub fn new(shared: &Arc<Shared>, peer: SocketAddr, watch: Watch) -> Arc<Desk> {
        let (shared, patience) = (Arc::clone(shared), Patience::default());
        Arc::new(Desk { shared, peer, watch, patience, on_it: Mutex::default() })
    }

    /// Answers a request for the engine; an error ends the connection.
    pub async fn ask(self: Arc<Desk>, request: http::Request<Incoming>) -> Result<Response, Error> {
        if let Some(response) = self.begin(request) {
            return Ok(response);
        }
        tokio::select! {
            biased;
            response = poll_fn(|context| self.poll(context)) => Ok(response),
            gone = self.gone() => Err(gone),
        }
    }

    /// Whether there is a request that waits, and that the engine can be spared for.
    pub fn may_park(&self) -> bool {
        // Where the answer before is not sent yet, it is asked again once it is.
        if self.watch.is_behind() || !self.patience.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        let on_it = self.lock();
        on_it.answer.is_some() && on_it.again.is_some()
    }

    /// Takes the request; its engine must not be asked any more.
    pub fn park(&self) -> Option<Parked> {
        let mut on_it = self.lock();
        let (answer, again) = (on_it.answer.take()?, on_it.again.take()?);
        Some(Parked { answer, again })
    }

    /// Waits for an answer, which the next request will get; what to ask an engine then. `None` if the
    /// client has gone.
    pub async fn wait(&self, parked: Parked) -> Option<Vec<u8>> {
        let Parked { mut answer, again } = parked;
        tokio::select! {
            biased;
            response = &mut answer => {
                self.lock().ready = Some(self.counted(response));
                Some(again)
            }
            _ = self.watch.gone() => None,
        }
    }

    /// Whose connection it is.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn begin(&self, request: http::Request<Incoming>) -> Option<Response> {
        let mut on_it = self.lock();
        if let Some(response) = on_it.ready.take() {
            return Some(response);
        }
        let (head, body) = request.into_parts();
        if head_size(&head) > self.shared.limits.head {
            self.shared.traffic.refuse(Limit::Head);
            return Some(too_large_a_head());
        }
        on_it.again = body.is_end_stream().then(|| again(&head)).flatten();
        self.patience.0.store(false, Ordering::Relaxed);
        let taken = Taken::nothing(&self.shared.budget, self.peer.ip());
        let patience = self.patience.clone();
        let request = Request { head, peer: self.peer, body, taken, patience };
        on_it.answer = Some(self.shared.service.call(request));
        None
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Response> {
        let mut on_it = self.lock();
        // Parked: nobody asks for it here any more.
        let Some(answer) = &mut on_it.answer else { return Poll::Pending };
        let response = ready!(Pin::new(answer).poll(context));
        on_it.answer = None;
        Poll::Ready(self.counted(response))
    }

    fn counted(&self, response: Response) -> Response {
        counted(response, self.peer.ip(), &self.shared)
    }

    /// Whoever is not answered for a while is taken for one that waits.
    async fn gone(&self) -> Error {
        self.watch.patience().await;
        self.patience.wait();
        self.watch.gone().await
    }

    /// A panic while answering ends the connection.
    fn lock(&self) -> MutexGuard<'_, OnIt> {
        self.on_it.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head of a request that is answered in the same form: with or without a body, and whether the
/// connection goes on.
fn again(head: &request::Parts) -> Option<Vec<u8>> {
    let version = match head.version {
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_10 => "HTTP/1.0",
        _ => return None,
    };
    // It is answered by leaving HTTP.
    if head.method == Method::CONNECT || head.headers.contains_key(header::UPGRADE) {
        return None;
    }
    let mut again = Vec::with_capacity(64);
    let line = [head.method.as_str(), " / ", version, "\r\n"];
    line.iter().for_each(|part| again.extend_from_slice(part.as_bytes()));
    let mut add = |value: &HeaderValue| {
        for part in [b"Connection: ", value.as_bytes(), b"\r\n"] {
            again.extend_from_slice(part);
        }
    };
    head.headers.get_all(header::CONNECTION).iter().for_each(&mut add);
    again.extend_from_slice(b"\r\n");
    Some(again)
}
