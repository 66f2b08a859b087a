//! A table as netlink messages. Numbers are those of the kernel's include/uapi/linux/netfilter/nf_tables.h.

use std::net::IpAddr;

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, ExpressionAttribute, Expressions, Hook as HookAttribute, HookNumber,
    InetHookNumber, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementAttribute,
    SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableFlags, TableMessage, Verdict,
    VerdictAttribute,
};

use super::{Chain, Datum, Family, Kind, Map, Point, Table, Term, Value, ValueKind};
use crate::desired::Protocol;

/// Elements of one message: an attribute can't be longer than 64 KiB.
const ELEMENTS: usize = 200;

/// The register for verdicts.
const VERDICT: u32 = 0;
/// The first data register of four bytes; registers that follow one another hold the parts of a key.
const FIRST: u32 = 8;

type Expression = ListAttribute<ExpressionAttribute>;

/// The message that makes a table, or takes one over.
pub(crate) fn new_table(name: &str, flags: TableFlags) -> NfTablesMessage {
    let attributes = vec![TableAttribute::Name(name.into()), TableAttribute::Flags(flags)];
    NfTablesMessage::NewTable(TableMessage { attributes })
}

/// The message that removes a table and all that is in it.
pub(crate) fn delete_table(name: &str) -> NfTablesMessage {
    NfTablesMessage::DeleteTable(TableMessage { attributes: vec![TableAttribute::Name(name.into())] })
}

/// The messages that fill a new table.
pub(crate) fn contents(table: &Table) -> Vec<NfTablesMessage> {
    // Chains first: verdicts of maps name them. Maps before rules: rules name those.
    let mut messages: Vec<NfTablesMessage> = table.chains.iter().map(|chain| new_chain(&table.name, chain)).collect();
    for (number, (name, map)) in (1..).zip(&table.maps) {
        messages.push(new_map(&table.name, name, number, map));
        messages.extend(add_elements(&table.name, name, map.elements.iter()));
    }
    for chain in &table.chains {
        messages.extend(chain.rules.iter().map(|rule| new_rule(table, &chain.name, rule)));
    }
    messages
}

/// The messages that add elements to a map.
pub(crate) fn add_elements<'a>(
    table: &str,
    map: &str,
    elements: impl Iterator<Item = (&'a Vec<Datum>, &'a Value)>,
) -> Vec<NfTablesMessage> {
    let list = elements.map(|(key, value)| {
        let data = match value {
            Value::Data(data) => DataAttribute::Value(concatenate(data)),
            Value::Jump(chain) => DataAttribute::Verdict(vec![
                VerdictAttribute::Code(Verdict::Jump),
                VerdictAttribute::Chain(chain.clone()),
            ]),
        };
        ListAttribute::Element(vec![
            SetElementAttribute::Key(DataAttribute::Value(concatenate(key))),
            SetElementAttribute::Data(data),
        ])
    });
    element_messages(table, map, list.collect()).into_iter().map(NfTablesMessage::NewSetElement).collect()
}

/// The messages that take elements out of a map.
pub(crate) fn delete_elements<'a>(
    table: &str,
    map: &str,
    keys: impl Iterator<Item = &'a Vec<Datum>>,
) -> Vec<NfTablesMessage> {
    let list =
        keys.map(|key| ListAttribute::Element(vec![SetElementAttribute::Key(DataAttribute::Value(concatenate(key)))]));
    element_messages(table, map, list.collect()).into_iter().map(NfTablesMessage::DeleteSetElement).collect()
}

fn element_messages(table: &str, map: &str, list: Vec<ListAttribute<SetElementAttribute>>) -> Vec<SetElementMessage> {
    let message = |part: &[ListAttribute<SetElementAttribute>]| SetElementMessage {
        attributes: vec![
            SetElementList::Table(table.into()),
            SetElementList::Set(map.into()),
            SetElementList::Elements(part.to_vec()),
        ],
    };
    list.chunks(ELEMENTS).map(message).collect()
}

fn new_chain(table: &str, chain: &Chain) -> NfTablesMessage {
    let mut attributes = vec![ChainAttribute::Table(table.into()), ChainAttribute::Name(chain.name.clone())];
    if let Some(hook) = &chain.hook {
        let number = match hook.point {
            Point::Prerouting => InetHookNumber::PreRouting,
            Point::Forward => InetHookNumber::Forward,
            Point::Output => InetHookNumber::LocalOut,
            Point::Postrouting => InetHookNumber::PostRouting,
        };
        attributes.push(ChainAttribute::Hook(vec![
            HookAttribute::Number(HookNumber::Inet(number)),
            HookAttribute::Priority(hook.priority.cast_unsigned()),
        ]));
        attributes.push(ChainAttribute::Policy(1));
        attributes.push(ChainAttribute::Type(if hook.nat { "nat" } else { "filter" }.into()));
    }
    NfTablesMessage::NewChain(ChainMessage { attributes })
}

