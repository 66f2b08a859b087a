//! Networks without a bridge: the containers' links are macvlans or ipvlans, born in the container, on a link of the machine.
//! They have no end on the host, and go with their parent.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::link::{IpVlanFlags, IpVlanMode, LinkAttribute, LinkMessage, MacVlanMode};
use rtnetlink::{LinkIpVlan, LinkMacVlan, LinkUnspec, LinkVeth, LinkVlan};

use super::address::Mac;
use super::error::{Context, NetError, Result};
use super::inside::Attached;
use super::link::{self, Link};
use super::machine::{Machine, route_socket};
use super::netlink::Netlink;
use super::sysctl;
use crate::desired::{Driver, IpvlanFlag, IpvlanMode, MacvlanMode, NetworkSpec, Parent};

/// Makes the link that a network stands on, where it is windlass's to make; one of the machine's must be there.
pub(crate) fn make(machine: &Machine, spec: &NetworkSpec, parent: &Parent) -> Result<()> {
    let mut netlink = route_socket()?;
    let name = parent.name();
    machine.links.stands_on(name);
    let there = link::find(&mut netlink, name).context("look for", name)?;
    match (parent, there) {
        (Parent::Own(_), Some(link)) if link.group != machine.group => {
            Err(NetError::BridgeTaken { network: spec.name.clone(), bridge: name.to_owned() })
        }
        (_, Some(_)) => Ok(()),
        (Parent::Link(_), None) => Err(missing(spec, name)),
        (Parent::Vlan { of, id, .. }, None) => {
            let of = link::find(&mut netlink, of).context("look for", of)?.ok_or_else(|| missing(spec, of))?;
            let message = LinkVlan::new(name, of.index, *id).link_group(machine.group).up().build();
            netlink.request(Route::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).context("create the VLAN", name)
        }
        (Parent::Own(_), None) => make_own(machine, &mut netlink, spec, name),
    }
}

/// The other end of a link that is made to be stood on.
pub(crate) fn far_end(name: &str) -> String {
    format!("{name}-x")
}

/// A veth pair of which nobody uses the other end: it has a carrier (a bridge without ports has none), and every kernel that we
/// run on has it (not all have `dummy`).
fn make_own(machine: &Machine, netlink: &mut Netlink, spec: &NetworkSpec, name: &str) -> Result<()> {
    let far = far_end(name);
    let mut builder = LinkVeth::new(name, &far).link_group(machine.group);
    if let Some(mtu) = spec.mtu {
        builder = builder.mtu(mtu);
    }
    let mut message = builder.build();
    if let Some(peer) = link::peer_of(&mut message) {
        peer.attributes.push(LinkAttribute::Group(machine.group));
        peer.attributes.extend(spec.mtu.map(LinkAttribute::Mtu));
    }
    netlink.request(Route::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).context("create the parent link", name)?;
    for end in [name, &far] {
        sysctl::protect_link(end, false)?;
        let message = LinkUnspec::new_with_name(end).up().build();
        netlink.request(Route::NewLink(message), 0).context("take up", end)?;
    }
    Ok(())
}

/// Removes that link where windlass made it, and no other network stands on it. The lock must be held, and the network's record
/// may be there still.
pub(crate) fn remove(machine: &Machine, spec: &NetworkSpec, parent: &Parent) -> Result<()> {
    let shared = |other: &NetworkSpec| {
        other.name != spec.name && other.driver.parent().is_some_and(|one| one.name() == parent.name())
    };
    if matches!(parent, Parent::Link(_)) || machine.records.networks()?.iter().any(|record| shared(&record.spec)) {
        return Ok(());
    }
    let mut netlink = route_socket()?;
    let found = link::find(&mut netlink, parent.name()).context("look for", parent.name())?;
    match found.filter(|link| link.group == machine.group) {
        Some(link) => {
            machine.links.removing(std::iter::once(&link));
            machine.links.leaving(std::iter::once(far_end(&link.name).as_str()));
            link::remove(&mut netlink, link.index).context("remove", parent.name())
        }
        None => Ok(()),
    }
}

