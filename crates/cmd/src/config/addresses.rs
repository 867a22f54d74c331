//! Where this node is reached: the addresses it binds, and those it gives to others.

use super::raw::Raw;
use anyhow::{Context, ensure};
use model::{Text, TextMap};
use std::net::IpAddr;

/// The addresses of this node.
pub(super) struct Addresses {
    /// Where to bind what other servers reach.
    pub bind: IpAddr,
    /// The one given to others.
    pub advertise: IpAddr,
    /// By tag: `lan`, `lan_ipv4` …
    pub tagged: TextMap,
}

fn ip(key: &str, text: &str) -> anyhow::Result<IpAddr> {
    let text = expand(key, text)?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
    bare.parse().with_context(|| format!("{key} {text:?} is not an IP address"))
}

fn expand(key: &str, text: &str) -> anyhow::Result<String> {
    super::sockaddr::expand(text).with_context(|| key.to_owned())
}

/// Source: Consul, "-bind", "-advertise", "-advertise-wan" and the keys beside them.
pub(super) fn addresses(raw: &Raw) -> anyhow::Result<Addresses> {
    let given = |key: &str, text: &Option<String>, what: &str| {
        let text = text.as_deref().filter(|text| !text.is_empty());
        let ip = text.map(|text| ip(key, text)).transpose()?;
        ensure!(
            ip.is_none_or(|ip| !ip.is_unspecified()),
            "{what} address cannot be 0.0.0.0, :: or [::]"
        );
        Ok(ip)
    };
    let bind = ip("bind_addr", raw.bind_addr.as_deref().unwrap_or("0.0.0.0"))?;
    let lan = [
        given("advertise_addr", &raw.advertise_addr, "Advertise")?,
        given("advertise_addr_ipv4", &raw.advertise_addr_ipv4, "Advertise")?,
        given("advertise_addr_ipv6", &raw.advertise_addr_ipv6, "Advertise")?,
    ];
    let wan = [
        given("advertise_addr_wan", &raw.advertise_addr_wan, "Advertise WAN")?,
        given("advertise_addr_wan_ipv4", &raw.advertise_addr_wan_ipv4, "Advertise WAN")?,
        given("advertise_addr_wan_ipv6", &raw.advertise_addr_wan_ipv6, "Advertise WAN")?,
    ];
    let advertise = match lan.into_iter().flatten().next() {
        Some(given) => given,
        None if bind.is_unspecified() => net::host::address()?,
        None => bind,
    };
    let wan_address = wan.into_iter().flatten().next().unwrap_or(advertise);
    let mut tagged = TextMap::new();
    for (tag, text) in raw.tagged_addresses.iter().flatten() {
        let text = expand(&format!("tagged_addresses.{tag}"), text)?;
        tagged.insert(Text::from(tag.as_str()), Text::from(text));
    }
    for (network, first, given) in [("lan", advertise, lan), ("wan", wan_address, wan)] {
        tagged.insert(network.into(), Text::from(first.to_string()));
        for ip in given.into_iter().flatten().chain([first]) {
            let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
            tagged.insert(Text::from(format!("{network}_{family}")), Text::from(ip.to_string()));
        }
    }
    Ok(Addresses { bind, advertise, tagged })
}

/// Where HTTP and DNS are answered.
pub(super) fn client_addresses(raw: &Raw) -> anyhow::Result<(Vec<IpAddr>, Vec<IpAddr>)> {
    let client = raw.client_addr.as_deref().unwrap_or("127.0.0.1");
    ip_list("client_addr", client)?;
    let of = |key, own: &Option<String>| ip_list(key, own.as_deref().unwrap_or(client));
    Ok((of("addresses.http", &raw.addresses.http)?, of("addresses.dns", &raw.addresses.dns)?))
}

fn ip_list(key: &str, text: &str) -> anyhow::Result<Vec<IpAddr>> {
    let text = &*expand(key, text)?;
    let addresses: Result<Vec<IpAddr>, _> = text.split_whitespace().map(str::parse).collect();
    let addresses =
        addresses.with_context(|| format!("{key} {text:?} is not a list of IP addresses"))?;
    ensure!(!addresses.is_empty(), "{key} must not be empty");
    Ok(addresses)
}
