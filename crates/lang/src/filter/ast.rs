//! An expression as it was written, before it is known what rows it is about.

use std::fmt;

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// One of these holds; two at least.
    Or(Vec<Expression>),
    /// All of these hold; two at least.
    And(Vec<Expression>),
    /// This does not hold; never stands directly in another.
    Not(Box<Expression>),
    /// A field matches.
    Match(Match),
}

impl Expression {
    /// How many regular expressions it has.
    pub fn patterns(&self) -> usize {
        match self {
            Expression::Or(parts) | Expression::And(parts) => {
                parts.iter().map(Expression::patterns).sum()
            }
            Expression::Not(part) => part.patterns(),
            Expression::Match(is) => {
                usize::from(matches!(is.operator, Operator::Matches | Operator::NotMatches))
            }
        }
    }
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// What is looked at.
    pub selector: Selector,
    /// How.
    pub operator: Operator,
    /// What it is compared with; `None` for the two that ask for emptiness.
    pub value: Option<String>,
}

/// The way to a field: a name and the names below it; one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(pub Vec<String>);

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `in` and `contains`
    In,
    /// `not in` and `not contains`
    NotIn,
    /// `is empty`
    IsEmpty,
    /// `is not empty`
    IsNotEmpty,
    /// `matches`
    Matches,
    /// `not matches`
    NotMatches,
}

impl Operator {
    /// Consul's name for it, in complaints.
    pub fn name(self) -> &'static str {
        match self {
            Operator::Equal => "Equal",
            Operator::NotEqual => "Not Equal",
            Operator::In => "In",
            Operator::NotIn => "Not In",
            Operator::IsEmpty => "Is Empty",
            Operator::IsNotEmpty => "Is Not Empty",
            Operator::Matches => "Matches",
            Operator::NotMatches => "Not Matches",
        }
    }
}

impl fmt::Display for Selector {
    /// The names with points between them, as complaints and bare values have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.0.iter().enumerate() {
            let point = if n == 0 { "" } else { "." };
            write!(f, "{point}{name}")?;
        }
        Ok(())
    }
}

/// The expression in a form that parses to the same one.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Expression], word: &str| {
            for (n, part) in parts.iter().enumerate() {
                let word = if n == 0 { "" } else { word };
                match part {
                    Expression::Or(_) | Expression::And(_) => write!(f, "{word}({part})")?,
                    Expression::Not(_) | Expression::Match(_) => write!(f, "{word}{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Expression::Or(parts) => joined(f, parts, " or "),
            Expression::And(parts) => joined(f, parts, " and "),
            Expression::Not(part) => match **part {
                Expression::Match(_) => write!(f, "not {part}"),
                _ => write!(f, "not ({part})"),
            },
            Expression::Match(is) => write!(f, "{is}"),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Path(&self.selector);
        let value = literal(self.value.as_deref().unwrap_or_default());
        match self.operator {
            Operator::Equal => write!(f, "{path} == {value}"),
            Operator::NotEqual => write!(f, "{path} != {value}"),
            Operator::In => write!(f, "{value} in {path}"),
            Operator::NotIn => write!(f, "{value} not in {path}"),
            Operator::IsEmpty => write!(f, "{path} is empty"),
            Operator::IsNotEmpty => write!(f, "{path} is not empty"),
            Operator::Matches => write!(f, "{path} matches {value}"),
            Operator::NotMatches => write!(f, "{path} not matches {value}"),
        }
    }
}

/// A selector as it is written: what is no plain name stands in brackets.
struct Path<'s>(&'s Selector);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.0.0.iter().enumerate() {
            match (n, is_name(name)) {
                (0, _) => write!(f, "{name}")?,
                (_, true) => write!(f, ".{name}")?,
                (_, false) => write!(f, "[{}]", literal(name))?,
            }
        }
        Ok(())
    }
}

/// Text in quotes. The first quote ends it, so that one within is written as a number.
fn literal(text: &str) -> String {
    let parts = text.split('"').map(|part| {
        let quoted = crate::quote(part);
        quoted[1..quoted.len() - 1].to_owned()
    });
    format!("\"{}\"", parts.collect::<Vec<_>>().join(r"\x22"))
}

/// Whether a selector can have this as a plain name.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
