//! Links: bridges, and veth pairs born in place.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::address::Mac;
use super::netlink::Netlink;
use super::notice::Notice;

/// What the kernel says of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub index: u32,
    pub name: String,
    pub group: u32,
    pub bridge: bool,
    pub up: bool,
    /// It has a carrier: of a bridge, one of its ports has.
    pub running: bool,
    /// The index of the bridge that it is a port of.
    pub controller: Option<u32>,
}

/// A veth pair that is to be made.
pub(crate) struct Veth<'a> {
    /// Name of the host's end.
    pub host: &'a str,
    /// Hardware address of the host's end.
    pub host_mac: Mac,
    /// The bridge it becomes a port of.
    pub bridge: u32,
    /// Name of the container's end.
    pub inside: &'a str,
    /// Hardware address of the container's end.
    pub inside_mac: Mac,
    /// The network namespace in which the container's end is born.
    pub netns: BorrowedFd<'a>,
    /// Bytes; `None`: the kernel's own.
    pub mtu: Option<u32>,
    /// The link group of the host's end.
    pub group: u32,
    /// The port does not speak to other ports of the bridge that are isolated too.
    pub isolated: bool,
}

/// Makes a bridge, down. Its hardware address is set with it: udev rewrites one that the kernel chose.
pub(crate) fn add_bridge(netlink: &mut Netlink, name: &str, mac: Mac, mtu: Option<u32>, group: u32) -> io::Result<()> {
    let mut builder = LinkBridge::new(name).address(mac.to_vec()).link_group(group);
    if let Some(mtu) = mtu {
        builder = builder.mtu(mtu);
    }
    netlink.request(Route::NewLink(builder.build()), NLM_F_CREATE | NLM_F_EXCL)
}

/// Makes a veth pair in one message: the inner end is created in the container's namespace, the outer one is a port of the
/// bridge and up. Creating it here and moving it would cost ten times as much.
pub(crate) fn add_veth(netlink: &mut Netlink, veth: &Veth<'_>) -> io::Result<()> {
    let mut builder = LinkVeth::new(veth.host, veth.inside)
        .address(veth.host_mac.to_vec())
        .controller(veth.bridge)
        .link_group(veth.group)
        .up();
    if let Some(mtu) = veth.mtu {
        builder = builder.mtu(mtu);
    }
    let mut message = builder.build();
    born_in(&mut message, veth.netns);
    if let Some(peer) = peer_of(&mut message) {
        peer.attributes.push(LinkAttribute::Address(veth.inside_mac.to_vec()));
        peer.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
    }
    let mut requests = vec![(Route::NewLink(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)];
    if veth.isolated {
        let port = LinkUnspec::new_with_name(veth.host);
        requests.push((Route::NewLink(port_options(port, InfoBridgePort::Isolated(true))), NLM_F_ACK));
    }
    netlink.batch(requests).map_err(|(_, error)| error)
}

/// Lets the inner end of a pair be born in another network namespace.
pub(crate) fn born_in(message: &mut LinkMessage, netns: BorrowedFd<'_>) {
    if let Some(peer) = peer_of(message) {
        peer.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
    }
}

/// The other end of a pair in the message that makes it.
pub(crate) fn peer_of(message: &mut LinkMessage) -> Option<&mut LinkMessage> {
    message.attributes.iter_mut().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter_mut().find_map(|info| match info {
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))) => Some(peer),
            _ => None,
        }),
        _ => None,
    })
}

fn port_options(port: LinkMessageBuilder<LinkUnspec>, option: InfoBridgePort) -> LinkMessage {
    port.set_port_kind(InfoPortKind::Bridge).set_port_data(InfoPortData::BridgePort(vec![option])).build()
}

/// Lets a bridge port send a frame back to where it came from: under br_netfilter a container's connection to its own
/// published port is rewritten on the bridge, and leaves by the port by which it came.
pub(crate) fn set_hairpin(netlink: &mut Netlink, name: &str) -> io::Result<()> {
    let port = LinkUnspec::new_with_name(name);
    netlink.request(Route::NewLink(port_options(port, InfoBridgePort::HairpinMode(true))), 0)
}

