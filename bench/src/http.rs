//! HTTP/1.1 as a benchmark needs it: one kept connection, one request at a time, little CPU.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::Client;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The longest answer that is read.
const ANSWER_BYTES: usize = 64 << 20;

/// A connection that stays open.
pub struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    /// To a port of this machine.
    pub fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    /// The status and body of a `GET`.
    pub fn get(&mut self, path: &str) -> Result<(u16, Vec<u8>)> {
        let (status, body) = self.read(path)?;
        Ok((status, body.to_vec()))
    }

    /// As [`Connection::get`]; the body stays where it was read.
    pub fn read(&mut self, path: &str) -> Result<(u16, &[u8])> {
        self.request.clear();
        get(&mut self.request, path);
        let (status, body) = self.exchange()?;
        Ok((status, &self.answer[body..]))
    }

    /// The index that a `GET` tells, which must be answered with 200.
    pub fn index(&mut self, path: &str) -> Result<u64> {
        let (status, body) = self.get(path)?;
        let end = self.answer.len() - body.len();
        let head = std::str::from_utf8(&self.answer[..end])?.to_ascii_lowercase();
        let line = head.lines().find_map(|line| line.strip_prefix("x-consul-index:"));
        if status != 200 {
            bail!("{status} {}", String::from_utf8_lossy(&body));
        }
        Ok(line.context("an answer without an index")?.trim().parse()?)
    }

    /// A `PUT` that must be answered with 200.
    pub fn put(&mut self, path: &str, body: &[u8]) -> Result<()> {
        self.request.clear();
        put(&mut self.request, path, body);
        let (status, body) = self.exchange()?;
        if status != 200 {
            bail!("{status} {}", String::from_utf8_lossy(&self.answer[body..]));
        }
        Ok(())
    }

    /// Sends what is in `request`; the status, and where in `answer` the body begins.
    fn exchange(&mut self) -> Result<(u16, usize)> {
        self.stream.write_all(&self.request).context("send")?;
        self.answer.clear();
        let mut chunk = [0; 16 << 10];
        let (mut head_end, mut length) = (None, 0);
        loop {
            if head_end.is_none()
                && let Some(end) = self.answer.windows(4).position(|part| part == b"\r\n\r\n")
            {
                length = content_length(&self.answer[..end])?;
                head_end = Some(end + 4);
            }
            if let Some(start) = head_end
                && self.answer.len() >= start + length
            {
                return Ok((status(&self.answer)?, start));
            }
            let read = self.stream.read(&mut chunk).context("receive")?;
            if read == 0 || self.answer.len() > ANSWER_BYTES {
                bail!("the answer ended too soon or never");
            }
            self.answer.extend_from_slice(&chunk[..read]);
        }
    }
}

/// Requests that a server is pushed with, each one as `write` makes it of its number.
pub struct Pusher<W> {
    write: W,
    expected: Option<Arc<[u8]>>,
}

impl<W: FnMut(u64, &mut Vec<u8>)> Pusher<W> {
    /// Each must be answered 200.
    pub fn new(write: W) -> Self {
        Self { write, expected: None }
    }

    /// And each with this body.
    pub fn expecting(self, body: &Arc<[u8]>) -> Self {
        Self { expected: Some(Arc::clone(body)), ..self }
    }
}

impl<W: FnMut(u64, &mut Vec<u8>)> Client for Pusher<W> {
    fn ask(&mut self, number: u64, out: &mut Vec<u8>) {
        (self.write)(number, out);
    }

    fn hear(&mut self, received: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<bool> {
        let Some(end) = received.windows(4).position(|part| part == b"\r\n\r\n") else {
            return Ok(false);
        };
        let whole = end + 4 + content_length(&received[..end])?;
        if received.len() < whole {
            return Ok(false);
        }
        let status = status(received)?;
        if status != 200 {
            bail!("{status} {}", String::from_utf8_lossy(&received[end + 4..whole]));
        }
        if self.expected.as_ref().is_some_and(|body| received[end + 4..whole] != **body) {
            bail!("another body than expected");
        }
        received.drain(..whole);
        Ok(true)
    }
}

/// Appends a `PUT`.
pub fn put(out: &mut Vec<u8>, path: &str, body: &[u8]) {
    let length = body.len();
    write!(out, "PUT {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n")
        .expect("writing to a Vec cannot fail");
    out.extend_from_slice(body);
}

/// Appends a `GET`.
pub fn get(out: &mut Vec<u8>, path: &str) {
    write!(out, "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")
        .expect("writing to a Vec cannot fail");
}

fn status(answer: &[u8]) -> Result<u16> {
    let word = answer.get(9..12).context("no status")?;
    Ok(std::str::from_utf8(word)?.parse()?)
}

fn content_length(head: &[u8]) -> Result<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|&sign| sign == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    });
    let value = std::str::from_utf8(value.context("an answer without Content-Length")?)?;
    Ok(value.trim().parse()?)
}
