//! Consul's names: `[tag.]web.service[.dc]`, `n1.node[.dc]`, `_web._tcp.service[.dc]`, `HEX.addr`.
//!
//! Labels are read from the right, as Consul does: the last label that names a type decides, what
//! follows it is the datacenter, what precedes it belongs to the entity.

use super::Lookup;
use dnswire::{Name, rtype};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads the first `before` labels of `name`, those left of the domain.
pub(crate) fn parse(name: &Name, before: usize, qtype: u16) -> Lookup<'_> {
    // `[a.b]` is not `[a][b]`, and nothing that is registered has such a label.
    if name.has_dotted_label() {
        return Lookup::Nothing;
    }
    for at in (0..before).rev() {
        let label = name.label(at);
        let entity = match label {
            b"service" => service(name, at, datacenter(name, at + 1, before)),
            b"node" => node(name, at, datacenter(name, at + 1, before)),
            b"addr" => address(name, at),
            b"virtual" if at > 0 => Lookup::Empty,
            b"virtual" | b"connect" | b"ingress" | b"query" => Lookup::Nothing,
            // SRV questions may leave the `service` label out.
            [b'_', ..] if qtype == rtype::SRV => {
                service(name, at + 1, datacenter(name, at + 1, before))
            }
            _ => continue,
        };
        return entity;
    }
    Lookup::Nothing
}

/// What may follow the type label: nothing, a datacenter, a datacenter and `dc`.
enum Datacenter<'n> {
    Own,
    Named(&'n [u8]),
    Malformed,
}

impl<'n> Datacenter<'n> {
    fn name(self) -> Result<Option<&'n [u8]>, ()> {
        match self {
            Datacenter::Own => Ok(None),
            Datacenter::Named(name) => Ok(Some(name)),
            Datacenter::Malformed => Err(()),
        }
    }
}

fn datacenter(name: &Name, from: usize, to: usize) -> Datacenter<'_> {
    match to - from {
        0 => Datacenter::Own,
        1 => Datacenter::Named(name.label(from)),
        2 if name.label(from + 1) == b"dc" => Datacenter::Named(name.label(from)),
        _ => Datacenter::Malformed,
    }
}

fn service<'n>(name: &'n Name, parts: usize, datacenter: Datacenter<'n>) -> Lookup<'n> {
    let (Ok(datacenter), 1..) = (datacenter.name(), parts) else { return Lookup::Nothing };
    let (service, tag) = match (parts, name.label(0)) {
        (2, [b'_', service @ ..]) if name.label(1).starts_with(b"_") => {
            let tag = &name.label(1)[1..];
            (service, if tag == b"tcp" { &[][..] } else { tag })
        }
        _ => (name.label(parts - 1), name.joined(0, parts - 1)),
    };
    if service.is_empty() {
        return Lookup::Broken;
    }
    Lookup::Service { service, tag, datacenter }
}

fn node<'n>(name: &'n Name, parts: usize, datacenter: Datacenter<'n>) -> Lookup<'n> {
    match (datacenter.name(), parts) {
        (Ok(datacenter), 1..) => Lookup::Node { node: name.joined(0, parts), datacenter },
        _ => Lookup::Nothing,
    }
}

/// Whatever follows `addr` is not looked at.
fn address(name: &Name, parts: usize) -> Lookup<'_> {
    if parts != 1 {
        return Lookup::Nothing;
    }
    match parse_address(name.label(0)) {
        Some(address) => Lookup::Address(address),
        None => Lookup::Nothing,
    }
}