/// The index of the link that a network stands on.
pub(crate) fn index(netlink: &mut Netlink, spec: &NetworkSpec, parent: &Parent) -> Result<u32> {
    let found = link::find(netlink, parent.name()).context("look for", parent.name())?;
    found.map(|link| link.index).ok_or_else(|| missing(spec, parent.name()))
}

/// That link among all of the host, if it does its work.
pub(crate) fn among<'a>(machine: &Machine, links: &'a [Link], parent: &Parent) -> Option<&'a Link> {
    let own = matches!(parent, Parent::Own(_));
    links.iter().find(|link| link.name == parent.name() && (!own || (link.up && link.group == machine.group)))
}

fn missing(spec: &NetworkSpec, parent: &str) -> NetError {
    NetError::NoParent { network: spec.name.clone(), parent: parent.to_owned() }
}

/// Makes a container's link on the parent, down. `mac` is `None` where it has the parent's.
pub(crate) fn add_child(
    attached: &Attached,
    mac: Option<Mac>,
    network: &NetworkSpec,
    netns: BorrowedFd<'_>,
) -> Result<()> {
    let Some(parent) = attached.parent else { return Ok(()) };
    let mut netlink = route_socket()?;
    let Some(mut message) = message(&attached.interface, parent, &network.driver) else { return Ok(()) };
    message.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
    message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
    message.attributes.extend(network.mtu.map(LinkAttribute::Mtu));
    sysctl::protected(netns, &attached.interface, attached.ipv6.is_some(), || {
        let made = netlink.request(Route::NewLink(message), NLM_F_CREATE | NLM_F_EXCL);
        made.map_err(|error| refusal(error, network))
    })
}

/// Whether a container's link has the hardware address of its parent.
pub(crate) fn shares_mac(driver: &Driver) -> bool {
    matches!(driver, Driver::Ipvlan { .. } | Driver::Macvlan { mode: MacvlanMode::Passthru, .. })
}

fn message(inside: &str, parent: u32, driver: &Driver) -> Option<LinkMessage> {
    Some(match driver {
        Driver::Bridge => return None,
        Driver::Macvlan { mode, .. } => {
            let mode = match mode {
                MacvlanMode::Bridge => MacVlanMode::Bridge,
                MacvlanMode::Private => MacVlanMode::Private,
                MacvlanMode::Vepa => MacVlanMode::Vepa,
                MacvlanMode::Passthru => MacVlanMode::Passthrough,
            };
            LinkMacVlan::new(inside, parent, mode).build()
        }
        Driver::Ipvlan { mode, flag, .. } => {
            let mode = match mode {
                IpvlanMode::L2 => IpVlanMode::L2,
                IpvlanMode::L3 => IpVlanMode::L3,
                IpvlanMode::L3s => IpVlanMode::L3S,
            };
            let flags = match flag {
                IpvlanFlag::Bridge => IpVlanFlags::empty(),
                IpvlanFlag::Private => IpVlanFlags::Private,
                IpvlanFlag::Vepa => IpVlanFlags::Vepa,
            };
            LinkIpVlan::new(inside, parent, mode).flag(flags).build()
        }
    })
}

/// What the kernel says is short: that it has no such driver, or that others on the parent do not go with this one.
fn refusal(error: io::Error, network: &NetworkSpec) -> NetError {
    let (name, driver) = (network.name.clone(), network.driver.to_string());
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => NetError::NoDriver { network: name, driver },
        Some(libc::EINVAL | libc::EBUSY) => {
            let parent = network.driver.parent().map(|parent| parent.name().to_owned()).unwrap_or_default();
            NetError::ParentInUse { network: name, driver, parent }
        }
        _ => NetError::Kernel { operation: "create the link", object: format!("of network {name}"), source: error },
    }
}
