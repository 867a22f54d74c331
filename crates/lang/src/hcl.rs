//! HCL version 1, and JSON with places: the two languages of configuration files.
//!
//! Version 1 is not version 2: newlines are blanks, keys may be quoted, blocks may stand in objects, a
//! comma between members is optional, and nothing is interpolated. A block's labels are objects around
//! it: `service "web" {…}` is `service = { web = {…} }`.
//!
//! Source: the grammar in HCL's own documentation of version 1 ("HCL syntax", "JSON syntax") and the
//! configuration files of Consul's documentation.

use crate::tree::{DEPTH, Member, Place, SyntaxError, Tree, VALUES, Value};

mod lexer;

use lexer::{Lexer, Token};

/// Reads a file in HCL; one that begins with `{` is read as JSON, as HCL itself does.
pub fn parse(text: &str) -> Result<Tree, SyntaxError> {
    if text.trim_start().starts_with('{') {
        return parse_json(text);
    }
    let mut parser = Parser::new(text, Language::Hcl)?;
    let place = parser.place;
    let members = parser.members(0)?;
    match parser.token {
        Token::End => Ok(Tree { place, value: Value::Object(members) }),
        _ => parser.complain("a key"),
    }
}

/// Reads a file in JSON, with the place of each value.
pub fn parse_json(text: &str) -> Result<Tree, SyntaxError> {
    let mut parser = Parser::new(text, Language::Json)?;
    if parser.token == Token::End {
        return parser.complain("a value");
    }
    let tree = parser.value(0)?;
    match parser.token {
        Token::End => Ok(tree),
        _ => parser.complain("the end of the file"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Hcl,
    Json,
}

/// One token ahead.
struct Parser<'t> {
    lexer: Lexer<'t>,
    language: Language,
    token: Token,
    place: Place,
    values: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, language: Language) -> Result<Parser<'t>, SyntaxError> {
        let mut lexer = Lexer::new(text, language == Language::Json);
        let (token, place) = lexer.next()?;
        Ok(Parser { lexer, language, token, place, values: 0 })
    }

    /// Takes the token at hand.
    fn take(&mut self) -> Result<Token, SyntaxError> {
        let (next, place) = self.lexer.next()?;
        self.place = place;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn complain<T>(&self, wanted: &str) -> Result<T, SyntaxError> {
        Err(self.error(format!("expected {wanted}, found {}", self.token)))
    }

    fn error(&self, why: String) -> SyntaxError {
        SyntaxError { place: self.place, why }
    }

    fn expect(&mut self, token: &Token, wanted: &str) -> Result<(), SyntaxError> {
        if self.token == *token {
            return self.take().map(|_| ());
        }
        self.complain(wanted)
    }

    fn value(&mut self, depth: usize) -> Result<Tree, SyntaxError> {
        self.values += 1;
        if depth > DEPTH {
            return Err(self.error(format!("nested deeper than {DEPTH} levels")));
        }
        if self.values > VALUES {
            return Err(self.error(format!("more than {VALUES} values")));
        }
        let place = self.place;
        let value = match &self.token {
            Token::Open('{') => self.object(depth)?,
            Token::Open(_) => self.list(depth)?,
            Token::Text(_) | Token::Number(_) => match self.take()? {
                Token::Text(text) => Value::Text(text),
                Token::Number(text) => Value::Number(text),
                _ => unreachable!("the token at hand is the one that was looked at"),
            },
            Token::Word(word) => match (word.as_str(), self.language) {
                ("true", _) => self.word(Value::Bool(true))?,
                ("false", _) => self.word(Value::Bool(false))?,
                ("null", Language::Json) => self.word(Value::Null)?,
                _ => return self.complain("a value (a text stands in double quotes)"),
            },
            _ => return self.complain("a value"),
        };
        Ok(Tree { place, value })
    }

    fn word(&mut self, value: Value) -> Result<Value, SyntaxError> {
        self.take()?;
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.take()?;
        let mut items = Vec::new();
        while self.token != Token::Close(']') {
            items.push(self.value(depth + 1)?);
            match self.token {
                Token::Comma => {
                    self.take()?;
                    if self.language == Language::Json && self.token == Token::Close(']') {
                        return self.complain("a value");
                    }
                }
                Token::Close(']') => {}
                _ => return self.complain("`,` or `]`"),
            }
        }
        self.take()?;
        Ok(Value::List(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.take()?;
        let members = match self.language {
            Language::Hcl => self.members(depth)?,
            Language::Json => self.json_members(depth)?,
        };
        self.expect(&Token::Close('}'), "a key or `}`")?;
        Ok(Value::Object(members))
    }

    /// `key = value`, `key {…}`, `key "label" {…}`; a comma may follow each.
    fn members(&mut self, depth: usize) -> Result<Vec<Member>, SyntaxError> {
        let mut members = Vec::new();
        while matches!(self.token, Token::Word(_) | Token::Text(_)) {
            members.push(self.member(depth)?);
            if self.token == Token::Comma {
                self.take()?;
            }
        }
        Ok(members)
    }

    fn member(&mut self, depth: usize) -> Result<Member, SyntaxError> {
        let (place, key) = (self.place, self.key()?);
        if depth + 1 > DEPTH {
            return Err(self.error(format!("nested deeper than {DEPTH} levels")));
        }
        let tree = match self.token {
            Token::Equals => {
                self.take()?;
                self.value(depth + 1)?
            }
            Token::Open('{') => self.value(depth + 1)?,
            Token::Word(_) | Token::Text(_) => {
                let labelled = self.member(depth + 1)?;
                Tree { place: labelled.place, value: Value::Object(vec![labelled]) }
            }
            _ => return self.complain(&format!("`=` or `{{` after {key:?}")),
        };
        Ok(Member { key, place, tree })
    }

    fn key(&mut self) -> Result<String, SyntaxError> {
        match self.take()? {
            Token::Word(key) | Token::Text(key) => Ok(key),
            _ => unreachable!("a member begins with a key"),
        }
    }

    fn json_members(&mut self, depth: usize) -> Result<Vec<Member>, SyntaxError> {
        let mut members = Vec::new();
        while self.token != Token::Close('}') {
            let place = self.place;
            let Token::Text(_) = self.token else { return self.complain("a key in double quotes") };
            let key = self.key()?;
            self.expect(&Token::Colon, "`:` after a key")?;
            let tree = self.value(depth + 1)?;
            members.push(Member { key, place, tree });
            match self.token {
                Token::Comma => {
                    self.take()?;
                    if self.token == Token::Close('}') {
                        return self.complain("a key in double quotes");
                    }
                }
                Token::Close('}') => {}
                _ => return self.complain("`,` or `}`"),
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests;
