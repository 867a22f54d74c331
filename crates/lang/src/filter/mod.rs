//! Filter expressions, the small language of `?filter=`.
//!
//! Clients print Consul's complaints and people search for them, so the parser takes what Consul's
//! takes and complains in the same words at the same place: it keeps where matching got furthest and
//! what was looked for there, as a parser of that grammar does (`parse`). An expression is compiled
//! once against the fields that its rows have (`schema`), so that what it asks wrongly is told before
//! a row is looked at, and is then a plain function of a row (`evaluate`).
//!
//! ```text
//! or      = and { "or" and }            match = selector ( "==" | "!=" ) value
//! and     = not { "and" not }                 | selector [ "not" ] ( "contains" | "matches" ) value
//! not     = "not" not | grouping              | selector "is" [ "not" ] "empty"
//! grouping = "(" or ")" | match               | value [ "not" ] "in" selector
//! selector = name { "." name | "[" text "]" }  value = selector | number | text
//! ```
//!
//! Source: Consul, "API: filtering"; the recorded story 26.

mod ast;
mod coerce;
mod evaluate;
mod parse;
mod pattern;
mod schema;
#[cfg(test)]
mod tests;

pub use ast::{Expression, Match, Operator, Selector};
pub use evaluate::{Fields, Filter, List, Map, Texts, Value};
pub use parse::{MAX_DEPTH, MAX_LENGTH, parse};
pub use pattern::{MAX_PATTERN_BYTES, MAX_PATTERNS, MAX_PATTERNS_BYTES, Pattern};
pub use schema::{Kind, Schema};

/// Why an expression is refused. The texts are Consul's, without what it puts before them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is not written as an expression; one line a complaint, each with its place.
    #[error("{0}")]
    Syntax(String),
    /// It is longer than [`MAX_LENGTH`].
    #[error("the expression has {0} bytes, the most are {MAX_LENGTH}")]
    TooLong(usize),
    /// Its parentheses and `not` go deeper than [`MAX_DEPTH`].
    #[error("the expression is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The rows have no such field.
    #[error("Selector {} is not valid", crate::quote(.0))]
    NoSuchField(String),
    /// The field cannot be matched in this way.
    #[error("Invalid match operator {} for selector {}", crate::quote(.operator.name()), crate::quote(.selector))]
    Operator {
        /// How it was to be matched.
        operator: Operator,
        /// The field.
        selector: String,
    },
    /// The value is not of the field's type.
    #[error("Failed to coerce value {} for selector {}: {reason}", crate::quote(.value), crate::quote(.selector))]
    Value {
        /// What was given.
        value: String,
        /// The field.
        selector: String,
        /// Why not.
        reason: crate::number::NumberError,
    },
    /// The regular expression is none.
    #[error("Failed to compile regular expression {}: {reason}", crate::quote(.pattern))]
    Pattern {
        /// What was given.
        pattern: String,
        /// Why not.
        reason: String,
    },
    /// It has more regular expressions than [`MAX_PATTERNS`].
    #[error("the expression has more than {MAX_PATTERNS} regular expressions")]
    TooManyPatterns,
}
