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
    pub fn order(one: &str, other: &str) -> Ordering {
        if is_folded(one) && is_folded(other) {
            one.cmp(other)
        } else {
            Folded::new(one).cmp(&Folded::new(other))
        }
    }

    /// Whether a name as it was typed folds to this.
    pub fn is(&self, name: &str) -> bool {
        self.as_str() == name || Folded::order(self.as_str(), name).is_eq()
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
        let names =
            ["", "Web", "web", "WEB-1", "web-10", "wEb_", "Österreich", "österreich", "zoo"];
        for (one, other) in names.iter().flat_map(|one| names.map(|other| (*one, other))) {
            let folded = Folded::new(one).cmp(&Folded::new(other));
            assert_eq!(Folded::order(one, other), folded, "{one} {other}");
            assert_eq!(Folded::new(one).is(other), folded.is_eq(), "{one} {other}");
        }
    }
}
