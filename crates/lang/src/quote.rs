//! Quoting as Go's `strconv` does it in error texts.

use std::fmt::Write;

/// The text in double quotes, with Go's escapes for what cannot be printed.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        escape(&mut out, c, '"');
    }
    out.push('"');
    out
}

/// One character in single quotes, as Go's JSON decoder names the one it did not expect.
pub fn quote_char(c: char) -> String {
    match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => {
            let mut out = String::from("'");
            escape(&mut out, c, '"');
            out.push('\'');
            out
        }
    }
}

fn escape(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str(r"\\"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        '\x07' => out.push_str(r"\a"),
        '\x08' => out.push_str(r"\b"),
        '\x0c' => out.push_str(r"\f"),
        '\n' => out.push_str(r"\n"),
        '\r' => out.push_str(r"\r"),
        '\t' => out.push_str(r"\t"),
        '\x0b' => out.push_str(r"\v"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            // Writing to a string cannot fail.
            let _ = write!(out, r"\x{:02x}", c as u32);
        }
        c if c.is_control() => {
            let _ = write!(out, r"\u{:04x}", c as u32);
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        assert_eq!(quote("a\"b\\c\n\x01é\u{85}"), "\"a\\\"b\\\\c\\n\\x01é\\u0085\"");
        assert_eq!(quote_char('b'), "'b'");
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
        assert_eq!(quote_char('\n'), r"'\n'");
    }
}