/// Makes a link a port of a bridge again, up. What was set for the port went with the bridge.
pub(crate) fn enslave(netlink: &mut Netlink, index: u32, bridge: u32, isolated: bool) -> io::Result<()> {
    let port = LinkUnspec::new_with_index(index).controller(bridge).up().build();
    netlink.request(Route::SetLink(port), 0)?;
    if isolated {
        let port = LinkUnspec::new_with_index(index);
        netlink.request(Route::NewLink(port_options(port, InfoBridgePort::Isolated(true))), 0)?;
    }
    Ok(())
}

/// The message that takes a link up.
pub(crate) fn up_message(index: u32) -> Route {
    Route::SetLink(LinkUnspec::new_with_index(index).up().build())
}

/// Has the kernel act at once on the carrier that a bridge port and its bridge have just got. It does so by itself up to
/// a second later, and drops what is sent until then; to ask for a link brings it forward (Linux 6.8).
pub(crate) fn settle(netlink: &mut Netlink, port: &str) -> io::Result<()> {
    if let Some(index) = find(netlink, port)?.and_then(|link| link.controller) {
        netlink.ask_for::<_, Notice>(Route::GetLink(LinkUnspec::new_with_index(index).build()), 0)?;
    }
    Ok(())
}

/// All links of the namespace.
pub(crate) fn list(netlink: &mut Netlink) -> io::Result<Vec<Link>> {
    let found = netlink.ask_for(Route::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
    Ok(found.into_iter().filter_map(Notice::link).collect())
}

/// The link of that name.
pub(crate) fn find(netlink: &mut Netlink, name: &str) -> io::Result<Option<Link>> {
    let message = LinkUnspec::new_with_name(name).build();
    match netlink.ask_for(Route::GetLink(message), 0) {
        Ok(found) => Ok(found.into_iter().find_map(Notice::link)),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes one link; one that is gone already is no error.
pub(crate) fn remove(netlink: &mut Netlink, index: u32) -> io::Result<()> {
    let message = LinkUnspec::new_with_index(index).build();
    gone_is_fine(netlink.request(Route::DelLink(message), 0))
}

/// So many groups beside its own does a world use for links that go.
const GOING: u32 = 16;

/// Whether a link of this group is of the world whose links are in `own`: also one that was about to go when its remover was
/// killed.
pub(crate) fn is_of(group: u32, own: u32) -> bool {
    group.wrapping_sub(own) <= GOING
}

/// So many requests go at once: the answers to more would overflow the socket's queue.
const AT_ONCE: usize = 100;

/// Removes many links in one go: one by one, each would wait for a grace period of the kernel (20 to 45 ms).
///
/// The kernel deletes whoever is in the group, so they are put into one that nobody uses, and its members are counted
/// before it is deleted.
pub(crate) fn remove_all(netlink: &mut Netlink, doomed: &[u32], own: u32) -> io::Result<()> {
    if let [] | [_] = doomed {
        return doomed.first().map_or(Ok(()), |index| remove(netlink, *index));
    }
    let used: Vec<u32> = list(netlink)?.into_iter().map(|link| link.group).collect();
    let mut free = (1..=GOING).map(|n| own.wrapping_add(n)).filter(|group| *group != 0 && !used.contains(group));
    let Some(group) = free.next() else { return doomed.iter().try_for_each(|index| remove(netlink, *index)) };
    for part in doomed.chunks(AT_ONCE) {
        let regroup = |index: &u32| {
            let message = LinkUnspec::new_with_index(*index).link_group(group).build();
            (Route::SetLink(message), NLM_F_ACK)
        };
        gone_is_fine(netlink.batch(part.iter().map(regroup).collect()).map_err(|(_, error)| error))?;
    }
    let stranger = list(netlink)?.into_iter().find(|link| link.group == group && !doomed.contains(&link.index));
    if let Some(link) = stranger {
        return Err(io::Error::other(format!("link {} has joined the group that was to be removed", link.name)));
    }
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::Group(group));
    gone_is_fine(netlink.request(Route::DelLink(message), 0))
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}
