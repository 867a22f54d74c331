//! Many clients that wait for changes, each on a connection of its own, from one thread.
//!
//! A client asks once without an index, then again and again with the index it was told, as every
//! watcher of Consul's API does. What it was answered is a hash: ten thousand bodies would be memory
//! of ours. Clients come from many loopback addresses, since a server limits each address.

use std::hash::{DefaultHasher, Hasher};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Connections of one address.
const OF_ONE_ADDRESS: usize = 100;

/// Connections that are opened at a time.
const OPENING: usize = 64;

/// What the kernel takes for a client that is slow; the rest stays with the server.
const RECEIVE_BUFFER: u32 = 64 << 10;

/// How long the clients may take to get their first answers.
const FIRST_ANSWERS: Duration = Duration::from_secs(60);

/// How long a query waits; longer than any of these benchmarks.
const WAIT: &str = "600s";

/// An answer that a client got.
pub struct Answered {
    /// Which client.
    pub client: usize,
    /// When the last byte of it came.
    pub at: Instant,
    /// Whether its body differs from the one before.
    pub differs: bool,
    /// The bytes of its body.
    pub length: usize,
}

/// The clients; they end with this.
pub struct Watchers {
    answers: Receiver<Result<Answered>>,
    _runtime: tokio::runtime::Runtime,
}

impl Watchers {
    /// Has `count` clients ask for the path of their number, and waits for their first answers.
    pub fn open(port: u16, count: usize, path: impl Fn(usize) -> String) -> Result<Self> {
        let watchers = Self::from_index(port, count, 0, path)?;
        let first = watchers.take(count, FIRST_ANSWERS)?;
        ensure!(first.len() == count, "{} of {count} clients have an answer", first.len());
        Ok(watchers)
    }

    /// Clients that know an index already, and wait from their first question on.
    pub fn from_index(
        port: u16,
        count: usize,
        index: u64,
        path: impl Fn(usize) -> String,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("start a runtime")?;
        let (told, answers) = channel();
        let opening = Arc::new(Semaphore::new(OPENING));
        for client in 0..count {
            let (path, told, opening) = (path(client), told.clone(), Arc::clone(&opening));
            runtime.spawn(async move {
                if let Err(error) = watch(client, port, &path, index, opening, &told).await {
                    // Nobody listens any more: the benchmark is over.
                    let _ = told.send(Err(error.context(format!("client {client}, {path}"))));
                }
            });
        }
        Ok(Self { answers, _runtime: runtime })
    }

    /// The next `count` answers, or as many as come in `limit`.
    pub fn take(&self, count: usize, limit: Duration) -> Result<Vec<Answered>> {
        let until = Instant::now() + limit;
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left) {
                Ok(answered) => taken.push(answered?),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => bail!("the clients are gone"),
            }
        }
        Ok(taken)
    }
}

/// The loopback address that a client comes from.
pub fn source(client: usize) -> SocketAddr {
    let number = client / OF_ONE_ADDRESS;
    let part = |number: usize| u8::try_from(number % 250 + 1).expect("below 251");
    SocketAddrV4::new(Ipv4Addr::new(127, 1, part(number / 250), part(number)), 0).into()
}

async fn watch(
    client: usize,
    port: u16,
    path: &str,
    mut index: u64,
    opening: Arc<Semaphore>,
    told: &Sender<Result<Answered>>,
) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(source(client)).context("bind")?;
    let turn = opening.acquire().await?;
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.context("connect")?;
    let mut before = None;
    let mut turn = Some(turn).filter(|_| index == 0);
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let question = match index {
            0 => format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n"),
            index => {
                format!("GET {path}{sign}index={index}&wait={WAIT} HTTP/1.1\r\nHost: bench\r\n\r\n")
            }
        };
        stream.write_all(question.as_bytes()).await.context("send")?;
        let answer = receive(&mut stream).await?;
        ensure!(answer.status == 200, "answered {}", answer.status);
        let hash = answer.hash;
        let differs = before.replace(hash).is_none_or(|before| before != hash);
        index = answer.index;
        ensure!(index > 0, "an answer without an index");
        turn.take();
        let answered = Answered { client, at: Instant::now(), differs, length: answer.length };
        if told.send(Ok(answered)).is_err() {
            return Ok(());
        }
    }
}

struct Answer {
    status: u16,
    index: u64,
    length: usize,
    hash: u64,
}

/// Reads one answer; no buffer is kept while nothing comes.
async fn receive(stream: &mut TcpStream) -> Result<Answer> {
    stream.readable().await?;
    let mut chunk = vec![0; 64 << 10];
    let mut head = Vec::new();
    let mut answer: Option<Answer> = None;
    let (mut hasher, mut got) = (DefaultHasher::new(), 0);
    loop {
        let read = match stream.try_read(&mut chunk) {
            Ok(0) => bail!("the connection was closed"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stream.readable().await?;
                continue;
            }
            Err(error) => return Err(error).context("receive"),
        };
        let mut body = &chunk[..read];
        if answer.is_none() {
            head.extend_from_slice(body);
            let Some(end) = head.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
            answer = Some(parse(&head[..end])?);
            body = &head[end + 4..];
        }
        got += body.len();
        // Piece by piece would depend on how the pieces came.
        body.iter().for_each(|byte| hasher.write_u8(*byte));
        if let Some(answer) = answer.take_if(|answer| got >= answer.length) {
            return Ok(Answer { hash: hasher.finish(), ..answer });
        }
    }
}

fn parse(head: &[u8]) -> Result<Answer> {
    let head = std::str::from_utf8(head)?;
    let status = head.get(9..12).context("no status")?.parse()?;
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let length = value("content-length").context("no Content-Length")?.parse()?;
    let index = value("x-consul-index").map(str::parse).transpose()?.unwrap_or(0);
    Ok(Answer { status, index, length, hash: 0 })
}
