//! A rule of another firewall, as far as we must understand it: links, families, whether a connection was rewritten, and
//! what is done. Numbers are those of the kernel's include/uapi/linux/netfilter/nf_tables.h.

use netlink_packet_core::{DefaultNla, Emitable, Nla};
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, Meta, MetaKey, Operator,
    RuleAttribute, RuleMessage, Verdict, VerdictAttribute,
};

use super::firewall::Packet;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub matches: Vec<Match>,
    pub action: Action,
}

/// What a rule asks of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// The incoming link is named so (`true`) or not; the bytes are a beginning if they end without a zero.
    Iif(bool, Vec<u8>),
    /// The outgoing link.
    Oif(bool, Vec<u8>),
    /// The packet is IPv4, or IPv6.
    Ipv4(bool),
    /// The connection's destination was rewritten.
    Translated,
    /// Something that we can't tell.
    Unknown,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    None,
}

impl Rule {
    /// Whether all that we know of a packet is what the rule asks for.
    pub fn holds_for(&self, packet: &Packet<'_>) -> bool {
        self.matches.iter().all(|one| match one {
            Match::Iif(same, name) => *same == named(packet.iif, name),
            Match::Oif(same, name) => *same == named(packet.oif, name),
            Match::Ipv4(ipv4) => *ipv4 == packet.ipv4,
            Match::Translated => packet.translated,
            Match::Unknown => false,
        })
    }
}

fn named(link: Option<&str>, wanted: &[u8]) -> bool {
    let Some(link) = link else { return false };
    let mut padded = link.as_bytes().to_vec();
    padded.resize(wanted.len().max(padded.len()), 0);
    padded.starts_with(wanted)
}

/// What the expressions before one have put into a register; registers are few and reused at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loaded {
    Nothing,
    Iif,
    Oif,
    Family,
    Status { masked: bool },
    Other,
}

/// Reads a rule: its chain, and what it says.
pub(crate) fn read_rule(message: RuleMessage) -> Option<(String, Rule)> {
    let mut chain = None;
    let mut rule = Rule { matches: Vec::new(), action: Action::None };
    for attribute in message.attributes {
        match attribute {
            RuleAttribute::Chain(name) => chain = Some(name),
            RuleAttribute::Expressions(list) => read_expressions(list, &mut rule),
            _ => {}
        }
    }
    chain.map(|chain| (chain, rule))
}

fn read_expressions(list: Vec<ListAttribute<ExpressionAttribute>>, rule: &mut Rule) {
    let mut loaded = Loaded::Nothing;
    for element in list {
        let ListAttribute::Element(attributes) = element else { continue };
        let data = attributes.into_iter().find_map(|attribute| match attribute {
            ExpressionAttribute::Data(data) => Some(data),
            _ => None,
        });
        // An expression without data, such as `notrack`, changes nothing here.
        match data {
            Some(Expressions::Meta(parts)) => loaded = meta(&parts),
            Some(Expressions::Payload(_)) => loaded = Loaded::Other,
            Some(Expressions::Bitwise(parts)) => loaded = bitwise(loaded, &parts),
            Some(Expressions::Cmp(parts)) => rule.matches.push(compare(loaded, parts)),
            Some(Expressions::Immediate(parts)) => rule.action = immediate(parts, &rule.action),
            Some(Expressions::Lookup(_)) => rule.matches.push(Match::Unknown),
            Some(Expressions::Other { expression_type, attributes }) => {
                other(&expression_type, &attributes, &mut loaded, rule);
            }
            _ => {}
        }
    }
}

fn meta(parts: &[Meta]) -> Loaded {
    let key = parts.iter().find_map(|part| match part {
        Meta::Key(key) => Some(*key),
        _ => None,
    });
    match key {
        Some(MetaKey::Iifname) => Loaded::Iif,
        Some(MetaKey::Oifname) => Loaded::Oif,
        Some(MetaKey::Nfproto) => Loaded::Family,
        _ => Loaded::Other,
    }
}

