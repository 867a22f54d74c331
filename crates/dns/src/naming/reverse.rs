//! Names of addresses: `4.3.2.1.in-addr.arpa`, nibbles under `ip6.arpa`.

use super::consul::digit;
use dnswire::Name;
use std::net::IpAddr;

/// The address that the first `before` labels of `name` spell backwards.
pub(crate) fn parse(name: &Name, before: usize, six: bool) -> Option<IpAddr> {
    if six { nibbles(name, before) } else { octets(name, before) }
}

fn octets(name: &Name, before: usize) -> Option<IpAddr> {
    if before != 4 {
        return None;
    }
    let mut octets = [0; 4];
    for (at, octet) in octets.iter_mut().rev().enumerate() {
        let text = std::str::from_utf8(name.label(at)).ok()?;
        if !text.bytes().all(|letter| letter.is_ascii_digit()) {
            return None;
        }
        *octet = text.parse().ok()?;
    }
    Some(IpAddr::from(octets))
}

fn nibbles(name: &Name, before: usize) -> Option<IpAddr> {
    if before != 32 {
        return None;
    }
    let mut octets = [0; 16];
    for at in 0..32 {
        let [letter] = name.label(at) else { return None };
        let place = 31 - at;
        octets[place / 2] |= digit(*letter)? << if place % 2 == 0 { 4 } else { 0 };
    }
    Some(IpAddr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dotted: &str, six: bool, expected: Option<&str>) {
        let mut wire = Vec::new();
        assert!(dnswire::to_wire(dotted.as_bytes(), &mut wire));
        let name = Name::parse(&wire).expect("a name");
        let expected = expected.map(|text| text.parse().expect("an address"));
        assert_eq!(parse(&name, name.labels() - 2, six), expected, "{dotted}");
    }

    #[test]
    fn addresses_are_spelled_backwards() {
        check("4.3.2.1.in-addr.arpa", false, Some("1.2.3.4"));
        for bad in ["3.2.1.in-addr.arpa", "x.3.2.1.in-addr.arpa", "256.3.2.1.in-addr.arpa"] {
            check(bad, false, None);
        }
        let zeros = "0.".repeat(28);
        check(&format!("6.0.{zeros}d.f.ip6.arpa"), true, Some("fd00::6"));
        check(&format!("x.0.{zeros}d.f.ip6.arpa"), true, None);
        check("6.ip6.arpa", true, None);
    }
}
