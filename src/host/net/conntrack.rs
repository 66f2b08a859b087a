//! Forgetting connections that the kernel has already decided about: rules are asked for the first packet only, so a UDP flow
//! that is older than a published port would never get there, and one that is younger would stay with the old container.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol as IpProtocol, Status, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem,
};

use super::netlink::Netlink;
use crate::desired::Protocol;

/// Attributes of a request: CTA_FILTER (kernel 5.8), CTA_STATUS and CTA_STATUS_MASK.
const FILTER: u16 = 25;
const STATUS: u16 = 3;
const STATUS_MASK: u16 = 26;
/// The direction of the first packet: attribute CTA_TUPLE_ORIG, and the same number in a filter.
const ORIGINAL: u16 = 1;
/// Message IPCTNL_MSG_CT_GET.
const GET: u8 = 1;
/// What a filter compares (the kernel's nf_internals.h).
const BY_PROTOCOL: u32 = 1 << 3;

/// A port of a container, or of this machine: address, protocol, port.
pub(crate) type Place = (IpAddr, Protocol, u16);

/// Forgets the UDP flows to ports of this machine that no rule has rewritten, and those that began with an answer from there:
/// packets of the client would count as answers to that.
pub(crate) fn forget_local(
    netlink: &mut Netlink,
    locals: &[IpAddr],
    ports: &BTreeSet<u16>,
    ipv4: bool,
) -> io::Result<()> {
    let udp = vec![Tuple::Proto(vec![ProtoTuple::Protocol(IpProtocol::Udp)])];
    let filter = vec![nested(ORIGINAL, &udp), same_in(ORIGINAL, BY_PROTOCOL)];
    for flow in dump(netlink, family(ipv4), filter)? {
        let original = Ends::of(&flow.original);
        let ends = [(original.source, original.source_port), (original.destination, original.destination_port)];
        let here = ends.into_iter().any(|(address, port)| {
            address.is_some_and(|address| locals.contains(&address)) && port.is_some_and(|port| ports.contains(&port))
        });
        if here {
            delete(netlink, family(ipv4), flow.original)?;
        }
    }
    Ok(())
}

/// Forgets the flows that are led to ports of containers. One pass for all of them: the kernel walks through its whole
/// table, which takes it 10 ms where that is large.
pub(crate) fn forget_containers(netlink: &mut Netlink, places: &BTreeSet<Place>) -> io::Result<()> {
    let translated = Status::DstNat.bits().to_be_bytes().to_vec();
    let filter = vec![DefaultNla::new(STATUS, translated.clone()), DefaultNla::new(STATUS_MASK, translated)];
    for flow in dump(netlink, NetfilterProtoFamily::Unspec, filter)? {
        let reply = Ends::of(&flow.reply);
        let (Some(address), Some(protocol), Some(port)) = (reply.source, reply.protocol, reply.source_port) else {
            continue;
        };
        // A kernel before 5.15 does not filter by status.
        if flow.translated && places.contains(&(address, protocol, port)) {
            delete(netlink, family(address.is_ipv4()), flow.original)?;
        }
    }
    Ok(())
}

struct Flow {
    original: Vec<Tuple>,
    reply: Vec<Tuple>,
    translated: bool,
}

/// One direction of a flow.
#[derive(Default)]
struct Ends {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    protocol: Option<Protocol>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
}

impl Ends {
    fn of(tuple: &[Tuple]) -> Self {
        let mut ends = Self::default();
        for part in tuple {
            match part {
                Tuple::Ip(addresses) => addresses.iter().for_each(|address| ends.address(address)),
                Tuple::Proto(ports) => ports.iter().for_each(|port| ends.port(port)),
                _ => {}
            }
        }
        ends
    }

    fn address(&mut self, address: &IPTuple) {
        match address {
            IPTuple::SourceAddress(address) => self.source = Some(*address),
            IPTuple::DestinationAddress(address) => self.destination = Some(*address),
            _ => {}
        }
    }

    fn port(&mut self, port: &ProtoTuple) {
        match port {
            ProtoTuple::Protocol(IpProtocol::Tcp) => self.protocol = Some(Protocol::Tcp),
            ProtoTuple::Protocol(IpProtocol::Udp) => self.protocol = Some(Protocol::Udp),
            ProtoTuple::SourcePort(port) => self.source_port = Some(*port),
            ProtoTuple::DestinationPort(port) => self.destination_port = Some(*port),
            _ => {}
        }
    }
}

fn family(ipv4: bool) -> NetfilterProtoFamily {
    if ipv4 { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 }
}

fn nested(kind: u16, tuple: &[Tuple]) -> DefaultNla {
    let mut bytes = vec![0; tuple.buffer_len()];
    tuple.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

/// The fields of one direction in which a flow must be as asked for.
fn same_in(direction: u16, fields: u32) -> DefaultNla {
    let mut inner = 8u16.to_ne_bytes().to_vec();
    inner.extend(direction.to_ne_bytes());
    inner.extend(fields.to_ne_bytes());
    DefaultNla::new(FILTER | NLA_F_NESTED, inner)
}

/// Lists the flows that a filter lets through. The kernel compares, so that a table of a million flows need not be read.
fn dump(netlink: &mut Netlink, family: NetfilterProtoFamily, filter: Vec<DefaultNla>) -> io::Result<Vec<Flow>> {
    let mut request = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), ConntrackMessage::Get(Vec::new()));
    // The message crate has no names for filters.
    request.inner =
        NetfilterMessageInner::Other { subsys: NetfilterSubsystem::Conntrack, message_type: GET, attributes: filter };
    Ok(netlink.dump(request)?.into_iter().filter_map(read).collect())
}

fn read(message: NetfilterMessage) -> Option<Flow> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = message.inner else { return None };
    let mut flow = Flow { original: Vec::new(), reply: Vec::new(), translated: false };
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => flow.original = tuple,
            ConntrackAttribute::CtaTupleReply(tuple) => flow.reply = tuple,
            ConntrackAttribute::CtaStatus(status) => flow.translated = status.contains(Status::DstNat),
            _ => {}
        }
    }
    Some(flow)
}

fn delete(netlink: &mut Netlink, family: NetfilterProtoFamily, original: Vec<Tuple>) -> io::Result<()> {
    let message = ConntrackMessage::Delete(vec![ConntrackAttribute::CtaTupleOrig(original)]);
    match netlink.request(NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message), 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
