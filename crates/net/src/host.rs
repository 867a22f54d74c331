//! What this host is called and where it can be reached.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// The host's name.
pub fn name() -> io::Result<String> {
    let name = nix::unistd::gethostname()?;
    Ok(name.to_string_lossy().into_owned())
}

/// The address to give to others where none was configured: the only private IPv4 address.
///
/// Several are an error, since a guess would be wrong half the time; a host without any is given
/// its loopback address, so that one machine by itself works.
///
/// Source: Consul, "-bind" and "-advertise".
pub fn address() -> io::Result<IpAddr> {
    let private: Vec<Ipv4Addr> = nix::ifaddrs::getifaddrs()?
        .filter_map(|interface| interface.address?.as_sockaddr_in().map(|address| address.ip()))
        .filter(Ipv4Addr::is_private)
        .collect();
    match private[..] {
        [] => Ok(Ipv4Addr::LOCALHOST.into()),
        [only] => Ok(only.into()),
        _ => Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "Multiple private IPv4 addresses found. Please configure one with 'bind' and/or \
             'advertise'.",
        )),
    }
}
