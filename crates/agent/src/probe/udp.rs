//! UDP: an empty datagram is sent; silence within the timeout is health, a refusal is not.

use super::{Limits, Observation, Probe, dial};
use model::{CheckDefinition, Status};
use seams::BoxFuture;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// The UDP probe.
pub const PROBE: Probe = Probe { name: "udp", asked: |definition| !definition.udp.is_empty(), run };

fn run(definition: Arc<CheckDefinition>, limits: Limits) -> BoxFuture<'static, Observation> {
    Box::pin(async move {
        let deadline = Instant::now() + limits.timeout;
        let target = definition.udp.as_str();
        match timeout_at(deadline, exchange(target)).await {
            Ok(Err(why)) => Observation::critical(why),
            Ok(Ok(())) | Err(_) => Observation {
                status: Status::Passing,
                output: format!("UDP connect {target}: Success"),
            },
        }
    })
}

/// Sends and waits for any answer.
async fn exchange(target: &str) -> Result<(), String> {
    let addresses = dial::addresses("udp", target).await?;
    let address = addresses.first().ok_or_else(|| format!("lookup {target}: no such host"))?;
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let dialed = |error| format!("dial udp {address}: {}", net::dial::call_text("connect", &error));
    let socket = UdpSocket::bind((any, 0)).await.map_err(dialed)?;
    socket.connect(address).await.map_err(dialed)?;
    let own = socket.local_addr().map_err(dialed)?;
    let failed = |call: &'static str| {
        move |error| format!("{call} udp {own}->{address}: {}", net::dial::call_text(call, &error))
    };
    socket.send(&[]).await.map_err(failed("write"))?;
    socket.recv(&mut [0]).await.map_err(failed("read"))?;
    Ok(())
}
