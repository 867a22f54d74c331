//! Addresses that a configuration leaves to the host: `{{ GetInterfaceIP "eth0" }}`.
//!
//! One image runs on many hosts whose addresses nobody knows before; its file names an interface or a
//! kind of address instead. Of the template language the functions are here that configurations use.
//!
//! Source: the documentation of go-sockaddr's templates.

use anyhow::{Context, bail, ensure};
use std::net::IpAddr;

/// An address that this host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
    /// How many bits of it are the network's.
    pub bits: u32,
    /// Whether the interface is up.
    pub is_up: bool,
    /// Whether the interface has the route to everywhere else.
    pub is_default: bool,
}

/// What the text says with its templates carried out; a text without any stays as it is.
pub fn expand(text: &str) -> anyhow::Result<String> {
    match text.contains("{{") {
        true => expand_among(text, &addresses().context("cannot list this host's addresses")?),
        false => Ok(text.to_owned()),
    }
}

fn expand_among(text: &str, host: &[Address]) -> anyhow::Result<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").context("a template lacks its `}}`")?;
        out.push_str(before);
        let inside = inside.trim().trim_start_matches("- ").trim_end_matches(" -");
        out.push_str(
            &evaluate(inside, host).with_context(|| format!("template {{{{{inside}}}}}"))?,
        );
        rest = after;
    }
    out.push_str(rest);
    Ok(out.trim().to_owned())
}

/// What flows through the pipes of a template.
enum Flow {
    Addresses(Vec<Address>),
    Text(String),
}

fn evaluate(template: &str, host: &[Address]) -> anyhow::Result<String> {
    let mut flow = None;
    for stage in stages(template)? {
        let words: Vec<&str> = stage.iter().map(String::as_str).collect();
        flow = Some(step(&words, flow, host)?);
    }
    match flow {
        Some(Flow::Text(text)) => Ok(text),
        Some(Flow::Addresses(_)) => {
            bail!("it ends in interfaces; end it with `| attr \"address\"`")
        }
        None => bail!("it is empty"),
    }
}

/// The words of each stage; texts stand in double quotes.
fn stages(template: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let (mut stages, mut word) = (vec![Vec::new()], String::new());
    let mut letters = template.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => loop {
                match letters.next().context("a text lacks its closing quote")? {
                    '"' => {
                        break stages.last_mut().into_iter().for_each(|stage| {
                            stage.push(std::mem::take(&mut word));
                        });
                    }
                    letter => word.push(letter),
                }
            },
            '|' | ' ' | '\t' | '\n' => {
                if !word.is_empty() {
                    stages.last_mut().into_iter().for_each(|stage| {
                        stage.push(std::mem::take(&mut word));
                    });
                }
                if letter == '|' {
                    stages.push(Vec::new());
                }
            }
            letter => word.push(letter),
        }
    }
    if !word.is_empty() {
        stages.last_mut().into_iter().for_each(|stage| stage.push(word.clone()));
    }
    Ok(stages)
}

