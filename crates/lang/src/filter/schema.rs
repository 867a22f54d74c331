//! Which fields the rows of one kind have, and an expression fitted to them.

use super::FilterError;
use super::ast::{Expression, Match, Operator};
use super::coerce;
use super::evaluate::{Node, Operand, Test};
use super::pattern;
use crate::number::parse_bool;

/// The fields of one kind of rows, by name.
#[derive(Debug)]
pub struct Schema(pub &'static [(&'static str, Kind)]);

/// What a field holds, and so how it can be matched.
///
/// | kind | matched with |
/// |---|---|
/// | text | `==` `!=` `in` `matches`; `in` looks for a part of it |
/// | numbers, truth | `==` `!=` |
/// | lists of texts or bytes | `in` `is empty` |
/// | maps | `in`, which looks for a key; `is empty`; what is below a key |
/// | lists of rows | `is empty`; the fields of any of them |
/// | one row | its fields |
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text.
    Text,
    /// A signed number.
    Int,
    /// An unsigned number of this many bits.
    Uint(u32),
    /// True or false.
    Bool,
    /// Texts in an order.
    Texts,
    /// Bytes in an order.
    Bytes,
    /// Values of one kind, each with a text as its key.
    Map(&'static Kind),
    /// Rows of one kind.
    List(&'static Schema),
    /// A row within the row.
    One(&'static Schema),
}

impl Kind {
    fn allows(self, operator: Operator) -> bool {
        use Operator::{Equal, In, IsEmpty, IsNotEmpty, Matches, NotEqual, NotIn, NotMatches};
        match operator {
            Equal | NotEqual => {
                matches!(self, Kind::Text | Kind::Int | Kind::Uint(_) | Kind::Bool)
            }
            In | NotIn => {
                matches!(self, Kind::Text | Kind::Texts | Kind::Bytes | Kind::Map(_))
            }
            IsEmpty | IsNotEmpty => {
                matches!(self, Kind::Texts | Kind::Bytes | Kind::Map(_) | Kind::List(_))
            }
            Matches | NotMatches => matches!(self, Kind::Text),
        }
    }

    /// The kind of what has this name below it.
    pub(super) fn below(self, name: &str) -> Option<Kind> {
        match self {
            Kind::Map(kind) => Some(*kind),
            Kind::One(schema) | Kind::List(schema) => schema.field(name),
            _ => None,
        }
    }
}

impl Schema {
    /// The kind of a field.
    pub fn field(&self, name: &str) -> Option<Kind> {
        self.0.iter().find(|(field, _)| *field == name).map(|(_, kind)| *kind)
    }
}

/// Fits an expression with so many regular expressions to rows of this kind.
pub(super) fn fit(
    expression: Expression,
    schema: &'static Schema,
    patterns: usize,
) -> Result<Node, FilterError> {
    let all = |parts: Vec<Expression>| {
        parts.into_iter().map(|part| fit(part, schema, patterns)).collect::<Result<Vec<_>, _>>()
    };
    match expression {
        Expression::Or(parts) => Ok(Node::Any(all(parts)?)),
        Expression::And(parts) => Ok(Node::All(all(parts)?)),
        Expression::Not(part) => Ok(Node::Not(Box::new(fit(*part, schema, patterns)?))),
        Expression::Match(is) => Ok(Node::Test(fit_match(is, schema, patterns)?)),
    }
}

fn fit_match(is: Match, schema: &'static Schema, patterns: usize) -> Result<Test, FilterError> {
    let names = &is.selector.0;
    let mut kind = Kind::One(schema);
    for (n, name) in names.iter().enumerate() {
        kind = kind.below(name).ok_or_else(|| FilterError::NoSuchField(names[..=n].join(".")))?;
    }
    let selector = is.selector.to_string();
    if !kind.allows(is.operator) {
        return Err(FilterError::Operator { operator: is.operator, selector });
    }
    let operand = match (is.operator, is.value) {
        (_, None) => Operand::None,
        (Operator::Matches | Operator::NotMatches, Some(pattern)) => {
            let compiled = pattern::compile(&pattern, patterns);
            Operand::Pattern(compiled.map_err(|reason| FilterError::Pattern { pattern, reason })?)
        }
        (_, Some(value)) => {
            let read = operand(kind, &value);
            read.map_err(|reason| FilterError::Value { value, selector, reason })?
        }
    };
    Ok(Test { path: is.selector.0, operator: is.operator, operand })
}

fn operand(kind: Kind, value: &str) -> Result<Operand, crate::number::NumberError> {
    // No field holds a number that a signed one of 64 bits does not.
    let int = |n: u64| Operand::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Ok(match kind {
        Kind::Int => Operand::Int(coerce::signed(value)?),
        Kind::Uint(bits) => int(coerce::unsigned(value, bits)?),
        Kind::Bytes => int(coerce::unsigned(value, 8)?),
        Kind::Bool => Operand::Bool(parse_bool(value)?),
        _ => Operand::Text(value.to_owned()),
    })
}
