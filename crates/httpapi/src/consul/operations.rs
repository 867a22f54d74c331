//! What an operator asks of this agent: join, force-leave, leave, reload, tokens.
//!
//! There is no gossip yet, so a join dials and tells what the dialer says, and the only member that
//! could be forced to leave is this one, which is alive. Source: Consul, "Agent HTTP API"; recorded
//! answers, whose words are those of Go's dialer and resolver.

use super::error::{Problem, several};
use crate::answer::Answer;
use crate::call::Call;
use http::StatusCode;
use seams::ReadError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How long one address is dialled, as Consul's gossip does.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// How many addresses of one name are dialled.
const MOST_ADDRESSES: usize = 8;

fn agent_write(call: &Call) -> Result<(), Problem> {
    let node = call.context.identity.node_name.as_str();
    Problem::unless(call.authorizer().agent_write(node), "agent:write", node)
}

/// `PUT join/:address`: an IP address or a host name, with or without a port.
pub async fn join(call: Call) -> Result<Answer, Problem> {
    agent_write(&call)?;
    let wide = call.query.given("wan").is_some();
    let joined = tokio::select! {
        joined = join_any(&call, wide) => joined,
        () = call.ending.cancelled() => return Err(ReadError::Stopped.into()),
    };
    match joined {
        Ok(()) => Ok(Answer::empty()),
        Err(complaints) => Err(Problem::Invalid(several(&complaints))),
    }
}

async fn join_any(call: &Call, wide: bool) -> Result<(), Vec<String>> {
    let is = &call.context.identity;
    let usual = if wide { is.serf_wan_port } else { is.serf_lan_port };
    let address = call.name();
    let (host, port) = host_and_port(&address, usual);
    let addresses = resolve(host, port).await;
    let addresses = addresses
        .map_err(|why| vec![format!("Failed to resolve {address}: lookup {host}: {why}")])?;
    let mut complaints = Vec::new();
    for at in addresses {
        // Who joins itself is joined already.
        if at == SocketAddr::new(is.address, usual) {
            return Ok(());
        }
        complaints.push(format!("Failed to join {at}: {}", dial(at).await));
    }
    Err(complaints)
}

/// Takes an address apart; an IPv6 address with a port stands in brackets.
fn host_and_port(address: &str, usual: u16) -> (&str, u16) {
    if address.parse::<IpAddr>().is_ok() {
        return (address, usual);
    }
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.unwrap_or((address, usual));
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    (bare.unwrap_or(host), port)
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, &'static str> {
    let found = match host {
        "" => return Err("no such host"),
        host => timeout(DIAL_LIMIT, lookup_host((host, port))).await,
    };
    match found {
        Ok(Ok(addresses)) => Ok(addresses.take(MOST_ADDRESSES).collect()),
        Ok(Err(_)) => Err("no such host"),
        Err(_) => Err("i/o timeout"),
    }
}

/// Why this address cannot be joined.
async fn dial(at: SocketAddr) -> String {
    let why = match timeout(DIAL_LIMIT, TcpStream::connect(at)).await {
        Ok(Ok(_)) => {
            return "it answers, but this version has no gossip and cannot join others".to_owned();
        }
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
            io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
            _ => format!("connect: {error}"),
        },
        Err(_) => "i/o timeout".to_owned(),
    };
    format!("dial tcp {at}: {why}")
}

/// `PUT force-leave/:node`: a member that is alive says at once that it is, so nothing changes.
pub async fn force_leave(call: Call) -> Result<Answer, Problem> {
    let may = call.authorizer().operator_write();
    Problem::unless(may, "operator:write", "")?;
    let is = &call.context.identity;
    let member = match call.query.has("wan") {
        true => format!("{}.{}", is.node_name, is.datacenter),
        false => is.node_name.to_string(),
    };
    match call.name() {
        name if name == member => Ok(Answer::empty()),
        name => Err(Problem::Invalid(format!("agent: No node found with name '{name}'"))),
    }
}

/// `PUT leave`: answered, then the process ends.
pub async fn leave(call: Call) -> Result<Answer, Problem> {
    agent_write(&call)?;
    call.context.lifecycle.leave();
    Ok(Answer::empty())
}

/// `PUT reload`.
pub async fn reload(call: Call) -> Result<Answer, Problem> {
    agent_write(&call)?;
    let reloaded = call.context.lifecycle.reload().await;
    reloaded.map_err(|error| Problem::Invalid(error.to_string()))?;
    Ok(Answer::empty())
}

/// `PUT token/:type`: while there are no tokens, every type is answered alike.
pub async fn token(_: Call) -> Result<Answer, Problem> {
    Ok(Answer::text(StatusCode::UNAUTHORIZED, "ACL support disabled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_the_usual_one() {
        for (address, host, port) in [
            ("10.0.0.1", "10.0.0.1", 8301),
            ("10.0.0.1:7", "10.0.0.1", 7),
            ("::1", "::1", 8301),
            ("[::1]:7", "::1", 7),
            ("[::1]", "::1", 8301),
            ("n2.example", "n2.example", 8301),
            ("n2.example:7", "n2.example", 7),
            ("n2:port", "n2:port", 8301),
            ("", "", 8301),
        ] {
            assert_eq!(host_and_port(address, 8301), (host, port), "{address}");
        }
    }
}
