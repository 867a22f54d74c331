//! Whether a row matches: a plain function of the row and the fitted expression.
//!
//! A list of rows matches if any of its rows does, whatever the operator. Where a map lacks a key,
//! what asks for something there is false and what asks for something not to be there is true; and so
//! is a pattern, as in Consul.

use super::ast::Operator;
use super::pattern::{MAX_PATTERNS, Pattern};
use super::schema::{Kind, Schema, fit};
use super::{FilterError, parse};
use crate::json::Json;
use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An expression ready for rows of one kind.
#[derive(Debug, Clone)]
pub struct Filter {
    root: Node,
    schema: &'static Schema,
}

impl Filter {
    /// Reads an expression about rows of this kind.
    pub fn compile(text: &str, schema: &'static Schema) -> Result<Filter, FilterError> {
        let expression = parse(text)?;
        let patterns = expression.patterns();
        if patterns > MAX_PATTERNS {
            return Err(FilterError::TooManyPatterns);
        }
        let root = fit(expression, schema, patterns)?;
        Ok(Filter { root, schema })
    }

    /// Whether a row matches.
    pub fn matches(&self, row: &dyn Fields) -> bool {
        self.root.holds(row, self.schema)
    }
}

/// A row whose fields can be asked for by the names its schema has.
pub trait Fields {
    /// The value of a field; of the kind that the schema says.
    fn field(&self, name: &str) -> Value<'_>;
}

