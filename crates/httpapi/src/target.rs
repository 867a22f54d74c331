//! The target of a request: a raw path and a query string, taken apart as Go does.
//!
//! The raw path is what routes match, since an encoded `/` or `..` belongs to a key; each part is
//! decoded once, after.

/// Decodes percent escapes; `None` where one is malformed.
pub fn decode(text: &str, plus_is_blank: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if plus_is_blank => out.push(b' '),
            byte => out.push(byte),
        }
    }
    Some(out)
}

/// Whether [`clean`] would leave a path as it is.
pub fn is_clean(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else { return false };
    let parts = path.strip_suffix('/').unwrap_or(path);
    path.is_empty() || parts.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The path without `//`, `.` and `..`; a trailing slash stays.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut out = format!("/{}", parts.join("/"));
    let directory = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    if directory && out.len() > 1 {
        out.push('/');
    }
    out
}

/// Whether everything in the text can be printed.
pub fn is_printable(text: &str) -> bool {
    text.chars().all(model::is_printable)
}

/// A query string: names and values in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a query string apart; `None` where it is malformed (a bad escape, or a `;`).
    pub fn parse(text: &str) -> Option<Query> {
        let mut pairs = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            if part.contains(';') {
                return None;
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let text = |raw| Some(String::from_utf8_lossy(&decode(raw, true)?).into_owned());
            pairs.push((text(name)?, text(value)?));
        }
        Some(Query(pairs))
    }

    /// The first value of a name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a name, unless it is empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    /// Whether a name is there, whatever its value: how most of Consul's booleans are read.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// All values of a name.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> + 'q {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All names and values in the order given.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The query string with the names sorted, as Go writes it.
    pub fn sorted(&self) -> String {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_and_its_escapes_are_not() {
        for (path, cleaned) in [
            ("/v1/kv/a//b", "/v1/kv/a/b"),
            ("/v1/kv///lead", "/v1/kv/lead"),
            ("/v1/kv/dot/../dot", "/v1/kv/dot"),
            ("/v1/kv/.", "/v1/kv/"),
            ("/v1/kv/%2e%2e/up", "/v1/kv/%2e%2e/up"),
            ("/v1/kv/tail/", "/v1/kv/tail/"),
            ("/../..", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/", "/a/"),
            ("/a//", "/a/"),
            ("/.", "/"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
            assert_eq!(is_clean(path), path == cleaned, "{path}");
            assert!(is_clean(cleaned), "{cleaned}");
        }
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(decode("a%2Fb%25+", false).unwrap(), b"a/b%+");
        assert_eq!(decode("a+b", true).unwrap(), b"a b");
        for bad in ["%", "%2", "%zz"] {
            assert_eq!(decode(bad, false), None, "{bad}");
        }
    }

    #[test]
    fn a_query_keeps_order_and_repetitions() {
        let query = Query::parse("tag=a&&passing&tag=b%20c&x=1=2").unwrap();
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b c"]);
        assert!(query.has("passing") && query.given("passing").is_none());
        assert_eq!(query.first("x"), Some("1=2"));
        assert_eq!(query.sorted(), "passing=&tag=a&tag=b+c&x=1%3D2");
        for bad in ["x=%zz", "%zz=1", "a;b"] {
            assert_eq!(Query::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn control_characters_are_not_printable() {
        for (text, printable) in [
            ("a b", true),
            ("é😀\u{fffd}", true),
            ("a\0b", false),
            ("\n", false),
            ("\u{a0}", false),
        ] {
            assert_eq!(is_printable(text), printable, "{text:?}");
        }
    }
}
