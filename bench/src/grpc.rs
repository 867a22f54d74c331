//! gRPC as a benchmark needs it: unary calls over one kept HTTP/2 connection, one at a time.
//!
//! Header blocks are written without the dynamic table and not decoded when received: a call
//! succeeded if a message came back, since a refusal of gRPC is trailers alone. Frames: RFC 9113 §6.

use anyhow::{Result, bail};

use crate::load::Client;

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

/// Calls of one method of one service, each with a message that `write` makes of its number.
pub struct Caller<W> {
    headers: Vec<u8>,
    stream: u32,
    /// Bytes of the answer's message so far.
    message: usize,
    write: W,
}

impl<W: FnMut(u64, &mut Vec<u8>)> Caller<W> {
    /// Of `path` (`/package.Service/Method`).
    pub fn new(path: &str, write: W) -> Self {
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
        Self { headers, stream: 0, message: 0, write }
    }

    /// One frame; true if it ends the answer.
    fn frame(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let mine = head.stream == self.stream;
        match head.kind {
            DATA if mine => self.message += payload.len(),
            RST_STREAM | GOAWAY => bail!("refused by frame {}: {payload:?}", head.kind),
            SETTINGS if head.flags & ACK == 0 => frame(out, SETTINGS, ACK, 0, &[]),
            PING if head.flags & ACK == 0 => frame(out, PING, ACK, 0, payload),
            _ => {}
        }
        let ends = mine && head.flags & END_STREAM != 0 && matches!(head.kind, DATA | HEADERS);
        if ends && self.message <= MESSAGE_HEAD {
            bail!("refused without a message");
        }
        Ok(ends)
    }
}

impl<W: FnMut(u64, &mut Vec<u8>)> Client for Caller<W> {
    fn greet(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frame(out, SETTINGS, 0, 0, &[]);
        frame(out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
    }

    fn ask(&mut self, number: u64, out: &mut Vec<u8>) {
        self.stream = if self.stream == 0 { 1 } else { self.stream + 2 };
        self.message = 0;
        frame(out, HEADERS, END_HEADERS, self.stream, &self.headers);
        let mut data = vec![0; MESSAGE_HEAD];
        (self.write)(number, &mut data);
        let length = u32::try_from(data.len() - MESSAGE_HEAD).expect("our messages are small");
        data[1..MESSAGE_HEAD].copy_from_slice(&length.to_be_bytes());
        frame(out, DATA, END_STREAM, self.stream, &data);
    }

    fn hear(&mut self, received: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool> {
        let (mut at, mut done) = (0, false);
        while let Some(head) = Head::read(&received[at..]) {
            let start = at + HEAD;
            let Some(payload) = received.get(start..start + head.length) else { break };
            done |= self.frame(head, payload, out)?;
            at = start + head.length;
        }
        received.drain(..at);
        Ok(done)
    }
}

/// Bytes before a frame's payload.
const HEAD: usize = 9;

/// What is said of a frame before its payload.
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Self { length, kind: head[3], flags: head[4], stream })
    }
}

/// A field of protobuf that holds bytes.
pub fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
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
