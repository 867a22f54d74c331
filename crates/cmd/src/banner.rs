//! What is printed when an agent is ready. Scripts look for `agent running!` and for `ports:`.

use crate::config::Config;
use std::net::SocketAddr;

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
    let name = if invoked_as == "consul" { "Consul" } else { "rutter" };
    let kept = config.data.as_ref().map_or("in memory".to_owned(), |dir| dir.display().to_string());
    println!("==> {name} agent running!");
    println!("       Node name: '{}'", config.node.name);
    println!("         Node ID: '{}'", config.node_id);
    println!("      Datacenter: '{}'", config.datacenter);
    println!("          Server: true");
    println!("            Data: {kept}");
    println!("     Client Addr: HTTP {}, DNS {}", list(&bound.http), list(&bound.dns));
    println!("    Cluster Addr: {}", bound.server);
    println!(
        "ports: http={} dns={} server={}",
        first(&bound.http),
        first(&bound.dns),
        bound.server
    );
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    if texts.is_empty() { "off".to_owned() } else { texts.join(" ") }
}

fn first(addresses: &[SocketAddr]) -> String {
    addresses.first().map_or("off".to_owned(), SocketAddr::to_string)
}
