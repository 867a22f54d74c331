//! Regular expressions as Go reads them, on the `regex` crate.
//!
//! Both descend from RE2 and differ at the edges: `\d`, `\w`, `\s` and `\b` know ASCII only in Go, `{`
//! and `[` may stand for themselves, `&&` is no operator. So a pattern is read here by Go's rules, with
//! Go's complaints, and written again in the other's words.
//!
//! Source: Go, `regexp/syntax`.

use regex::bytes::{Regex, RegexBuilder};
use std::fmt::Write;

/// The most bytes one compiled regular expression may take.
pub const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The most bytes all of a filter's may take; where there are many, each has its share of them, so that
/// compiling takes tens of milliseconds at worst.
pub const MAX_PATTERNS_BYTES: usize = 4 << 20;

/// The most regular expressions in a filter.
pub const MAX_PATTERNS: usize = 64;

/// The most groups within groups.
const MAX_GROUPS: usize = 200;

/// The most that a counted repetition may count to, as in Go.
const MAX_COUNT: u32 = 1000;

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it; the error is Go's text.
    pub fn compile(pattern: &str) -> Result<Pattern, String> {
        compile(pattern, 1)
    }

    /// Whether it is found anywhere in the text.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text.as_bytes())
    }
}

/// Compiles one of so many regular expressions; the error is Go's text.
pub(super) fn compile(pattern: &str, of: usize) -> Result<Pattern, String> {
    let mut reader = Reader { all: pattern, rest: pattern, out: String::new(), groups: 0 };
    let written = reader.read().map(|()| reader.out);
    let built = written.and_then(|text| {
        let built = RegexBuilder::new(&text)
            .size_limit(MAX_PATTERN_BYTES.min(MAX_PATTERNS_BYTES / of.max(1)))
            .nest_limit(MAX_GROUPS as u32 * 2)
            .build();
        built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => complaint("expression too large", pattern),
            _ => complaint("invalid or unsupported Perl syntax", pattern),
        })
    });
    built.map(Pattern).map_err(|what| format!("error parsing regexp: {what}"))
}

fn complaint(what: &str, of: &str) -> String {
    format!("{what}: `{of}`")
}

struct Reader<'p> {
    all: &'p str,
    rest: &'p str,
    out: String,
    groups: usize,
}

