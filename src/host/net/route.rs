//! Routes: the default one of a container, and those of the host, which address pools keep clear of.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Route};
use rtnetlink::RouteMessageBuilder;

use super::address;
use super::link::Link;
use super::netlink::Netlink;

/// The table of the host's own addresses.
const LOCAL: u8 = 255;

/// A range of addresses that the host reaches somewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostRoute {
    /// First address.
    pub destination: IpAddr,
    /// Bits of the prefix; never 0: the default route says nothing about who uses an address.
    pub prefix: u8,
    /// The link it goes over.
    pub interface: Option<String>,
}

/// The message that sets the default route; an unspecified gateway is none.
pub(crate) fn default_message(link: u32, gateway: IpAddr) -> Route {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(link);
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().output_interface(link);
    Route::NewRoute(match gateway {
        IpAddr::V4(gateway) if gateway.is_unspecified() => v4.scope(RouteScope::Link).build(),
        IpAddr::V6(gateway) if gateway.is_unspecified() => v6.build(),
        IpAddr::V4(gateway) => v4.gateway(gateway).build(),
        IpAddr::V6(gateway) => v6.gateway(gateway).build(),
    })
}

/// What the kernel gives its own IPv6 routes to subnets.
const KERNEL_PRIORITY: u32 = 256;

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MainRoute {
    /// First address; of the default route none.
    pub destination: Option<IpAddr>,
    /// Bits of the prefix.
    pub prefix: u8,
    /// The link that it goes over.
    pub link: u32,
}

/// The message that sets the route that the kernel makes for an address of a link by itself, and not again once it was
/// taken away.
pub(crate) fn subnet_message(link: u32, address: IpAddr, prefix: u8) -> Route {
    let message = match (address, address::first(address, prefix)) {
        (IpAddr::V4(own), IpAddr::V4(first)) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(first, prefix)
            .output_interface(link)
            .pref_source(own)
            .scope(RouteScope::Link)
            .protocol(RouteProtocol::Kernel)
            .build(),
        (_, IpAddr::V6(first)) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(first, prefix)
            .output_interface(link)
            .priority(KERNEL_PRIORITY)
            .protocol(RouteProtocol::Kernel)
            .build(),
        (IpAddr::V6(_), IpAddr::V4(_)) => RouteMessage::default(),
    };
    Route::NewRoute(message)
}

/// The routes of the main table for a family, over one link or all; `netlink` is a strict socket.
pub(crate) fn main_table(netlink: &mut Netlink, ipv4: bool, link: Option<u32>) -> io::Result<Vec<MainRoute>> {
    let mut query = RouteMessage::default();
    query.header.address_family = if ipv4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    query.header.table = RouteHeader::RT_TABLE_MAIN;
    query.attributes.extend(link.map(RouteAttribute::Oif));
    let found = match netlink.dump(Route::GetRoute(query)) {
        // A table without a route need not be there.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Vec::new(),
        found => found?,
    };
    Ok(found.into_iter().filter_map(of_main_table).filter(|route| link.is_none_or(|link| route.link == link)).collect())
}

/// The route of a message, if it is of the main table and over one link.
pub(crate) fn of_main_table(message: Route) -> Option<MainRoute> {
    let (Route::NewRoute(message) | Route::DelRoute(message)) = message else { return None };
    if message.header.table != RouteHeader::RT_TABLE_MAIN || message.header.kind != RouteType::Unicast {
        return None;
    }
    let (mut destination, mut link) = (None, None);
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => destination = Some(IpAddr::V4(v4)),
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => destination = Some(IpAddr::V6(v6)),
            RouteAttribute::Oif(index) => link = Some(index),
            _ => {}
        }
    }
    Some(MainRoute { destination, prefix: message.header.destination_prefix_length, link: link? })
}

/// The host's routes of both families, of every table but that of its own addresses.
pub(crate) fn list(netlink: &mut Netlink, links: &[Link]) -> io::Result<Vec<HostRoute>> {
    let queries = [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
    let mut routes = Vec::new();
    for query in queries {
        for message in netlink.dump(Route::GetRoute(query))? {
            if let Route::NewRoute(message) = message {
                routes.extend(read(message, links));
            }
        }
    }
    routes.sort();
    routes.dedup();
    Ok(routes)
}

fn read(message: RouteMessage, links: &[Link]) -> Option<HostRoute> {
    let ordinary = matches!(message.header.kind, RouteType::Unicast | RouteType::BlackHole | RouteType::Unreachable);
    let prefix = message.header.destination_prefix_length;
    if !ordinary || prefix == 0 || message.header.table == LOCAL {
        return None;
    }
    let mut destination = None;
    let mut interface = None;
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => destination = Some(IpAddr::V4(v4)),
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => destination = Some(IpAddr::V6(v6)),
            RouteAttribute::Oif(index) => interface = links.iter().find(|link| link.index == index),
            _ => {}
        }
    }
    let interface = interface.map(|link| link.name.clone());
    destination.map(|destination| HostRoute { destination, prefix, interface })
}
