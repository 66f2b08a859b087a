//! Which rules there are, as a pure function of what is recorded.
//!
//! Filtering belongs to the machine's networks: table `windlass`, one chain for each of them. Publishing belongs to a project:
//! table `windlass-<project>`, which its supervisor owns. A drop in any table is final and an accept is not, so the
//! first lets through what the second has rewritten, and never drops what is not for one of our bridges.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::hold::Held;
use super::nft::{
    Chain, DSTNAT, Datum, FILTER, Family, Hook, Kind, Map, Point, RAW, SRCNAT, Table, Term, Value, ValueKind,
};
use super::relay::keeper::Port;
use crate::desired::{NetworkSpec, PortSpec};
use crate::name::ProjectName;

/// 127.0.0.0/8.
const LOOPBACK: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);

/// The names of the tables of one world: worlds with other state folders live side by side.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    suffix: String,
}

impl Names {
    /// `world` tells state folders apart; empty for the usual one.
    pub fn new(world: &str) -> Self {
        let suffix = if world.is_empty() { String::new() } else { format!(".{world}") };
        Self { suffix }
    }

    /// The table of the networks.
    pub fn networks(&self) -> String {
        format!("windlass{}", self.suffix)
    }

    /// The table of a project's published ports.
    pub fn project(&self, project: &ProjectName) -> String {
        format!("windlass-{project}{}", self.suffix)
    }

    /// The project whose table this is, if it is one of this world.
    pub fn project_of<'a>(&self, table: &'a str) -> Option<&'a str> {
        let project = table.strip_prefix("windlass-")?.strip_suffix(self.suffix.as_str())?;
        (!project.contains('.')).then_some(project)
    }
}

/// A container's published ports and where they lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    /// The bridge of the network over which the container is reached.
    pub bridge: String,
    /// The container's address there.
    pub ipv4: Option<Ipv4Addr>,
    /// The container's address there.
    pub ipv6: Option<Ipv6Addr>,
    /// The ports, each with the number that was picked.
    pub ports: Vec<PortSpec>,
}

/// The table of the networks.
pub(crate) fn networks(name: String, networks: &[NetworkSpec]) -> Table {
    let jump = |prefix: &str, network: &NetworkSpec| {
        (vec![Datum::Interface(network.bridge.clone())], Value::Jump(format!("{prefix}-{}", network.bridge)))
    };
    let verdicts = |elements| Map { key: vec![Kind::Interface], value: ValueKind::Verdict, elements };
    let to = verdicts(networks.iter().map(|network| jump("to", network)).collect());
    let from = networks.iter().filter(|network| network.internal).map(|network| jump("from", network));
    let forward = Chain {
        name: "forward".into(),
        hook: Some(Hook { nat: false, point: Point::Forward, priority: FILTER }),
        rules: vec![vec![Term::IifVerdict("from".into())], vec![Term::OifVerdict("to".into())]],
    };
    let postrouting = Chain {
        name: "postrouting".into(),
        hook: Some(Hook { nat: true, point: Point::Postrouting, priority: SRCNAT }),
        rules: networks.iter().flat_map(masquerading).collect(),
    };
    let mut chains: Vec<Chain> = networks.iter().map(into_network).collect();
    chains.extend(networks.iter().filter(|network| network.internal).map(out_of_internal));
    chains.extend([forward, postrouting]);
    let maps = BTreeMap::from([("to".to_owned(), to), ("from".to_owned(), verdicts(from.collect()))]);
    Table { family: Family::Inet, name, maps, chains }
}

/// Into a network comes what belongs to a known connection, what was published, and what comes from inside.
fn into_network(network: &NetworkSpec) -> Chain {
    let mut rules = vec![vec![Term::Established, Term::Accept]];
    if !network.internal {
        rules.push(vec![Term::Translated, Term::Accept]);
    }
    if network.icc {
        rules.push(vec![Term::Iif(true, network.bridge.clone()), Term::Accept]);
    }
    rules.push(vec![Term::Drop]);
    Chain { name: format!("to-{}", network.bridge), hook: None, rules }
}

