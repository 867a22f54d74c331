//! What a reverse look-up finds: the names of an address, counted by the rows that give them.
//!
//! Health does not matter here, as in Consul: who asks what an address is called wants to know it
//! most when something is wrong with it. Kept in a tree and not in a hash map: imbl's hash map takes
//! between 60 and 400 bytes an address, as their number happens to be; its tree about 90.

use imbl::shared_ptr::DefaultSharedPtr;
use model::Folded;
use std::net::IpAddr;

/// What a reverse look-up finds; a node's name wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pointer {
    Node(Folded),
    Service(Folded),
}

/// The names of all addresses. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reverse(imbl::GenericOrdMap<Key, Names, DefaultSharedPtr>);

/// An address in sixteen bytes; an IPv4 one among multicast addresses, which are nobody's name.
type Key = [u8; 16];

fn key(address: IpAddr) -> Key {
    match address {
        IpAddr::V4(v4) => {
            let mut key = [0xFF; 16];
            key[12..].copy_from_slice(&v4.octets());
            key
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl Reverse {
    pub fn new() -> Reverse {
        Reverse(imbl::GenericOrdMap::new())
    }

    /// The names of an address, nodes before services.
    pub fn names(&self, address: IpAddr) -> impl Iterator<Item = &Pointer> {
        let names = self.0.get(&key(address)).map_or(&[][..], Names::as_slice);
        names.iter().map(|(name, _)| name)
    }

    /// One more row gives `address` the name `of`.
    pub fn add(&mut self, address: IpAddr, of: &Pointer) {
        match self.0.get_mut(&key(address)) {
            Some(names) => names.count(of, 1),
            None => {
                self.0.insert(key(address), Names::One((of.clone(), 1)));
            }
        }
    }

    /// One less does.
    pub fn remove(&mut self, address: IpAddr, of: &Pointer) {
        let Some(names) = self.0.get_mut(&key(address)) else { return };
        names.count(of, -1);
        if names.as_slice().is_empty() {
            self.0.remove(&key(address));
        }
    }
}

/// The names of an address and how many rows give it each. Nearly always there is one: a list for
/// each address would cost more than all else that is kept of an instance.
#[derive(Debug, Clone)]
enum Names {
    One((Pointer, u32)),
    /// In order.
    Many(Vec<(Pointer, u32)>),
}

impl Names {
    /// All of them, in order.
    fn as_slice(&self) -> &[(Pointer, u32)] {
        match self {
            Names::One(one) => std::slice::from_ref(one),
            Names::Many(many) => many,
        }
    }

    /// Counts rows that give the name, or give it no more.
    fn count(&mut self, of: &Pointer, by: i32) {
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
        let [here, there]: [IpAddr; 2] =
            ["10.0.0.1", "::ffff:10.0.0.1"].map(|ip| ip.parse().expect("an address"));
        let mut reverse = Reverse::new();
        for (name, is_more, expected) in [
            (&b, true, &[&b][..]),
            (&b, true, &[&b]),
            (&b, true, &[&b]),
            (&node, true, &[&node, &b]),
            (&a, true, &[&node, &a, &b]),
            (&b, false, &[&node, &a, &b]),
            (&b, false, &[&node, &a, &b]),
            (&b, false, &[&node, &a]),
            (&b, false, &[&node, &a]),
            (&node, false, &[&a]),
            (&a, false, &[]),
            (&a, false, &[]),
            (&a, true, &[&a]),
        ] {
            match is_more {
                true => reverse.add(here, name),
                false => reverse.remove(here, name),
            }
            let left: Vec<&Pointer> = reverse.names(here).collect();
            assert_eq!(left, expected, "{name:?} {is_more}");
            assert_eq!(reverse.names(there).count(), 0);
        }
    }
}
