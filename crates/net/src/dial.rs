//! Dialling: names looked up, IPv4 first, each address given its share of the time.
//!
//! Errors are texts already, in the words of Go's dialer: operators search for them.

use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// What a host stands for, IPv4 first; `network` is what Go calls it in errors, `tcp` or `udp`.
pub async fn lookup(network: &str, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let missing = || format!("dial {network}: lookup {host}: no such host");
    let found = lookup_host((host, port)).await.map_err(|_| missing())?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

/// Connects to the first of these that answers, before the deadline if there is one; else why the first did not.
pub async fn first_of(
    addresses: &[SocketAddr],
    deadline: Option<Instant>,
) -> Result<TcpStream, String> {
    let mut first = None;
    for (tried, address) in addresses.iter().enumerate() {
        let why = match one(*address, deadline, addresses.len() - tried).await {
            Ok(stream) => return Ok(stream),
            Err(why) => why,
        };
        first.get_or_insert(why);
    }
    Err(first.unwrap_or_else(|| "dial tcp: missing address".to_owned()))
}

async fn one(
    address: SocketAddr,
    deadline: Option<Instant>,
    left: usize,
) -> Result<TcpStream, String> {
    let connecting = TcpStream::connect(address);
    let connected = match deadline.map(|deadline| share(deadline, left)) {
        None => connecting.await,
        Some(until) => match timeout_at(until, connecting).await {
            Ok(connected) => connected,
            Err(_) => return Err(format!("dial tcp {address}: i/o timeout")),
        },
    };
    connected.map_err(|error| format!("dial tcp {address}: {}", call_text("connect", &error)))
}

/// Until when the next of so many addresses may take.
fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / u32::try_from(left).unwrap_or(u32::MAX)
}

/// What Go says of a failed system call, such as `connect: connection refused`.
pub fn call_text(call: &str, error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let why = match error.kind() {
        Kind::TimedOut => return "i/o timeout".to_owned(),
        Kind::UnexpectedEof => return "EOF".to_owned(),
        Kind::ConnectionRefused => "connection refused",
        Kind::ConnectionReset => "connection reset by peer",
        Kind::BrokenPipe => "broken pipe",
        Kind::HostUnreachable => "no route to host",
        Kind::NetworkUnreachable => "network is unreachable",
        Kind::PermissionDenied => "permission denied",
        Kind::NotFound => "no such file or directory",
        _ => return error.to_string(),
    };
    format!("{call}: {why}")
}
