//! What a configuration file says, whichever language it is written in, with the line of each part.
//!
//! Members keep their order and stand doubled where they were written twice: what that means (the last
//! wins, blocks are appended) is for whoever knows the keys.

use crate::json::Json;
use std::fmt;

/// How deep values may be nested; deeper is refused.
pub const DEPTH: usize = 100;

/// How many values one file may hold; more are refused.
pub const VALUES: usize = 200_000;

/// A place in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`, in JSON only.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number in decimal, as JSON writes it.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// Members in the order given, doubled ones too.
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub tree: Tree,
}

/// Why a text cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct SyntaxError {
    /// Where it went wrong.
    pub place: Place,
    /// What is wrong there.
    pub why: String,
}

impl Tree {
    /// The word for what it is.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Object(_) => "object",
        }
    }

    /// The same without places.
    pub fn json(self) -> Json {
        match self.value {
            Value::Null => Json::Null,
            Value::Bool(is) => Json::Bool(is),
            Value::Number(text) => Json::Number(text),
            Value::Text(text) => Json::String(text),
            Value::List(items) => Json::Array(items.into_iter().map(Tree::json).collect()),
            Value::Object(members) => Json::Object(
                members.into_iter().map(|member| (member.key, member.tree.json())).collect(),
            ),
        }
    }
}
