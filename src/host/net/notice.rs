//! What the kernel tells of links and addresses, read as far as it matters here. A whole message has some forty attributes,
//! and a stack that comes up makes the kernel tell of hundreds of links.

use netlink_packet_core::{DecodeError, NetlinkDeserializable, NetlinkHeader, NlaBuffer, NlasIterator};

use super::link::Link;

/// Length of the fixed part of a message about a link (`struct ifinfomsg`).
const LINK_HEAD: usize = 16;
/// Length of the fixed part of a message about a route (`struct rtmsg`).
const ROUTE_HEAD: usize = 12;

/// A message of NETLINK_ROUTE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A link is so now.
    NewLink(Link),
    /// A link was so, and is gone.
    DelLink(Link),
    /// The link of this index has lost an address.
    DelAddress(u32),
    /// A route of the main table is gone that led over the link of this index.
    DelRoute(u32),
    /// Something else; a bridge tells of its ports besides, in messages that leave half of a link out: the link's own
    /// follows.
    Other,
}

impl Notice {
    /// The index of the link that it is about.
    pub fn index(&self) -> Option<u32> {
        match self {
            Self::NewLink(link) | Self::DelLink(link) => Some(link.index),
            Self::DelAddress(index) | Self::DelRoute(index) => Some(*index),
            Self::Other => None,
        }
    }

    /// The link, if it tells of one that is there.
    pub fn link(self) -> Option<Link> {
        if let Self::NewLink(link) = self { Some(link) } else { None }
    }
}

impl NetlinkDeserializable for Notice {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let link = || -> Result<Option<Link>, DecodeError> {
            let bridge = payload.first().is_some_and(|family| i32::from(*family) == libc::AF_BRIDGE);
            if bridge { Ok(None) } else { parse(payload).map(Some) }
        };
        Ok(match header.message_type {
            libc::RTM_NEWLINK => link()?.map_or(Self::Other, Self::NewLink),
            libc::RTM_DELLINK => link()?.map_or(Self::Other, Self::DelLink),
            libc::RTM_DELADDR => Self::DelAddress(number(payload, 4)?),
            libc::RTM_DELROUTE => route_link(payload)?.map_or(Self::Other, Self::DelRoute),
            _ => Self::Other,
        })
    }
}

/// The link of an ordinary route of the main table.
fn route_link(payload: &[u8]) -> Result<Option<u32>, DecodeError> {
    let [_, _, _, _, table, _, _, kind, ..] = payload else { return Err(short()) };
    if (*table, *kind) != (libc::RT_TABLE_MAIN, libc::RTN_UNICAST) {
        return Ok(None);
    }
    for attribute in NlasIterator::new(payload.get(ROUTE_HEAD..).ok_or_else(short)?) {
        let attribute = attribute?;
        if attribute.kind() == libc::RTA_OIF {
            return number(attribute.value(), 0).map(Some);
        }
    }
    Ok(None)
}

fn parse(payload: &[u8]) -> Result<Link, DecodeError> {
    let mut link = Link {
        index: number(payload, 4)?,
        name: String::new(),
        group: 0,
        bridge: false,
        up: number(payload, 8)? & libc::IFF_UP as u32 != 0,
        running: number(payload, 8)? & libc::IFF_RUNNING as u32 != 0,
        controller: None,
    };
    for attribute in NlasIterator::new(payload.get(LINK_HEAD..).ok_or_else(short)?) {
        let attribute = attribute?;
        match attribute.kind() {
            libc::IFLA_IFNAME => link.name = text(&attribute),
            libc::IFLA_GROUP => link.group = number(attribute.value(), 0)?,
            libc::IFLA_MASTER => link.controller = Some(number(attribute.value(), 0)?),
            libc::IFLA_LINKINFO => {
                let mut infos = NlasIterator::new(attribute.value()).filter_map(Result::ok);
                link.bridge = infos.any(|info| info.kind() == libc::IFLA_INFO_KIND && text(&info) == "bridge");
            }
            _ => {}
        }
    }
    Ok(link)
}

fn text(attribute: &NlaBuffer<&[u8]>) -> String {
    let bytes = attribute.value().split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(bytes: &[u8], at: usize) -> Result<u32, DecodeError> {
    let four = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
    four.map(|four| u32::from_ne_bytes(*four)).ok_or_else(short)
}

fn short() -> DecodeError {
    DecodeError::from("a message that is cut short")
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NetlinkSerializable as _;
    use netlink_packet_route::RouteNetlinkMessage as Route;
    use rtnetlink::{LinkBridge, LinkUnspec};

    use super::*;

    fn read(message: &Route) -> Result<Notice, DecodeError> {
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let mut header = NetlinkHeader::default();
        header.message_type = message.message_type();
        Notice::deserialize(&header, &bytes)
    }

    #[test]
    fn a_link_is_read_as_the_kernel_writes_it() {
        let bridge = LinkBridge::new("wl-0123456789ab").link_group(7).up().build();
        let link = Link {
            index: 0,
            name: "wl-0123456789ab".into(),
            group: 7,
            bridge: true,
            up: true,
            running: false,
            controller: None,
        };
        assert_eq!(read(&Route::NewLink(bridge)).expect("read"), Notice::NewLink(link));
        let port = LinkUnspec::new_with_index(5).controller(9).build();
        let link = Link {
            index: 5,
            name: String::new(),
            group: 0,
            bridge: false,
            up: false,
            running: false,
            controller: Some(9),
        };
        assert_eq!(read(&Route::DelLink(port)).expect("read"), Notice::DelLink(link));
    }

    #[test]
    fn what_is_cut_short_is_no_link() {
        let mut header = NetlinkHeader::default();
        header.message_type = libc::RTM_NEWLINK;
        assert!(Notice::deserialize(&header, &[0; 7]).is_err());
        assert!(Notice::deserialize(&header, &[0; 17]).is_err());
        header.message_type = libc::RTM_DELADDR;
        assert!(Notice::deserialize(&header, &[0; 5]).is_err());
    }
}