fn step(words: &[&str], flow: Option<Flow>, host: &[Address]) -> anyhow::Result<Flow> {
    let texts = |all: Vec<Address>, between: &str| {
        let all: Vec<String> = all.iter().map(|address| address.ip.to_string()).collect();
        Flow::Text(all.join(between))
    };
    let first = |mut all: Vec<Address>| {
        all.truncate(1);
        texts(all, "")
    };
    Ok(match (words, flow) {
        (["GetAllInterfaces"], None) => Flow::Addresses(host.to_vec()),
        (["GetDefaultInterfaces"], None) => Flow::Addresses(kept(host, |is| is.is_default)),
        (["GetPrivateInterfaces"], None) => Flow::Addresses(usable(host, is_private)),
        (["GetPublicInterfaces"], None) => Flow::Addresses(usable(host, is_public)),
        (["GetPrivateIP"], None) => first(usable(host, is_private)),
        (["GetPrivateIPs"], None) => texts(usable(host, is_private), " "),
        (["GetPublicIP"], None) => first(usable(host, is_public)),
        (["GetPublicIPs"], None) => texts(usable(host, is_public), " "),
        (["GetInterfaceIP", name], None) => first(of_interface(host, name)),
        (["GetInterfaceIPs", name], None) => texts(of_interface(host, name), " "),
        (["include", by, value], Some(Flow::Addresses(all))) => {
            Flow::Addresses(filter(all, by, value, true)?)
        }
        (["exclude", by, value], Some(Flow::Addresses(all))) => {
            Flow::Addresses(filter(all, by, value, false)?)
        }
        (["sort", by], Some(Flow::Addresses(all))) => Flow::Addresses(sorted(all, by)?),
        (["limit", count], Some(Flow::Addresses(mut all))) => {
            all.truncate(count.parse().context("limit")?);
            Flow::Addresses(all)
        }
        (["offset", count], Some(Flow::Addresses(all))) => {
            let count: usize = count.parse().context("offset")?;
            Flow::Addresses(all.into_iter().skip(count).collect())
        }
        (["unique", "address"], Some(Flow::Addresses(mut all))) => {
            all.dedup_by(|a, b| a.ip == b.ip);
            Flow::Addresses(all)
        }
        (["unique", "name"], Some(Flow::Addresses(mut all))) => {
            all.dedup_by(|a, b| a.interface == b.interface);
            Flow::Addresses(all)
        }
        (["attr", "address"], Some(Flow::Addresses(all))) => first(all),
        (["attr", "name"], Some(Flow::Addresses(all))) => {
            Flow::Text(all.into_iter().next().map(|is| is.interface).unwrap_or_default())
        }
        (["join", "address", between], Some(Flow::Addresses(all))) => texts(all, between),
        (["trimSpace"], Some(Flow::Text(text))) => Flow::Text(text.trim().to_owned()),
        (words, _) => bail!("`{}` is not known here", words.join(" ")),
    })
}

fn kept(all: &[Address], keep: impl Fn(&Address) -> bool) -> Vec<Address> {
    all.iter().filter(|address| keep(address)).cloned().collect()
}

fn of_interface(host: &[Address], name: &str) -> Vec<Address> {
    let mut all = kept(host, |is| is.interface == name && !is_link_local(is.ip));
    all.sort_by_key(|is| is.ip.is_ipv6());
    all
}

