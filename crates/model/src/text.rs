//! The text of every field: 16 bytes, of which up to 15 are the text itself.
//!
//! A registry is made of short texts, most of them empty, and holds millions. A longer one is
//! counted and shared by its copies, so that to copy a row, as every write does, copies no text.

use ecow::EcoString;
use std::borrow::{Borrow, Cow};
use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// A short text; up to 15 bytes stay inline, more are shared between copies.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(EcoString);

impl Text {
    /// The longest text that is kept inline.
    pub const INLINE: usize = 15;

    /// No text.
    pub const EMPTY: Text = Text(EcoString::new());

    /// Takes a text as it stands.
    pub fn new(text: impl AsRef<str>) -> Text {
        Text(EcoString::from(text.as_ref()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Becomes a copy of `known` where it says the same and is too long to stay inline, so that
    /// both share one text.
    pub fn share(&mut self, known: &Text) {
        if self.len() > Text::INLINE && self == known {
            *self = known.clone();
        }
    }

    /// Appends a text.
    pub fn push_str(&mut self, text: &str) {
        self.0.push_str(text);
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

macro_rules! from {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Text {
            fn from(text: $kind) -> Text {
                Text(EcoString::from(text))
            }
        }
    )*};
}

from!(&str, String, &String, Cow<'_, str>, char);

impl From<&Text> for Text {
    fn from(text: &Text) -> Text {
        text.clone()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> String {
        text.0.into()
    }
}

impl FromStr for Text {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Text, Infallible> {
        Ok(Text::new(text))
    }
}

impl FromIterator<char> for Text {
    fn from_iter<I: IntoIterator<Item = char>>(chars: I) -> Text {
        Text(chars.into_iter().collect())
    }
}

macro_rules! equal {
    ($($other:ty),*) => {$(
        impl PartialEq<$other> for Text {
            fn eq(&self, other: &$other) -> bool {
                let other: &str = other;
                self.as_str() == other
            }
        }

        impl PartialEq<Text> for $other {
            fn eq(&self, other: &Text) -> bool {
                other == self
            }
        }
    )*};
}

equal!(str, &str, String);

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        String::deserialize(deserializer).map(Text::from)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    #[test]
    fn a_text_is_small_and_says_what_it_was_given() {
        assert_eq!(size_of::<Text>(), 16);
        for given in
            ["", "web", "exactly 15 byte", "sixteen bytes 16", "Ökonom läuft über alle Grenzen"]
        {
            let text = Text::from(given);
            assert_eq!(text, given);
            assert_eq!(text.clone().to_string(), given);
            assert_eq!(format!("{text:>3}|{text:?}"), format!("{given:>3}|{given:?}"));
            assert_eq!(given.chars().collect::<Text>(), text);
        }
        let [small, large] = ["Z", "a"].map(Text::from);
        assert!(small < large, "ordered by bytes");
    }
}
