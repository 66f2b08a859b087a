//! What is set inside a container's network namespace: kernel parameters before its links are up, then loopback, addresses
//! and routes in one batch over a socket that lives there.

use std::cmp::Reverse;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage as Route;
use serde::{Deserialize, Serialize};

use super::error::{Context, NetError, Result};
use super::netlink::Netlink;
use super::route::MainRoute;
use super::{address, link, route, sysctl};
use crate::name::NetworkName;

/// The loopback link is the first of every namespace.
const LOOPBACK: u32 = 1;

/// A container's link to a network, as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The network.
    pub network: NetworkName,
    /// Name of the link inside.
    pub interface: String,
    /// Name of its other end, on the host; empty where it has none.
    pub link: String,
    /// Where it has none, the index of the host's link that it stands on: another index is another link, and it is gone.
    #[serde(default)]
    pub parent: Option<u32>,
    /// Hardware address inside; empty: its parent's.
    pub mac: String,
    /// IPv4 address and prefix.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// IPv6 address and prefix.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Further link-local addresses.
    pub link_local: Vec<IpAddr>,
    /// The way out, one a family; none on an internal network. An unspecified address: over the link, without a router.
    pub gateways: Vec<IpAddr>,
    /// The default route goes over the link with the highest ([`Attached::rank`]).
    pub gateway_priority: i32,
}

impl Attached {
    /// The default route goes over the link with the lowest, as [`crate::desired::EndpointSpec::rank`] has it.
    pub(crate) fn rank(&self) -> (Reverse<i32>, Reverse<usize>, &NetworkName) {
        (Reverse(self.gateway_priority), Reverse(self.gateways.len()), &self.network)
    }
}

/// Takes loopback and all links up, gives them their addresses, and sets the default routes. Can be repeated.
pub(crate) fn configure(socket: BorrowedFd<'_>, links: &[Attached]) -> Result<()> {
    let object = "the network of the container";
    let mut netlink = Netlink::duplicate(socket).context("use", "the container's socket")?;
    let mut requests = vec![(link::up_message(LOOPBACK), NLM_F_ACK)];
    let mut indexes = Vec::new();
    for attached in links {
        let found = link::find(&mut netlink, &attached.interface).context("look for", &attached.interface)?;
        let index = found.map(|link| link.index).ok_or_else(|| NetError::Kernel {
            operation: "find inside the container",
            object: attached.interface.clone(),
            source: io::Error::from_raw_os_error(libc::ENODEV),
        })?;
        indexes.push(index);
        requests.extend(link_requests(index, attached));
    }
    for (index, gateway) in default_gateways(links, &indexes) {
        requests.push((route::default_message(index, gateway), NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE));
    }
    netlink.batch(requests).map_err(|(_, error)| error).context("configure", object)
}

/// The messages that put back the routes that a container has lost: those to its own networks, and the way out where no
/// other leads out. `netlink` is a strict socket in its network namespace. A link that is gone is another loss.
pub(crate) fn missing_routes(netlink: &mut Netlink, links: &[Attached]) -> io::Result<Vec<Route>> {
    let mut missing = Vec::new();
    let mut there = Vec::new();
    for attached in links {
        let found = link::find(netlink, &attached.interface)?;
        there.extend(found.filter(|link| link.up).map(|link| (attached.clone(), link.index)));
    }
    let (links, indexes): (Vec<Attached>, Vec<u32>) = there.into_iter().unzip();
    for ipv4 in [true, false] {
        let own = |attached: &Attached| match ipv4 {
            true => attached.ipv4.map(|(address, prefix)| (IpAddr::V4(address), prefix)),
            false => attached.ipv6.map(|(address, prefix)| (IpAddr::V6(address), prefix)),
        };
        if links.iter().all(|attached| own(attached).is_none()) {
            continue;
        }
        let table = route::main_table(netlink, ipv4, None)?;
        for (attached, index) in links.iter().zip(&indexes) {
            let Some((address, prefix)) = own(attached) else { continue };
            let subnet = MainRoute { destination: Some(address::first(address, prefix)), prefix, link: *index };
            if !table.contains(&subnet) {
                missing.push(route::subnet_message(*index, address, prefix));
            }
        }
        // Whoever has put another in its place meant to.
        if table.iter().all(|route| route.prefix != 0) {
            let wanted = default_gateways(&links, &indexes).into_iter().filter(|(_, way)| way.is_ipv4() == ipv4);
            missing.extend(wanted.map(|(index, gateway)| route::default_message(index, gateway)));
        }
    }
    Ok(missing)
}

/// Puts them back.
pub(crate) fn put_back_routes(netns: BorrowedFd<'_>, links: &[Attached]) -> Result<()> {
    let object = "the routes of the container";
    let mut netlink = sysctl::inside(netns, || Netlink::strict_route().context("open a socket for", object))?;
    let missing = missing_routes(&mut netlink, links).context("list", object)?;
    let requests = missing.into_iter().map(|route| (route, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE));
    netlink.batch(requests.collect()).map_err(|(_, error)| error).context("put back", object)
}

fn link_requests(index: u32, attached: &Attached) -> Vec<(Route, u16)> {
    let own = attached.ipv4.map(|(address, prefix)| (IpAddr::V4(address), prefix)).into_iter();
    let own = own.chain(attached.ipv6.map(|(address, prefix)| (IpAddr::V6(address), prefix)));
    let local = attached.link_local.iter().map(|address| (*address, if address.is_ipv4() { 16 } else { 64 }));
    let set = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    let mut requests: Vec<(Route, u16)> =
        own.chain(local).map(|(address, prefix)| (address::add_message(index, address, prefix), set)).collect();
    requests.push((link::up_message(index), NLM_F_ACK));
    requests
}

/// For each family the link and the gateway of the default route.
fn default_gateways(links: &[Attached], indexes: &[u32]) -> Vec<(u32, IpAddr)> {
    let mut best: Vec<(&Attached, u32)> = links.iter().zip(indexes.iter().copied()).collect();
    best.sort_by_key(|(attached, _)| attached.rank());
    let of = |ipv4: bool| {
        let mut ways = best.iter().flat_map(|(one, index)| one.gateways.iter().map(move |gateway| (*index, *gateway)));
        ways.find(|(_, gateway)| gateway.is_ipv4() == ipv4)
    };
    [of(true), of(false)].into_iter().flatten().collect()
}