/// Those that others can reach, the default interface's before the rest, IPv4 before IPv6.
fn usable(host: &[Address], of_kind: fn(IpAddr) -> bool) -> Vec<Address> {
    let mut all = kept(host, |is| is.is_up && is_forwardable(is.ip) && of_kind(is.ip));
    all.sort_by_key(|is| (!is.is_default, is.ip.is_ipv6()));
    all
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn is_forwardable(ip: IpAddr) -> bool {
    !ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified() && !is_link_local(ip)
}

/// RFC 1918, RFC 6598 and RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

fn is_public(ip: IpAddr) -> bool {
    is_forwardable(ip) && !is_private(ip)
}

fn filter(all: Vec<Address>, by: &str, value: &str, keep: bool) -> anyhow::Result<Vec<Address>> {
    let mut left = Vec::new();
    for address in all {
        let fits = match by {
            "name" => matches_name(value, &address.interface),
            "address" => matches_name(value, &address.ip.to_string()),
            "type" => value
                .split('|')
                .try_fold(false, |any, kind| anyhow::Ok(any | has_type(address.ip, kind)?))?,
            "flag" | "flags" => value
                .split('|')
                .try_fold(true, |all, flag| anyhow::Ok(all & has_flag(&address, flag)?))?,
            "rfc" => value
                .split('|')
                .try_fold(false, |any, rfc| anyhow::Ok(any | is_of(address.ip, rfc)?))?,
            "network" => {
                let network: net::Network = value.parse().context("network")?;
                network.contains(address.ip)
            }
            "size" => {
                let bits: u32 = value.trim_start_matches('/').parse().context("size")?;
                address.bits == bits
            }
            _ => bail!("nothing is chosen by {by:?}"),
        };
        if fits == keep {
            left.push(address);
        }
    }
    Ok(left)
}

/// A regular expression in go-sockaddr; here words, alternatives, `^(…)$`, and `^`, `$` and `.*` at the
/// ends.
fn matches_name(pattern: &str, name: &str) -> bool {
    let group = pattern.strip_prefix("^(").and_then(|rest| rest.strip_suffix(")$"));
    let whole = group.is_some();
    group.unwrap_or(pattern).split('|').any(|one| {
        let (start, one) = one.strip_prefix('^').map_or((whole, one), |one| (true, one));
        let (end, one) = one.strip_suffix('$').map_or((whole, one), |one| (true, one));
        let (end, one) = one.strip_suffix(".*").map_or((end, one), |one| (false, one));
        let (start, one) = one.strip_prefix(".*").map_or((start, one), |one| (false, one));
        match (start, end) {
            (true, true) => name == one,
            (true, false) => name.starts_with(one),
            (false, true) => name.ends_with(one),
            (false, false) => name.contains(one),
        }
    })
}

fn has_type(ip: IpAddr, kind: &str) -> anyhow::Result<bool> {
    Ok(match kind.to_ascii_lowercase().as_str() {
        "ip" => true,
        "ipv4" => ip.is_ipv4(),
        "ipv6" => ip.is_ipv6(),
        "unix" => false,
        _ => bail!("there is no type {kind:?}"),
    })
}

fn has_flag(address: &Address, flag: &str) -> anyhow::Result<bool> {
    Ok(match flag.to_ascii_lowercase().as_str() {
        "up" => address.is_up,
        "down" => !address.is_up,
        "loopback" => address.ip.is_loopback(),
        "forwardable" => is_forwardable(address.ip),
        "global unicast" | "global_unicast" => is_forwardable(address.ip),
        "link-local unicast" => is_link_local(address.ip),
        "multicast" => address.ip.is_multicast(),
        _ => bail!("there is no flag {flag:?}"),
    })
}

fn is_of(ip: IpAddr, rfc: &str) -> anyhow::Result<bool> {
    Ok(match rfc {
        "1918" => matches!(ip, IpAddr::V4(ip) if ip.is_private()),
        "4193" => matches!(ip, IpAddr::V6(ip) if ip.is_unique_local()),
        "6598" => matches!(ip, IpAddr::V4(ip) if !ip.is_private()) && is_private(ip),
        "6890" => is_private(ip) || ip.is_loopback() || is_link_local(ip),
        "3927" => matches!(ip, IpAddr::V4(ip) if ip.is_link_local()),
        _ => bail!("RFC {rfc} is not known here"),
    })
}

fn sorted(mut all: Vec<Address>, by: &str) -> anyhow::Result<Vec<Address>> {
    // The first of several keys counts most, so it is sorted by last.
    for by in by.split(',').rev() {
        let (down, by) = by.strip_prefix('-').map_or((false, by), |by| (true, by));
        let by = by.strip_prefix('+').unwrap_or(by);
        match by {
            "address" => all.sort_by_key(|is| is.ip),
            "default" => all.sort_by_key(|is| !is.is_default),
            "name" => all.sort_by(|a, b| a.interface.cmp(&b.interface)),
            "private" => all.sort_by_key(|is| !is_private(is.ip)),
            "size" => all.sort_by_key(|is| std::cmp::Reverse(is.bits)),
            "type" => all.sort_by_key(|is| is.ip.is_ipv6()),
            _ => bail!("nothing is sorted by {by:?}"),
        }
        if down {
            all.reverse();
        }
    }
    ensure!(!by.is_empty(), "sort by what?");
    Ok(all)
}

/// What this host has now.
fn addresses() -> anyhow::Result<Vec<Address>> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let default: Vec<&str> = routes
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let name = fields.next()?;
            (fields.next()? == "00000000").then_some(name)
        })
        .collect();
    let found = nix::ifaddrs::getifaddrs()?.filter_map(|interface| {
        let ip_of = |address: nix::sys::socket::SockaddrStorage| {
            let v4 = address.as_sockaddr_in().map(|is| IpAddr::V4(is.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|is| IpAddr::V6(is.ip())))
        };
        let bits = match interface.netmask.and_then(ip_of) {
            Some(IpAddr::V4(mask)) => u32::from(mask).count_ones(),
            Some(IpAddr::V6(mask)) => u128::from(mask).count_ones(),
            None => 0,
        };
        Some(Address {
            ip: ip_of(interface.address?)?,
            bits,
            is_up: interface.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP),
            is_default: default.contains(&interface.interface_name.as_str()),
            interface: interface.interface_name,
        })
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Vec<Address> {
        let all = [
            ("lo", "127.0.0.1", 8, false),
            ("lo", "::1", 128, false),
            ("docker0", "172.17.0.1", 16, false),
            ("eth0", "fe80::1", 64, true),
            ("eth0", "10.1.2.3", 24, true),
            ("eth1", "203.0.113.9", 24, false),
            ("eth1", "fd00::9", 64, false),
        ];
        let address = |(interface, ip, bits, is_default): (&str, &str, u32, bool)| Address {
            interface: interface.to_owned(),
            ip: ip.parse().expect(ip),
            bits,
            is_up: true,
            is_default,
        };
        all.map(address).to_vec()
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let said = expand_among(text, &host()).map_err(|error| format!("{error:#}"));
        match (&said, expected) {
            (Ok(said), Ok(expected)) => assert_eq!(said, expected, "{text}"),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{text}: {said}"),
            _ => panic!("{text}: {said:?}"),
        }
    }

    #[test]
    fn an_address_is_found_by_its_interface_or_its_kind() {
        check("127.0.0.1", Ok("127.0.0.1"));
        check("{{ GetInterfaceIP \"eth0\" }}", Ok("10.1.2.3"));
        check("{{GetInterfaceIP \"eth1\"}}", Ok("203.0.113.9"));
        check("127.0.0.1 {{ GetInterfaceIP \"docker0\" }}", Ok("127.0.0.1 172.17.0.1"));
        check("{{ GetPrivateIP }}", Ok("10.1.2.3"));
        check("{{ GetPrivateIPs }}", Ok("10.1.2.3 172.17.0.1 fd00::9"));
        check("{{ GetPublicIP }}", Ok("203.0.113.9"));
        check("{{ GetInterfaceIP \"eth7\" }}", Ok(""));
    }

    #[test]
    fn interfaces_flow_through_pipes() {
        let all = "GetAllInterfaces";
        for (pipes, expected) in [
            (
                "include \"name\" \"eth0\" | include \"type\" \"ipv4\" | attr \"address\"",
                "10.1.2.3",
            ),
            ("include \"network\" \"172.17.0.0/16\" | attr \"address\"", "172.17.0.1"),
            ("include \"rfc\" \"1918\" | sort \"-address\" | attr \"address\"", "172.17.0.1"),
            (
                "exclude \"name\" \"^(lo|docker0)$\" | exclude \"rfc\" \"3927\" | exclude \"type\" \
              \"ipv6\" | join \"address\" \" \"",
                "10.1.2.3 203.0.113.9",
            ),
            (
                "include \"flags\" \"forwardable|up\" | sort \"default,type\" | limit 1 | attr \
              \"address\"",
                "10.1.2.3",
            ),
            ("sort \"name\" | offset 1 | attr \"name\"", "eth0"),
            ("include \"size\" \"128\" | attr \"address\"", "::1"),
        ] {
            check(&format!("{{{{ {all} | {pipes} }}}}"), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_template_is_refused_by_name() {
        check("{{ GetPrivateIP", Err("lacks its `}}`"));
        check("{{ GetInterfaceIP \"eth0 }}", Err("lacks its closing quote"));
        check("{{ GetNothing }}", Err("`GetNothing` is not known here"));
        check("{{ GetAllInterfaces }}", Err("it ends in interfaces"));
        check("{{ }}", Err("is not known here"));
        check(
            "{{ GetAllInterfaces | include \"rfc\" \"1\" | attr \"name\" }}",
            Err("RFC 1 is not"),
        );
        check("{{ GetAllInterfaces | sort \"x\" | attr \"name\" }}", Err("sorted by \"x\""));
    }

    #[test]
    fn this_host_has_its_loopback_address() {
        let own =
            expand("{{ GetAllInterfaces | include \"flags\" \"loopback\" | attr \"address\" }}");
        let ip: IpAddr = own.expect("the host can be asked").parse().expect("an address");
        assert!(ip.is_loopback());
    }
}
