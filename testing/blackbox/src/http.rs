//! A small HTTP/1.1 client over one kept connection.
//!
//! It tells an answer from a connection that ended before one: for a write the latter means "outcome unknown", which
//! the histories need to know.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, values as sent.
    pub headers: Vec<(String, String)>,
    /// The body, after chunks were joined.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text, odd bytes replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{} {}", self.status, self.text()))
    }

    /// `X-Consul-Index`.
    pub fn index(&self) -> Result<u64> {
        let text = self.header("x-consul-index").ok_or_else(|| anyhow!("no X-Consul-Index"))?;
        text.parse().with_context(|| format!("X-Consul-Index {text:?}"))
    }

    /// This answer, or an error with its text when the status is another than `status`.
    pub fn expect_status(self, status: u16) -> Result<Answer> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.text());
        Ok(self)
    }
}

/// A client of one server.
#[derive(Debug)]
pub struct Http {
    addr: SocketAddr,
    limit: Duration,
    stream: Option<BufReader<TcpStream>>,
}

impl Http {
    /// A client that connects when first used and waits half a minute for an answer.
    pub fn new(addr: SocketAddr) -> Http {
        Http { addr, limit: Duration::from_secs(30), stream: None }
    }

    /// The same client with another patience.
    pub fn patient(mut self, limit: Duration) -> Http {
        self.limit = limit;
        self
    }

    /// GET.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.send("GET", path, b"")
    }

    /// GET that must be 200 with JSON.
    pub fn get_json(&mut self, path: &str) -> Result<Value> {
        self.get(path)?.expect_status(200).with_context(|| format!("GET {path}"))?.json()
    }

    /// PUT.
    pub fn put(&mut self, path: &str, body: impl AsRef<[u8]>) -> Result<Answer> {
        self.send("PUT", path, body.as_ref())
    }

    /// PUT that must be 200.
    pub fn put_ok(&mut self, path: &str, body: impl AsRef<[u8]>) -> Result<Answer> {
        self.put(path, body)?.expect_status(200).with_context(|| format!("PUT {path}"))
    }

    /// DELETE.
    pub fn delete(&mut self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, b"")
    }

    /// One exchange. A kept connection that the server closed meanwhile is opened anew before the request is sent.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        let mut stream = match self.stream.take().filter(is_open) {
            Some(kept) => kept,
            None => self.connect()?,
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.addr,
            body.len()
        );
        let message = [head.as_bytes(), body].concat();
        // A server may refuse a body before it has read it all, so a failed send may still have an answer.
        let sent = stream.get_mut().write_all(&message);
        let answer = match read_answer(&mut stream) {
            Ok(answer) => answer,
            Err(error) => {
                sent.with_context(|| format!("sending {method} {path}"))?;
                return Err(error.context(format!("answer to {method} {path}")));
            }
        };
        if answer.header("connection").is_none_or(|c| !c.eq_ignore_ascii_case("close")) {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    fn connect(&self) -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.addr, self.limit)?;
        stream.set_read_timeout(Some(self.limit))?;
        stream.set_write_timeout(Some(self.limit))?;
        stream.set_nodelay(true)?;
        Ok(BufReader::with_capacity(1 << 16, stream))
    }
}

/// Is nothing waiting on a kept connection? An end of file or stray bytes mean that it cannot be used again.
fn is_open(stream: &BufReader<TcpStream>) -> bool {
    let socket = stream.get_ref();
    if !stream.buffer().is_empty() || socket.set_nonblocking(true).is_err() {
        return false;
    }
    let idle =
        matches!(socket.peek(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
    idle && socket.set_nonblocking(false).is_ok()
}

/// Reads one answer from any stream.
pub fn read_answer(stream: &mut impl BufRead) -> Result<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let Some(status) = status else { bail!("no status in {line:?}") };
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    ensure!(line == "\r\n", "headers end with {line:?}");
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding").is_some() {
        read_chunks(stream, &mut answer.body)?;
    } else if let Some(length) = answer.header("content-length") {
        answer.body = vec![0; length.parse()?];
        stream.read_exact(&mut answer.body)?;
    }
    Ok(answer)
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16)
            .with_context(|| format!("chunk size {line:?}"))?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        stream.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        let wire = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nnext";
        let mut stream = BufReader::new(wire.as_bytes());
        let answer = read_answer(&mut stream).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "abcde"));
        assert_eq!(stream.buffer(), b"next");
    }

    #[test]
    fn an_answer_cut_short_is_an_error() {
        for wire in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"] {
            assert!(read_answer(&mut BufReader::new(wire.as_bytes())).is_err(), "{wire:?}");
        }
    }
}
