//! Filling a server of ours, and pushing any: many connections, each one request at a time.
//!
//! The generator shares two cores with what it measures, so pushing is one thread that waits for all
//! of its connections at once: a system call to send, one to receive, and a share of one to wait.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http::Connection;

/// Connections that fill a server before it is measured.
const FILLERS: u64 = 32;

/// How long nothing may be answered on any connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Connections looked at after one wait.
const EVENTS: usize = 64;

/// The most that one receive takes.
const CHUNK: usize = 64 << 10;

/// Registers what `body` says for each number below `count`.
pub fn fill(port: u16, count: u64, body: impl Fn(u64) -> String + Sync) -> Result<()> {
    fill_at(port, "/v1/catalog/register", count, body)
}

/// The same by another endpoint.
pub fn fill_at(
    port: u16,
    path: &str,
    count: u64,
    body: impl Fn(u64) -> String + Sync,
) -> Result<()> {
    let next = AtomicU64::new(0);
    let register = || -> Result<()> {
        let mut connection = Connection::open(port)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            connection.put(path, body(number).as_bytes())?;
        }
    };
    std::thread::scope(|scope| {
        let fillers: Vec<_> = (0..FILLERS).map(|_| scope.spawn(register)).collect();
        fillers.into_iter().try_for_each(|filler| filler.join().expect("a filler panicked"))
    })
}

/// One end of a connection, without its socket.
pub trait Client {
    /// Appends what is sent before the first request.
    fn greet(&mut self, _out: &mut Vec<u8>) {}

    /// Appends the request with this number, which no other of the run has.
    fn ask(&mut self, number: u64, out: &mut Vec<u8>);

    /// Looks at what came in and takes from its front what it has read; true at the end of an answer.
    ///
    /// What has to be said in between is appended to `out`. A refusal is an error.
    fn hear(&mut self, received: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool>;
}

/// Keeps clients busy for `length`, a connection each; how many operations they finished.
///
/// A request under way at the end is waited for and counted.
pub fn push<C: Client>(
    port: u16,
    clients: impl IntoIterator<Item = C>,
    length: Duration,
) -> Result<u64> {
    let waiting = Waiting::new()?;
    let mut ends = Vec::new();
    for client in clients {
        ends.push(End::open(port, client)?);
        waiting.add(&ends[ends.len() - 1].stream, ends.len() - 1)?;
    }
    let (mut next, mut finished) = (0, 0);
    for end in &mut ends {
        end.ask(next)?;
        next += 1;
    }
    let (began, mut chunk) = (Instant::now(), vec![0; CHUNK]);
    let mut ready = Vec::new();
    while finished < next {
        waiting.wait(&mut ready)?;
        let asking = began.elapsed() < length;
        for &number in &ready {
            let end = &mut ends[number];
            if end.hear(&mut chunk).with_context(|| format!("operation {}", end.asked))? {
                finished += 1;
                if asking {
                    end.ask(next)?;
                    next += 1;
                }
            }
        }
    }
    Ok(finished)
}

/// A client with its socket.
struct End<C> {
    client: C,
    stream: TcpStream,
    asked: u64,
    out: Vec<u8>,
    received: Vec<u8>,
}

impl<C: Client> End<C> {
    fn open(port: u16, mut client: C) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut out = Vec::new();
        client.greet(&mut out);
        Ok(Self { client, stream, asked: 0, out, received: Vec::new() })
    }

    fn ask(&mut self, number: u64) -> Result<()> {
        self.asked = number;
        self.client.ask(number, &mut self.out);
        self.send()
    }

    /// One request is far smaller than a socket's buffer, so it always fits.
    fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.out).context("send")?;
        self.out.clear();
        Ok(())
    }

    /// Takes what has come; true if that ends an answer.
    fn hear(&mut self, chunk: &mut [u8]) -> Result<bool> {
        match self.stream.read(chunk) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => self.received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("receive"),
        }
        let done = self.client.hear(&mut self.received, &mut self.out)?;
        if !self.out.is_empty() {
            self.send()?;
        }
        Ok(done)
    }
}

/// Waits for many sockets at once (`epoll(7)`).
struct Waiting(OwnedFd);

impl Waiting {
    fn new() -> Result<Self> {
        // SAFETY: no pointers are passed; what is returned is checked before it is owned.
        let made = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if made < 0 {
            return Err(std::io::Error::last_os_error()).context("epoll_create1");
        }
        // SAFETY: the kernel has just made it and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(made) }))
    }

    fn add(&self, stream: &TcpStream, number: usize) -> Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
        // SAFETY: both descriptors are open, and the event is only read during the call.
        let done = unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                stream.as_raw_fd(),
                &raw mut event,
            )
        };
        match done {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()).context("epoll_ctl"),
        }
    }

    /// The numbers of the sockets from which something can be read.
    fn wait(&self, ready: &mut Vec<usize>) -> Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let limit = i32::try_from(ANSWER_LIMIT.as_millis()).expect("some seconds");
        // SAFETY: there is room for as many events as is said, alive until the call returns.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), EVENTS as i32, limit)
        };
        ready.clear();
        match usize::try_from(count) {
            Ok(0) => bail!("nothing was answered in {ANSWER_LIMIT:?}"),
            Ok(count) => ready.extend(events[..count].iter().map(|event| event.u64 as usize)),
            Err(_) => {
                let error = std::io::Error::last_os_error();
                if error.kind() != ErrorKind::Interrupted {
                    return Err(error).context("epoll_wait");
                }
            }
        }
        Ok(())
    }
}
