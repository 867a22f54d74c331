//! Answers before they are bytes on a connection: status, content, headers.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use net::http::Response;
use serde::Serialize;
use std::io::Write;

/// Below this size nothing is compressed, as in Consul.
const WORTH_COMPRESSING: usize = 1400;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// What it says.
    pub content: Content,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What an answer says, and so its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// JSON without blanks.
    Json(Bytes),
    /// Text.
    Text(Bytes),
    /// Something else of this type.
    Typed(&'static str, Bytes),
    /// Nothing, without a type.
    Nothing,
}

/// The value as JSON without blanks.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Bytes {
    let mut out = Vec::with_capacity(256);
    append(&mut out, value);
    // What is kept of it is counted by its length.
    out.shrink_to_fit();
    Bytes::from(out)
}

/// Appends the value as JSON without blanks.
pub fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value)
        .expect("shapes have text keys, and writing to memory does not fail");
}

impl Answer {
    /// An answer with this status and content.
    pub fn new(status: StatusCode, content: Content) -> Answer {
        Answer { status, content, headers: Vec::new() }
    }

    /// 200 with JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Answer {
        Answer::new(StatusCode::OK, Content::Json(json(value)))
    }

    /// Text with this status.
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
        Answer::new(status, Content::Text(text.into()))
    }

    /// 200 without a body, as the agent's writes are answered.
    pub fn empty() -> Answer {
        Answer::text(StatusCode::OK, "")
    }

    /// The same with one more header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Answer {
        self.headers.push((name, value));
        self
    }

    /// The bytes of its content.
    pub fn size(&self) -> usize {
        match &self.content {
            Content::Json(body) | Content::Text(body) | Content::Typed(_, body) => body.len(),
            Content::Nothing => 0,
        }
    }

    /// Whether its bytes go out as they are, neither indented nor compressed.
    pub fn is_finished(&self, shown: Shown) -> bool {
        let indents = shown.pretty && matches!(self.content, Content::Json(_));
        !indents && !shown.gzip
    }

    /// The answer as the connection takes it; compressed only where it is worth it.
    pub fn finish(self, shown: Shown) -> Response {
        let Shown { pretty, gzip } = shown;
        let (kind, body) = match self.content {
            Content::Json(body) if pretty => (Some("application/json"), indented(&body)),
            Content::Json(body) => (Some("application/json"), body),
            Content::Text(body) => (Some("text/plain; charset=utf-8"), body),
            Content::Typed(kind, body) => (Some(kind), body),
            Content::Nothing => (None, Bytes::new()),
        };
        let compress = gzip && body.len() >= WORTH_COMPRESSING;
        let mut response =
            Response::new(Full::new(if compress { compressed(&body) } else { body }));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.reserve(self.headers.len() + 4);
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if compress {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.extend(self.headers);
        response
    }
}

/// How a client wants to see an answer.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// Indented.
    pub pretty: bool,
    /// Compressed.
    pub gzip: bool,
}

/// Whether the client takes gzip: named, and not with `q=0`.
pub fn takes_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING).iter();
    let mut offers = values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    offers.any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0));
        named && !refused
    })
}

fn compressed(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    Bytes::from(written.expect("writing to memory does not fail"))
}

/// JSON without blanks, indented by four and ended by a line break.
pub fn indented(compact: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let mut depth = 0usize;
    let (mut in_text, mut escaped) = (false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 4 * depth, b' ');
    };
    for (at, byte) in compact.iter().copied().enumerate() {
        if in_text {
            out.push(byte);
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !matches!(compact.get(at + 1), Some(b'}' | b']')) {
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            byte => {
                in_text = byte == b'"';
                out.push(byte);
            }
        }
    }
    out.push(b'\n');
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indenting_changes_blanks_only() {
        let value = serde_json::json!({"a": [], "b": {}, "c": [1, {"d\"": "e,\\"}], "f": "{:}"});
        let pretty = indented(&json(&value));
        let expected = "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        {\n            \
                        \"d\\\"\": \"e,\\\\\"\n        }\n    ],\n    \"f\": \"{:}\"\n}\n";
        assert_eq!(String::from_utf8_lossy(&pretty), expected);
        assert_eq!(&indented(b"true")[..], b"true\n");
    }

    #[test]
    fn gzip_is_taken_unless_refused() {
        for (accepts, takes) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts));
            assert_eq!(takes_gzip(&request), takes, "{accepts}");
        }
    }
}
