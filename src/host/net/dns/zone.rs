//! Who has which names on which network, and what one container sees of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::desired::{ContainerSpec, NetMode};
use crate::name::{ContainerId, NetworkName};

/// A container in one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The network.
    pub network: NetworkName,
    /// What a reverse look-up says: the container's name.
    pub name: String,
    /// What it is found by: service, aliases, container name, short id, host name.
    pub names: Vec<String>,
    /// Its address, while it runs.
    pub ipv4: Option<Ipv4Addr>,
    /// Its address, while it runs.
    pub ipv6: Option<Ipv6Addr>,
}

impl Host {
    /// The container in each of its networks. One that does not run has no addresses: its names are known to be nobody's,
    /// and nobody else is asked for them.
    pub fn of(id: &ContainerId, spec: &ContainerSpec, running: bool) -> Vec<Host> {
        let host = |endpoint: &crate::desired::EndpointSpec| Host {
            network: endpoint.network.clone(),
            name: spec.name.to_string(),
            names: endpoint.aliases.iter().chain([&id.short().to_owned()]).chain(&spec.hostname).cloned().collect(),
            ipv4: endpoint.ipv4.filter(|_| running),
            ipv6: endpoint.ipv6.filter(|_| running),
        };
        spec.endpoints.iter().map(host).collect()
    }
}

/// All names of all networks; replaced as a whole whenever something changes.
#[derive(Clone, Debug, Default)]
pub struct Table {
    networks: BTreeMap<NetworkName, Names>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    forward: BTreeMap<String, Addresses>,
    reverse: BTreeMap<IpAddr, String>,
}

/// The addresses of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4, one a replica.
    pub ipv4: Vec<Ipv4Addr>,
    /// IPv6, one a replica.
    pub ipv6: Vec<Ipv6Addr>,
}

impl Table {
    /// The table of these containers.
    pub fn new(hosts: impl IntoIterator<Item = Host>) -> Self {
        let mut table = Self::default();
        for host in hosts {
            let names = table.networks.entry(host.network).or_default();
            for name in host.names {
                let addresses = names.forward.entry(name.to_ascii_lowercase()).or_default();
                // A name may be given twice (an alias that is the service's own name).
                addresses.ipv4.extend(host.ipv4.filter(|address| !addresses.ipv4.contains(address)));
                addresses.ipv6.extend(host.ipv6.filter(|address| !addresses.ipv6.contains(address)));
            }
            for address in host.ipv4.map(IpAddr::V4).into_iter().chain(host.ipv6.map(IpAddr::V6)) {
                names.reverse.insert(address, host.name.clone());
            }
        }
        table
    }
}

/// What one container sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The networks it is on, in the order in which they are searched.
    pub networks: Vec<NetworkName>,
    /// Names that only it knows (`links`), in lower case → a service or container.
    pub links: BTreeMap<String, String>,
    /// Who is asked for other names.
    pub upstream: Upstream,
}

/// Who is asked for names that are not in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Upstream {
    /// Nobody: all its networks are internal, and a look-up would be a way out (CVE-2024-29018).
    #[default]
    Nobody,
    /// The servers of the host's resolv.conf.
    Host,
    /// These (`dns` in the file).
    Servers(Vec<SocketAddr>),
}

impl View {
    /// What a container with this spec sees. `internal` says of a network whether it has no way out.
    pub fn of(spec: &ContainerSpec, internal: impl Fn(&NetworkName) -> bool) -> Self {
        let out = spec.endpoints.iter().any(|endpoint| !internal(&endpoint.network));
        let servers: Vec<SocketAddr> =
            spec.dns.servers.iter().filter_map(|server| Some(SocketAddr::new(server.parse().ok()?, 53))).collect();
        let upstream = match spec.namespaces.net {
            NetMode::Bridge if out && servers.is_empty() => Upstream::Host,
            NetMode::Bridge if out => Upstream::Servers(servers),
            _ => Upstream::Nobody,
        };
        let lower = |(alias, target): (&String, &String)| (alias.to_ascii_lowercase(), target.to_ascii_lowercase());
        Self {
            networks: spec.endpoints.iter().map(|endpoint| endpoint.network.clone()).collect(),
            links: spec.endpoints.iter().flat_map(|endpoint| endpoint.links.iter().map(lower)).collect(),
            upstream,
        }
    }

    /// The addresses of a name (lower case, no dot at its end): those of the first network that knows it, IPv4 and IPv6 each.
    /// Empty: the name is known, but nobody has it now. `None`: the name is not of here.
    pub fn addresses(&self, table: &Table, name: &str) -> Option<Addresses> {
        let target = self.links.get(name).map_or(name, String::as_str);
        self.search(table, target, |_| true).or_else(|| {
            // `name.network`, as docker has it.
            let (target, network) = name.split_once('.')?;
            self.search(table, target, |other| other.eq_ignore_ascii_case(network))
        })
    }

    fn search(&self, table: &Table, name: &str, wanted: impl Fn(&NetworkName) -> bool) -> Option<Addresses> {
        let mut found: Option<Addresses> = None;
        for network in self.networks.iter().filter(|network| wanted(network)) {
            let Some(here) = table.networks.get(network).and_then(|names| names.forward.get(name)) else { continue };
            let all = found.get_or_insert_default();
            if all.ipv4.is_empty() {
                all.ipv4.clone_from(&here.ipv4);
            }
            if all.ipv6.is_empty() {
                all.ipv6.clone_from(&here.ipv6);
            }
        }
        found
    }

    /// Whose address this is, as `container.network`; `None`: nobody's on these networks.
    pub fn owner(&self, table: &Table, address: IpAddr) -> Option<String> {
        self.networks.iter().find_map(|network| {
            let name = table.networks.get(network)?.reverse.get(&address)?;
            Some(format!("{name}.{network}"))
        })
    }
}
