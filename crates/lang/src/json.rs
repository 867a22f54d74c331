//! JSON as Go's `encoding/json` reads a stream: the first value, and whatever follows is not looked at.
//!
//! Objects keep all their members in order, doubled keys too, since Go assigns one after the other.
//! Numbers keep their text: 64-bit flags must not pass through a float.

use crate::quote_char;

/// How deep values may be nested.
const DEPTH: usize = 500;

/// How many values one text may hold: small ones take many times the memory of their text.
const VALUES: usize = 200_000;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A string; what is not UTF-8 or no character became U+FFFD.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Members in the order given.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Go's word for what kind of value this is.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "bool",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    /// The value as compact JSON with the keys of objects sorted and the last of doubled keys kept.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(text) => out.push_str(text),
            Json::String(text) => write_string(out, text),
            Json::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                let sorted: std::collections::BTreeMap<&str, &Json> =
                    members.iter().map(|(key, value)| (key.as_str(), value)).collect();
                out.push('{');
                for (n, (key, value)) in sorted.into_iter().enumerate() {
                    if n > 0 {
                        out.push(',');
                    }
                    write_string(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Why the text is no JSON; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// There is nothing but blanks.
    #[error("EOF")]
    Empty,
    /// It ends in the middle of a value.
    #[error("unexpected EOF")]
    Cut,
    /// A character that cannot stand there.
    #[error("invalid character {} {place}", quote_char(*character))]
    Unexpected {
        /// The character.
        character: char,
        /// Where it stands, in Go's words.
        place: &'static str,
    },
    /// Values are nested too deep.
    #[error("exceeded max depth")]
    TooDeep,
    /// There are too many values; Go has no such limit.
    #[error("exceeded max number of values")]
    TooMany,
}

/// Reads the first value.
pub fn parse(bytes: &[u8]) -> Result<Json, JsonError> {
    let mut reader = Reader { bytes, at: 0, values: 0 };
    if reader.peek_token().is_none() {
        return Err(JsonError::Empty);
    }
    reader.value(0)
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    values: usize,
}

const VALUE: &str = "looking for beginning of value";

impl Reader<'_> {
    fn peek_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, JsonError> {
        let byte = self.bytes.get(self.at).copied().ok_or(JsonError::Cut)?;
        self.at += 1;
        Ok(byte)
    }

    fn token(&mut self) -> Result<u8, JsonError> {
        self.peek_token().ok_or(JsonError::Cut)
    }

    /// Go looks at bytes, so a byte beyond ASCII is named as the Latin-1 character of its number.
    fn unexpected<T>(&self, byte: u8, place: &'static str) -> Result<T, JsonError> {
        Err(JsonError::Unexpected { character: char::from(byte), place })
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.values += 1;
        if self.values > VALUES {
            return Err(JsonError::TooMany);
        }
        match self.token()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Json::String),
            b't' => self.literal(b"true", TRUE, Json::Bool(true)),
            b'f' => self.literal(b"false", FALSE, Json::Bool(false)),
            b'n' => self.literal(b"null", NULL, Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            byte => self.unexpected(byte, VALUE),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut members = Vec::new();
        if self.token()? == b'}' {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            match self.token()? {
                b'"' => {}
                byte => return self.unexpected(byte, "looking for beginning of object key string"),
            }
            let key = self.string()?;
            match self.token()? {
                b':' => self.at += 1,
                byte => return self.unexpected(byte, "after object key"),
            }
            members.push((key, self.value(depth + 1)?));
            match self.token()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                byte => return self.unexpected(byte, "after object key:value pair"),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        if self.token()? == b']' {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.token()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                byte => return self.unexpected(byte, "after array element"),
            }
        }
    }

    fn literal(
        &mut self,
        word: &[u8],
        places: &'static [&'static str],
        value: Json,
    ) -> Result<Json, JsonError> {
        self.at += 1;
        for (expected, place) in word[1..].iter().zip(places) {
            match self.next()? {
                byte if byte == *expected => {}
                byte => return self.unexpected(byte, place),
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            byte => return self.unexpected(byte, "in numeric literal"),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            match self.next()? {
                b'0'..=b'9' => self.digits(),
                byte => return self.unexpected(byte, "after decimal point in numeric literal"),
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            match self.next()? {
                b'0'..=b'9' => self.digits(),
                byte => return self.unexpected(byte, "in exponent of numeric literal"),
            }
        }
        let text = String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned();
        Ok(Json::Number(text))
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let start = self.at;
        self.plain();
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            // Nearly every one: taken as it stands.
            let text = &self.bytes[start..self.at - 1];
            return Ok(match std::str::from_utf8(text) {
                Ok(text) => text.to_owned(),
                Err(_) => String::from_utf8_lossy(text).into_owned(),
            });
        }
        let mut out = self.bytes[start..self.at].to_vec();
        loop {
            match self.next()? {
                b'"' => return Ok(String::from_utf8_lossy(&out).into_owned()),
                b'\\' => {
                    let c = self.escaped()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                byte if byte < 0x20 => return self.unexpected(byte, "in string literal"),
                byte => {
                    let start = self.at;
                    self.plain();
                    out.push(byte);
                    out.extend_from_slice(&self.bytes[start..self.at]);
                }
            }
        }
    }

    /// Goes past what stands for itself in a string.
    fn plain(&mut self) {
        let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | ..0x20);
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
    }

    fn escaped(&mut self) -> Result<char, JsonError> {
        Ok(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            byte => return self.unexpected(byte, "in string escape code"),
        })
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // A lone half becomes U+FFFD, and what follows it is read by itself.
        let mark = self.at;
        if self.bytes[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let both = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.at = mark;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut value = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            let Some(digit) = char::from(byte).to_digit(16) else {
                return self.unexpected(byte, "in \\u hexadecimal character escape");
            };
            value = value * 16 + digit;
        }
        Ok(value)
    }
}

