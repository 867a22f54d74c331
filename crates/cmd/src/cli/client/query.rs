//! Paths and queries as Go encodes them: names sorted, blanks as `+`.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub struct Query(BTreeMap<&'static str, Vec<String>>);

impl Query {
    /// None.
    pub fn new() -> Query {
        Query::default()
    }

    /// One more.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Query {
        self.0.entry(name).or_default().push(value.to_string());
        self
    }

    /// One more, if there is a value that says something.
    pub fn with_some(mut self, name: &'static str, value: Option<&str>) -> Query {
        self.add_some(name, value);
        self
    }

    /// One more without a value, if it is wanted.
    pub fn with_flag(self, name: &'static str, wanted: bool) -> Query {
        if wanted { self.with(name, "") } else { self }
    }

    /// One more, if there is a value that says something.
    pub fn add_some(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.0.entry(name).or_default().push(value.to_owned());
        }
    }

    /// With its question mark; nothing if it is empty.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, values) in &self.0 {
            for value in values {
                text.push(if text.is_empty() { '?' } else { '&' });
                text.push_str(name);
                text.push('=');
                escape(value.as_bytes(), "-_.~", true, &mut text);
            }
        }
        text
    }
}

/// A path below `prefix`, its last part encoded.
pub fn path(prefix: &str, rest: &str) -> String {
    let mut text = prefix.to_owned();
    escape(rest.as_bytes(), "-_.~$&+,/:;=@", false, &mut text);
    text
}

fn escape(bytes: &[u8], kept: &str, plus: bool, out: &mut String) {
    for &byte in bytes {
        match byte {
            b' ' if plus => out.push('+'),
            _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_sorted_and_encoded() {
        let query = Query::new().with("recurse", "").with("dc", "a b").with("cas", 3);
        assert_eq!(query.with_flag("stale", false).text(), "?cas=3&dc=a+b&recurse=");
        assert_eq!(Query::new().with_some("dc", Some("")).text(), "");
        let twice = Query::new().with("node-meta", "a:1").with("node-meta", "b:&");
        assert_eq!(twice.text(), "?node-meta=a%3A1&node-meta=b%3A%26");
    }

    #[test]
    fn a_path_keeps_its_slashes() {
        assert_eq!(path("/v1/kv/", "a/b c?d#e%f"), "/v1/kv/a/b%20c%3Fd%23e%25f");
        assert_eq!(path("/v1/kv/", "ä"), "/v1/kv/%C3%A4");
    }
}
