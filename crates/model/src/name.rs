//! Names as people typed them, and the folded form by which they are found.
//!
//! Consul compares names of nodes, services, instances and checks without regard to case and
//! validates none of them; so a name keeps its spelling and every key is made of its fold.

use crate::Text;
use std::cmp::Ordering;
use std::fmt;

/// The lower-case form of a name: what keys are made of and what is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Folded(Text);

impl Folded {
    /// Folds a name as it was typed.
    pub fn new(name: &str) -> Folded {
        if is_folded(name) { Folded(Text::new(name)) } else { Folded(name.to_lowercase().into()) }
    }

    /// Folds a text; one that is folded already is shared.
    fn of(text: &Text) -> Folded {
        if is_folded(text) { Folded(text.clone()) } else { Folded::new(text) }
    }

    /// How two names as they were typed compare once they are folded.
    ///
    /// What tables are searched by, so it takes eight letters at a time. As far as ASCII goes a name
    /// folds letter by letter; what lies beyond it is folded first.
    #[inline]
    pub fn order(one: &str, other: &str) -> Ordering {
        let (mut left, mut right) = (one.as_bytes(), other.as_bytes());
        loop {
            let (x, y) = (word(left), word(right));
            if (x | y) & BEYOND_ASCII != 0 {
                return order_beyond_ascii(one, other);
            }
            if x != y {
                let order = lower(x).cmp(&lower(y));
                if order.is_ne() {
                    return order;
                }
            }
            let (Some(after_x), Some(after_y)) = (left.get(8..), right.get(8..)) else {
                return left.len().cmp(&right.len());
            };
            (left, right) = (after_x, after_y);
        }
    }

    /// Whether two names as they were typed fold to the same.
    pub fn same(one: &str, other: &str) -> bool {
        one == other || Folded::order(one, other).is_eq()
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folded text, shared by its copies.
    pub fn text(&self) -> &Text {
        &self.0
    }

    /// Shares the text of `known` where it says the same: a long text is then kept once.
    pub fn share(&mut self, known: &Text) {
        self.0.share(known);
    }

    /// Whether the name is empty; an empty instance id marks a check of the node itself.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The bit of each letter of a word that ASCII does not have.
const BEYOND_ASCII: u64 = letters(0x80);

/// The same of names that ASCII does not decide: folded as far as they are alike, unless how a letter
/// folds hangs on those around it.
#[cold]
fn order_beyond_ascii(one: &str, other: &str) -> Ordering {
    if one.contains(CONTEXTUAL) || other.contains(CONTEXTUAL) {
        return Folded::new(one).cmp(&Folded::new(other));
    }
    // Letters compare as their bytes in UTF-8 do.
    letters_folded(one).cmp(letters_folded(other))
}

fn letters_folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_lowercase)
}

/// The one letter that folds by its place in a word: the Greek sigma.
const CONTEXTUAL: char = 'Σ';

/// A word of eight times the same letter.
const fn letters(letter: u8) -> u64 {
    u64::from_be_bytes([letter; 8])
}

/// The first eight letters, the first of them the highest, with zeroes after the last.
#[inline]
fn word(text: &[u8]) -> u64 {
    if let Some(letters) = text.first_chunk() {
        return u64::from_be_bytes(*letters);
    }
    let place = |at: usize| 56 - 8 * at;
    let at = |at: usize| u64::from(text[at]) << place(at);
    // The loads overlap where there are fewer letters than they take, and then agree.
    match (text.first_chunk(), text.last_chunk(), text.len()) {
        (Some(first), Some(last), length) => {
            let (first, last) = (u32::from_be_bytes(*first), u32::from_be_bytes(*last));
            u64::from(first) << 32 | u64::from(last) << place(length - 1)
        }
        (.., 0) => 0,
        (.., length) => at(0) | at(length / 2) | at(length - 1),
    }
}

/// A word of ASCII with its capitals made small.
fn lower(word: u64) -> u64 {
    // The high bit of a letter of these is set from A on, and after Z.
    let (from_a, after_z) = (word + letters(0x80 - b'A'), word + letters(0x7f - b'Z'));
    let capitals = (from_a ^ after_z) & BEYOND_ASCII;
    word | capitals >> 2
}

fn is_folded(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(Text);

        impl $name {
            /// Takes the name as it was typed.
            pub fn new(name: impl Into<Text>) -> $name {
                $name(name.into())
            }

            /// The name as it was typed.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The form to look it up by.
            pub fn fold(&self) -> Folded {
                Folded::of(&self.0)
            }

            /// The name as a text that is shared by its copies.
            pub fn text(&self) -> &Text {
                &self.0
            }

            /// Shares the text of `known` where it says the same: a long text is then kept once.
            pub fn share(&mut self, known: &Text) {
                self.0.share(known);
            }

            /// Whether no name was given.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> $name {
                $name(Text::new(name))
            }
        }
    };
}

name! {
    /// The name of a node, unique in its datacenter without regard to case.
    NodeName
}
name! {
    /// The name under which instances offer the same thing.
    ServiceName
}
name! {
    /// The id of an instance, unique on its node without regard to case.
    InstanceId
}
name! {
    /// The id of a check, unique on its node without regard to case.
    CheckId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_ignores_case_in_any_script() {
        for (typed, folded) in
            [("web", "web"), ("WEB", "web"), ("Österreich", "österreich"), ("", "")]
        {
            assert_eq!(Folded::new(typed).as_str(), folded);
            assert_eq!(NodeName::from(typed).fold(), Folded::new(folded));
            assert_eq!(NodeName::from(typed).as_str(), typed);
        }
    }

    #[test]
    fn names_are_ordered_by_what_they_fold_to() {
        let ends = [
            "",
            "a",
            "A",
            "Z",
            "z",
            "@",
            "[",
            "`",
            "{",
            "\0",
            "\0a",
            "\u{7f}",
            "az",
            "eightlet",
            "EightLetters",
            "eightletters-and-more",
            "Ö",
            "ö",
            "aÖ",
            "İ",
            "i\u{307}",
            "ẞß",
            "ΣΑΣ",
            "σας",
            "k",
            "\u{212a}",
        ];
        let names: Vec<String> = ["", "Web-", "web-", "webs-of-4", "eightlet"]
            .iter()
            .flat_map(|begin| ends.map(|end| format!("{begin}{end}")))
            .collect();
        for (one, other) in names.iter().flat_map(|one| names.iter().map(move |other| (one, other)))
        {
            let folded = Folded::new(one).cmp(&Folded::new(other));
            assert_eq!(Folded::order(one, other), folded, "{one} {other}");
            assert_eq!(Folded::same(one, other), folded.is_eq(), "{one} {other}");
        }
    }
}
