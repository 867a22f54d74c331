//! gRPC as a benchmark needs it: unary calls over one kept HTTP/2 connection, one at a time.
//!
//! Header blocks are written without the dynamic table and not decoded when received: a call
//! succeeded if a message came back, since a refusal of gRPC is trailers alone. Frames: RFC 9113 §6.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

const ANSWER_LIMIT: Duration = Duration::from_secs(30);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What the other side may send before we would have to grant more: all we ever read.
const WINDOW: u32 = (1 << 31) - 1 - 65_535;

/// Room for grpc's own prefix of a message: a flag and a length.
const MESSAGE_HEAD: usize = 5;

/// A connection to one method of one service.
pub struct Client {
    stream: TcpStream,
    headers: Vec<u8>,
    next_stream: u32,
    out: Vec<u8>,
    payload: Vec<u8>,
}

impl Client {
    /// To `path` (`/package.Service/Method`) at a port of this machine.
    pub fn open(port: u16, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        let mut out = Vec::new();
        frame(&mut out, SETTINGS, 0, 0, &[]);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        stream.write_all(&out)?;
        let mut headers = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "127.0.0.1"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            literal(&mut headers, name, value);
        }
        Ok(Self { stream, headers, next_stream: 1, out, payload: Vec::new() })
    }

    /// One call; an answer without a message is a refusal.
    pub fn call(&mut self, message: &[u8]) -> Result<()> {
        let stream = self.next_stream;
        self.next_stream += 2;
        let length = u32::try_from(message.len()).context("a message of 4 GiB")?;
        let mut data = Vec::with_capacity(MESSAGE_HEAD + message.len());
        data.push(0);
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(message);
        self.out.clear();
        frame(&mut self.out, HEADERS, END_HEADERS, stream, &self.headers);
        frame(&mut self.out, DATA, END_STREAM, stream, &data);
        self.stream.write_all(&self.out).context("send")?;
        self.answer(stream)
    }

    fn answer(&mut self, stream: u32) -> Result<()> {
        let mut message = 0;
        loop {
            let (kind, flags, of) = self.read_frame()?;
            match kind {
                DATA if of == stream => message += self.payload.len(),
                RST_STREAM | GOAWAY => bail!("refused by frame {kind}: {:?}", self.payload),
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK)?,
                PING if flags & ACK == 0 => self.send(PING, ACK)?,
                _ => {}
            }
            if of == stream && flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS) {
                if message <= MESSAGE_HEAD {
                    bail!("refused without a message");
                }
                return Ok(());
            }
        }
    }

    /// The next frame's kind, flags and stream; its payload is kept.
    fn read_frame(&mut self) -> Result<(u8, u8, u32)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).context("receive")?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        self.payload.resize(length, 0);
        self.stream.read_exact(&mut self.payload).context("receive")?;
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok((head[3], head[4], of))
    }

    /// Acknowledges settings or a ping; a ping's payload goes back as it came.
    fn send(&mut self, kind: u8, flags: u8) -> Result<()> {
        let mut out = Vec::new();
        let payload: &[u8] = if kind == PING { &self.payload } else { &[] };
        frame(&mut out, kind, flags, 0, payload);
        self.stream.write_all(&out).context("send")
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("our frames are small");
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A literal field without indexing, both strings plain (RFC 7541 §6.2.2); lengths below 127.
fn literal(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(0);
    for text in [name, value] {
        out.push(u8::try_from(text.len()).expect("our fields are short"));
        out.extend_from_slice(text.as_bytes());
    }
}
