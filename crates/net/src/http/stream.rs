//! A connection that does not wait for ever for its client, and notices when the client has gone.
//!
//! The HTTP engine looks at a connection only while it wants to read; behind a request that waits, with
//! bytes of the next one read already, it would not see the end. So the socket is shared with a
//! watch that asks the socket itself.

use super::{Limit, Limits, Traffic};
use bytes::{Buf, BufMut, Bytes};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A connection whose writes must make progress.
pub(super) struct Stream {
    line: Arc<Line>,
    /// Read before what the socket has.
    before: Bytes,
    grace: Duration,
    rate: usize,
    behind: Option<Behind>,
    traffic: Traffic,
}

struct Line {
    socket: TcpStream,
    /// Whether something written is not sent yet.
    is_behind: AtomicBool,
}

impl Line {
    /// Waits for a byte, which stays there; false at the end.
    ///
    /// That a socket is readable is a guess of the runtime's: true of a new one, and until a read has
    /// found nothing. So the socket itself is asked, which also mends the guess.
    async fn hears(&self) -> Result<bool> {
        Ok(self.socket.peek(&mut [0]).await? > 0)
    }

    /// Whether the client says no more behind what is unread; waits for one of the two.
    async fn is_ended(&self) -> Result<bool> {
        Ok(self.socket.ready(Interest::READABLE).await?.is_read_closed())
    }
}

/// A client that does not take what is sent as fast as it is.
struct Behind {
    since: Instant,
    taken: u64,
    timer: Pin<Box<Sleep>>,
}

/// Sees whether the client of a connection has gone.
#[derive(Clone)]
pub(super) struct Watch(Arc<Line>);

/// A request that is answered sooner is not watched.
const PATIENCE: Duration = Duration::from_secs(1);

/// The engine doubles its buffer whenever a read fills it, and keeps it for as long as it lives, also
/// while it is idle; what is read is less than twice its first one, so that it stays there.
const ONE_READ: usize = (16 << 10) - 1;

impl Stream {
    pub fn new(socket: TcpStream, limits: &Limits, traffic: Traffic) -> (Stream, Watch) {
        let line = Arc::new(Line { socket, is_behind: AtomicBool::new(false) });
        let watch = Watch(Arc::clone(&line));
        let (grace, rate) = (limits.write_timeout, limits.write_rate.max(1));
        (Stream { line, before: Bytes::new(), grace, rate, behind: None, traffic }, watch)
    }

    /// The same connection, where these bytes are read first, then what no engine has read of those before.
    pub fn after(self, mut before: Vec<u8>) -> Stream {
        before.extend_from_slice(&self.before);
        Stream { before: before.into(), ..self }
    }

    /// Waits for something to read; false at the end.
    pub async fn hears(&self) -> Result<bool> {
        match self.before.has_remaining() {
            true => Ok(true),
            false => self.line.hears().await,
        }
    }

    /// Writes as the socket can take it; an error once the client is too far behind.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        send: impl Fn(&TcpStream) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        loop {
            if self.line.socket.poll_write_ready(context)?.is_pending() {
                return self.poll_behind(context);
            }
            match send(&self.line.socket) {
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
        let line = &self.line;
        let behind = self.behind.get_or_insert_with(|| {
            line.is_behind.store(true, Ordering::Relaxed);
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
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if self.before.has_remaining() {
            let length = self.before.len().min(buffer.remaining());
            buffer.put_slice(&self.before.split_to(length));
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.line.socket.poll_read_ready(context))?;
            match self.line.socket.try_read_buf(&mut (&mut *buffer).limit(ONE_READ)) {
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
        if self.behind.take().is_some() {
            self.line.is_behind.store(false, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(socket2::SockRef::from(&self.line.socket).shutdown(Shutdown::Write))
    }
}

impl Watch {
    /// Whether the client has not taken all that was written.
    pub fn is_behind(&self) -> bool {
        self.0.is_behind.load(Ordering::Relaxed)
    }

    /// So long a request may take before its client is watched.
    pub fn patience(&self) -> Sleep {
        sleep(PATIENCE)
    }

    /// Waits until the client has gone; the error says so.
    pub async fn gone(&self) -> Error {
        loop {
            match self.is_there().await {
                Ok(true) => {}
                Ok(false) => return Error::new(ErrorKind::UnexpectedEof, "the client has gone"),
                Err(error) => return error,
            }
            // It has sent more already, which stays there unread.
            sleep(PATIENCE).await;
        }
    }

    /// Waits for more from the client, or for its end; whether it is still there.
    async fn is_there(&self) -> Result<bool> {
        Ok(self.0.hears().await? && !self.0.is_ended().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn pair() -> (TcpStream, Stream, Watch) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let (stream, watch) = Stream::new(socket, &Limits::default(), Traffic::default());
        (client, stream, watch)
    }

    /// How often a future is looked at in an hour that it does not come in.
    async fn looks<F: Future>(waiting: F) -> usize {
        let (mut looks, mut waiting) = (0, Box::pin(waiting));
        let looked = poll_fn(|context| {
            looks += 1;
            waiting.as_mut().poll(context)
        });
        assert!(timeout(HOUR, looked).await.is_err(), "it came");
        looks
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_not_heard_and_not_looked_at() {
        let (mut client, mut stream, watch) = pair().await;
        assert!(looks(stream.hears()).await <= 3, "a new one");
        assert!(looks(watch.gone()).await <= 3, "a new one");
        client.write_all(b"x").await.unwrap();
        assert!(stream.hears().await.unwrap());
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 1);
        assert!(looks(watch.gone()).await <= 3, "one that spoke before");
        assert!(looks(stream.hears()).await <= 3, "one that spoke before");
        drop(client);
        assert!(!stream.hears().await.unwrap());
        watch.gone().await;
    }

    #[tokio::test]
    async fn one_read_does_not_make_the_engine_double_its_buffer_twice() {
        let (mut client, mut stream, _) = pair().await;
        let much = vec![b'x'; 8 * ONE_READ];
        let reading = async {
            let (mut all, mut buffer) = (0, much.clone());
            while all < much.len() {
                let read = stream.read(&mut buffer).await.unwrap();
                assert!((1..=ONE_READ).contains(&read), "{read}");
                all += read;
            }
        };
        let (written, ()) = tokio::join!(client.write_all(&much), reading);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_seen_behind_what_is_unread() {
        let (mut client, stream, watch) = pair().await;
        client.write_all(b"x").await.unwrap();
        assert!(stream.hears().await.unwrap());
        assert!(timeout(HOUR, watch.gone()).await.is_err(), "it said more, and is there");
        client.shutdown().await.unwrap();
        assert_eq!(watch.gone().await.kind(), ErrorKind::UnexpectedEof);
        assert!(stream.hears().await.unwrap(), "what it said is still there");
    }
}
