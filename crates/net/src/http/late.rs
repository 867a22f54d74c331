//! The answer to a request that waited, told without an engine.
//!
//! An engine has two buffers of 8 KiB, and a large answer may be on its way for long: a thousand clients
//! that wait for one change are a thousand engines then. But whoever waited has given up his engine, what
//! his answer looks like is known, and it lies there whole: so its head is written here, as the
//! engine would have written it, and the engine comes back for the next request.

use super::Response;
use super::stream::Stream;
use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, StatusCode, Version, header, request, response};
use http_body_util::Full;
use hyper::body::Body;
use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;
use tokio::io::AsyncWriteExt;

/// In what form a request is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    is_old: bool,
    is_head: bool,
    goes_on: bool,
}

/// About what a head takes.
const USUAL_HEAD: usize = 512;

impl Form {
    /// The form for a request without a body; `None` where only an engine can answer.
    pub fn of(head: &request::Parts) -> Option<Form> {
        let is_old = match head.version {
            Version::HTTP_11 => false,
            Version::HTTP_10 => true,
            _ => return None,
        };
        // It is answered by leaving HTTP.
        if head.method == Method::CONNECT || head.headers.contains_key(header::UPGRADE) {
            return None;
        }
        let said = |word| says(&head.headers, word);
        let goes_on = if is_old { said("keep-alive") } else { !said("close") };
        Some(Form { is_old, is_head: head.method == Method::HEAD, goes_on })
    }

    /// Writes an answer, to the end if it `ends` the connection; whether there may be another.
    pub async fn tell(self, stream: &mut Stream, answer: Response, ends: bool) -> Result<bool> {
        let (head, body) = answer.into_parts();
        let body = whole(body);
        let goes_on = self.goes_on && !ends && !says(&head.headers, "close");
        let told = Bytes::from(self.head(&head, body.len(), goes_on));
        let body = if self.has_body(head.status) { body } else { Bytes::new() };
        drop(head);
        stream.write_all_buf(&mut told.chain(body)).await?;
        stream.flush().await?;
        if !goes_on {
            stream.shutdown().await?;
        }
        Ok(goes_on)
    }

    fn has_body(self, status: StatusCode) -> bool {
        !self.is_head && has_length(status)
    }

    fn head(self, answer: &response::Parts, length: usize, goes_on: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL_HEAD);
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        let version: &[u8] = if self.is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
        let reason = answer.status.canonical_reason().unwrap_or("<none>");
        put(&[version, answer.status.as_str().as_bytes(), b" ", reason.as_bytes(), b"\r\n"]);
        for (name, value) in &answer.headers {
            put(&[title(name.as_str()).as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
        let given = |name| answer.headers.contains_key(name);
        if !given(header::CONNECTION) {
            match (self.is_old, goes_on) {
                (false, false) => put(&[b"Connection: close\r\n"]),
                (true, true) => put(&[b"Connection: keep-alive\r\n"]),
                (false, true) | (true, false) => {}
            }
        }
        if has_length(answer.status) && !given(header::CONTENT_LENGTH) {
            put(&[b"Content-Length: ", length.to_string().as_bytes(), b"\r\n"]);
        }
        if !given(header::DATE) {
            let now = httpdate::fmt_http_date(SystemTime::now());
            put(&[b"Date: ", now.as_bytes(), b"\r\n"]);
        }
        put(&[b"\r\n"]);
        out
    }
}

/// Whether answers of this status may have a body, whose length is told.
fn has_length(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Whether a word stands in `Connection`.
fn says(headers: &HeaderMap, word: &str) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|said| said.trim().eq_ignore_ascii_case(word))
}

/// A header's name as clients of old know it.
fn title(name: &str) -> String {
    let mut begins = true;
    let sign = |sign: char| {
        let shown = if begins { sign.to_ascii_uppercase() } else { sign };
        begins = sign == '-';
        shown
    };
    name.chars().map(sign).collect()
}

/// The bytes of a body, which is one frame and there at once.
pub(super) fn whole(mut body: Full<Bytes>) -> Bytes {
    match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Poll::Ready(None) | Poll::Pending => Bytes::new(),
        Poll::Ready(Some(Err(never))) => match never {},
    }
}
