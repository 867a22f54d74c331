//! Connections for probes: a target's text taken apart, then looked up and dialled within its time.
//!
//! Errors are texts already, in the words of Go's dialer: operators search for them.

use net::dial;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Connects to `host:port` before the deadline, or says why not.
pub async fn tcp(target: &str, deadline: Instant) -> Result<TcpStream, String> {
    let found = within(target, deadline, addresses("tcp", target)).await??;
    dial::first_of(&found, Some(deadline)).await
}

/// What `host:port` stands for, IPv4 first; without a host it is this one.
pub async fn addresses(network: &str, target: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = split(target)
        .ok_or_else(|| format!("dial {network}: address {target}: missing port in address"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| format!("dial {network}: lookup {network}/{port}: unknown port"))?;
    if host.is_empty() {
        let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(local.map(|ip| SocketAddr::new(ip, port)).into());
    }
    dial::lookup(network, host, port).await
}

/// `host:port` or `[host]:port` in its parts.
pub fn split(target: &str) -> Option<(&str, &str)> {
    let (host, port) = target.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inside) => Some((inside.strip_suffix(']')?, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

async fn within<T>(
    target: &str,
    deadline: Instant,
    looking: impl Future<Output = T>,
) -> Result<T, String> {
    timeout_at(deadline, looking)
        .await
        .map_err(|_| format!("dial tcp: lookup {target}: i/o timeout"))
}
