//! Which ports are asked for, and that no two faces ask for the same one.

use super::addresses::{addresses, client_addresses};
use super::raw::Raw;
use anyhow::{Context, bail, ensure};
use std::net::IpAddr;

/// Ports; `None` is off, 0 any free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// HTTP.
    pub http: Option<u16>,
    /// DNS over UDP and TCP.
    pub dns: Option<u16>,
    /// Other servers.
    pub server: u16,
    /// Gossip in the datacenter: reported, not bound yet.
    pub serf_lan: u16,
    /// Gossip between datacenters: reported, not bound yet.
    pub serf_wan: u16,
    /// Whether a port for proxies is asked for, `grpc` or `grpc_tls`: shown in `agent/self`, none is bound.
    pub xds: bool,
}

pub(super) fn ports(raw: &Raw) -> anyhow::Result<Ports> {
    ensure!(
        raw.ports.https.unwrap_or(-1) <= 0 || raw.ports.http != Some(-1),
        "ports.https alone asks for TLS, which this version does not serve; it refuses to start rather \
         than run without it"
    );
    if let Some(multiplier) = raw.performance.raft_multiplier {
        ensure!((1..=10).contains(&multiplier), "performance.raft_multiplier must be 1 to 10");
    }
    let typed = &raw.ports;
    let needed = |name, given, usual| -> anyhow::Result<u16> {
        port(name, given, usual)?.with_context(|| format!("ports.{name} cannot be off"))
    };
    Ok(Ports {
        http: port("http", typed.http, 8500)?,
        dns: port("dns", typed.dns, 8600)?,
        server: needed("server", typed.server, 8300)?,
        serf_lan: needed("serf_lan", typed.serf_lan, 8301)?,
        serf_wan: port("serf_wan", typed.serf_wan, 8302)?.unwrap_or(0),
        // As in a server of Consul: off, and 8503, unless they are given.
        xds: typed.grpc.unwrap_or(-1) > 0 || typed.grpc_tls.unwrap_or(8503) > 0,
    })
}

fn port(name: &str, given: Option<i64>, usual: u16) -> anyhow::Result<Option<u16>> {
    match given {
        None => Ok(Some(usual)),
        Some(-1) => Ok(None),
        Some(port) => match u16::try_from(port) {
            Ok(port) => Ok(Some(port)),
            Err(_) => bail!("ports.{name}={port}: a port is 0 to 65535, or -1 for none"),
        },
    }
}

/// Two faces that would listen at the same address and port; 0 is any free one. What is wrong with
/// an address or a port by itself is told elsewhere.
pub(super) fn check_ports(raw: &Raw) -> anyhow::Result<()> {
    let (Ok(ports), Ok((http, dns)), Ok(own)) = (ports(raw), client_addresses(raw), addresses(raw))
    else {
        return Ok(());
    };
    let faces = [
        ("ports.http", ports.http, http),
        ("ports.dns", ports.dns, dns),
        ("ports.server", Some(ports.server), vec![own.bind]),
    ];
    for (n, (key, port, ips)) in faces.iter().enumerate() {
        let Some(port) = port.filter(|port| *port != 0) else { continue };
        let meets = |others: &[IpAddr]| {
            ips.iter().any(|ip| others.iter().any(|other| overlap(*ip, *other)))
        };
        let mut later = faces[n + 1..].iter();
        if let Some((other, ..)) = later.find(|(_, is, at)| *is == Some(port) && meets(at)) {
            bail!("{key}={port}: the address and port are already configured for {other}");
        }
    }
    Ok(())
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}
