//! The zone as the answer path wants it: names taken apart, numbers in wire form.

use crate::config::{Config, seconds};
use dnswire::{MAX_NAME, Name};

/// What an answer needs of the settings.
#[derive(Debug)]
pub(crate) struct Zone {
    /// The domain and, when there is one, its other name, the one with more labels first.
    apexes: Vec<Apex>,
    /// The domain itself, whole in wire form.
    pub domain: Box<[u8]>,
    /// This datacenter's name, lower-cased.
    pub datacenter: Box<[u8]>,
    /// Other datacenters that can be asked, lower-cased.
    pub others: Vec<Box<[u8]>>,
    pub node_ttl: u32,
    pub min_ttl: u32,
    /// Refresh, retry, expire and minimum as the SOA record ends.
    soa_tail: [u8; 16],
    pub a_record_limit: usize,
    pub udp_answer_limit: usize,
    pub sets_tc: bool,
    pub compresses: bool,
    pub adds_node_meta: bool,
}

#[derive(Debug)]
struct Apex {
    dotted: Box<[u8]>,
    labels: usize,
    is_primary: bool,
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the zone.
    Inside(Suffix),
    /// Under `in-addr.arpa` or `ip6.arpa`, with so many labels before it.
    Reverse {
        /// Labels before the suffix.
        before: usize,
        /// `ip6.arpa`.
        six: bool,
    },
    /// Somebody else's.
    Foreign,
}

/// The domain within an asked name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suffix {
    /// Labels before it.
    pub before: usize,
    /// Whether it is the domain itself and not its other name.
    pub is_primary: bool,
}

/// A domain that is no domain name, or so long that no address has a name in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a domain name, or too long to name addresses in it")]
pub struct BadDomain(pub String);

impl Zone {
    pub(crate) fn new<'d>(
        config: &Config,
        others: impl Iterator<Item = &'d str>,
    ) -> Result<Zone, BadDomain> {
        let (domain, apex) = parse(config, &config.domain, true)?;
        let mut apexes = vec![apex];
        if let Some(alt) = config.alt_domain.as_deref().filter(|alt| !alt.is_empty()) {
            apexes.push(parse(config, alt, false)?.1);
        }
        apexes.sort_by_key(|apex| std::cmp::Reverse(apex.labels));
        let soa = config.soa;
        let mut soa_tail = [0; 16];
        for (to, number) in
            soa_tail.chunks_exact_mut(4).zip([soa.refresh, soa.retry, soa.expire, soa.min_ttl])
        {
            to.copy_from_slice(&number.to_be_bytes());
        }
        let lower = |name: &str| name.to_ascii_lowercase().into_bytes().into_boxed_slice();
        Ok(Zone {
            apexes,
            domain,
            datacenter: lower(&config.datacenter),
            others: others.map(lower).collect(),
            node_ttl: seconds(config.node_ttl),
            min_ttl: soa.min_ttl,
            soa_tail,
            a_record_limit: config.a_record_limit,
            udp_answer_limit: config.udp_answer_limit.clamp(1, 8),
            sets_tc: config.enable_truncate,
            compresses: !config.disable_compression,
            adds_node_meta: config.enable_additional_node_meta_txt,
        })
    }

    pub(crate) fn place(&self, name: &Name) -> Place {
        for apex in &self.apexes {
            if let Some(before) = name.before_suffix(&apex.dotted, apex.labels) {
                return Place::Inside(Suffix { before, is_primary: apex.is_primary });
            }
        }
        for (six, suffix) in [(false, &b"in-addr.arpa"[..]), (true, b"ip6.arpa")] {
            if let Some(before) = name.before_suffix(suffix, 2) {
                return Place::Reverse { before, six };
            }
        }
        Place::Foreign
    }

    /// The five numbers of the SOA record; the serial is the time.
    pub(crate) fn soa_numbers(&self, now: u32) -> [u8; 20] {
        let mut numbers = [0; 20];
        numbers[..4].copy_from_slice(&now.to_be_bytes());
        numbers[4..].copy_from_slice(&self.soa_tail);
        numbers
    }
}

fn parse(config: &Config, domain: &str, is_primary: bool) -> Result<(Box<[u8]>, Apex), BadDomain> {
    let mut wire = Vec::new();
    // The longest name that is ours alone, `HEX.addr.DC`; with it all that the SOA names fit, too.
    let longest = 33 + 5 + 1 + config.datacenter.len();
    if !dnswire::to_wire(domain.as_bytes(), &mut wire) || wire.len() + longest > MAX_NAME {
        return Err(BadDomain(domain.to_owned()));
    }
    let name = Name::parse(&wire).map_err(|_| BadDomain(domain.to_owned()))?;
    let dotted = name.joined(0, name.labels()).into();
    Ok((wire.into(), Apex { dotted, labels: name.labels(), is_primary }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        let config = Config {
            domain: "Corp.example".to_owned(),
            alt_domain: Some("alt.corp.example.".to_owned()),
            ..Config::default()
        };
        let zone = Zone::new(&config, [].into_iter()).expect("domains");
        let mut wire = Vec::new();
        assert!(dnswire::to_wire(name.as_bytes(), &mut wire));
        zone.place(&Name::parse(&wire).expect("a name"))
    }

    #[test]
    fn the_longer_domain_is_tried_first() {
        let inside = |before, is_primary| Place::Inside(Suffix { before, is_primary });
        for (name, expected) in [
            ("web.service.CORP.example", inside(2, true)),
            ("corp.example", inside(0, true)),
            ("web.service.alt.corp.example", inside(2, false)),
            ("xcorp.example", Place::Foreign),
            ("example", Place::Foreign),
            ("4.3.2.1.IN-ADDR.arpa", Place::Reverse { before: 4, six: false }),
            ("1.0.ip6.arpa", Place::Reverse { before: 2, six: true }),
        ] {
            assert_eq!(place(name), expected, "{name}");
        }
    }

    #[test]
    fn a_domain_must_be_a_name() {
        let (long, longer) = ("d.".repeat(106), "d.".repeat(107));
        let fits = Config { domain: long, ..Config::default() };
        assert!(Zone::new(&fits, [].into_iter()).is_ok());
        for bad in ["", ".", "a..b", &longer] {
            let config = Config { domain: bad.to_owned(), ..Config::default() };
            assert_eq!(
                Zone::new(&config, [].into_iter()).map(|_| ()),
                Err(BadDomain(bad.to_owned()))
            );
        }
    }
}