fn new_map(table: &str, name: &str, number: u32, map: &Map) -> NfTablesMessage {
    let (data_type, data_len) = match &map.value {
        ValueKind::Verdict => (0xffff_ff00, 0),
        ValueKind::Data(kinds) => (type_number(kinds), length(kinds)),
    };
    let mut attributes = vec![
        SetAttribute::Table(table.into()),
        SetAttribute::Name(name.into()),
        SetAttribute::Flags(SetFlags::Map),
        SetAttribute::KeyType(type_number(&map.key)),
        SetAttribute::KeyLen(length(&map.key)),
        SetAttribute::DataType(data_type),
    ];
    if data_len > 0 {
        attributes.push(SetAttribute::DataLen(data_len));
    }
    attributes.push(SetAttribute::Id(number));
    attributes.push(SetAttribute::UserData(byte_order(map)));
    NfTablesMessage::NewSet(SetMessage { attributes })
}

/// A note for `nft list`, so that it prints keys as they are: names of links are host-ordered, all else is big-endian.
fn byte_order(map: &Map) -> Vec<u8> {
    const KEY: u8 = 0;
    let order = if map.key == [Kind::Interface] { 1u32 } else { 2 };
    let mut bytes = vec![KEY, 4];
    bytes.extend(order.to_ne_bytes());
    bytes
}

fn new_rule(table: &Table, chain: &str, terms: &[Term]) -> NfTablesMessage {
    let attributes = vec![
        RuleAttribute::Table(table.name.clone()),
        RuleAttribute::Chain(chain.into()),
        RuleAttribute::Expressions(rule_expressions(table.family, terms)),
    ];
    NfTablesMessage::NewRule(RuleMessage { attributes })
}

fn type_number(kinds: &[Kind]) -> u32 {
    let one = |kind: &Kind| match kind {
        Kind::V4 => 7,
        Kind::V6 => 8,
        Kind::Protocol => 12,
        Kind::Port => 13,
        Kind::Interface => 41,
    };
    kinds.iter().fold(0, |number, kind| number << 6 | one(kind))
}

fn length(kinds: &[Kind]) -> u32 {
    let one = |kind: &Kind| match kind {
        Kind::V4 => 4,
        Kind::V6 | Kind::Interface => 16,
        // A single field has its own length; parts of a key fill whole registers.
        Kind::Protocol if kinds.len() == 1 => 1,
        Kind::Port if kinds.len() == 1 => 2,
        Kind::Protocol | Kind::Port => 4,
    };
    kinds.iter().map(one).sum()
}

