//! What is asked, and what is asked next after a redirect.
//!
//! Source: Go's net/http, whose client Consul's checks use: at most ten redirects; 301, 302 and 303
//! turn into a GET without a body, 307 and 308 repeat; secrets do not go to another host.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName,
    HeaderValue, LOCATION, TRAILER, TRANSFER_ENCODING, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{Method, StatusCode, response};
use model::CheckDefinition;
use url::Url;

/// So many requests are made at most.
pub const MAX_REDIRECTS: usize = 10;

/// Headers that the connection decides, whatever a definition says.
const NOT_GIVEN: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER];
/// Headers that do not follow to another host.
const SECRET: [HeaderName; 3] = [AUTHORIZATION, COOKIE, WWW_AUTHENTICATE];

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Of whom.
    pub url: Url,
    /// The `Host` asked for in place of the URL's.
    pub host: Option<HeaderValue>,
    /// All other headers.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Bytes,
}

impl Request {
    /// The one a definition asks for, or the whole text of why it cannot be made.
    pub fn first(definition: &CheckDefinition, method: &str) -> Result<Request, String> {
        let verb = Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("net/http: invalid method {}", lang::quote(method)))?;
        let url = parse(&definition.http, operation(method))?;
        let failed =
            |why: String| format!("{} {}: {why}", operation(method), lang::quote(&definition.http));
        let mut request = Request {
            method: verb,
            url,
            host: None,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(definition.body.as_bytes()),
        };
        for (name, values) in &definition.header {
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                failed(format!("net/http: invalid header field name {}", lang::quote(name)))
            })?;
            for value in values {
                let value = HeaderValue::from_str(value).map_err(|_| {
                    failed(format!(
                        "net/http: invalid header field value for {}",
                        lang::quote(name)
                    ))
                })?;
                request.header(&key, value);
            }
        }
        request.usual_headers();
        Ok(request)
    }

    fn header(&mut self, name: &HeaderName, value: HeaderValue) {
        if name == HOST {
            if self.host.is_none() && !value.is_empty() {
                self.host = Some(value);
            }
        } else if !NOT_GIVEN.contains(name) {
            self.headers.append(name, value);
        }
    }

    fn usual_headers(&mut self) {
        let lacks = |headers: &HeaderMap, name| headers.get(name).is_none_or(|it| it.is_empty());
        if lacks(&self.headers, USER_AGENT) {
            self.headers.insert(USER_AGENT, HeaderValue::from_static("Consul Health Check"));
        }
        if lacks(&self.headers, ACCEPT) {
            self.headers.insert(ACCEPT, HeaderValue::from_static("text/plain, text/*, */*"));
        }
        self.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if !self.url.username().is_empty() && lacks(&self.headers, AUTHORIZATION) {
            let pair = format!("{}:{}", self.url.username(), self.url.password().unwrap_or(""));
            let basic = format!("Basic {}", STANDARD.encode(pair));
            self.headers.extend(HeaderValue::from_str(&basic).map(|it| (AUTHORIZATION, it)));
        }
    }

    /// Where an answer to this sends its asker, if that is to be followed.
    pub fn redirected(
        &self,
        answer: &response::Parts,
        definition: &CheckDefinition,
    ) -> Option<String> {
        let redirects = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        if !redirects || definition.disable_redirects {
            return None;
        }
        let location = answer.headers.get(LOCATION)?.as_bytes();
        (!location.is_empty()).then(|| String::from_utf8_lossy(location).into_owned())
    }

    /// The request that a redirect asks for, or why there is none.
    pub fn next(mut self, status: StatusCode, location: &str) -> Result<Request, String> {
        let to = self.url.join(location).map_err(|error| {
            format!("failed to parse Location header {}: {error}", lang::quote(location))
        })?;
        fits(&to)?;
        if matches!(status.as_u16(), 301..=303) && self.method != Method::HEAD {
            self.method = Method::GET;
            self.body = Bytes::new();
        }
        // A name given by hand stays only where the server does not name another itself.
        if Url::parse(location).is_ok() {
            self.host = None;
        }
        if !is_same_or_below(&to, &self.url) {
            SECRET.iter().for_each(|name| drop(self.headers.remove(name)));
        }
        self.url = to;
        self.usual_headers();
        Ok(self)
    }
}

/// How Go begins the text of a failed request: `Get`.
pub fn operation(method: &str) -> String {
    let (first, rest) = method.split_at(method.chars().next().map_or(0, char::len_utf8));
    format!("{first}{}", rest.to_lowercase())
}

/// A URL as it is shown, without a password.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return String::new();
    }
    url.into()
}

fn parse(text: &str, operation: String) -> Result<Url, String> {
    let failed = |why: &str| format!("{operation} {}: {why}", lang::quote(text));
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase if text.starts_with(':') => {
            format!("parse {}: missing protocol scheme", lang::quote(text))
        }
        url::ParseError::RelativeUrlWithoutBase => failed("unsupported protocol scheme \"\""),
        url::ParseError::EmptyHost => failed("http: no Host in request URL"),
        error => format!("parse {}: {error}", lang::quote(text)),
    })?;
    fits(&url).map_err(|why| failed(&why))?;
    Ok(url)
}

fn fits(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "http" | "https" => Ok(()),
        other => Err(format!("unsupported protocol scheme {}", lang::quote(other))),
    }
}

fn is_same_or_below(to: &Url, from: &Url) -> bool {
    let (Some(to), Some(from)) = (to.host_str(), from.host_str()) else { return false };
    to == from || to.strip_suffix(from).is_some_and(|rest| rest.ends_with('.'))
}
