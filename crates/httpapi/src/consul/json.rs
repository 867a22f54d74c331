//! Reading request bodies as Go's decoder does: keys in any case, its words where a type is wrong.
//!
//! Clients print these texts and some match on them, so a field knows the name Go has for it: the
//! struct and the path within it.

use super::error::Problem;
use lang::json::Json;
use lang::{duration, quote};
use model::{Nanos, Text, TextMap};
use std::borrow::Cow;

/// Where in a request a value stands, in Go's names.
#[derive(Debug, Clone)]
pub struct Place {
    object: &'static str,
    path: String,
}

type Done = Result<(), Problem>;

fn decode(text: String) -> Problem {
    Problem::Decode(text)
}

/// Goes through the members of an object; `null` has none.
///
/// `each` gets the key in lower case and says whether it knows it; what it does not know is refused
/// if `strict`. `whole` is Go's name for the type, told where the value is no object.
pub fn members(
    json: &Json,
    whole: &str,
    strict: bool,
    each: &mut dyn FnMut(&str, &Json) -> Result<bool, Problem>,
) -> Done {
    let members = match json {
        Json::Object(members) => members,
        Json::Null => return Ok(()),
        other => {
            let kind = other.kind();
            return Err(decode(format!(
                "json: cannot unmarshal {kind} into Go value of type {whole}"
            )));
        }
    };
    each_member(members, strict, each)
}

/// As [`members`], of an object that is known to be one.
pub fn each_member(
    members: &[(String, Json)],
    strict: bool,
    each: &mut dyn FnMut(&str, &Json) -> Result<bool, Problem>,
) -> Done {
    let mut short = [0; SHORT_KEY];
    for (key, value) in members {
        if !each(&lower(key, &mut short), value)? && strict {
            return Err(decode(format!("json: unknown field {}", quote(key))));
        }
    }
    Ok(())
}

/// Room for every key that has a meaning anywhere.
const SHORT_KEY: usize = 64;

/// A key in lower case; a short one in ASCII, as all are that mean something, takes no memory.
fn lower<'k>(key: &str, room: &'k mut [u8; SHORT_KEY]) -> Cow<'k, str> {
    match room.get_mut(..key.len()) {
        Some(room) if key.is_ascii() => {
            room.copy_from_slice(key.as_bytes());
            room.make_ascii_lowercase();
            Cow::Borrowed(std::str::from_utf8(room).expect("ASCII is UTF-8"))
        }
        _ => Cow::Owned(key.to_lowercase()),
    }
}

impl Place {
    /// The members of the request's own object.
    pub fn root(object: &'static str) -> Place {
        Place { object, path: String::new() }
    }

    /// The members of the object in the field `name`, which is one of Go's `object`s.
    pub fn inside(&self, name: &str, object: &'static str) -> Place {
        Place { object, path: format!("{}{name}.", self.path) }
    }

    fn wrong(&self, name: &str, value: &Json, wanted: &str) -> Problem {
        let kind = match value {
            Json::Number(text) if matches!(wanted, "int" | "uint64") => format!("number {text}"),
            other => other.kind().to_owned(),
        };
        let Place { object, path } = self;
        decode(format!(
            "json: cannot unmarshal {kind} into Go struct field {object}.{path}{name} of type \
             {wanted}"
        ))
    }

    /// A text; `null` leaves it as it is, as everywhere below.
    pub fn text(&self, name: &str, value: &Json, out: &mut Text) -> Done {
        self.word(name, value, "string", out)
    }

    /// A text of a type that Go calls `wanted`.
    pub fn word(&self, name: &str, value: &Json, wanted: &str, out: &mut Text) -> Done {
        match value {
            Json::String(text) => *out = Text::new(text),
            Json::Null => {}
            other => return Err(self.wrong(name, other, wanted)),
        }
        Ok(())
    }

    /// Bytes, as a text in base 64.
    pub fn bytes(&self, name: &str, value: &Json, out: &mut Vec<u8>) -> Done {
        match value {
            Json::String(text) => {
                *out = lang::base64::decode(text).map_err(|error| decode(error.to_string()))?;
            }
            Json::Null => out.clear(),
            other => return Err(self.wrong(name, other, "[]uint8")),
        }
        Ok(())
    }

    /// A boolean.
    pub fn truth(&self, name: &str, value: &Json, out: &mut bool) -> Done {
        match value {
            Json::Bool(truth) => *out = *truth,
            Json::Null => {}
            other => return Err(self.wrong(name, other, "bool")),
        }
        Ok(())
    }

    /// A whole number.
    pub fn number(&self, name: &str, value: &Json, out: &mut i64) -> Done {
        match value {
            Json::Number(text) => {
                *out = text.parse().map_err(|_| self.wrong(name, value, "int"))?;
            }
            Json::Null => {}
            other => return Err(self.wrong(name, other, "int")),
        }
        Ok(())
    }

    /// A whole number that is not negative.
    pub fn unsigned(&self, name: &str, value: &Json, out: &mut u64) -> Done {
        match value {
            Json::Number(text) => {
                *out = text.parse().map_err(|_| self.wrong(name, value, "uint64"))?;
            }
            Json::Null => {}
            other => return Err(self.wrong(name, other, "uint64")),
        }
        Ok(())
    }

