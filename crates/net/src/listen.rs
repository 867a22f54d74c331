//! Listening on TCP: one process an address.
//!
//! Bound without SO_REUSEPORT, so that a second process on the same port is refused instead of
//! getting every other connection; with SO_REUSEADDR, so that a restart need not wait for the
//! kernel to forget old connections.

use crate::udp::BindError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on an address; with port 0 on any free port, which `local_addr` tells.
///
/// The listener is non-blocking, as an async runtime wants it.
pub fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address, transport: "TCP" },
        _ => BindError::Refused { address, transport: "TCP", source },
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_listener_on_a_port_is_refused() {
        let first = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        assert!(
            matches!(listen(address), Err(BindError::InUse { address: busy, .. }) if busy == address)
        );
        drop(first);
        listen(address).unwrap();
    }
}
