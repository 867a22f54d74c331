//! A connection that does not wait for ever for its client, and notices when the client has gone.
//!
//! The HTTP engine looks at a connection only while it wants to read; behind a request that waits, with
//! bytes of the next one read already, it would not see the end. So the socket is shared with a
//! watch that asks the socket itself.

use super::{Limit, Limits, Traffic};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A connection whose writes must make progress.
pub(super) struct Stream {
    socket: Arc<TcpStream>,
    grace: Duration,
    rate: usize,
    behind: Option<Behind>,
    traffic: Traffic,
}

/// A client that does not take what is sent as fast as it is.
struct Behind {
    since: Instant,
    taken: u64,
    timer: Pin<Box<Sleep>>,
}

/// Sees whether the client of a connection has gone.
#[derive(Clone)]
pub(super) struct Watch(Arc<TcpStream>);

/// A request that is answered sooner is not watched.
const PATIENCE: Duration = Duration::from_secs(1);

impl Stream {
    pub fn new(socket: TcpStream, limits: &Limits, traffic: Traffic) -> (Stream, Watch) {
        let socket = Arc::new(socket);
        let watch = Watch(Arc::clone(&socket));
        let (grace, rate) = (limits.write_timeout, limits.write_rate.max(1));
        (Stream { socket, grace, rate, behind: None, traffic }, watch)
    }

    /// Writes as the socket can take it; an error once the client is too far behind.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        loop {
            if self.socket.poll_write_ready(context)?.is_pending() {
                return self.poll_behind(context);
            }
            match send(&self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                sent => {
                    if let (Some(behind), Ok(bytes)) = (&mut self.behind, &sent) {
                        behind.taken += *bytes as u64;
                    }
                    return Poll::Ready(sent);
                }
            }
        }
    }

    fn poll_behind(&mut self, context: &mut Context<'_>) -> Poll<Result<usize>> {
        let (grace, rate) = (self.grace, self.rate);
        let behind = self.behind.get_or_insert_with(|| {
            let since = Instant::now();
            Behind { since, taken: 0, timer: Box::pin(sleep_until(since + grace)) }
        });
        let earned = Duration::from_millis(behind.taken.saturating_mul(1000) / rate as u64);
        let deadline = behind.since + grace + earned;
        if behind.timer.deadline() != deadline {
            behind.timer.as_mut().reset(deadline);
        }
        ready!(behind.timer.as_mut().poll(context));
        self.traffic.refuse(Limit::WriteTime);
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        loop {
            ready!(self.socket.poll_read_ready(context))?;
            match self.socket.try_read_buf(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|_| ())),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        self.get_mut().poll_send(context, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.get_mut().poll_send(context, |socket| socket.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The engine flushes once all is written: the client is not behind any more.
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.behind = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.socket).shutdown(Shutdown::Write))
    }
}

impl Watch {
    /// Waits until the client has gone; the error says so.
    pub async fn gone(&self) -> Error {
        loop {
            sleep(PATIENCE).await;
            match self.0.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => {}
                Ok(_) => return Error::new(ErrorKind::UnexpectedEof, "the client has gone"),
                Err(error) => return error,
            }
        }
    }
}
