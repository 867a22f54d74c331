//! TCP: a connection that opens is a healthy one.

use super::{Limits, Observation, Probe, dial_error};
use model::{CheckDefinition, Status};
use seams::BoxFuture;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpStream, lookup_host};

/// The TCP probe.
pub const PROBE: Probe = Probe {
    name: "tcp",
    // Opening TLS on the connection comes with the other kinds.
    asked: |definition| !definition.tcp.is_empty() && !definition.tcp_use_tls,
    run,
};

fn run(definition: Arc<CheckDefinition>, limits: Limits) -> BoxFuture<'static, Observation> {
    Box::pin(async move {
        let target = definition.tcp.as_str();
        match tokio::time::timeout(limits.timeout, connect(target)).await {
            Ok(Ok(())) => Observation {
                status: Status::Passing,
                output: format!("TCP connect {target}: Success"),
            },
            Ok(Err(error)) => Observation::critical(dial_error(target, &error)),
            Err(_) => Observation::critical(format!("dial tcp {target}: i/o timeout")),
        }
    })
}

/// Tries each address of a name, IPv4 first.
async fn connect(target: &str) -> io::Result<()> {
    let mut addresses: Vec<SocketAddr> = lookup_host(target).await?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such host");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
