//! HTTP/1.1 as a benchmark needs it: one kept connection, one request at a time, little CPU.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

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
        self.request.clear();
        write!(self.request, "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n")?;
        let (status, body) = self.exchange()?;
        Ok((status, self.answer[body..].to_vec()))
    }

    /// A `PUT` that must be answered with 200.
    pub fn put(&mut self, path: &str, body: &[u8]) -> Result<()> {
        self.request.clear();
        let length = body.len();
        write!(
            self.request,
            "PUT {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n"
        )?;
        self.request.extend_from_slice(body);
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

fn status(answer: &[u8]) -> Result<u16> {
    let word = answer.get(9..12).context("no status")?;
    Ok(std::str::from_utf8(word)?.parse()?)
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Ok(line.context("an answer without Content-Length")?.trim().parse()?)
}
