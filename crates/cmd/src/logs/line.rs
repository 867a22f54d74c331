//! One line: when, how bad, from which part, what, and its fields; as text or as JSON.
//!
//! JSON has Consul's keys (`@level`, `@message`, `@module`, `@timestamp`), so that what collects
//! Consul's lines collects ours.

use jiff::Timestamp;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::{Debug, Write};
use tracing::Level;
use tracing::field::{Field, Visit};

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: `2026-11-21T15:34:00.000Z [INFO]  cluster: leader elected: node=n1 term=3`.
    Text,
    /// An object a line.
    Json,
}

/// The values of an event or of a span, in order.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    message: String,
    values: Vec<(&'static str, Value)>,
}

/// What is written.
#[derive(Debug, Clone)]
pub struct Line<'l> {
    time: Timestamp,
    level: Level,
    module: &'l str,
    message: Cow<'l, str>,
    fields: Fields,
}

impl Fields {
    /// Adds what a span around has and this has not.
    pub fn add(&mut self, outer: &Fields) {
        for (name, value) in &outer.values {
            if self.get(name).is_none() {
                self.values.push((name, value.clone()));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => {
                self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            }
            name => self.values.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

impl<'l> Line<'l> {
    /// A line of this moment. The part that speaks is the crate of its target.
    pub fn now(level: Level, target: &'l str, mut fields: Fields) -> Line<'l> {
        let module = match target.split("::").next().unwrap_or_default() {
            "rutter" => "process",
            krate => krate,
        };
        let message = Cow::Owned(std::mem::take(&mut fields.message));
        Line { time: Timestamp::now(), level, module, message, fields }
    }

    /// What it says, without its fields.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A field as text.
    pub fn field(&self, name: &str) -> Option<String> {
        let value = self.fields.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The same moment in other words, which need no fields.
    pub fn saying(&self, words: String) -> Line<'l> {
        Line { message: Cow::Owned(words), fields: Fields::default(), ..*self }
    }

    /// The line with its end.
    pub fn told(&self, format: Format, colours: bool) -> String {
        match format {
            Format::Text => self.text(colours),
            Format::Json => self.json(),
        }
    }

    fn time(&self) -> String {
        self.time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
    }

    fn text(&self, colours: bool) -> String {
        let (name, colour) = match self.level {
            Level::ERROR => ("[ERROR]", 31),
            Level::WARN => ("[WARN] ", 33),
            Level::INFO => ("[INFO] ", 32),
            Level::DEBUG => ("[DEBUG]", 34),
            Level::TRACE => ("[TRACE]", 35),
        };
        let level = match colours {
            true => format!("\u{1b}[{colour}m{name}\u{1b}[0m"),
            false => name.to_owned(),
        };
        let message = one_line(&self.message);
        let mut line = format!("{} {level} {}: {message}", self.time(), self.module);
        let mut before = ": ";
        for (name, value) in &self.fields.values {
            write!(line, "{before}{name}={}", shown(value)).expect("a string");
            before = " ";
        }
        line.push('\n');
        line
    }

    fn json(&self) -> String {
        let level = self.level.as_str().to_ascii_lowercase();
        let mut object = Map::new();
        object.insert("@level".into(), level.into());
        object.insert("@message".into(), self.message.as_ref().into());
        object.insert("@module".into(), self.module.into());
        object.insert("@timestamp".into(), self.time().into());
        for (name, value) in &self.fields.values {
            object.insert((*name).into(), value.clone());
        }
        let mut line = Value::Object(object).to_string();
        line.push('\n');
        line
    }
}

/// A value as text: in quotes where it has blanks or signs that a terminal would obey.
fn shown(value: &Value) -> String {
    let Some(text) = value.as_str() else { return value.to_string() };
    let plain = |sign: char| !sign.is_whitespace() && !sign.is_control() && sign != '"';
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("{text:?}"),
    }
}

fn one_line(text: &str) -> Cow<'_, str> {
    match text.chars().any(char::is_control) {
        true => text.escape_debug().to_string().into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, values: &[(&'static str, Value)]) -> Line<'static> {
        let fields = Fields { message: "leader\nelected".to_owned(), values: values.to_vec() };
        let line = Line::now(level, "cluster::duties", fields);
        Line { time: Timestamp::from_millisecond(1_795_275_240_007).expect("a time"), ..line }
    }

    #[test]
    fn a_line_is_one_line_of_text_whatever_its_values_hold() {
        let fields = [
            ("node", "n1".into()),
            ("term", 3.into()),
            ("why", "a \"b\"\n\u{1b}[31m".into()),
            ("empty", "".into()),
        ];
        let said = line(Level::INFO, &fields).told(Format::Text, false);
        let wanted = "2026-11-21T15:34:00.007Z [INFO]  cluster: leader\\nelected: node=n1 term=3 \
                      why=\"a \\\"b\\\"\\n\\u{1b}[31m\" empty=\"\"\n";
        assert_eq!(said, wanted);
        let bad = line(Level::ERROR, &[]).told(Format::Text, true);
        assert!(bad.contains("\u{1b}[31m[ERROR]\u{1b}[0m cluster: "), "{bad}");
    }

    #[test]
    fn json_has_consuls_keys_and_values_of_their_types() {
        let fields = [("node", "n1".into()), ("term", 3.into()), ("healthy", true.into())];
        let said = line(Level::WARN, &fields).told(Format::Json, true);
        let wanted = r#"{"@level":"warn","@message":"leader\nelected","@module":"cluster","@timestamp":"2026-11-21T15:34:00.007Z","node":"n1","term":3,"healthy":true}"#;
        assert_eq!(said, format!("{wanted}\n"));
    }

    #[test]
    fn of_a_field_of_the_event_and_of_the_span_the_events_counts() {
        let mut inner = Fields { values: vec![("request", "a".into())], ..Fields::default() };
        let outer = vec![("request", "b".into()), ("path", "/".into())];
        inner.add(&Fields { values: outer, ..Fields::default() });
        assert_eq!(inner.values, [("request", "a".into()), ("path", "/".into())]);
    }
}
