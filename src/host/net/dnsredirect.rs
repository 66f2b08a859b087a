//! Port 53 of 127.0.0.11 inside a container leads to where our resolver listens.
//!
//! Bound itself, that port would keep the container's own name server from binding 0.0.0.0:53. Two rewrites without connection
//! tracking, in the container's namespace and over a socket that lives there, do it: 53 → 40053 on the way out, and back in
//! the answer, which leaves by the same chain because both ends are on loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;

use super::error::{Context, Result};
use super::netlink::Netlink;
use super::nft::{Chain, Family, Hook, Point, RAW, Table, Term, apply};
use crate::desired::Protocol;

/// Where a container finds its name server.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The port on which that really listens.
pub const RESOLVER_PORT: u16 = 40053;
/// The port that everybody asks.
const DNS: u16 = 53;

/// Puts the rewrites in place, also where a container with CAP_NET_ADMIN has flushed them.
pub(crate) fn put(netfilter: BorrowedFd<'_>) -> Result<()> {
    let mut netlink = Netlink::duplicate(netfilter).context("use", "the container's socket")?;
    apply::replace(&mut netlink, &table(), false).context("redirect", "name look-ups of the container")
}

pub(crate) fn table() -> Table {
    let address = IpAddr::V4(RESOLVER);
    let mut rules = Vec::new();
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        rules.push(vec![
            Term::Destination(true, address, 32),
            Term::DestinationPort(protocol, DNS),
            Term::SetDestinationPort(protocol, RESOLVER_PORT),
        ]);
        rules.push(vec![
            Term::Source(address, 32),
            Term::SourcePort(protocol, RESOLVER_PORT),
            Term::SetSourcePort(protocol, DNS),
        ]);
    }
    let hook = Some(Hook { nat: false, point: Point::Output, priority: RAW });
    let chains = vec![Chain { name: "output".into(), hook, rules }];
    Table { family: Family::Ip, name: "windlass-dns".into(), maps: Default::default(), chains }
}
