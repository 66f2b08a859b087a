//! Holding a port on the host: a real listener, so that nobody else can have it, and so that what the rules of the kernel
//! do not carry still finds somebody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, getsockname, listen, recv, setsockopt,
    socket, sockopt,
};

use super::error::{Context, NetError, Result};
use super::owner::Sockets;
use crate::desired::{PortSpec, Protocol};

/// So often a port that the kernel picked for IPv4 is tried for IPv6, before the last error is told.
const PICKS: usize = 64;

/// A port that is held.
#[derive(Debug)]
pub struct Held {
    /// What was asked for, with the number that was picked in `published` and `published_end`.
    pub spec: PortSpec,
    /// Its sockets: one, or one for IPv4 and one for IPv6.
    pub listeners: Vec<Listener>,
}

/// One socket of a held port.
#[derive(Debug)]
pub struct Listener {
    /// What it is bound to.
    pub address: SocketAddr,
    /// The socket: a listening one for TCP.
    pub socket: OwnedFd,
}

impl Held {
    /// Takes a port over whose sockets somebody has kept.
    ///
    /// # Errors
    /// When a descriptor is no bound internet socket.
    pub fn adopt(spec: PortSpec, sockets: Vec<OwnedFd>) -> Result<Self> {
        let listeners: io::Result<Vec<Listener>> =
            sockets.into_iter().map(|socket| Ok(Listener { address: bound_to(&socket)?, socket })).collect();
        Ok(Self { listeners: listeners.context("take over", format!("port {}", spec.published))?, spec })
    }
}

/// Throws away what came by UDP before the port was published: nobody was there to take it, and a late answer would begin
/// a flow of its own, which the rules would then leave alone.
pub(crate) fn drain(held: &Held) {
    if held.spec.protocol == Protocol::Udp {
        for listener in &held.listeners {
            while recv(listener.socket.as_raw_fd(), &mut [0; 1], MsgFlags::MSG_DONTWAIT).is_ok() {}
        }
    }
}

/// Holds ports, all or none. See [`super::Net::hold`].
pub(crate) fn hold(specs: &[PortSpec], replica: u32) -> Result<Vec<Held>> {
    specs.iter().map(|spec| hold_one(spec, replica)).collect()
}

/// Whether a port can be held at this moment.
pub(crate) fn is_free(spec: &PortSpec) -> bool {
    open_all(addresses(spec), spec.published, spec.protocol).is_ok()
}

/// Whether an address is one that this machine can publish on.
pub(crate) fn is_local(address: Option<IpAddr>) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::AddrNotAvailable;
    address.is_none_or(|address| !UdpSocket::bind((address, 0)).is_err_and(|error| refused(&error)))
}

fn addresses(spec: &PortSpec) -> &[IpAddr] {
    match spec.host_ip {
        Some(ref address) => std::slice::from_ref(address),
        None => &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    }
}

fn hold_one(spec: &PortSpec, replica: u32) -> Result<Held> {
    let addresses = addresses(spec);
    let mut last = io::Error::from(Errno::EADDRINUSE);
    for port in candidates(spec, replica) {
        match open_all(addresses, port, spec.protocol) {
            Ok(listeners) => {
                let port = listeners.first().map_or(port, |listener| listener.address.port());
                let spec = PortSpec { published: port, published_end: port, ..spec.clone() };
                return Ok(Held { spec, listeners });
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(refused(spec, error)),
        }
    }
    Err(refused(spec, last))
}

/// The ports to try, in their order; 0 stands for any. Of a range each replica has the number that is its turn, whoever comes
/// first.
fn candidates(spec: &PortSpec, replica: u32) -> Vec<u16> {
    match (spec.published, spec.published_end) {
        (0, _) => vec![0; PICKS],
        (first, last) => {
            let mut ports: Vec<u16> = (first..=last.max(first)).collect();
            let turn = replica.saturating_sub(1) as usize % ports.len();
            ports.rotate_left(turn);
            ports
        }
    }
}

fn refused(spec: &PortSpec, error: io::Error) -> NetError {
    let address = spec.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let (port, protocol) = (spec.published, spec.protocol);
    match error.kind() {
        io::ErrorKind::AddrInUse if spec.published_end > port => {
            NetError::RangeTaken { address, first: port, last: spec.published_end, protocol }
        }
        io::ErrorKind::AddrInUse => {
            let owner = Sockets::read().owner_of(spec.host_ip, port, protocol).flatten().map(Box::new);
            NetError::PortTaken { address, port, protocol, owner }
        }
        io::ErrorKind::AddrNotAvailable => NetError::NotLocal(address),
        _ => NetError::Kernel {
            operation: "hold",
            object: format!("port {port}/{protocol} on {address}"),
            source: error,
        },
    }
}

fn open_all(addresses: &[IpAddr], port: u16, protocol: Protocol) -> io::Result<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    for address in addresses {
        let port = listeners.first().map_or(port, |first| first.address.port());
        match open(SocketAddr::new(*address, port), protocol) {
            Ok(listener) => listeners.push(listener),
            // A machine without IPv6 publishes on IPv4 alone, where nobody asked for an address.
            Err(error) if addresses.len() > 1 && address.is_ipv6() && lacks_ipv6(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listeners)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn open(address: SocketAddr, protocol: Protocol) -> io::Result<Listener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = if protocol == Protocol::Tcp { SockType::Stream } else { SockType::Datagram };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    if protocol == Protocol::Tcp {
        // Connections that have ended lately must not be in the way. Two listeners still exclude each other.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    if protocol == Protocol::Tcp {
        listen(&socket, Backlog::MAXCONN)?;
    }
    Ok(Listener { address: bound_to(&socket)?, socket })
}

fn bound_to(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let name: SockaddrStorage = getsockname(socket.as_raw_fd())?;
    let v4 = name.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    let v6 = name.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into()));
    v4.or(v6).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an internet socket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replica_has_its_own_number_of_a_range() {
        let (published, published_end, protocol) = (9000, 9002, Protocol::Tcp);
        let spec = PortSpec { host_ip: None, published, published_end, target: 80, protocol };
        assert_eq!(candidates(&spec, 1), [9000, 9001, 9002]);
        assert_eq!(candidates(&spec, 2), [9001, 9002, 9000]);
        assert_eq!(candidates(&spec, 5), [9001, 9002, 9000]);
        assert_eq!(candidates(&PortSpec { published_end: 9000, ..spec }, 4), [9000]);
    }
}
