//! Connections for probes: names looked up, IPv4 first, each address given its share of the time.
//!
//! Errors are texts already, in the words of Go's dialer: operators search for them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// Connects to `host:port` before the deadline, or says why not.
pub async fn tcp(target: &str, deadline: Instant) -> Result<TcpStream, String> {
    let addresses = within(target, deadline, addresses("tcp", target)).await??;
    let mut first = None;
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let why = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error_text("tcp", *address, &error),
            Err(_) => format!("dial tcp {address}: i/o timeout"),
        };
        first.get_or_insert(why);
    }
    Err(first.unwrap_or_else(|| no_such_host("tcp", target)))
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
    let found = lookup_host((host, port)).await.map_err(|_| no_such_host(network, host))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    Ok(found)
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

fn no_such_host(network: &str, host: &str) -> String {
    format!("dial {network}: lookup {host}: no such host")
}

fn error_text(network: &str, address: SocketAddr, error: &io::Error) -> String {
    format!("dial {network} {address}: {}", call_text("connect", error))
}

/// What Go says of a failed system call, such as `connect: connection refused`.
pub fn call_text(call: &str, error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let why = match error.kind() {
        Kind::TimedOut => return "i/o timeout".to_owned(),
        Kind::ConnectionRefused => "connection refused",
        Kind::ConnectionReset => "connection reset by peer",
        Kind::BrokenPipe => "broken pipe",
        Kind::HostUnreachable => "no route to host",
        Kind::NetworkUnreachable => "network is unreachable",
        Kind::PermissionDenied => "permission denied",
        Kind::UnexpectedEof => return "EOF".to_owned(),
        _ => return error.to_string(),
    };
    format!("{call}: {why}")
}