/// Out of an internal network goes nothing.
fn out_of_internal(network: &NetworkSpec) -> Chain {
    let rules = vec![vec![Term::Oif(false, network.bridge.clone()), Term::Drop]];
    Chain { name: format!("from-{}", network.bridge), hook: None, rules }
}

fn masquerading(network: &NetworkSpec) -> Vec<Vec<Term>> {
    let mut rules = Vec::new();
    if network.internal {
        return rules;
    }
    for subnet in &network.subnets {
        let own = (subnet.address, subnet.prefix);
        if network.masquerade {
            rules.push(vec![Term::Source(own.0, own.1), Term::Oif(false, network.bridge.clone()), Term::Masquerade]);
        }
        // A container's connection to its own network's published port: the answer must come back through us. By
        // addresses, for under br_netfilter the packet comes in by the bridge's port and not by the bridge.
        rules.push(vec![
            Term::Source(own.0, own.1),
            Term::Destination(true, own.0, own.1),
            Term::Translated,
            Term::Masquerade,
        ]);
    }
    // From the host's 127.0.0.1 to a published port: no container could answer to that address.
    rules.push(vec![Term::Source(LOOPBACK.0, LOOPBACK.1), Term::Oif(true, network.bridge.clone()), Term::Masquerade]);
    rules
}

/// The table of a project's published ports. With `relayed` only what is bound to loopback is rewritten here.
pub(crate) fn project(name: String, publications: &[Publication], relayed: Relayed) -> Table {
    let bridges: BTreeSet<&str> =
        publications.iter().filter(|one| one.needs_loopback()).map(|one| one.bridge.as_str()).collect();
    let guard = Chain {
        name: "guard".into(),
        hook: Some(Hook { nat: false, point: Point::Prerouting, priority: RAW }),
        rules: bridges.into_iter().map(guard_rule).collect(),
    };
    let chain = |name: &str, point| Chain {
        name: name.into(),
        hook: Some(Hook { nat: true, point, priority: DSTNAT }),
        rules: dnat_rules(point),
    };
    let mut maps = empty_maps();
    for (map, key, value) in publications.iter().flat_map(|one| elements(one, relayed)) {
        if let Some(map) = maps.get_mut(map) {
            map.elements.insert(key, value);
        }
    }
    let chains = vec![guard, chain("prerouting", Point::Prerouting), chain("output", Point::Output)];
    Table { family: Family::Inet, name, maps, chains }
}

/// For which families of addresses the ports that are not on loopback go through the relay, because another firewall
/// filters what comes in: it sees the relay's listener, and never sees what is rewritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relayed {
    pub ipv4: bool,
    pub ipv6: bool,
}

impl Publication {
    /// What the relay does for the sockets of a held port: the container's address of the same family first.
    pub fn relay_ports(&self, held: &Held) -> Vec<io::Result<Port>> {
        let port = held.spec.target;
        let v4 = self.ipv4.map(|address| SocketAddr::new(address.into(), port));
        let v6 = self.ipv6.map(|address| SocketAddr::new(address.into(), port));
        let targets = |ipv4: bool| {
            let order = if ipv4 { [v4, v6] } else { [v6, v4] };
            order.into_iter().flatten().collect()
        };
        held.listeners
            .iter()
            .map(|listener| {
                Ok(Port { socket: listener.socket.try_clone()?, targets: targets(listener.address.is_ipv4()) })
            })
            .collect()
    }

    /// Whether a port is bound to 127.0.0.1, be it with all other addresses: then the kernel must route that address over
    /// the bridge.
    pub fn needs_loopback(&self) -> bool {
        self.ipv4.is_some() && self.ports.iter().any(|port| on_loopback(port) || wildcard(port, true))
    }
}

fn on_loopback(port: &PortSpec) -> bool {
    matches!(port.host_ip, Some(IpAddr::V4(address)) if address.is_loopback())
}

fn wildcard(port: &PortSpec, ipv4: bool) -> bool {
    port.host_ip.is_none_or(|address| address.is_unspecified() && address.is_ipv4() == ipv4)
}