    /// Any number, which nobody keeps.
    pub fn real(&self, name: &str, value: &Json) -> Done {
        match value {
            Json::Number(_) | Json::Null => Ok(()),
            other => Err(self.wrong(name, other, "float64")),
        }
    }

    /// A list of texts; `null` among them is empty.
    pub fn texts(&self, name: &str, value: &Json, out: &mut Vec<Text>) -> Done {
        let Some(items) = self.items(name, value, "[]string")? else { return Ok(()) };
        out.clear();
        for item in items {
            let mut text = Text::default();
            self.text(name, item, &mut text)?;
            out.push(text);
        }
        Ok(())
    }

    /// The items of a list; `None` for `null`.
    pub fn items<'j>(
        &self,
        name: &str,
        value: &'j Json,
        wanted: &str,
    ) -> Result<Option<&'j [Json]>, Problem> {
        match value {
            Json::Array(items) => Ok(Some(items)),
            Json::Null => Ok(None),
            other => Err(self.wrong(name, other, wanted)),
        }
    }

    /// The members of an object in a field, which Go calls `wanted`; none for `null`.
    pub fn object<'j>(
        &self,
        name: &str,
        value: &'j Json,
        wanted: &str,
    ) -> Result<Option<&'j [(String, Json)]>, Problem> {
        match value {
            Json::Object(members) => Ok(Some(members)),
            Json::Null => Ok(None),
            other => Err(self.wrong(name, other, wanted)),
        }
    }

    /// Key and value pairs; the keys keep their case.
    pub fn map(&self, name: &str, value: &Json, out: &mut Option<TextMap>) -> Done {
        let Some(members) = self.object(name, value, "map[string]string")? else { return Ok(()) };
        let mut map = TextMap::new();
        for (key, value) in members {
            let mut text = Text::default();
            self.text(name, value, &mut text)?;
            map.insert(Text::new(key), text);
        }
        *out = Some(map);
        Ok(())
    }
}

/// A duration: a text as Go writes them, or a number of nanoseconds; anything else counts as none.
pub fn nanos(value: &Json, out: &mut Nanos) -> Done {
    match value {
        Json::String(text) if text.is_empty() => {}
        Json::String(text) => {
            *out = Nanos(duration::parse(text).map_err(|error| decode(error.to_string()))?);
        }
        Json::Number(text) => *out = Nanos(float(text)),
        _ => {}
    }
    Ok(())
}

/// A number as Go's `float64` holds it, cut to a whole one.
pub fn float(text: &str) -> i64 {
    // Exact for what clients send; beyond 2^53 Go rounds too, and casting saturates.
    text.parse::<i64>().unwrap_or_else(|_| text.parse::<f64>().unwrap_or_default() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<&str, &str>) {
        let json = lang::json::parse(body.as_bytes()).unwrap();
        let place = Place::root("Thing");
        let (mut text, mut number, mut list) = (Text::default(), 0, Vec::new());
        let read = members(&json, "pkg.Thing", true, &mut |key, value| {
            match key {
                "name" => place.text("Name", value, &mut text)?,
                "port" => place.number("Port", value, &mut number)?,
                "tags" => place.texts("Tags", value, &mut list)?,
                _ => return Ok(false),
            }
            Ok(true)
        });
        let said = read.map(|()| format!("{text} {number} {list:?}"));
        let said = said.map_err(|problem| match problem {
            Problem::Decode(text) => text,
            other => panic!("{other:?}"),
        });
        assert_eq!(said.as_deref(), expected.map_err(str::to_owned).as_ref().map(|s| *s), "{body}");
    }

    #[test]
    fn keys_have_any_case_and_wrong_types_are_told_in_gos_words() {
        check(r#"{"NAME":"a","Port":-1,"tags":["x"]}"#, Ok(r#"a -1 ["x"]"#));
        check(r#"{"name":null,"tags":null}"#, Ok(" 0 []"));
        let long = "X".repeat(SHORT_KEY + 1);
        let unknown = format!(r#"json: unknown field "{long}""#);
        check(&format!(r#"{{"{long}":1}}"#), Err(&unknown));
        check(r#"{"É":1}"#, Err(r#"json: unknown field "É""#));
        check("null", Ok(" 0 []"));
        check("[]", Err("json: cannot unmarshal array into Go value of type pkg.Thing"));
        check(r#"{"X\"":1}"#, Err(r#"json: unknown field "X\"""#));
        check(
            r#"{"name":5}"#,
            Err("json: cannot unmarshal number into Go struct field Thing.Name of type string"),
        );
        check(
            r#"{"port":"80"}"#,
            Err("json: cannot unmarshal string into Go struct field Thing.Port of type int"),
        );
        check(
            r#"{"port":1.5}"#,
            Err("json: cannot unmarshal number 1.5 into Go struct field Thing.Port of type int"),
        );
        check(
            r#"{"tags":"a"}"#,
            Err("json: cannot unmarshal string into Go struct field Thing.Tags of type []string"),
        );
    }
}
