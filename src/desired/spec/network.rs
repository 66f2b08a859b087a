//! Specifications of networks, and of what a container has on them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::name::{NetworkName, ProjectName};

/// A container's link to a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// The network.
    pub network: NetworkName,
    /// Name of the link inside: `eth0`, …
    pub interface: String,
    /// Names that others on the network find it by: service, aliases, container name.
    pub aliases: Vec<String>,
    /// Names that only this container finds others by (`links`): alias → service or container name.
    pub links: BTreeMap<String, String>,
    /// IPv4 address; `None` where the network has none.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address; `None` where the network has none.
    pub ipv6: Option<Ipv6Addr>,
    /// The address was written in the file, not chosen.
    pub fixed: bool,
    /// Hardware address; `None`: made from the address.
    pub mac: Option<String>,
    /// Further link-local addresses.
    pub link_local: Vec<IpAddr>,
    /// The default route goes over the endpoint with the highest ([`EndpointSpec::rank`]).
    pub gateway_priority: i32,
    /// Kernel parameters of the link inside: their paths below /proc/sys/net and their values, in the order of the file.
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
}

impl EndpointSpec {
    /// Of the endpoints that lead out, that with the lowest has the default route, as in docker: the highest `gw_priority`, then
    /// one with addresses of both families, then the network whose name comes first. `priority` only orders the links.
    pub fn rank(&self) -> (Reverse<i32>, Reverse<usize>, &NetworkName) {
        let families = usize::from(self.ipv4.is_some()) + usize::from(self.ipv6.is_some());
        (Reverse(self.gateway_priority), Reverse(families), &self.network)
    }
}

/// One published port, or a range of the same length on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortSpec {
    /// Address on the host; `None`: all, IPv4 and IPv6.
    pub host_ip: Option<IpAddr>,
    /// First port on the host; 0: any free one.
    pub published: u16,
    /// Last port of the range to pick a free one from; equal to `published` where there is no choice.
    pub published_end: u16,
    /// Port inside.
    pub target: u16,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
}

impl PortSpec {
    /// Whether the two cannot both be held: the same number, on addresses that are not apart. Both are single numbers.
    pub fn clashes(&self, other: &PortSpec) -> bool {
        self.protocol == other.protocol && self.published == other.published && overlap(self.host_ip, other.host_ip)
    }

    /// Whether this port, of which the number was picked, is what `wanted` asks for.
    pub fn fills(&self, wanted: &PortSpec) -> bool {
        let in_range = wanted.published == 0 || (wanted.published..=wanted.published_end).contains(&self.published);
        let same = (self.host_ip, self.target, self.protocol) == (wanted.host_ip, wanted.target, wanted.protocol);
        in_range && same
    }
}

/// Whether two host addresses cannot both be listened on. All addresses (`None`) are those of IPv4 and of IPv6.
fn overlap(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) if one.is_ipv4() == other.is_ipv4() => {
            one == other || one.is_unspecified() || other.is_unspecified()
        }
        (Some(_), Some(_)) => false,
        _ => true,
    }
}

/// Of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// How a container resolves names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsSpec {
    /// Upstream servers; empty: the host's.
    pub servers: Vec<String>,
    /// `search`; empty: the host's.
    pub search: Vec<String>,
    /// `options`; empty: the host's.
    pub options: Vec<String>,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its name on this machine.
    pub name: NetworkName,
    /// Its key in the file.
    pub key: String,
    /// The project that made it; `None`: external, must be there already.
    pub project: Option<ProjectName>,
    /// What joins its containers.
    pub driver: Driver,
    /// Name of the bridge link: `wl-` and 10 hexadecimal digits, or as asked for; empty with other drivers.
    pub bridge: String,
    /// Address ranges.
    pub subnets: Vec<Subnet>,
    /// No way out.
    pub internal: bool,
    /// Containers may talk to one another (`com.docker.network.bridge.enable_icc`).
    pub icc: bool,
    /// Hide the containers' addresses outside.
    pub masquerade: bool,
    /// Host address that published ports are bound to by default.
    pub host_binding: Option<IpAddr>,
    /// Bytes; `None`: the kernel's own.
    pub mtu: Option<u32>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Driver options as written, for `inspect`.
    pub driver_opts: BTreeMap<String, String>,
}

/// What joins the containers of a network, and them with the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of windlass, which routes, translates addresses and publishes ports.
    #[default]
    Bridge,
    /// A link of its own hardware address for each container, on a link of the machine.
    Macvlan {
        /// That link.
        parent: Parent,
        /// Who talks to whom.
        mode: MacvlanMode,
    },
    /// A link for each container that shares the hardware address of a link of the machine.
    Ipvlan {
        /// That link.
        parent: Parent,
        /// What is switched and what is routed.
        mode: IpvlanMode,
        /// Who talks to whom.
        flag: IpvlanFlag,
    },
}

impl Driver {
    /// The link that the containers' links stand on; `None`: each has an end of its own on the host.
    pub fn parent(&self) -> Option<&Parent> {
        match self {
            Driver::Bridge => None,
            Driver::Macvlan { parent, .. } | Driver::Ipvlan { parent, .. } => Some(parent),
        }
    }

    /// Containers have no router in their subnet: all that is not theirs goes over the link as it is (`l3`, `l3s`).
    pub fn routes(&self) -> bool {
        matches!(self, Driver::Ipvlan { mode: IpvlanMode::L3 | IpvlanMode::L3s, .. })
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Bridge => "bridge",
            Driver::Macvlan { .. } => "macvlan",
            Driver::Ipvlan { .. } => "ipvlan",
        })
    }
}

/// The link that a network without a bridge stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parent {
    /// A link of the machine, by name.
    Link(String),
    /// `LINK.ID`: a VLAN of a link of the machine, made with the network where it is not there.
    Vlan {
        /// The VLAN's own name.
        name: String,
        /// The link.
        of: String,
        /// 1 to 4094.
        id: u16,
    },
    /// One that is made with the network, by name, and leads nowhere.
    Own(String),
}

impl Parent {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Parent::Link(name) | Parent::Own(name) | Parent::Vlan { name, .. } => name,
        }
    }
}

/// Who talks to whom on a link with macvlans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// All with all.
    #[default]
    Bridge,
    /// None with another.
    Private,
    /// Only by way of a switch outside that sends frames back.
    Vepa,
    /// There is one container, which has the link to itself.
    Passthru,
}

/// What the kernel does with a packet of an ipvlan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// It is switched.
    #[default]
    L2,
    /// It is routed.
    L3,
    /// It is routed, and seen by the host's netfilter.
    L3s,
}

/// Who talks to whom on a link with ipvlans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanFlag {
    /// All with all.
    #[default]
    Bridge,
    /// None with another.
    Private,
    /// Only by way of a switch outside that sends frames back.
    Vepa,
}

/// One address range of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its first address.
    pub address: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
    /// The way out: the bridge's own address in it, or with another driver a router's.
    pub gateway: IpAddr,
    /// Addresses are given out from here only: address, prefix.
    pub range: Option<(IpAddr, u8)>,
    /// It was written in the file, not chosen from the pool.
    pub fixed: bool,
}