/// Routing 127.0.0.0/8 over a bridge would let a container's raw frame reach what listens on the host's loopback only
/// (CVE-2020-8558). Dropped before connection tracking: answers to a published port still carry the bridge's address
/// there, and pass.
fn guard_rule(bridge: &str) -> Vec<Term> {
    vec![Term::Iif(true, bridge.into()), Term::Destination(true, LOOPBACK.0, LOOPBACK.1), Term::Drop]
}

fn dnat_rules(point: Point) -> Vec<Vec<Term>> {
    let dnat = |ipv4, by_address, map: &str| Term::DnatByMap { ipv4, by_address, map: map.into() };
    let mut rules = vec![vec![dnat(false, true, "at6")]];
    let mut any4 = vec![Term::Ipv4(true), Term::DestinationIsLocal];
    let any6 = vec![Term::Ipv4(false), Term::DestinationIsLocal];
    if point == Point::Output {
        // ::1 cannot be rewritten, its answer would never reach input: the listener has it.
        let not_loopback = Term::Destination(false, IpAddr::V6(Ipv6Addr::LOCALHOST), 128);
        rules.push(vec![dnat(true, true, "at4")]);
        rules.push([any4, vec![dnat(true, false, "any4")]].concat());
        rules.push([any6, vec![not_loopback, dnat(false, false, "any6")]].concat());
        rules.push(vec![Term::Destination(true, LOOPBACK.0, LOOPBACK.1), dnat(true, false, "lo4")]);
    } else {
        // Nobody outside may reach loopback, even where the host routes that address.
        let outside = Term::Destination(false, LOOPBACK.0, LOOPBACK.1);
        any4.push(outside.clone());
        rules.push(vec![outside, dnat(true, true, "at4")]);
        rules.push([any4, vec![dnat(true, false, "any4")]].concat());
        rules.push([any6, vec![dnat(false, false, "any6")]].concat());
    }
    rules
}

fn empty_maps() -> BTreeMap<String, Map> {
    let map = |key: &[Kind], address: Kind| Map {
        key: key.to_vec(),
        value: ValueKind::Data(vec![address, Kind::Port]),
        elements: BTreeMap::new(),
    };
    let any = [Kind::Protocol, Kind::Port];
    BTreeMap::from([
        ("any4".to_owned(), map(&any, Kind::V4)),
        ("any6".to_owned(), map(&any, Kind::V6)),
        ("lo4".to_owned(), map(&any, Kind::V4)),
        ("at4".to_owned(), map(&[Kind::V4, Kind::Protocol, Kind::Port], Kind::V4)),
        ("at6".to_owned(), map(&[Kind::V6, Kind::Protocol, Kind::Port], Kind::V6)),
    ])
}

type Element = (&'static str, Vec<Datum>, Value);

/// The elements of one container: map, key, value.
fn elements(publication: &Publication, relayed: Relayed) -> Vec<Element> {
    let mut list = Vec::new();
    for port in &publication.ports {
        let any = vec![Datum::Protocol(port.protocol), Datum::Port(port.published)];
        let to = |address: IpAddr| Value::Data(vec![address.into(), Datum::Port(port.target)]);
        if let Some(address) = publication.ipv4.map(IpAddr::V4) {
            if wildcard(port, true) {
                let map = if relayed.ipv4 { "lo4" } else { "any4" };
                list.push((map, any.clone(), to(address)));
            } else if let Some(host) = port.host_ip.filter(|host| host.is_ipv4())
                && (!relayed.ipv4 || host.is_loopback())
            {
                list.push(("at4", [vec![host.into()], any.clone()].concat(), to(address)));
            }
        }
        if let Some(address) = publication.ipv6.map(IpAddr::V6).filter(|_| !relayed.ipv6) {
            if wildcard(port, false) {
                list.push(("any6", any, to(address)));
            } else if let Some(host) = port.host_ip.filter(|host| host.is_ipv6() && !host.is_loopback()) {
                list.push(("at6", [vec![host.into()], any].concat(), to(address)));
            }
        }
    }
    list
}
