//! Text into an expression, and the complaint of a parser that tries each rule in turn.
//!
//! Such a parser knows how far any rule got and what each looked for there; when nothing fits, that is
//! its complaint (`1:5 (4): no match found, expected: …`). A few rules complain themselves, at once,
//! and then only their complaints are told. Each rule is tried once here and stepped back from where
//! it does not hold, so the work is linear where a parser with two tries a level is exponential.

use super::FilterError;
use super::ast::{Expression, Match, Operator, Selector};
use super::coerce::unquote;

/// The most bytes of an expression.
pub const MAX_LENGTH: usize = 64 << 10;

/// How deep parentheses and `not` may go.
pub const MAX_DEPTH: usize = 100;

/// Reads an expression.
pub fn parse(text: &str) -> Result<Expression, FilterError> {
    if text.len() > MAX_LENGTH {
        return Err(FilterError::TooLong(text.len()));
    }
    let mut parser = Parser::new(text);
    let parsed = parser.input();
    if parser.too_deep {
        return Err(FilterError::TooDeep);
    }
    match parsed {
        Some(expression) if parser.complaints.is_empty() => Ok(expression),
        _ => Err(FilterError::Syntax(parser.complaint())),
    }
}

const BLANK: &str = r"[ \t\r\n]";
const END: &str = "EOF";

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// The furthest place at which something did not fit, and what was looked for there.
    furthest: usize,
    expected: Vec<&'static str>,
    /// What rules complained of themselves.
    complaints: Vec<String>,
    depth: usize,
    too_deep: bool,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Parser<'t> {
        let (expected, complaints) = (Vec::new(), Vec::new());
        Parser { text, at: 0, furthest: 0, expected, complaints, depth: 0, too_deep: false }
    }

    fn input(&mut self) -> Option<Expression> {
        self.blanks();
        let expression = self.or()?;
        self.blanks();
        self.end().then_some(expression)
    }

    fn or(&mut self) -> Option<Expression> {
        let parts = self.joined("\"or\"", "or", Parser::and)?;
        Some(one_or(parts, Expression::Or))
    }

    fn and(&mut self) -> Option<Expression> {
        let parts = self.joined("\"and\"", "and", Parser::not)?;
        Some(one_or(parts, Expression::And))
    }

    /// Parts with a word between them; a word that no part follows is not taken.
    fn joined(
        &mut self,
        name: &'static str,
        word: &str,
        part: fn(&mut Self) -> Option<Expression>,
    ) -> Option<Vec<Expression>> {
        let mut parts = vec![part(self)?];
        loop {
            let before = self.at;
            if self.blanks()
                && self.literal(name, word)
                && self.blanks()
                && let Some(next) = part(self)
            {
                parts.push(next);
                continue;
            }
            self.at = before;
            return Some(parts);
        }
    }

    /// `not` before an expression; else it may be a name or a value.
    fn not(&mut self) -> Option<Expression> {
        let before = self.at;
        if self.depth == MAX_DEPTH {
            self.too_deep = true;
        }
        if self.too_deep {
            return None;
        }
        self.depth += 1;
        let negated =
            if self.literal("\"not\"", "not") && self.blanks() { self.not() } else { None };
        let found = match negated {
            Some(Expression::Not(inner)) => Some(*inner),
            Some(expression) => Some(Expression::Not(Box::new(expression))),
            None => {
                self.at = before;
                self.grouping()
            }
        };
        self.depth -= 1;
        found
    }

    fn grouping(&mut self) -> Option<Expression> {
        let before = self.at;
        if !self.literal("\"(\"", "(") {
            return self.comparison();
        }
        self.blanks();
        let Some(expression) = self.or() else {
            self.at = before;
            return None;
        };
        self.blanks();
        if self.literal("\")\"", ")") {
            return Some(expression);
        }
        self.complain("grouping", "Unmatched parentheses");
        self.at = before;
        None
    }

    fn comparison(&mut self) -> Option<Expression> {
        let before = self.at;
        if let Some(selector) = self.selector() {
            let after = self.at;
            if let Some(operator) = self.operator()
                && let Some(value) = self.value()
            {
                return Some(matched(selector, operator, Some(value)));
            }
            self.at = after;
            if let Some(operator) = self.emptiness() {
                return Some(matched(selector, operator, None));
            }
        }
        self.at = before;
        if let Some(value) = self.value()
            && let Some(operator) = self.membership()
        {
            if let Some(selector) = self.selector() {
                return Some(matched(selector, operator, Some(value)));
            }
            self.complain("match", "Invalid selector");
        }
        self.at = before;
        None
    }

    /// An operator that a value follows.
    fn operator(&mut self) -> Option<Operator> {
        let symbols = [("\"==\"", "==", Operator::Equal), ("\"!=\"", "!=", Operator::NotEqual)];
        let before = self.at;
        for (name, symbol, operator) in symbols {
            self.blanks();
            if self.literal(name, symbol) {
                self.blanks();
                return Some(operator);
            }
            self.at = before;
        }
        let words = [
            ("\"contains\"", "contains", Operator::In, Operator::NotIn),
            ("\"matches\"", "matches", Operator::Matches, Operator::NotMatches),
        ];
        for (name, word, plain, negated) in words {
            if self.words(&[(name, word)]) && self.blanks() {
                return Some(plain);
            }
            self.at = before;
            if self.words(&[("\"not\"", "not"), (name, word)]) && self.blanks() {
                return Some(negated);
            }
            self.at = before;
        }
        None
    }

    fn emptiness(&mut self) -> Option<Operator> {
        const IS: (&str, &str) = ("\"is\"", "is");
        const EMPTY: (&str, &str) = ("\"empty\"", "empty");
        if self.words(&[IS, EMPTY]) {
            return Some(Operator::IsEmpty);
        }
        self.words(&[IS, ("\"not\"", "not"), EMPTY]).then_some(Operator::IsNotEmpty)
    }

    fn membership(&mut self) -> Option<Operator> {
        const IN: (&str, &str) = ("\"in\"", "in");
        let before = self.at;
        if self.words(&[IN]) && self.blanks() {
            return Some(Operator::In);
        }
        self.at = before;
        if self.words(&[("\"not\"", "not"), IN]) && self.blanks() {
            return Some(Operator::NotIn);
        }
        self.at = before;
        None
    }

    /// Words with blanks before each.
    fn words(&mut self, words: &[(&'static str, &str)]) -> bool {
        let before = self.at;
        let all = words.iter().all(|(name, word)| self.blanks() && self.literal(name, word));
        if !all {
            self.at = before;
        }
        all
    }

    fn selector(&mut self) -> Option<Selector> {
        let mut names = vec![self.name()?];
        loop {
            let before = self.at;
            if self.literal("\".\"", ".")
                && let Some(name) = self.name()
            {
                names.push(name);
                continue;
            }
            self.at = before;
            match self.index() {
                Some(name) => names.push(name),
                None => return Some(Selector(names)),
            }
        }
    }

    fn name(&mut self) -> Option<String> {
        let start = self.at;
        if !self.one("[a-zA-Z]", |c| c.is_ascii_alphabetic()) {
            return None;
        }
        while self.one("[a-zA-Z0-9_]", |c| c.is_ascii_alphanumeric() || c == '_') {}
        Some(self.text[start..self.at].to_owned())
    }

    fn index(&mut self) -> Option<String> {
        let before = self.at;
        if !self.literal("\"[\"", "[") {
            return None;
        }
        self.blanks();
        match self.string() {
            None => self.complain("index", "Invalid index"),
            Some(name) => {
                self.blanks();
                if self.literal("\"]\"", "]") {
                    return Some(name);
                }
                self.complain("index", "Unclosed index expression");
            }
        }
        self.at = before;
        None
    }

    fn value(&mut self) -> Option<String> {
        if let Some(selector) = self.selector() {
            return Some(selector.to_string());
        }
        self.number().or_else(|| self.string())
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        self.literal("\"-\"", "-");
        let digit = |c: char| c.is_ascii_digit();
        if !self.literal("\"0\"", "0") {
            if !self.one("[1-9]", |c| digit(c) && c != '0') {
                self.at = start;
                return None;
            }
            while self.one("[0-9]", digit) {}
        }
        let whole = self.at;
        if self.literal("\".\"", ".") {
            if !self.one("[0-9]", digit) {
                self.at = whole;
            }
            while self.at > whole && self.one("[0-9]", digit) {}
        }
        let stop = self.at;
        if self.blanks() || self.end() || self.literal("\")\"", ")") {
            self.at = stop;
            return Some(self.text[start..stop].to_owned());
        }
        self.complain("number", "Invalid number literal");
        self.at = start;
        None
    }

    /// Text between quotes; the first quote ends it, escaped or not.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        for (name, quote) in [("\"`\"", "`"), ("\"\\\"\"", "\"")] {
            if !self.literal(name, quote) {
                continue;
            }
            let Some(length) = self.text[self.at..].find(quote) else {
                self.at = self.text.len();
                self.complain("string", "Unterminated string literal");
                self.at = start;
                return None;
            };
            let inner = &self.text[self.at..self.at + length];
            self.at += length + 1;
            return Some(unquote(inner, quote).unwrap_or_else(|| {
                self.complain_at(start, "string", "invalid syntax");
                String::new()
            }));
        }
        None
    }

    /// One blank or more.
    fn blanks(&mut self) -> bool {
        let start = self.at;
        while self.one(BLANK, |c| matches!(c, ' ' | '\t' | '\r' | '\n')) {}
        self.at > start
    }

    fn end(&mut self) -> bool {
        let ends = self.at == self.text.len();
        if !ends {
            self.miss(END);
        }
        ends
    }

    fn one(&mut self, name: &'static str, is: impl Fn(char) -> bool) -> bool {
        match self.text[self.at..].chars().next().filter(|c| is(*c)) {
            Some(c) => self.at += c.len_utf8(),
            None => {
                self.miss(name);
                return false;
            }
        }
        true
    }

    fn literal(&mut self, name: &'static str, text: &str) -> bool {
        let fits = self.text[self.at..].starts_with(text);
        match fits {
            true => self.at += text.len(),
            false => self.miss(name),
        }
        fits
    }

    /// Something did not fit here.
    fn miss(&mut self, name: &'static str) {
        if self.at > self.furthest {
            self.furthest = self.at;
            self.expected.clear();
        }
        if self.at == self.furthest && !self.expected.contains(&name) {
            self.expected.push(name);
        }
    }

    fn complain(&mut self, rule: &str, what: &str) {
        self.complain_at(self.at, rule, what);
    }

    fn complain_at(&mut self, at: usize, rule: &str, what: &str) {
        // What complains is the last to be tried, or is tried again where a rule above steps back:
        // the same complaint twice is one.
        let complaint = format!("{}: rule \"{rule}\": {what}", self.place(at));
        if !self.complaints.contains(&complaint) && self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(complaint);
        }
    }

    fn complaint(mut self) -> String {
        if !self.complaints.is_empty() {
            return self.complaints.join("\n");
        }
        self.expected.sort_unstable_by_key(|name| (*name == END, *name));
        let list = match self.expected.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        };
        format!("{}: no match found, expected: {list}", self.place(self.furthest))
    }

    /// Line, column in characters and offset in bytes; a line break counts as column 0 of its line.
    fn place(&self, at: usize) -> String {
        let before = &self.text[..at];
        let breaks = self.text[at..].starts_with('\n');
        let line = 1 + before.matches('\n').count() + usize::from(breaks);
        let column = match breaks {
            true => 0,
            false => before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        };
        format!("{line}:{column} ({at})")
    }
}

/// The most complaints that are kept.
const MAX_COMPLAINTS: usize = 16;

fn matched(selector: Selector, operator: Operator, value: Option<String>) -> Expression {
    Expression::Match(Match { selector, operator, value })
}

fn one_or(mut parts: Vec<Expression>, all: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1
        && let Some(part) = parts.pop()
    {
        return part;
    }
    all(parts)
}
