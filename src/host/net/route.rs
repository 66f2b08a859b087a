//! Routes: the default one of a container, and those of the host, which address pools keep clear of.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::RouteMessageBuilder;

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

/// The message that sets the default route.
pub(crate) fn default_message(link: u32, gateway: IpAddr) -> Route {
    let message = match gateway {
        IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new().output_interface(link).gateway(v4).build(),
        IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new().output_interface(link).gateway(v6).build(),
    };
    Route::NewRoute(message)
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
