//! What answers need of a node: its name as a target, its addresses, its meta as TXT.

use catalog::NodeKey;
use model::{Folded, Node, Text, TextMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of a node or an instance, by what asks for them.
///
/// `lan_ipv4` and `lan_ipv6` answer for their families; who takes any gets the IPv6 one first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Addresses {
    /// For A.
    pub v4: Option<Ipv4Addr>,
    /// For AAAA.
    pub v6: Option<Ipv6Addr>,
    /// For everything else.
    pub any: Option<IpAddr>,
    /// The address is a host name: this one, whole in wire form.
    pub host: Option<Box<[u8]>>,
}

impl Addresses {
    /// From an address as registered, perhaps empty, and its tagged variants.
    pub fn new(address: &str, lan_ipv4: Option<&str>, lan_ipv6: Option<&str>) -> Addresses {
        let plain: Option<IpAddr> = address.parse().ok();
        let v4 = lan_ipv4.and_then(|text| text.parse().ok()).map(IpAddr::V4);
        let v6 = lan_ipv6.and_then(|text| text.parse().ok()).map(IpAddr::V6);
        let host = match plain {
            None if !address.is_empty() => whole_name(address),
            _ => None,
        };
        Addresses {
            v4: v4.into_iter().chain(plain).find_map(|ip| match ip {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            }),
            v6: v6.into_iter().chain(plain).find_map(|ip| match ip {
                IpAddr::V4(_) => None,
                IpAddr::V6(v6) => Some(v6),
            }),
            any: v6.or(v4).or(plain),
            host,
        }
    }

    /// These, and where they say nothing the node's.
    pub fn or(self, node: &Addresses) -> Addresses {
        let host = match self.any {
            None => node.host.clone(),
            Some(_) => None,
        };
        Addresses {
            v4: self.v4.or(node.v4),
            v6: self.v6.or(node.v6),
            any: self.any.or(node.any),
            host,
        }
    }
}

fn whole_name(dotted: &str) -> Option<Box<[u8]>> {
    let mut wire = Vec::new();
    dnswire::to_wire(dotted.as_bytes(), &mut wire).then(|| wire.into())
}

/// A node in wire form.
#[derive(Debug)]
pub(crate) struct NodeFacts {
    /// Its folded name: the order of a service's rows.
    pub key: Folded,
    /// The labels `NAME.node.DC`, without the domain; empty where the name is no run of labels, or
    /// too long with the domain after it.
    pub target: Box<[u8]>,
    /// Whether the name has only letters, digits and hyphens: what an NS record may name.
    pub is_safe: bool,
    pub addresses: Addresses,
    /// Whether SRV records can name it: its address is not replaced by a tagged one.
    pub is_target: bool,
    /// The data of its TXT records, each behind its length (two bytes).
    texts: Box<[u8]>,
    pub text_count: usize,
}

impl NodeFacts {
    /// A node of `datacenter`, under a domain that takes `domain` bytes on the wire.
    pub fn new(key: &NodeKey, node: &Node, datacenter: &str, domain: usize) -> NodeFacts {
        let lan = |tag| node.tagged_addresses.as_ref().and_then(|tagged| tagged.get(tag));
        let (lan_ipv4, lan_ipv6) = (lan("lan_ipv4"), lan("lan_ipv6"));
        let addresses =
            Addresses::new(&node.address, lan_ipv4.map(Text::as_str), lan_ipv6.map(Text::as_str));
        let target = labels(&[node.name.as_str(), "node", datacenter], domain);
        let is_own = addresses.any.is_some() && addresses.any == node.address.parse().ok();
        let name = node.name.as_str();
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let texts = node.meta.as_ref().map(texts).unwrap_or_default();
        NodeFacts {
            key: key.node.clone(),
            is_safe: !target.is_empty() && name.len() <= 63 && name.bytes().all(safe),
            is_target: is_own && !target.is_empty(),
            target,
            addresses,
            text_count: node.meta.as_ref().map_or(0, TextMap::len),
            texts,
        }
    }

    /// The data of its TXT records.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.texts[..];
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (text, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            rest = after;
            Some(text)
        })
    }
}

