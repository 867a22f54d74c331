//! What people and scripts read: lines, tables in Consul's two layouts, JSON. Only `why` is coloured, by itself.
//!
//! Names, notes and outputs of checks are strangers' words, and a terminal obeys what it is sent: all of it
//! goes through [`plain`], but for values of keys, which are printed as they are.

use super::failure::Outcome;
use clap::ValueEnum;
use model::is_obeyed;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{self, Write};

/// Prints lines; a closed pipe ends the program quietly, as it does others.
pub fn say(lines: &str) {
    say_bytes(plain_lines(lines).as_bytes());
}

/// Prints bytes as they are, and a line's end.
pub fn say_bytes(bytes: &[u8]) {
    write_line(&mut io::stdout().lock(), bytes);
}

/// Prints a line on stderr, unless it is empty.
pub fn complain(line: &str) {
    if !line.is_empty() {
        write_line(&mut io::stderr().lock(), plain_lines(line).as_bytes());
    }
}

/// A text on one line, with what a terminal would obey in Go's escapes.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed, |letter| match letter {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\0'..='\x7f' => format!("\\x{:02x}", letter as u32),
        _ => format!("\\u{:04x}", letter as u32),
    })
}

/// The same of a text that has lines and columns already.
fn plain_lines(text: &str) -> Cow<'_, str> {
    let lays_out = |letter| matches!(letter, '\n' | '\t');
    escaped(
        text,
        |letter| is_obeyed(letter) && !lays_out(letter),
        |letter| plain(letter.encode_utf8(&mut [0; 4])).into_owned(),
    )
}

/// The same of JSON, in its own escapes: only its texts have such characters.
pub fn plain_json(json: &str) -> Cow<'_, str> {
    let lays_out = |letter| matches!(letter, '\n' | '\t');
    let escape = |letter| format!("\\u{:04x}", letter as u32);
    escaped(json, |letter| is_obeyed(letter) && !lays_out(letter), escape)
}

fn escaped(
    text: &str,
    is_bad: impl Fn(char) -> bool,
    escape: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return Cow::Borrowed(text);
    }
    let mut told = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match is_bad(letter) {
            true => told.push_str(&escape(letter)),
            false => told.push(letter),
        }
    }
    Cow::Owned(told)
}

fn write_line(out: &mut dyn Write, bytes: &[u8]) {
    let mut written = || {
        out.write_all(bytes)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    if written().is_err() {
        std::process::exit(1);
    }
}

/// How a list is printed.
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people
    #[default]
    Pretty,
    /// The agent's own JSON, indented
    Json,
}

/// Prints JSON as Consul's commands indent it.
pub fn say_json(value: &Value, indent: &str) -> Outcome {
    say(&plain_json(&json(value, indent)?));
    Ok(())
}

/// JSON, indented.
pub fn json(value: &Value, indent: &str) -> Result<String, String> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(value, &mut serializer).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Rows as columns two blanks apart; the last cell of a row is not padded.
pub fn columns(rows: &[Vec<String>]) -> String {
    let cells = |row: &Vec<String>| row.iter().map(|cell| plain(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let cells = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| rows.iter().filter_map(|row| row.get(n)).map(|cell| length(cell)).max();
    let widths: Vec<usize> = (0..cells).map(|n| width(n).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (n, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if n + 1 < row.len() {
                line.extend(std::iter::repeat_n(' ', widths[n] - length(cell) + 2));
            }
        }
        line
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Names and values, the values six blanks behind the longest name.
pub fn pairs(rows: &[(String, String)]) -> String {
    let rows = rows.iter().map(|(name, value)| (plain(name), plain(value)));
    let rows: Vec<(Cow<'_, str>, Cow<'_, str>)> = rows.collect();
    let width = rows.iter().map(|(name, _)| length(name)).max().unwrap_or(0) + 6;
    let line = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| {
        format!("{name}{}{value}", " ".repeat(width - length(name)))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// A cell of a row.
pub fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text).into_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A map as `a=1, b=2`, sorted.
pub fn map(value: &Value) -> String {
    let members = value.as_object().into_iter().flatten();
    let mut told: Vec<_> =
        members.map(|(name, value)| format!("{}={}", plain(name), cell(value))).collect();
    told.sort();
    told.join(", ")
}

/// What Go says of a file that cannot be opened.
pub fn file_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "open: no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "open: permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["Node", "ID", "DC"], ["n1", "12345678", "dc1"], ["a-long-name", "", "dc1"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        let expected =
            "Node         ID        DC\nn1           12345678  dc1\na-long-name            dc1";
        assert_eq!(columns(&rows), expected);
        assert_eq!(columns(&[]), "");
    }

    #[test]
    fn a_terminal_is_not_made_to_do_what_strangers_write() {
        for (text, expected) in [
            ("web-1 é 日", "web-1 é 日"),
            ("\u{1b}[2Jgone\u{7}", "\\x1b[2Jgone\\x07"),
            ("two\nlines\tand\rmore", "two\\nlines\\tand\\rmore"),
            ("\u{9b}31m \u{7f} \u{202e}gnp.exe", "\\u009b31m \\x7f \\u202egnp.exe"),
        ] {
            assert_eq!(plain(text), expected);
            assert_eq!(cell(&Value::from(text)), expected);
            assert_eq!(map(&serde_json::json!({ text: text })), format!("{expected}={expected}"));
            assert_eq!(columns(&[vec![text.to_owned()]]), expected);
            let pair = pairs(&[(text.to_owned(), text.to_owned())]);
            assert!(pair.starts_with(expected) && pair.ends_with(expected), "{pair}");
        }
        assert_eq!(plain_lines("a\n\tb\u{1b}c"), "a\n\tb\\x1bc");
    }

    #[test]
    fn values_stand_behind_the_longest_name() {
        let rows =
            [("Key".to_owned(), "a".to_owned()), ("CreateIndex".to_owned(), "12".to_owned())];
        assert_eq!(pairs(&rows), "Key              a\nCreateIndex      12");
    }

    #[test]
    fn a_map_is_sorted() {
        assert_eq!(map(&serde_json::json!({"b": "2", "a": "1"})), "a=1, b=2");
    }
}