const TRUE: &[&str] = &[
    "in literal true (expecting 'r')",
    "in literal true (expecting 'u')",
    "in literal true (expecting 'e')",
];
const FALSE: &[&str] = &[
    "in literal false (expecting 'a')",
    "in literal false (expecting 'l')",
    "in literal false (expecting 's')",
    "in literal false (expecting 'e')",
];
const NULL: &[&str] = &[
    "in literal null (expecting 'u')",
    "in literal null (expecting 'l')",
    "in literal null (expecting 'l')",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let read = parse(text.as_bytes());
        let read = read.map(|json| json.canonical()).map_err(|error| error.to_string());
        assert_eq!(read, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
    }

    #[test]
    fn the_first_value_counts_and_the_rest_is_not_read() {
        check(
            r#" {"b" : [1, 2.5e3, -0] , "a":null} trailing"#,
            Ok(r#"{"a":null,"b":[1,2.5e3,-0]}"#),
        );
        check(r#"{"a":1,"a":2}"#, Ok(r#"{"a":2}"#));
        check("true}", Ok("true"));
        check(r#""\u00fc\ud83d\ude00\ud800x\n\u0001""#, Ok("\"ü😀\u{fffd}x\\n\\u0001\""));
        check("18446744073709551615", Ok("18446744073709551615"));
    }

    #[test]
    fn a_refusal_says_what_go_says() {
        check("", Err("EOF"));
        check(" \n", Err("EOF"));
        check("{", Err("unexpected EOF"));
        check("{bad", Err("invalid character 'b' looking for beginning of object key string"));
        check("nope", Err("invalid character 'o' in literal null (expecting 'u')"));
        check("x", Err("invalid character 'x' looking for beginning of value"));
        check("[1 2]", Err("invalid character '2' after array element"));
        check(r#"{"a" 1}"#, Err("invalid character '1' after object key"));
        check(r#"{"a":1 "b"}"#, Err("invalid character '\"' after object key:value pair"));
        check("[1,]", Err("invalid character ']' looking for beginning of value"));
        check("{\"a\":\"\n\"}", Err("invalid character '\\n' in string literal"));
        check(r#""\x""#, Err("invalid character 'x' in string escape code"));
        check("-x", Err("invalid character 'x' in numeric literal"));
        check("1.x", Err("invalid character 'x' after decimal point in numeric literal"));
        check(&"[".repeat(2_000), Err("exceeded max depth"));
        check(&format!("[{}0]", "0,".repeat(200_000)), Err("exceeded max number of values"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_canonical_text_reads_back_as_itself(text in "[\\[\\]{}\":,a1 ]{0,24}") {
            if let Ok(json) = parse(text.as_bytes()) {
                prop_assert_eq!(parse(json.canonical().as_bytes()).map(|j| j.canonical()), Ok(json.canonical()));
            }
        }
    }
}
