//! What is being answered on a connection, apart from the engine that speaks HTTP there.
//!
//! The engine keeps two buffers of 8 KiB for as long as it lives, which is as long as a blocked query
//! waits. So a request that says that it waits, or is not answered for a while, is taken from its engine,
//! and the engine dropped. The answer is told without one (`late`); a new one takes whatever comes next.

use super::body::Taken;
use super::late::Form;
use super::stream::{Stream, Watch};
use super::{Answer, Limit, Request, Response, Shared, counted, head_size, too_large_a_head};
use hyper::body::{Body, Incoming};
use std::future::poll_fn;
use std::io::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tracing::debug;

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
    /// In what form it is answered; `None` where the engine cannot be spared.
    form: Option<Form>,
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
    form: Form,
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
        on_it.answer.is_some() && on_it.form.is_some()
    }

    /// Takes the request; its engine must not be asked any more.
    pub fn park(&self) -> Option<Parked> {
        let mut on_it = self.lock();
        let (answer, form) = (on_it.answer.take()?, on_it.form.take()?);
        Some(Parked { answer, form })
    }

    /// Waits for an answer and tells it; whether the connection goes on then.
    pub async fn tell(&self, parked: Parked, stream: &mut Stream) -> bool {
        let Parked { mut answer, form } = parked;
        let response = tokio::select! {
            biased;
            response = &mut answer => self.counted(response),
            _ = self.watch.gone() => return false,
        };
        // What it was made of is not needed any more, and a client may take its time.
        drop(answer);
        let ends = self.shared.ending.is_cancelled();
        let told = Box::pin(form.tell(stream, response, ends)).await;
        told.unwrap_or_else(|error| {
            debug!(peer = %self.peer, %error, "connection ended early");
            false
        })
    }

    /// Whose connection it is.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn begin(&self, request: http::Request<Incoming>) -> Option<Response> {
        let mut on_it = self.lock();
        let (head, body) = request.into_parts();
        if head_size(&head) > self.shared.limits.head {
            self.shared.traffic.refuse(Limit::Head);
            return Some(too_large_a_head());
        }
        on_it.form = body.is_end_stream().then(|| Form::of(&head)).flatten();
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
