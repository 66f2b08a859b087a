//! nftables: a table as a pure value, its text as people know it, and its way into the kernel.
//!
//! [`Table`] says what must be there; [`text`] prints it in nft's own syntax (tests load that text with `nft` and compare);
//! [`encode`] makes netlink messages of it; [`apply`] puts it in place in one atomic transaction; [`notice`] is what the
//! kernel tells of tables.

pub(crate) mod apply;
mod encode;
pub(crate) mod notice;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::desired::Protocol;

/// The family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Inet,
    Ip,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub family: Family,
    pub name: String,
    pub maps: BTreeMap<String, Map>,
    pub chains: Vec<Chain>,
}

/// A map from packet fields to an address and a port, or to a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub key: Vec<Kind>,
    pub value: ValueKind,
    pub elements: BTreeMap<Vec<Datum>, Value>,
}

/// What the values of a map are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Data(Vec<Kind>),
    Verdict,
}

/// A value of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Data(Vec<Datum>),
    Jump(String),
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Protocol,
    Port,
    V4,
    V6,
    Interface,
}

/// A field's content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Datum {
    Protocol(Protocol),
    Port(u16),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Interface(String),
}

impl From<IpAddr> for Datum {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Datum::V4(v4),
            IpAddr::V6(v6) => Datum::V6(v6),
        }
    }
}

/// A chain; without a hook it is only jumped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub name: String,
    pub hook: Option<Hook>,
    pub rules: Vec<Vec<Term>>,
}

/// Where and when a chain is run. Its policy is always accept: what we don't know is not ours to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub nat: bool,
    pub point: Point,
    pub priority: i32,
}

/// The places in the kernel where chains hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    Prerouting,
    Forward,
    Output,
    Postrouting,
}

/// Before connection tracking.
pub(crate) const RAW: i32 = -300;
/// Where destinations are rewritten.
pub(crate) const DSTNAT: i32 = -100;
/// Where packets are filtered.
pub(crate) const FILTER: i32 = 0;
/// Where sources are rewritten.
pub(crate) const SRCNAT: i32 = 100;

/// One piece of a rule: a match, or what is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// The link that a packet came in by is (`true`) or is not that one.
    Iif(bool, String),
    /// The link that a packet leaves by is or is not that one.
    Oif(bool, String),
    /// The source address is in the range.
    Source(IpAddr, u8),
    /// The destination address is or is not in the range.
    Destination(bool, IpAddr, u8),
    /// IPv4 (`true`) or IPv6.
    Ipv4(bool),
    /// The destination address is one of this machine's.
    DestinationIsLocal,
    /// The destination port.
    DestinationPort(Protocol, u16),
    /// The source port.
    SourcePort(Protocol, u16),
    /// A connection that is known, or belongs to one.
    Established,
    /// A connection whose destination was rewritten.
    Translated,
    /// Look the outgoing link up in a map of verdicts.
    OifVerdict(String),
    /// Look the incoming link up in a map of verdicts.
    IifVerdict(String),
    /// Rewrite the destination by a map from (address if `by_address`,) protocol and port to address and port.
    DnatByMap { ipv4: bool, by_address: bool, map: String },
    /// Rewrite the source to the address of the outgoing link.
    Masquerade,
    /// Rewrite the destination port without connection tracking.
    SetDestinationPort(Protocol, u16),
    /// Rewrite the source port without connection tracking.
    SetSourcePort(Protocol, u16),
    /// Let it pass this chain.
    Accept,
    /// Throw it away.
    Drop,
}