impl<'p> Reader<'p> {
    fn read(&mut self) -> Result<(), String> {
        // Whether something stands before that can be repeated, and the repetition that does.
        let (mut item, mut repeated) = (false, None::<&'p str>);
        while let Some(c) = self.rest.chars().next() {
            let here = self.rest;
            let mut again = None;
            match c {
                '(' => {
                    item = !self.open()? && item;
                }
                '|' => {
                    self.take(c);
                    item = false;
                }
                ')' => {
                    if self.groups == 0 {
                        return Err(complaint("unexpected )", self.all));
                    }
                    self.groups -= 1;
                    self.take(c);
                    item = true;
                }
                '*' | '+' | '?' => {
                    self.take(c);
                    again = Some(here);
                }
                '{' => match self.count()? {
                    true => again = Some(here),
                    false => {
                        self.literal(c);
                        item = true;
                    }
                },
                _ => {
                    self.item(c)?;
                    item = true;
                }
            }
            if let Some(here) = again {
                if !item {
                    let operator = &here[..here.len() - self.rest.len()];
                    return Err(complaint("missing argument to repetition operator", operator));
                }
                if let Some(rest) = self.rest.strip_prefix('?') {
                    self.rest = rest;
                    self.out.push('?');
                }
                if let Some(before) = repeated {
                    let both = &before[..before.len() - self.rest.len()];
                    return Err(complaint("invalid nested repetition operator", both));
                }
            }
            repeated = again;
        }
        match self.groups {
            0 => Ok(()),
            _ => Err(complaint("missing closing )", self.all)),
        }
    }

    /// Takes a character over as it is.
    fn take(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
        self.out.push(c);
    }

    /// Takes a character over as standing for itself.
    fn literal(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
        self.character(c);
    }

    fn character(&mut self, c: char) {
        // Writing to a string cannot fail.
        let _ = match c.is_ascii_alphanumeric() || !c.is_ascii() {
            true => write!(self.out, "{c}"),
            false => write!(self.out, r"\x{{{:x}}}", u32::from(c)),
        };
    }

    fn item(&mut self, c: char) -> Result<(), String> {
        match c {
            '.' | '^' | '$' => self.take(c),
            '[' => self.class()?,
            '\\' => self.escape()?,
            c => self.literal(c),
        }
        Ok(())
    }

    /// An opening parenthesis; whether it opened a group and did not only set flags.
    fn open(&mut self) -> Result<bool, String> {
        let here = self.rest;
        let Some(inner) = here.strip_prefix("(?") else {
            self.rest = &here[1..];
            return self.opened("(?:");
        };
        if let Some(named) = inner.strip_prefix("P<").or_else(|| inner.strip_prefix('<')) {
            let Some((name, rest)) = named.split_once('>') else {
                return Err(complaint("invalid named capture", here));
            };
            let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
            if name.is_empty() || !name.chars().all(is_name) {
                let capture = &here[..here.len() - rest.len()];
                return Err(complaint("invalid named capture", capture));
            }
            self.rest = rest;
            return self.opened("(?:");
        }
        let stop = inner.find(|c: char| !"imsU-".contains(c));
        let flags = &inner[..stop.unwrap_or(inner.len())];
        let sign = flags.matches('-').count();
        let end = inner[flags.len()..].chars().next();
        let good = sign == 0 || sign == 1 && !flags.ends_with('-');
        let (Some(end @ (':' | ')')), true) = (end, good) else {
            let upto = end.map_or(0, char::len_utf8) + flags.len() + 2;
            return Err(complaint("invalid or unsupported Perl syntax", &here[..upto]));
        };
        self.rest = &inner[flags.len() + 1..];
        if end == ':' {
            return self.opened(&format!("(?{flags}:"));
        }
        if !flags.is_empty() {
            self.out.push_str(&format!("(?{flags})"));
        }
        Ok(false)
    }

    fn opened(&mut self, group: &str) -> Result<bool, String> {
        self.groups += 1;
        if self.groups > MAX_GROUPS {
            return Err(complaint("expression nests too deeply", self.all));
        }
        self.out.push_str(group);
        Ok(true)
    }

    /// `{n}`, `{n,}` or `{n,m}`; whether it is one and no plain brace.
    fn count(&mut self) -> Result<bool, String> {
        let Some((inner, rest)) = self.rest[1..].split_once('}') else { return Ok(false) };
        let (least, most) = match inner.split_once(',') {
            None => (inner, Some(inner)),
            Some((least, "")) => (least, None),
            Some((least, most)) => (least, Some(most)),
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let plain = digits && (text.len() == 1 || !text.starts_with('0'));
            plain.then(|| text.parse::<u32>().unwrap_or(u32::MAX))
        };
        let (Some(low), high) = (number(least), most.map(number)) else { return Ok(false) };
        if high == Some(None) {
            return Ok(false);
        }
        let high = high.flatten();
        if low > MAX_COUNT || high.is_some_and(|high| high > MAX_COUNT || low > high) {
            return Err(complaint("invalid repeat count", &self.rest[..inner.len() + 2]));
        }
        self.out.push_str(&self.rest[..inner.len() + 2]);
        self.rest = rest;
        Ok(true)
    }

    /// What follows a backslash outside a class.
    fn escape(&mut self) -> Result<(), String> {
        let after = &self.rest[1..];
        let plain = match after.chars().next() {
            Some('A') => r"\A",
            Some('z') => r"\z",
            Some('b') => r"(?-u:\b)",
            Some('B') => r"(?-u:\B)",
            Some('Q') => {
                let quoted = &after[1..];
                let (quoted, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                self.rest = rest;
                // Empty, it is still something that a repetition may follow in Go; not here.
                quoted.chars().for_each(|c| self.character(c));
                return Ok(());
            }
            _ => {
                if let Some(class) = self.named_class()? {
                    self.out.push_str(&class);
                } else {
                    let c = self.escaped()?;
                    self.character(c);
                }
                return Ok(());
            }
        };
        self.rest = &after[1..];
        self.out.push_str(plain);
        Ok(())
    }

    /// A class that has a name: `\d` and its like, `\pL`, `\p{Greek}`.
    fn named_class(&mut self) -> Result<Option<String>, String> {
        let here = self.rest;
        let Some(kind) = here.strip_prefix('\\').and_then(|after| after.chars().next()) else {
            return Ok(None);
        };
        let class = match kind {
            'd' => "[0-9]".to_owned(),
            'D' => "[^0-9]".to_owned(),
            's' => r"[\t\n\x0c\r ]".to_owned(),
            'S' => r"[^\t\n\x0c\r ]".to_owned(),
            'w' => "[0-9A-Za-z_]".to_owned(),
            'W' => "[^0-9A-Za-z_]".to_owned(),
            'p' | 'P' => return self.unicode_class(kind == 'P').map(Some),
            _ => return Ok(None),
        };
        self.rest = &here[2..];
        Ok(Some(class))
    }

    fn unicode_class(&mut self, mut negated: bool) -> Result<String, String> {
        let here = self.rest;
        let invalid = |of: &str| Err(complaint("invalid character class range", of));
        let after = &here[2..];
        let (name, rest) = match (after.strip_prefix('{'), after.chars().next()) {
            (Some(inner), _) => match inner.split_once('}') {
                Some(parts) => parts,
                None => return invalid(here),
            },
            (None, Some(c)) => after.split_at(c.len_utf8()),
            (None, None) => return invalid(here),
        };
        let name = match name.strip_prefix('^') {
            Some(name) => {
                negated = !negated;
                name
            }
            None => name,
        };
        let known = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && Regex::new(&format!(r"\p{{{name}}}")).is_ok();
        if !known {
            return invalid(&here[..here.len() - rest.len()]);
        }
        self.rest = rest;
        Ok(format!(r"\{}{{{name}}}", if negated { 'P' } else { 'p' }))
    }

    /// A single escaped character.
    fn escaped(&mut self) -> Result<char, String> {
        let here = self.rest;
        let mut rest = here[1..].chars();
        let Some(c) = rest.next() else {
            return Err(complaint("trailing backslash at end of expression", ""));
        };
        let digit = |text: &str, radix: u32| text.chars().next().and_then(|c| c.to_digit(radix));
        let found = match c {
            '0'..='7' if c == '0' || digit(rest.as_str(), 8).is_some() => {
                let mut value = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(more) = digit(rest.as_str(), 8) else { break };
                    value = value * 8 + more;
                    rest.next();
                }
                char::from_u32(value)
            }
            'x' => hexadecimal(&mut rest),
            'a' => Some('\x07'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            c => (c.is_ascii() && !c.is_ascii_alphanumeric()).then_some(c),
        };
        let upto = &here[..here.len() - rest.as_str().len()];
        self.rest = rest.as_str();
        found.ok_or_else(|| complaint("invalid escape sequence", upto))
    }

    /// A class in brackets.
    fn class(&mut self) -> Result<(), String> {
        let whole = self.rest;
        self.rest = &self.rest[1..];
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.rest = rest;
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.starts_with("[:")
                && let Some(stop) = self.rest[2..].find(":]")
            {
                let name = &self.rest[..stop + 4];
                let bare = name[2..name.len() - 2].trim_start_matches('^');
                if !POSIX.contains(&bare) || name[2..].starts_with("^^") {
                    return Err(complaint("invalid character class range", name));
                }
                self.out.push_str(name);
                self.rest = &self.rest[name.len()..];
                continue;
            }
            if let Some(class) = self.named_class()? {
                self.out.push_str(&class);
                continue;
            }
            let here = self.rest;
            let low = self.class_character(whole)?;
            let ranged = self
                .rest
                .strip_prefix('-')
                .filter(|rest| !rest.is_empty() && !rest.starts_with(']'));
            let Some(rest) = ranged else {
                self.character(low);
                continue;
            };
            self.rest = rest;
            let high = self.class_character(whole)?;
            if high < low {
                let range = &here[..here.len() - self.rest.len()];
                return Err(complaint("invalid character class range", range));
            }
            self.character(low);
            self.out.push('-');
            self.character(high);
        }
        self.take(']');
        Ok(())
    }

    fn class_character(&mut self, whole: &str) -> Result<char, String> {
        match self.rest.chars().next() {
            None => Err(complaint("missing closing ]", whole)),
            Some('\\') => self.escaped(),
            Some(c) => {
                self.rest = &self.rest[c.len_utf8()..];
                Ok(c)
            }
        }
    }
}

/// The names of POSIX classes.
const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Two hexadecimal digits, or any number of them in braces.
fn hexadecimal(rest: &mut std::str::Chars<'_>) -> Option<char> {
    let text = rest.as_str();
    let (digits, length) = match text.strip_prefix('{') {
        Some(inner) => {
            let digits = inner.split_once('}')?.0;
            (digits, digits.len() + 2)
        }
        None => (text.get(..2)?, 2),
    };
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let value = u32::from_str_radix(all.then_some(digits)?, 16).ok()?;
    *rest = text[length..].chars();
    char::from_u32(value)
}
