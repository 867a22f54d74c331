//! What is printed when an agent is ready: the rows of Consul's table, under its names.
//!
//! Scripts look for `agent running!`, for a row by its name, and ours for `ports:`.

use crate::config::Config;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The addresses that were bound.
pub struct Bound {
    /// HTTP, one a client address.
    pub http: Vec<SocketAddr>,
    /// DNS, one a client address.
    pub dns: Vec<SocketAddr>,
    /// For other servers.
    pub server: SocketAddr,
}

/// Prints who runs where, and last the line from which programs learn the ports.
pub fn print(config: &Config, bound: &Bound, invoked_as: &str) {
    say(&told(config, bound, invoked_as == "consul"));
}

/// Writes to standard output. Who reads it may have gone (`| head -1`), and a file may have no room:
/// neither ends an agent.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn told(config: &Config, bound: &Bound, as_consul: bool) -> String {
    let mut text = String::new();
    if config.bootstrap {
        text += "==> WARNING: Bootstrap mode enabled! Do not enable unless necessary\n";
    }
    writeln!(text, "==> {} agent running!", if as_consul { "Consul" } else { "rutter" })
        .expect("a string");
    for (name, value) in rows(config, bound, as_consul) {
        writeln!(text, "{name:>18}: {value}").expect("a string");
    }
    if as_consul {
        text += "\n==> Log data will now stream in as it occurs:\n\n";
    }
    let (http, dns) = (first(&bound.http), first(&bound.dns));
    writeln!(text, "ports: http={http} dns={dns} server={}", bound.server).expect("a string");
    text
}

fn rows(config: &Config, bound: &Bound, as_consul: bool) -> Vec<(&'static str, String)> {
    let version = match as_consul {
        true => crate::cli::CONSUL_VERSION,
        false => env!("CARGO_PKG_VERSION"),
    };
    let clients: Vec<String> = config.http.iter().map(IpAddr::to_string).collect();
    let (http, dns) = (port(&bound.http), port(&bound.dns));
    let mut rows = vec![
        ("Version", format!("'{version}'")),
        ("Node ID", format!("'{}'", config.node_id)),
        ("Node name", format!("'{}'", config.node.name)),
        ("Datacenter", format!("'{}' (Segment: '<all>')", config.datacenter)),
        ("Server", format!("true (Bootstrap: {})", config.bootstrap)),
        ("Client Addr", format!("[{}] (HTTP: {http}, HTTPS: -1, DNS: {dns})", clients.join(" "))),
        ("Cluster Addr", cluster(config, bound, as_consul)),
        (
            "Encrypt",
            "Gossip: false, TLS-Outgoing: false, TLS-Incoming: false, Auto-Encrypt-TLS: false"
                .to_owned(),
        ),
    ];
    if !as_consul {
        let kept = config.data.as_ref();
        let kept = kept.map_or("in memory".to_owned(), |dir| dir.display().to_string());
        rows.push(("Data", kept));
    }
    rows
}

/// The ports of gossip are told to those who know them from Consul; nothing is bound there yet.
fn cluster(config: &Config, bound: &Bound, as_consul: bool) -> String {
    let address = config.advertise;
    match as_consul {
        true => {
            let (lan, wan) = (config.ports.serf_lan, config.ports.serf_wan);
            format!("{address} (LAN: {lan}, WAN: {wan})")
        }
        false => format!("{address} (server: {})", bound.server.port()),
    }
}

/// The port as Consul tells it; -1 where there is none.
fn port(addresses: &[SocketAddr]) -> i32 {
    addresses.first().map_or(-1, |address| address.port().into())
}

fn first(addresses: &[SocketAddr]) -> String {
    addresses.first().map_or("off".to_owned(), SocketAddr::to_string)
}