/// Dotted parts as labels without a root; empty when they are no labels, or longer than a name may
/// be with `rest` bytes beside them.
pub(crate) fn labels(parts: &[&str], rest: usize) -> Box<[u8]> {
    let mut wire = Vec::new();
    if !dnswire::to_wire(parts.join(".").as_bytes(), &mut wire) {
        return Box::default();
    }
    wire.pop();
    if wire.len() + rest > dnswire::MAX_NAME {
        return Box::default();
    }
    wire.into()
}

/// The rdata of one TXT record for each pair, each behind its length.
fn texts(meta: &TextMap) -> Box<[u8]> {
    let mut out = Vec::new();
    for (key, value) in meta {
        let text = text(key, value);
        let length = text.len() + text.len().div_ceil(255).max(1);
        let Ok(length) = u16::try_from(length) else { continue };
        out.extend_from_slice(&length.to_be_bytes());
        if text.is_empty() {
            out.push(0);
        }
        for part in text.as_bytes().chunks(255) {
            out.push(part.len() as u8);
            out.extend_from_slice(part);
        }
    }
    out.into()
}

/// RFC 1464: `key=value`; backquotes double, and in a key `=` and outer blanks take one before them.
fn text(key: &str, value: &str) -> String {
    let value = value.replace('`', "``");
    if key.starts_with("rfc1035-") {
        return value;
    }
    let inner = key.trim_matches(' ');
    let before = key.len() - key.trim_start_matches(' ').len();
    let after = key.len() - before - inner.len();
    let inner = inner.replace('`', "``").replace('=', "`=");
    format!("{}{inner}{}={value}", "` ".repeat(before), "` ".repeat(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_becomes_text_as_rfc_1464_has_it() {
        for (key, value, expected) in [
            ("rack", "r1", "rack=r1"),
            ("odd", "a=b `c\"", "odd=a=b ``c\""),
            ("a=b`", "x", "a`=b``=x"),
            (" k  ", "", "` k` ` ="),
            ("rfc1035-txt", "plain value", "plain value"),
        ] {
            assert_eq!(text(key, value), expected);
        }
    }

    #[test]
    fn long_and_empty_texts_are_whole_records() {
        let meta: TextMap =
            [("a", "x".repeat(300)), ("b", "y".repeat(70_000)), ("rfc1035-c", String::new())]
                .map(|(key, value)| (Text::new(key), Text::new(value)))
                .into();
        let node = Node { name: "n".into(), meta: Some(meta), ..Node::default() };
        let key = NodeKey::new(model::Tenant::DEFAULT, &node.name);
        let facts = NodeFacts::new(&key, &node, "dc1", 8);
        let texts: Vec<&[u8]> = facts.texts().collect();
        assert_eq!(texts.iter().map(|text| text.len()).collect::<Vec<_>>(), [304, 1]);
        assert_eq!((texts[0][0], texts[0][256], texts[1][0]), (255, 47, 0));
    }

    #[test]
    fn tagged_addresses_answer_for_their_family() {
        let ip = |text: &str| text.parse().ok();
        let plain = Addresses::new("10.1.0.1", None, None);
        assert_eq!((plain.v4, plain.v6, plain.any), (ip4("10.1.0.1"), None, ip("10.1.0.1")));
        let both = Addresses::new("10.1.0.7", Some("10.1.0.78"), Some("fd00::78"));
        assert_eq!((both.v4, both.any), (ip4("10.1.0.78"), ip("fd00::78")));
        let host = Addresses::new("www.Example", None, None);
        assert_eq!(host.host.as_deref(), Some(&b"\x03www\x07Example\0"[..]));
        assert_eq!((host.any, &Addresses::new("", None, None).or(&host)), (None, &host));
        assert_eq!(plain.clone().or(&both).v6, ip6("fd00::78"));
    }

    fn ip4(text: &str) -> Option<Ipv4Addr> {
        text.parse().ok()
    }

    fn ip6(text: &str) -> Option<Ipv6Addr> {
        text.parse().ok()
    }
}