/// The mask of `ct status dnat` is one bit, IPS_DST_NAT.
fn bitwise(loaded: Loaded, parts: &[Bitwise]) -> Loaded {
    let translated = parts
        .iter()
        .any(|part| matches!(part, Bitwise::Mask(DataAttribute::Value(mask)) if *mask == (1u32 << 5).to_ne_bytes()));
    match loaded {
        Loaded::Status { .. } if translated => Loaded::Status { masked: true },
        _ => Loaded::Other,
    }
}

fn compare(loaded: Loaded, parts: Vec<Cmp>) -> Match {
    let mut same = None;
    let mut value = Vec::new();
    for part in parts {
        match part {
            Cmp::Op(Operator::Equal) => same = Some(true),
            Cmp::Op(Operator::NotEqual) => same = Some(false),
            Cmp::Data(DataAttribute::Value(bytes)) => value = bytes,
            _ => {}
        }
    }
    match (loaded, same) {
        (Loaded::Iif, Some(same)) => Match::Iif(same, value),
        (Loaded::Oif, Some(same)) => Match::Oif(same, value),
        (Loaded::Family, Some(same)) => Match::Ipv4(same == (value.first() == Some(&2))),
        (Loaded::Status { masked: true }, Some(false)) => Match::Translated,
        _ => Match::Unknown,
    }
}

fn immediate(parts: Vec<Immediate>, before: &Action) -> Action {
    let verdict = parts.into_iter().find_map(|part| match part {
        Immediate::Data(DataAttribute::Verdict(verdict)) => Some(verdict),
        _ => None,
    });
    let Some(verdict) = verdict else { return before.clone() };
    let mut chain = String::new();
    let mut code = None;
    for attribute in verdict {
        match attribute {
            VerdictAttribute::Code(found) => code = Some(found),
            VerdictAttribute::Chain(name) => chain = name,
            _ => {}
        }
    }
    match code {
        Some(Verdict::Other(0)) => Action::Drop,
        Some(Verdict::Other(1)) => Action::Accept,
        Some(Verdict::Return) => Action::Return,
        Some(Verdict::Jump) => Action::Jump(chain),
        Some(Verdict::Goto) => Action::Goto(chain),
        _ => Action::None,
    }
}

/// Expressions that the message crate does not know by name.
fn other(kind: &str, attributes: &[DefaultNla], loaded: &mut Loaded, rule: &mut Rule) {
    const CT_KEY: u16 = 2;
    const CT_STATUS: u32 = 2;
    match kind {
        "ct" => {
            let status = value(attributes, CT_KEY).is_some_and(|key| key == CT_STATUS.to_be_bytes());
            *loaded = if status { Loaded::Status { masked: false } } else { Loaded::Other };
        }
        "reject" => rule.action = Action::Drop,
        // iptables' own targets and matches, carried over as they are: name in attribute 1.
        "target" => {
            if name(attributes) == b"REJECT" {
                rule.action = Action::Drop;
            }
        }
        "match" if name(attributes) == b"comment" => {}
        "counter" | "log" | "notrack" => {}
        "fib" | "rt" | "socket" | "exthdr" | "numgen" | "hash" | "osf" | "tunnel" | "xfrm" | "byteorder" => {
            *loaded = Loaded::Other;
        }
        _ => rule.matches.push(Match::Unknown),
    }
}

fn name(attributes: &[DefaultNla]) -> Vec<u8> {
    let mut name = value(attributes, 1).unwrap_or_default();
    name.retain(|byte| *byte != 0);
    name
}

fn value(attributes: &[DefaultNla], kind: u16) -> Option<Vec<u8>> {
    let found = attributes.iter().find(|attribute| attribute.kind() == kind)?;
    let mut bytes = vec![0; found.buffer_len()];
    found.emit(&mut bytes);
    bytes.get(4..4 + found.value_len()).map(<[u8]>::to_vec)
}
