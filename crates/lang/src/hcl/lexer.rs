//! From signs to tokens, of HCL and of JSON.
//!
//! A text keeps `${…}` as it is written, quotes within included: whoever wants it interpolated sees it
//! whole, and Consul interpolates nothing in its files.

use crate::tree::{Place, SyntaxError};
use std::fmt;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A word without quotes.
    Word(String),
    /// A text in quotes or a heredoc.
    Text(String),
    /// A number, in decimal.
    Number(String),
    /// `{` or `[`.
    Open(char),
    /// `}` or `]`.
    Close(char),
    /// `=`.
    Equals,
    /// `:`, in JSON.
    Colon,
    /// `,`.
    Comma,
    /// The end of the text.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => write!(f, "`{word}`"),
            Token::Text(text) => write!(f, "{text:?}"),
            Token::Number(text) => f.write_str(text),
            Token::Open(sign) | Token::Close(sign) => write!(f, "`{sign}`"),
            Token::Equals => f.write_str("`=`"),
            Token::Colon => f.write_str("`:`"),
            Token::Comma => f.write_str("`,`"),
            Token::End => f.write_str("the end of the file"),
        }
    }
}

/// Where the reading stands.
pub struct Lexer<'t> {
    rest: &'t str,
    place: Place,
    json: bool,
}

fn begins_word(sign: char) -> bool {
    sign.is_alphabetic() || sign == '_'
}

fn in_word(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '-' | '.')
}

impl<'t> Lexer<'t> {
    /// At the beginning of a text; a byte order mark is skipped.
    pub fn new(text: &'t str, json: bool) -> Lexer<'t> {
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        Lexer { rest, place: Place { line: 1, column: 1 }, json }
    }

    /// The next token and where it begins.
    pub fn next(&mut self) -> Result<(Token, Place), SyntaxError> {
        self.skip_blanks()?;
        let place = self.place;
        let Some(sign) = self.peek() else { return Ok((Token::End, place)) };
        let token = match sign {
            '{' | '[' => self.sign(Token::Open(sign)),
            '}' | ']' => self.sign(Token::Close(sign)),
            ',' => self.sign(Token::Comma),
            ':' if self.json => self.sign(Token::Colon),
            '=' if !self.json => self.sign(Token::Equals),
            '"' => Token::Text(self.quoted()?),
            '<' if !self.json && self.rest.starts_with("<<") => Token::Text(self.heredoc()?),
            '-' | '+' | '.' | '0'..='9' => Token::Number(self.number()?),
            sign if begins_word(sign) => Token::Word(self.while_it_is(in_word).to_owned()),
            sign => return Err(self.error(format!("unexpected {sign:?}"))),
        };
        Ok((token, place))
    }

    fn error(&self, why: impl Into<String>) -> SyntaxError {
        SyntaxError { place: self.place, why: why.into() }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn sign(&mut self, token: Token) -> Token {
        self.advance();
        token
    }

    fn advance(&mut self) -> Option<char> {
        let sign = self.peek()?;
        self.rest = &self.rest[sign.len_utf8()..];
        if sign == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(sign)
    }

    fn skip(&mut self, signs: usize) {
        for _ in 0..signs {
            self.advance();
        }
    }

    fn while_it_is(&mut self, is: fn(char) -> bool) -> &'t str {
        let begin = self.rest;
        while self.peek().is_some_and(is) {
            self.advance();
        }
        &begin[..begin.len() - self.rest.len()]
    }

    fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.while_it_is(|sign| matches!(sign, ' ' | '\t' | '\r' | '\n'));
            if self.json {
                return Ok(());
            }
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.while_it_is(|sign| sign != '\n');
            } else if self.rest.starts_with("/*") {
                self.block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), SyntaxError> {
        let begin = self.error("a comment that does not end");
        let mut before = ' ';
        self.skip(2);
        while let Some(sign) = self.advance() {
            if before == '*' && sign == '/' {
                return Ok(());
            }
            before = sign;
        }
        Err(begin)
    }

