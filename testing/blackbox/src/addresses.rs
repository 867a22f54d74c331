//! Addresses that stay as they are: where nobody listens, and where nobody else takes a port that is free for a while.
//!
//! The kernel gives a port that was given back to the next who asks for any.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};

/// An address that refuses TCP connections for as long as this lives.
#[derive(Debug)]
pub struct Dead {
    /// The address.
    pub addr: SocketAddr,
    _held: OwnedFd,
}

impl Dead {
    /// Takes a port and does not listen there.
    pub fn take() -> Result<Dead> {
        let held = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        bind(held.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0))?;
        let addr: SockaddrIn = getsockname(held.as_raw_fd())?;
        Ok(Dead { addr: SocketAddrV4::from(addr).into(), _held: held })
    }
}

/// A loopback address that no other test of ours has: a port of it stays free while its server restarts.
pub fn own_loopback() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed) % 16;
    Ipv4Addr::from_bits(0x7f10_0000 + std::process::id() % 0x000e_f000 * 16 + next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::TcpStream;

    #[test]
    fn who_is_dead_refuses_and_keeps_his_port() {
        let dead = Dead::take().unwrap();
        let refused = TcpStream::connect(dead.addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(std::net::TcpListener::bind(dead.addr).is_err(), "another may take it");
        assert_ne!(own_loopback(), own_loopback());
    }
}
