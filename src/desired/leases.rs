//! What addresses are taken on this machine: the input from which [`super::compile`] chooses addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Desired, NetworkSpec};
use crate::name::{ContainerName, NetworkName};

/// Everything on this machine that an address must not collide with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// Destinations of the host's routes: first address, bits of the prefix. Those of the networks below may be among them.
    pub routes: Vec<(IpAddr, u8)>,
    /// Every network of this machine, of whatever project.
    pub networks: BTreeMap<NetworkName, NetworkLease>,
}

/// A network that exists, and who has which address in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkLease {
    /// What it was made of.
    pub spec: NetworkSpec,
    /// The containers on it.
    pub endpoints: BTreeMap<ContainerName, EndpointLease>,
}

/// The addresses of one container in one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointLease {
    /// IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6.
    pub ipv6: Option<Ipv6Addr>,
}

impl Leases {
    /// The leases of this machine, and beside them those that a project's last desired state decided: a container that
    /// was not made yet, or that is gone for a moment, keeps its address. Where both speak, the machine is right.
    pub fn with_previous(mut self, previous: &Desired) -> Self {
        for (name, spec) in &previous.networks {
            let lease = self.networks.entry(name.clone()).or_default();
            if lease.spec.name.is_empty() {
                lease.spec = spec.clone();
            }
        }
        for (name, container) in &previous.containers {
            for endpoint in &container.spec.endpoints {
                let lease = EndpointLease { ipv4: endpoint.ipv4, ipv6: endpoint.ipv6 };
                if let Some(network) = self.networks.get_mut(&endpoint.network) {
                    network.add(name, lease);
                }
            }
        }
        self
    }

    /// The ranges that a new subnet must not overlap, each with what has it, for messages. The networks in `except` are
    /// not counted, nor their routes.
    pub(super) fn taken(&self, except: &BTreeSet<NetworkName>) -> Vec<(IpNet, String)> {
        let (own, others): (Vec<_>, Vec<_>) = self.networks.iter().partition(|(name, _)| except.contains(*name));
        let own: BTreeSet<IpNet> = own.into_iter().flat_map(|(_, lease)| lease.subnets()).collect();
        let routes = self.routes.iter().filter_map(|(address, prefix)| {
            let route = IpNet::new(*address, *prefix).ok()?.trunc();
            // A default route, or the halves that VPNs replace it by, takes everything and yet nothing.
            (*prefix >= 4 && !own.contains(&route)).then(|| (route, format!("route {route}")))
        });
        let networks = others.into_iter().flat_map(|(name, lease)| {
            lease.subnets().map(move |subnet| (subnet, format!("network `{name}` ({subnet})")))
        });
        networks.chain(routes).collect()
    }
}

impl NetworkLease {
    fn subnets(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.spec.subnets.iter().filter_map(|subnet| Some(IpNet::new(subnet.address, subnet.prefix).ok()?.trunc()))
    }

    /// Adds what a container had, unless the container or the address is already here.
    fn add(&mut self, name: &ContainerName, lease: EndpointLease) {
        let used = |other: &EndpointLease| {
            (lease.ipv4.is_some() && other.ipv4 == lease.ipv4) || (lease.ipv6.is_some() && other.ipv6 == lease.ipv6)
        };
        if !self.endpoints.contains_key(name) && !self.endpoints.values().any(used) {
            self.endpoints.insert(name.clone(), lease);
        }
    }
}