/// The value of a field.
pub enum Value<'r> {
    /// A text.
    Text(Cow<'r, str>),
    /// A number of any width.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// Texts in an order.
    Texts(&'r dyn Texts),
    /// Bytes in an order.
    Bytes(Cow<'r, [u8]>),
    /// Values by key.
    Map(&'r dyn Map),
    /// Rows.
    List(&'r dyn List),
    /// A row within the row.
    One(&'r dyn Fields),
    /// The same, made for the asking.
    Made(Box<dyn Fields + 'r>),
    /// JSON that is kept as it was given, read as the schema says; a member that lacks counts as
    /// empty, as 0 or as false.
    Json(Option<&'r Json>),
}

impl<'r> From<&'r str> for Value<'r> {
    fn from(text: &'r str) -> Value<'r> {
        Value::Text(Cow::Borrowed(text))
    }
}

/// Texts in an order.
pub trait Texts {
    /// How many.
    fn count(&self) -> usize;
    /// Whether one of them is this.
    fn has(&self, text: &str) -> bool;
}

/// Values by key.
pub trait Map {
    /// How many.
    fn count(&self) -> usize;
    /// The value of a key.
    fn value(&self, key: &str) -> Option<Value<'_>>;
}

/// Rows in an order.
pub trait List {
    /// Whether it has none.
    fn is_empty(&self) -> bool;
    /// Whether this holds for one of them.
    fn any(&self, holds: &mut dyn FnMut(&dyn Fields) -> bool) -> bool;
}

impl<T: AsRef<str>> Texts for Arc<[T]> {
    fn count(&self) -> usize {
        self.len()
    }

    fn has(&self, text: &str) -> bool {
        self.iter().any(|item| item.as_ref() == text)
    }
}

impl<K: Borrow<str> + Ord, V: AsRef<str>> Map for BTreeMap<K, V> {
    fn count(&self) -> usize {
        self.len()
    }

    fn value(&self, key: &str) -> Option<Value<'_>> {
        let value: &str = self.get(key)?.as_ref();
        Some(Value::from(value))
    }
}

/// What is not there is empty.
impl<M: Map> Map for Option<M> {
    fn count(&self) -> usize {
        self.as_ref().map_or(0, Map::count)
    }

    fn value(&self, key: &str) -> Option<Value<'_>> {
        self.as_ref()?.value(key)
    }
}

/// An expression fitted to rows of one kind.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Test(Test),
}

/// One comparison.
#[derive(Debug, Clone)]
pub(super) struct Test {
    pub(super) path: Vec<String>,
    pub(super) operator: Operator,
    pub(super) operand: Operand,
}

/// What a field is compared with, of the field's type.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    None,
    Text(String),
    Int(i64),
    Bool(bool),
    Pattern(Pattern),
}

impl Node {
    fn holds(&self, row: &dyn Fields, schema: &'static Schema) -> bool {
        match self {
            Node::Any(parts) => parts.iter().any(|part| part.holds(row, schema)),
            Node::All(parts) => parts.iter().all(|part| part.holds(row, schema)),
            Node::Not(part) => !part.holds(row, schema),
            Node::Test(test) => test.holds(&test.path, Value::One(row), Kind::One(schema)),
        }
    }
}

impl Test {
    fn holds(&self, path: &[String], value: Value<'_>, kind: Kind) -> bool {
        let Some((name, rest)) = path.split_first() else { return self.compare(&value, kind) };
        let Some(below) = kind.below(name) else { return false };
        match value {
            Value::One(row) => self.holds(rest, row.field(name), below),
            Value::Made(row) => self.holds(rest, row.field(name), below),
            Value::List(rows) => rows.any(&mut |row| self.holds(rest, row.field(name), below)),
            Value::Map(map) => match map.value(name) {
                Some(value) => self.holds(rest, value, below),
                None => self.holds_for_nothing(),
            },
            Value::Json(json) => match (kind, json) {
                (Kind::List(_), Some(Json::Array(items))) => items
                    .iter()
                    .any(|item| self.holds(rest, Value::Json(member(Some(item), name)), below)),
                (Kind::List(_), _) => false,
                (Kind::Map(_), json) => match member(json, name) {
                    Some(value) => self.holds(rest, Value::Json(Some(value)), below),
                    None => self.holds_for_nothing(),
                },
                _ => self.holds(rest, Value::Json(member(json, name)), below),
            },
            _ => false,
        }
    }

    /// What holds of a key that a map does not have.
    fn holds_for_nothing(&self) -> bool {
        !matches!(self.operator, Operator::Equal | Operator::IsNotEmpty | Operator::In)
    }

    fn compare(&self, value: &Value<'_>, kind: Kind) -> bool {
        match self.operator {
            Operator::Equal => self.equals(value, kind),
            Operator::NotEqual => !self.equals(value, kind),
            Operator::In => self.is_in(value),
            Operator::NotIn => !self.is_in(value),
            Operator::IsEmpty => is_empty(value),
            Operator::IsNotEmpty => !is_empty(value),
            Operator::Matches => self.is_matched(value),
            Operator::NotMatches => !self.is_matched(value),
        }
    }

    fn equals(&self, value: &Value<'_>, kind: Kind) -> bool {
        match (value, &self.operand) {
            (Value::Text(is), Operand::Text(wanted)) => is == wanted,
            (Value::Int(is), Operand::Int(wanted)) => is == wanted,
            (Value::Bool(is), Operand::Bool(wanted)) => is == wanted,
            (Value::Json(json), Operand::Text(wanted)) => text(*json) == wanted,
            (Value::Json(json), Operand::Int(wanted)) => match json {
                Some(Json::Number(digits)) => digits.parse() == Ok(*wanted),
                _ => *wanted == 0,
            },
            (Value::Json(json), Operand::Bool(wanted)) => {
                debug_assert!(matches!(kind, Kind::Bool));
                matches!(json, Some(Json::Bool(true))) == *wanted
            }
            _ => false,
        }
    }

    fn is_in(&self, value: &Value<'_>) -> bool {
        match (value, &self.operand) {
            (Value::Text(is), Operand::Text(wanted)) => is.contains(wanted.as_str()),
            (Value::Texts(texts), Operand::Text(wanted)) => texts.has(wanted),
            (Value::Map(map), Operand::Text(wanted)) => map.value(wanted).is_some(),
            (Value::Bytes(bytes), Operand::Int(wanted)) => {
                bytes.iter().any(|byte| i64::from(*byte) == *wanted)
            }
            (Value::Json(Some(Json::Array(items))), Operand::Text(wanted)) => {
                items.iter().any(|item| matches!(item, Json::String(is) if is == wanted))
            }
            (Value::Json(json @ Some(Json::Object(_))), Operand::Text(wanted)) => {
                member(*json, wanted).is_some()
            }
            (Value::Json(json), Operand::Text(wanted)) => text(*json).contains(wanted.as_str()),
            _ => false,
        }
    }

    fn is_matched(&self, value: &Value<'_>) -> bool {
        let Operand::Pattern(pattern) = &self.operand else { return false };
        match value {
            Value::Text(is) => pattern.is_match(is),
            Value::Json(json) => pattern.is_match(text(*json)),
            _ => false,
        }
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Texts(texts) => texts.count() == 0,
        Value::Map(map) => map.count() == 0,
        Value::List(rows) => rows.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::Json(Some(Json::Array(items))) => items.is_empty(),
        Value::Json(Some(Json::Object(members))) => members.is_empty(),
        Value::Json(_) => true,
        Value::Text(_) | Value::Int(_) | Value::Bool(_) => false,
        Value::One(_) | Value::Made(_) => false,
    }
}

fn member<'j>(json: Option<&'j Json>, name: &str) -> Option<&'j Json> {
    match json {
        Some(Json::Object(members)) => {
            members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
        }
        _ => None,
    }
}

fn text(json: Option<&Json>) -> &str {
    match json {
        Some(Json::String(text)) => text,
        _ => "",
    }
}