fn concatenate(data: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for datum in data {
        match datum {
            Datum::Protocol(protocol) => bytes.push(protocol_number(*protocol)),
            Datum::Port(port) => bytes.extend(port.to_be_bytes()),
            Datum::V4(address) => bytes.extend(address.octets()),
            Datum::V6(address) => bytes.extend(address.octets()),
            Datum::Interface(name) => bytes.extend(interface(name)),
        }
        if data.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

fn interface(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (byte, letter) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *byte = letter;
    }
    bytes
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

/// The expressions of a rule. In a table of both families, what reads an IP header is preceded by a match of one, once.
fn rule_expressions(family: Family, terms: &[Term]) -> Vec<Expression> {
    let mut known = (family == Family::Ip).then_some(true);
    let mut list = Vec::new();
    for term in terms {
        let needed = family_of(term);
        if let Some(ipv4) = needed.filter(|_| needed != known) {
            list.extend([meta(15, FIRST), compare(true, &[if ipv4 { 2 } else { 10 }])]);
            known = needed;
        }
        list.extend(expressions(term));
    }
    list
}

fn family_of(term: &Term) -> Option<bool> {
    match term {
        Term::Source(address, _) | Term::Destination(_, address, _) => Some(address.is_ipv4()),
        Term::Ipv4(ipv4) | Term::DnatByMap { ipv4, .. } => Some(*ipv4),
        _ => None,
    }
}

fn expressions(term: &Term) -> Vec<Expression> {
    match term {
        Term::Iif(same, name) => vec![meta(6, FIRST), compare(*same, &interface(name))],
        Term::Oif(same, name) => vec![meta(7, FIRST), compare(*same, &interface(name))],
        Term::Source(address, prefix) => address_match(true, true, *address, *prefix),
        Term::Destination(same, address, prefix) => address_match(false, *same, *address, *prefix),
        Term::Ipv4(_) => Vec::new(),
        Term::DestinationIsLocal => vec![destination_type(), compare(true, &2u32.to_ne_bytes())],
        Term::DestinationPort(protocol, port) => port_match(*protocol, 2, *port),
        Term::SourcePort(protocol, port) => port_match(*protocol, 0, *port),
        Term::Established => connection_bits(0, 2 | 4),
        Term::Translated => connection_bits(2, 1 << 5),
        Term::OifVerdict(map) => vec![meta(7, FIRST), lookup(map, VERDICT)],
        Term::IifVerdict(map) => vec![meta(6, FIRST), lookup(map, VERDICT)],
        Term::DnatByMap { ipv4, by_address, map } => dnat(*ipv4, *by_address, map),
        Term::Masquerade => vec![expression("masq", vec![])],
        Term::SetDestinationPort(protocol, port) => set_port(*protocol, 2, *port),
        Term::SetSourcePort(protocol, port) => set_port(*protocol, 0, *port),
        Term::Accept => vec![verdict(1)],
        Term::Drop => vec![verdict(0)],
    }
}

fn expression(name: &str, attributes: Vec<DefaultNla>) -> Expression {
    Expressions::Other { expression_type: name.into(), attributes }.into()
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

/// An attribute of an attribute, as the values of comparisons are.
fn nested(kind: u16, inner: u16, value: &[u8]) -> DefaultNla {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(inner.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    DefaultNla::new(kind | netlink_packet_core::NLA_F_NESTED, bytes)
}

fn meta(key: u32, register: u32) -> Expression {
    expression("meta", vec![number(1, register), number(2, key)])
}

fn compare(same: bool, value: &[u8]) -> Expression {
    expression("cmp", vec![number(1, FIRST), number(2, u32::from(!same)), nested(3, 1, value)])
}

fn load(base: u32, offset: u32, length: u32, register: u32) -> Expression {
    expression("payload", vec![number(1, register), number(2, base), number(3, offset), number(4, length)])
}

fn bitwise(mask: &[u8]) -> Expression {
    let length = u32::try_from(mask.len()).unwrap_or(0);
    let zero = vec![0; mask.len()];
    expression(
        "bitwise",
        vec![number(1, FIRST), number(2, FIRST), number(3, length), nested(4, 1, mask), nested(5, 1, &zero)],
    )
}

fn lookup(map: &str, register: u32) -> Expression {
    let mut name = map.as_bytes().to_vec();
    name.push(0);
    expression("lookup", vec![DefaultNla::new(1, name), number(2, FIRST), number(3, register)])
}

fn verdict(code: u32) -> Expression {
    let inner = nested(2, 1, &code.to_be_bytes());
    let mut bytes = vec![0; netlink_packet_core::Emitable::buffer_len(&inner)];
    netlink_packet_core::Emitable::emit(&inner, &mut bytes);
    expression("immediate", vec![number(1, VERDICT), DefaultNla::new(2 | netlink_packet_core::NLA_F_NESTED, bytes)])
}

fn address_match(source: bool, same: bool, address: IpAddr, prefix: u8) -> Vec<Expression> {
    let (offset, bytes) = match address {
        IpAddr::V4(v4) => (if source { 12 } else { 16 }, v4.octets().to_vec()),
        IpAddr::V6(v6) => (if source { 8 } else { 24 }, v6.octets().to_vec()),
    };
    let mask: Vec<u8> = (0..bytes.len())
        .map(|index| {
            let bits = usize::from(prefix).saturating_sub(index * 8).min(8);
            0xffu8.checked_shl(8 - bits as u32).unwrap_or(0)
        })
        .collect();
    let masked: Vec<u8> = bytes.iter().zip(&mask).map(|(byte, mask)| byte & mask).collect();
    let mut list = vec![load(1, offset, bytes.len() as u32, FIRST)];
    if mask.iter().any(|byte| *byte != 0xff) {
        list.push(bitwise(&mask));
    }
    list.push(compare(same, &masked));
    list
}

fn port_match(protocol: Protocol, offset: u32, port: u16) -> Vec<Expression> {
    vec![
        meta(16, FIRST),
        compare(true, &[protocol_number(protocol)]),
        load(2, offset, 2, FIRST),
        compare(true, &port.to_be_bytes()),
    ]
}

/// Rewrites a port, and mends the checksum: it lies at 16 in a TCP header, at 6 in a UDP header.
fn set_port(protocol: Protocol, offset: u32, port: u16) -> Vec<Expression> {
    let checksum = if protocol == Protocol::Tcp { 16 } else { 6 };
    let value = expression("immediate", vec![number(1, FIRST), nested(2, 1, &port.to_be_bytes())]);
    let write = expression(
        "payload",
        vec![
            number(5, FIRST),
            number(2, 2),
            number(3, offset),
            number(4, 2),
            number(6, 1),
            number(7, checksum),
            number(8, 0),
        ],
    );
    vec![value, write]
}

fn destination_type() -> Expression {
    expression("fib", vec![number(1, FIRST), number(2, 3), number(3, 2)])
}

fn connection_bits(key: u32, bits: u32) -> Vec<Expression> {
    vec![
        expression("ct", vec![number(1, FIRST), number(2, key)]),
        bitwise(&bits.to_ne_bytes()),
        compare(false, &[0; 4]),
    ]
}

fn dnat(ipv4: bool, by_address: bool, map: &str) -> Vec<Expression> {
    let mut register = FIRST;
    let mut list = Vec::new();
    let words = if ipv4 { 1 } else { 4 };
    if by_address {
        list.push(if ipv4 { load(1, 16, 4, register) } else { load(1, 24, 16, register) });
        register += words;
    }
    list.push(meta(16, register));
    list.push(load(2, 2, 2, register + 1));
    list.push(lookup(map, FIRST));
    list.push(expression(
        "nat",
        vec![number(1, 1), number(2, if ipv4 { 2 } else { 10 }), number(3, FIRST), number(5, FIRST + words)],
    ));
    list
}