    /// A text in double quotes; within `${…}` quotes and newlines are part of it.
    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let begin = self.error("a text that does not end");
        self.advance();
        let (mut text, mut braces) = (String::new(), 0_usize);
        loop {
            let place = self.error("a text does not end in its line");
            let sign = self.advance().ok_or_else(|| begin.clone())?;
            match sign {
                '"' if braces == 0 => return Ok(text),
                '\n' if braces == 0 => return Err(place),
                '\\' if braces == 0 => self.escape(&mut text)?,
                '$' if !self.json && self.peek() == Some('{') => {
                    self.advance();
                    braces = braces.saturating_add(1);
                    text.push_str("${");
                }
                '{' if braces > 0 => {
                    braces = braces.saturating_add(1);
                    text.push(sign);
                }
                '}' if braces > 0 => {
                    braces -= 1;
                    text.push(sign);
                }
                sign => text.push(sign),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), SyntaxError> {
        let wrong = self.error("an escape that is none");
        let sign = self.advance().ok_or_else(|| wrong.clone())?;
        let plain = match sign {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '"' | '\\' | '/' => sign,
            'a' if !self.json => '\u{7}',
            'v' if !self.json => '\u{b}',
            'x' if !self.json => self.code(2, 16).ok_or(wrong)?,
            'U' if !self.json => self.code(8, 16).ok_or(wrong)?,
            'u' => self.code_unit().ok_or(wrong)?,
            '0'..='7' if !self.json => {
                let more = self.code(2, 8).ok_or_else(|| wrong.clone())? as u32;
                let code = (sign as u32 - '0' as u32) * 64 + more;
                char::from_u32(code).ok_or(wrong)?
            }
            _ => return Err(wrong),
        };
        text.push(plain);
        Ok(())
    }

    /// A character by its number in so many digits.
    fn code(&mut self, digits: usize, base: u32) -> Option<char> {
        let given = self.rest.get(..digits)?;
        let code = u32::from_str_radix(given, base).ok().filter(|_| !given.starts_with('+'))?;
        self.skip(digits);
        char::from_u32(code)
    }

    /// A UTF-16 unit in four digits; two of them where UTF-16 needs two, and U+FFFD for half of such a pair.
    fn code_unit(&mut self) -> Option<char> {
        let unit = |rest: &str| {
            let given = rest.get(..4)?;
            u16::from_str_radix(given, 16).ok().filter(|_| !given.starts_with('+'))
        };
        let first = unit(self.rest)?;
        let second = self.rest.get(4..).and_then(|rest| rest.strip_prefix("\\u")).and_then(unit);
        let pair = second.and_then(|second| {
            char::decode_utf16([first, second])
                .next()
                .and_then(Result::ok)
                .filter(|c| *c > '\u{ffff}')
        });
        let (taken, sign) = match pair {
            Some(sign) => (10, sign),
            None => (4, char::from_u32(u32::from(first)).unwrap_or('\u{fffd}')),
        };
        self.skip(taken);
        Some(sign)
    }

    /// `<<END` or `<<-END`: the lines up to one that holds only the word; with `-` the indentation
    /// that all of them share is taken off.
    fn heredoc(&mut self) -> Result<String, SyntaxError> {
        let begin = self.error("a heredoc that does not end");
        self.skip(2);
        let indented = self.rest.starts_with('-');
        if indented {
            self.advance();
        }
        let word = self.while_it_is(|sign| sign.is_alphanumeric() || sign == '_');
        self.while_it_is(|sign| matches!(sign, ' ' | '\t' | '\r'));
        if word.is_empty() || self.advance() != Some('\n') {
            return Err(self.error("a heredoc begins with `<<WORD` alone at the end of a line"));
        }
        let mut lines: Vec<&str> = Vec::new();
        while !self.rest.is_empty() {
            let line = self.while_it_is(|sign| sign != '\n');
            if line.trim() == word {
                return Ok(joined(&lines, indented));
            }
            lines.push(line.strip_suffix('\r').unwrap_or(line));
            self.advance();
        }
        Err(begin)
    }

    /// A number as decimal JSON; HCL also takes hexadecimal and octal ones, and a leading dot or sign.
    fn number(&mut self) -> Result<String, SyntaxError> {
        let begin = self.place;
        let given = self.while_it_is(|sign| {
            sign.is_ascii_alphanumeric() || matches!(sign, '+' | '-' | '.' | '_')
        });
        let read = if self.json { json_number(given) } else { hcl_number(given) };
        read.ok_or_else(|| SyntaxError { place: begin, why: format!("{given:?} is no number") })
    }
}

/// The lines of a heredoc, each with its end.
fn joined(lines: &[&str], indented: bool) -> String {
    let indent = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let shared = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min();
    let cut = if indented { shared.unwrap_or(0) } else { 0 };
    let mut text = String::new();
    for line in lines {
        text.push_str(line.get(cut..).unwrap_or(""));
        text.push('\n');
    }
    text
}

fn json_number(given: &str) -> Option<String> {
    match crate::json::parse(given.as_bytes()) {
        Ok(crate::json::Json::Number(text)) if text == given => Some(text),
        _ => None,
    }
}

fn hcl_number(given: &str) -> Option<String> {
    let (sign, digits) = match given.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", given.strip_prefix('+').unwrap_or(given)),
    };
    let lower = digits.to_ascii_lowercase();
    let based = |digits: &str, base| {
        let plain = !digits.starts_with(['+', '-']);
        u64::from_str_radix(digits, base).ok().filter(|_| plain).map(|n| format!("{sign}{n}"))
    };
    if let Some(hex) = lower.strip_prefix("0x") {
        return based(hex, 16);
    }
    if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) {
        return based(&lower[1..], 8);
    }
    let whole = if lower.starts_with('.') { format!("0{lower}") } else { lower };
    json_number(&format!("{sign}{whole}"))
}
