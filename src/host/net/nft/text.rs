//! A table in nft's own syntax: for goldens, and to compare with what the kernel has.

use std::fmt::{self, Display, Write};
use std::net::IpAddr;

use super::{Chain, DSTNAT, Datum, FILTER, Family, Hook, Kind, Map, Point, RAW, SRCNAT, Table, Term, Value, ValueKind};

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::Inet => "inet",
            Family::Ip => "ip",
        };
        writeln!(f, "table {family} {} {{", self.name)?;
        for (name, map) in &self.maps {
            writeln!(f, "  map {name} {{")?;
            write!(f, "{map}")?;
            writeln!(f, "  }}")?;
        }
        for chain in &self.chains {
            write!(f, "{chain}")?;
        }
        writeln!(f, "}}")
    }
}

impl Display for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match &self.value {
            ValueKind::Data(kinds) => join(kinds),
            ValueKind::Verdict => "verdict".to_owned(),
        };
        writeln!(f, "    type {} : {value}", join(&self.key))?;
        if self.elements.is_empty() {
            return Ok(());
        }
        writeln!(f, "    elements = {{")?;
        for (key, value) in &self.elements {
            match value {
                Value::Data(data) => writeln!(f, "      {} : {},", join(key), join(data))?,
                Value::Jump(chain) => writeln!(f, "      {} : jump {chain},", join(key))?,
            }
        }
        writeln!(f, "    }}")
    }
}

impl Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  chain {} {{", self.name)?;
        if let Some(hook) = &self.hook {
            writeln!(f, "    {hook}")?;
        }
        for rule in &self.rules {
            writeln!(f, "    {}", rule.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))?;
        }
        writeln!(f, "  }}")
    }
}

impl Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.nat { "nat" } else { "filter" };
        let point = match self.point {
            Point::Prerouting => "prerouting",
            Point::Forward => "forward",
            Point::Output => "output",
            Point::Postrouting => "postrouting",
        };
        let priority = match self.priority {
            RAW => "raw".to_owned(),
            DSTNAT => DSTNAT.to_string(),
            FILTER => "filter".to_owned(),
            SRCNAT => "srcnat".to_owned(),
            other => other.to_string(),
        };
        write!(f, "type {kind} hook {point} priority {priority}; policy accept;")
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Protocol => "inet_proto",
            Kind::Port => "inet_service",
            Kind::V4 => "ipv4_addr",
            Kind::V6 => "ipv6_addr",
            Kind::Interface => "ifname",
        })
    }
}

impl Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Protocol(protocol) => write!(f, "{protocol}"),
            Datum::Port(port) => write!(f, "{port}"),
            Datum::V4(address) => write!(f, "{address}"),
            Datum::V6(address) => write!(f, "{address}"),
            Datum::Interface(name) => write!(f, "\"{name}\""),
        }
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |same: &bool| if *same { "" } else { "!= " };
        let ip = |address: &IpAddr| if address.is_ipv4() { "ip" } else { "ip6" };
        match self {
            Term::Iif(same, name) => write!(f, "iifname {}\"{name}\"", not(same)),
            Term::Oif(same, name) => write!(f, "oifname {}\"{name}\"", not(same)),
            Term::Source(address, prefix) => write!(f, "{} saddr {address}/{prefix}", ip(address)),
            Term::Destination(same, address, prefix) => {
                write!(f, "{} daddr {}{address}/{prefix}", ip(address), not(same))
            }
            Term::Ipv4(true) => f.write_str("meta nfproto ipv4"),
            Term::Ipv4(false) => f.write_str("meta nfproto ipv6"),
            Term::DestinationIsLocal => f.write_str("fib daddr type local"),
            Term::DestinationPort(protocol, port) => write!(f, "{protocol} dport {port}"),
            Term::SourcePort(protocol, port) => write!(f, "{protocol} sport {port}"),
            Term::Established => f.write_str("ct state established,related"),
            Term::Translated => f.write_str("ct status dnat"),
            Term::OifVerdict(map) => write!(f, "oifname vmap @{map}"),
            Term::IifVerdict(map) => write!(f, "iifname vmap @{map}"),
            Term::DnatByMap { ipv4, by_address, map } => {
                let family = if *ipv4 { "ip" } else { "ip6" };
                let address = if *by_address { format!("{family} daddr . ") } else { String::new() };
                write!(f, "dnat {family} addr . port to {address}meta l4proto . th dport map @{map}")
            }
            Term::Masquerade => f.write_str("masquerade"),
            Term::SetDestinationPort(protocol, port) => write!(f, "{protocol} dport set {port}"),
            Term::SetSourcePort(protocol, port) => write!(f, "{protocol} sport set {port}"),
            Term::Accept => f.write_str("accept"),
            Term::Drop => f.write_str("drop"),
        }
    }
}

fn join<T: Display>(parts: &[T]) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() {
            text.push_str(" . ");
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{part}");
    }
    text
}
