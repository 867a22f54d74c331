//! One address for UDP and TCP, and nobody else on it.
//!
//! SO_REUSEPORT lets our threads share a port, and would let a second process of the same user
//! share it too and take half of the questions. So TCP is bound first, without it: that is the
//! lock. A UDP socket without it then shows whether anybody else holds the UDP port.

use super::Socket;
use socket2::{Domain, Protocol, SockAddr, Socket as Raw, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Why an address could not be taken. Nothing stays bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody listens there already.
    #[error("{transport} address {address} is already in use by another process")]
    InUse {
        /// The address.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        transport: &'static str,
    },
    /// The system refused for another reason.
    #[error("cannot listen on {transport} address {address}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        transport: &'static str,
        /// Its reason.
        source: io::Error,
    },
}

/// What listens on one address.
#[derive(Debug)]
pub struct Bound {
    /// The address, with its port when 0 was asked.
    pub address: SocketAddr,
    /// The listener, not blocking.
    pub tcp: TcpListener,
    /// Sockets that share the UDP port.
    pub udp: Vec<Socket>,
}

/// A free TCP port may be taken on UDP; so many are tried.
const TRIES: usize = 32;

/// Binds TCP and `sockets` UDP sockets to `address`; port 0 is one free port for all of them.
pub fn bind(address: SocketAddr, sockets: usize) -> Result<Bound, BindError> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_once(address, sockets) {
            Err(BindError::InUse { .. }) if tries > 0 => {}
            done => return done,
        }
    }
}

fn bind_once(address: SocketAddr, sockets: usize) -> Result<Bound, BindError> {
    let tcp = tcp(address).map_err(|error| refused(address, "TCP", error))?;
    let address = tcp.local_addr().map_err(|error| refused(address, "TCP", error))?;
    let udp = |error| refused(address, "UDP", error);
    drop(plain_udp(address, false).map_err(udp)?);
    let sockets = (0..sockets).map(|_| Socket::new(plain_udp(address, true)?, address));
    let sockets = sockets.collect::<io::Result<Vec<Socket>>>().map_err(udp)?;
    Ok(Bound { address, tcp, udp: sockets })
}

fn refused(address: SocketAddr, transport: &'static str, source: io::Error) -> BindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address, transport },
        _ => BindError::Refused { address, transport, source },
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Raw::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Linux this lets a restarted server follow connections in TIME_WAIT, and nothing more.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Room for bursts while a thread is busy with a batch; the system may grant less.
const BUFFER: usize = 4 << 20;

fn plain_udp(address: SocketAddr, shared: bool) -> io::Result<std::net::UdpSocket> {
    let socket = Raw::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    if shared {
        socket.set_recv_buffer_size(BUFFER)?;
        socket.set_send_buffer_size(BUFFER)?;
    }
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}
