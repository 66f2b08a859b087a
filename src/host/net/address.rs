//! Addresses: hardware addresses made from them, and the messages that set them.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::AddressMessageBuilder;

use super::error::{NetError, Result};
use super::netlink::Netlink;
use crate::desired::{NetworkSpec, Subnet};

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// The hardware address that goes with an address: whoever gets the address next has the same one, so that no
/// neighbour's ARP table is stale. `02:42:` is what docker uses, and marks it as locally administered.
pub(crate) fn mac_of(address: IpAddr) -> Mac {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [0x02, 0x42, a, b, c, d]
        }
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [0x02, 0x43, a, b, c, d]
        }
    }
}

/// The hardware address of the host's end of a pair: never that of any container, and higher than all of them.
pub(crate) fn outer(inside: Mac) -> Mac {
    let [first, rest @ ..] = inside;
    let [b, c, d, e, f] = rest;
    [if first == 0xfe { 0xfa } else { 0xfe }, b, c, d, e, f]
}

/// Reads a hardware address as people write it.
pub(crate) fn parse_mac(text: &str) -> Result<Mac> {
    let bytes: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| (1..=2).contains(&part.len())))
        .collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| NetError::Mac(text.to_owned()))
}

/// Writes a hardware address as people read it.
pub(crate) fn show_mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Whether an address lies in a range.
pub(crate) fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(net), IpAddr::V4(one)) => {
            let bits = 32u32.saturating_sub(prefix.into());
            u32::from(net).checked_shr(bits).unwrap_or(0) == u32::from(one).checked_shr(bits).unwrap_or(0)
        }
        (IpAddr::V6(net), IpAddr::V6(one)) => {
            let bits = 128u32.saturating_sub(prefix.into());
            u128::from(net).checked_shr(bits).unwrap_or(0) == u128::from(one).checked_shr(bits).unwrap_or(0)
        }
        _ => false,
    }
}

/// The first address of the range in which an address lies.
pub(crate) fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// The subnet of a network in which an address lies.
pub(crate) fn subnet_of(network: &NetworkSpec, address: IpAddr) -> Result<&Subnet> {
    network
        .subnets
        .iter()
        .find(|subnet| contains(subnet.address, subnet.prefix, address))
        .ok_or_else(|| NetError::Address { network: network.name.clone(), address })
}

/// The message that gives a link an address. For IPv6 without duplicate detection: it would keep the address unusable for
/// a second, and we hand out each one only once.
pub(crate) fn add_message(link: u32, address: IpAddr, prefix: u8) -> Route {
    let message: AddressMessage = match address {
        IpAddr::V4(v4) => AddressMessageBuilder::<std::net::Ipv4Addr>::new().index(link).address(v4, prefix).build(),
        IpAddr::V6(v6) => {
            let mut message =
                AddressMessageBuilder::<std::net::Ipv6Addr>::new().index(link).address(v6, prefix).build();
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            message
        }
    };
    Route::NewAddress(message)
}

/// Every address of this network namespace, each with the index of its link.
pub(crate) fn all(netlink: &mut Netlink) -> io::Result<Vec<(u32, IpAddr)>> {
    let found = netlink.dump(Route::GetAddress(AddressMessage::default()))?;
    let address = |message| match message {
        Route::NewAddress(message) => {
            let index = message.header.index;
            let address = message.attributes.into_iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(address),
                AddressAttribute::Address(address) if address.is_ipv6() => Some(address),
                _ => None,
            });
            address.map(|address| (index, address))
        }
        _ => None,
    };
    Ok(found.into_iter().filter_map(address).collect())
}
