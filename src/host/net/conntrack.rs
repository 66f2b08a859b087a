//! Forgetting connections that the kernel has already decided about: rules are asked for the first packet only, so a UDP flow
//! that is older than a published port would never get there, and one that is younger would stay with the old container.

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

/// Attribute CTA_FILTER (kernel 5.8).
const FILTER: u16 = 25;
/// The two sides of a flow: attributes CTA_TUPLE_ORIG and CTA_TUPLE_REPLY, and the same numbers in a filter.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
/// Message IPCTNL_MSG_CT_GET.
const GET: u8 = 1;
/// What a filter compares (the kernel's nf_internals.h).
const BY_SOURCE_ADDRESS: u32 = 1;
const BY_PROTOCOL: u32 = 1 << 3;
const BY_SOURCE_PORT: u32 = 1 << 4;
const BY_DESTINATION_PORT: u32 = 1 << 5;

/// Forgets the flows to a port of this machine that no rule has rewritten.
pub(crate) fn forget_local(netlink: &mut Netlink, locals: &[IpAddr], protocol: Protocol, port: u16) -> io::Result<()> {
    for ipv4 in [true, false] {
        let tuple = vec![Tuple::Proto(vec![ProtoTuple::Protocol(number(protocol)), ProtoTuple::DestinationPort(port)])];
        for flow in dump(netlink, ipv4, ORIGINAL, &tuple, BY_PROTOCOL | BY_DESTINATION_PORT)? {
            let local = destination(&flow.original).is_some_and(|address| locals.contains(&address));
            if local && !flow.translated {
                delete(netlink, ipv4, flow)?;
            }
        }
    }
    Ok(())
}

/// Forgets the flows that are led to a port of a container.
pub(crate) fn forget_container(
    netlink: &mut Netlink,
    address: IpAddr,
    protocol: Protocol,
    port: u16,
) -> io::Result<()> {
    let tuple = vec![
        Tuple::Ip(vec![IPTuple::SourceAddress(address)]),
        Tuple::Proto(vec![ProtoTuple::Protocol(number(protocol)), ProtoTuple::SourcePort(port)]),
    ];
    let ipv4 = address.is_ipv4();
    for flow in dump(netlink, ipv4, REPLY, &tuple, BY_SOURCE_ADDRESS | BY_PROTOCOL | BY_SOURCE_PORT)? {
        if flow.translated {
            delete(netlink, ipv4, flow)?;
        }
    }
    Ok(())
}

struct Flow {
    original: Vec<Tuple>,
    translated: bool,
}

fn number(protocol: Protocol) -> IpProtocol {
    match protocol {
        Protocol::Tcp => IpProtocol::Tcp,
        Protocol::Udp => IpProtocol::Udp,
    }
}

fn message(ipv4: bool, message: ConntrackMessage) -> NetfilterMessage {
    let family = if ipv4 { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

/// Lists the flows that are equal to a tuple in some fields. The kernel compares, so that a table of a million flows need
/// not be read.
fn dump(netlink: &mut Netlink, ipv4: bool, direction: u16, tuple: &[Tuple], fields: u32) -> io::Result<Vec<Flow>> {
    let mut bytes = vec![0; tuple.buffer_len()];
    tuple.emit(&mut bytes);
    let mut filter = 8u16.to_ne_bytes().to_vec();
    filter.extend(direction.to_ne_bytes());
    filter.extend(fields.to_ne_bytes());
    let family = if ipv4 { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 };
    let inner = NetfilterMessageInner::Other {
        subsys: NetfilterSubsystem::Conntrack,
        message_type: GET,
        attributes: vec![
            DefaultNla::new(direction | NLA_F_NESTED, bytes),
            DefaultNla::new(FILTER | NLA_F_NESTED, filter),
        ],
    };
    let mut request = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), ConntrackMessage::Get(Vec::new()));
    request.inner = inner;
    Ok(netlink.dump(request)?.into_iter().filter_map(read).collect())
}

fn read(message: NetfilterMessage) -> Option<Flow> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = message.inner else { return None };
    let mut original = None;
    let mut translated = false;
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => original = Some(tuple),
            ConntrackAttribute::CtaStatus(status) => translated = status.contains(Status::DstNat),
            _ => {}
        }
    }
    original.map(|original| Flow { original, translated })
}

fn destination(tuple: &[Tuple]) -> Option<IpAddr> {
    tuple.iter().find_map(|part| match part {
        Tuple::Ip(addresses) => addresses.iter().find_map(|address| match address {
            IPTuple::DestinationAddress(address) => Some(*address),
            _ => None,
        }),
        _ => None,
    })
}

fn delete(netlink: &mut Netlink, ipv4: bool, flow: Flow) -> io::Result<()> {
    let attributes = vec![ConntrackAttribute::CtaTupleOrig(flow.original)];
    match netlink.request(message(ipv4, ConntrackMessage::Delete(attributes)), 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
