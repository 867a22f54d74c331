//! What a reverse look-up finds: the names of an address, counted by the rows that give them.

use model::Folded;

/// What a reverse look-up finds; a node's name wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pointer {
    Node(Folded),
    Service(Folded),
}

/// The names of an address and how many rows give it each. Nearly always there is one: a list for
/// each address would cost more than all else that is kept of an instance.
#[derive(Debug, Clone)]
pub(super) enum Names {
    One((Pointer, u32)),
    /// In order.
    Many(Vec<(Pointer, u32)>),
}

impl Names {
    /// So many rows give this name.
    pub fn new(name: &Pointer, rows: u32) -> Names {
        Names::One((name.clone(), rows))
    }

    /// All of them, in order.
    pub fn as_slice(&self) -> &[(Pointer, u32)] {
        match self {
            Names::One(one) => std::slice::from_ref(one),
            Names::Many(many) => many,
        }
    }

    /// Counts rows that give the name, or give it no more.
    pub fn count(&mut self, of: &Pointer, by: i32) {
        let mut names = match std::mem::replace(self, Names::Many(Vec::new())) {
            Names::One(one) => vec![one],
            Names::Many(many) => many,
        };
        match names.binary_search_by(|(name, _)| name.cmp(of)) {
            Ok(at) => {
                names[at].1 = names[at].1.saturating_add_signed(by);
                if names[at].1 == 0 {
                    names.remove(at);
                }
            }
            Err(at) if by > 0 => names.insert(at, (of.clone(), by.unsigned_abs())),
            Err(_) => {}
        }
        *self = match names.len() {
            1 => Names::One(names.remove(0)),
            _ => Names::Many(names),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_as_long_as_a_row_gives_it() {
        let node = Pointer::Node(Folded::new("n1"));
        let [a, b] = ["a", "b"].map(|name| Pointer::Service(Folded::new(name)));
        let mut names = Names::new(&b, 1);
        for (name, by, expected) in [
            (&b, 2, &[&b][..]),
            (&node, 1, &[&node, &b]),
            (&a, 1, &[&node, &a, &b]),
            (&b, -2, &[&node, &a, &b]),
            (&b, -1, &[&node, &a]),
            (&b, -1, &[&node, &a]),
            (&node, -1, &[&a]),
            (&a, -1, &[]),
            (&a, 1, &[&a]),
        ] {
            names.count(name, by);
            let left: Vec<&Pointer> = names.as_slice().iter().map(|(name, _)| name).collect();
            assert_eq!(left, expected, "{name:?} {by}");
        }
    }
}