fn parse_address(label: &[u8]) -> Option<IpAddr> {
    let mut bytes = [0; 16];
    let bytes = bytes.get_mut(..label.len() / 2)?;
    for (byte, digits) in bytes.iter_mut().zip(label.chunks(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    match label.len() {
        8 => <[u8; 4]>::try_from(&*bytes).ok().map(|ip| IpAddr::V4(Ipv4Addr::from(ip))),
        32 => <[u8; 16]>::try_from(&*bytes).ok().map(|ip| IpAddr::V6(Ipv6Addr::from(ip))),
        _ => None,
    }
}

pub(super) fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

/// The label of an address name, length byte first: 8 or 32 lower-case hex digits.
pub(crate) fn address_label(address: IpAddr, out: &mut [u8; 33]) -> &[u8] {
    let bytes = match &address {
        IpAddr::V4(v4) => &v4.octets()[..],
        IpAddr::V6(v6) => &v6.octets()[..],
    };
    out[0] = bytes.len() as u8 * 2;
    for (to, byte) in out[1..].chunks_exact_mut(2).zip(bytes) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        to[0] = DIGITS[usize::from(byte >> 4)];
        to[1] = DIGITS[usize::from(byte & 15)];
    }
    &out[..1 + bytes.len() * 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dotted: &str, qtype: u16, expected: Lookup<'_>) {
        let mut wire = Vec::new();
        assert!(dnswire::to_wire(format!("{dotted}.consul").as_bytes(), &mut wire));
        let name = Name::parse(&wire).expect("a name");
        assert_eq!(parse(&name, name.labels() - 1, qtype), expected, "{dotted}");
    }

    fn web(tag: &'static str, datacenter: Option<&'static str>) -> Lookup<'static> {
        let datacenter = datacenter.map(str::as_bytes);
        Lookup::Service { service: b"web", tag: tag.as_bytes(), datacenter }
    }

    #[test]
    fn services_carry_tags_and_datacenters() {
        check("web.service", rtype::A, web("", None));
        check("WEB.Service.DC2", rtype::A, web("", Some("dc2")));
        check("web.service.dc2.dc", rtype::A, web("", Some("dc2")));
        check("v1.web.service", rtype::A, web("v1", None));
        check("a.b.web.service.dc2", rtype::A, web("a.b", Some("dc2")));
        for nothing in
            ["service", "web.service.a.b", "web.service.a.b.c", "web.service.p.peer", "x"]
        {
            check(nothing, rtype::A, Lookup::Nothing);
        }
    }

    #[test]
    fn the_underscored_form_means_the_same() {
        check("_web._tcp.service", rtype::SRV, web("", None));
        check("_WEB._TCP.service", rtype::A, web("", None));
        check("_web._.service", rtype::SRV, web("", None));
        check("_web._udp.service", rtype::SRV, web("udp", None));
        check("_web._tcp", rtype::SRV, web("", None));
        check("_web._v1.dc1", rtype::SRV, web("v1", Some("dc1")));
        check("_web._tcp.dc1.dc", rtype::SRV, web("", Some("dc1")));
        check("_web._tcp", rtype::A, Lookup::Nothing);
        check("_._tcp.service", rtype::SRV, Lookup::Broken);
        let service = |service, tag| Lookup::Service { service, tag, datacenter: None };
        check("_web.service", rtype::SRV, service(b"_web", b""));
        check("_web._a.b.service", rtype::SRV, service(b"b", b"_web._a"));
        check("web._tcp.service", rtype::SRV, service(b"_tcp", b"web"));
    }

    #[test]
    fn a_node_may_have_dots() {
        let node = |node, datacenter| Lookup::Node { node, datacenter };
        check("n1.node", rtype::A, node(b"n1", None));
        check("dotted.name.node.dc1", rtype::A, node(b"dotted.name", Some(b"dc1")));
        check("a.service.node", rtype::A, node(b"a.service", None));
        check("node", rtype::A, Lookup::Nothing);
        check("n1.node.a.b", rtype::A, Lookup::Nothing);
    }

    #[test]
    fn an_address_is_spelled_in_hex() {
        let v4 = Lookup::Address(IpAddr::from([127, 0, 0, 1]));
        let v6 = Lookup::Address("fd00::6".parse().expect("an address"));
        check("7f000001.addr", rtype::A, v4);
        check("7F000001.addr.x.y", rtype::A, v4);
        check("fd000000000000000000000000000006.addr.dc9", rtype::SRV, v6);
        for nothing in
            ["7f00001.addr", "7f0000011.addr", "zz000001.addr", "x.7f000001.addr", "addr"]
        {
            check(nothing, rtype::A, Lookup::Nothing);
        }
        let mut label = [0; 33];
        assert_eq!(address_label(IpAddr::from([10, 9, 9, 255]), &mut label), b"\x080a0909ff");
    }

    #[test]
    fn mesh_names_are_known_and_empty() {
        check("web.virtual", rtype::A, Lookup::Empty);
        for nothing in ["virtual", "web.connect", "web.ingress", "q.query"] {
            check(nothing, rtype::A, Lookup::Nothing);
        }
    }
}
