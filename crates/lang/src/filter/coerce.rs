//! Literals and values, read as Go's `strconv` reads them.

use crate::number::NumberError;
use std::str::Chars;

/// The text between two quotes; `None` where an escape in it is none.
pub fn unquote(inner: &str, quote: &str) -> Option<String> {
    if quote == "`" {
        return Some(inner.replace('\r', ""));
    }
    if inner.contains('\n') {
        return None;
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut rest, &mut out)?,
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    // Escapes can name bytes that are no text; what is compared here is text.
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// One escape after its backslash.
fn escape(rest: &mut Chars<'_>, out: &mut Vec<u8>) -> Option<()> {
    if let Some(high) = digits(rest, 1, 8) {
        out.push(u8::try_from(high * 64 + digits(rest, 2, 8)?).ok()?);
        return Some(());
    }
    let kind = rest.next()?;
    let byte = match kind {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        'x' => u8::try_from(digits(rest, 2, 16)?).ok()?,
        'u' | 'U' => {
            let c = char::from_u32(digits(rest, if kind == 'u' { 4 } else { 8 }, 16)?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    out.push(byte);
    Some(())
}

/// So many digits, if they are there.
fn digits(rest: &mut Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    let text = rest.as_str().get(..count)?;
    let text = text.chars().all(|c| c.is_digit(radix)).then_some(text)?;
    let value = u32::from_str_radix(text, radix).ok()?;
    *rest = rest.as_str()[count..].chars();
    Some(value)
}

/// A signed number: decimal, or with Go's prefixes and underscores.
pub fn signed(text: &str) -> Result<i64, NumberError> {
    let function = "ParseInt";
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let range = || NumberError::Range { function, text: text.to_owned() };
    let size = magnitude(digits)
        .ok_or_else(|| NumberError::Syntax { function, text: text.to_owned() })?
        .ok_or_else(range)?;
    let value = i128::from(size);
    i64::try_from(if negative { -value } else { value }).map_err(|_| range())
}

/// An unsigned number of this many bits.
pub fn unsigned(text: &str, bits: u32) -> Result<u64, NumberError> {
    let function = "ParseUint";
    let size = magnitude(text);
    let size = size.ok_or_else(|| NumberError::Syntax { function, text: text.to_owned() })?;
    size.filter(|size| bits >= 64 || size >> bits == 0)
        .ok_or_else(|| NumberError::Range { function, text: text.to_owned() })
}

/// Digits with an optional prefix for their base; `None` if they are none, `Some(None)` if too many.
fn magnitude(text: &str) -> Option<Option<u64>> {
    let prefixed = text.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match prefixed.as_deref() {
        Some("0x") => (16, &text[2..]),
        Some("0b") => (2, &text[2..]),
        Some("0o") => (8, &text[2..]),
        Some(octal) if octal.starts_with('0') => (8, &text[1..]),
        _ => (10, text),
    };
    // An underscore stands between digits, or between a prefix and a digit.
    let has_prefix = digits.len() < text.len();
    let lone = |part: (usize, &str)| part.1.is_empty() && (part.0 > 0 || !has_prefix);
    if digits.is_empty() || digits.split('_').enumerate().any(lone) {
        return None;
    }
    let mut size = Some(0u64);
    for digit in digits.chars().filter(|c| *c != '_') {
        let digit = u64::from(digit.to_digit(radix)?);
        size = size.and_then(|n| n.checked_mul(u64::from(radix))?.checked_add(digit));
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_prefixes_and_underscores() {
        for (text, value) in [
            ("0", 0),
            ("80", 80),
            ("-80", -80),
            ("+8", 8),
            ("0x50", 80),
            ("0X5_0", 80),
            ("0b101", 5),
            ("0o17", 15),
            ("017", 15),
            ("1_000", 1000),
            ("0x_1", 1),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(signed(text), Ok(value), "{text}");
        }
        for text in ["", "-", "abc", "1.5", "1__0", "1_", "_1", "0x", "08", "80 ", "--1", "é"] {
            let error = signed(text).unwrap_err().to_string();
            assert_eq!(error, format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
        }
        let error = signed("9223372036854775808").unwrap_err().to_string();
        assert!(error.ends_with("value out of range"), "{error}");
        assert_eq!(unsigned("255", 8), Ok(255));
        let error = unsigned("256", 8).unwrap_err().to_string();
        assert_eq!(error, "strconv.ParseUint: parsing \"256\": value out of range");
        assert!(unsigned("-1", 8).is_err());
    }

    #[test]
    fn escapes_are_those_of_go() {
        for (inner, text) in [
            ("plain é", Some("plain é")),
            (r"a\tb\n\\\a\b\f\r\v", Some("a\tb\n\\\x07\x08\x0c\r\x0b")),
            (r"\x41\101\u00e9\U0001F600", Some("AAé😀")),
            (r"\xff", Some("\u{fffd}")),
            (r"\q", None),
            (r"\'", None),
            (r"\x4", None),
            (r"\400", None),
            (r"\18", None),
            (r"\ud800", None),
            (r"\x4é", None),
            (r"\", None),
            ("a\nb", None),
        ] {
            assert_eq!(unquote(inner, "\"").as_deref(), text, "{inner}");
        }
        assert_eq!(unquote("a\\q\r\nb", "`").as_deref(), Some("a\\q\nb"));
    }
}
