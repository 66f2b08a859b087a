//! The addresses of the containers in one network. A container keeps its address over re-creation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::desired::{NetworkLease, Subnet};
use crate::name::{ContainerName, NetworkName};

/// Why a container can't have an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// An address of the file is in no subnet of the network.
    #[error("address {address} is in no subnet of network `{network}` ({subnets})")]
    Outside {
        /// As written.
        address: IpAddr,
        /// The network.
        network: NetworkName,
        /// Its subnets.
        subnets: String,
    },
    /// An address of the file is the network's own, its gateway's, or set aside.
    #[error("address {address} cannot be given to a container: it is {what} of network `{network}`")]
    Reserved {
        /// As written.
        address: IpAddr,
        /// The network.
        network: NetworkName,
        /// `the gateway`, …
        what: &'static str,
    },
    /// Somebody else has it.
    #[error("address {address} in network `{network}` is already taken by container `{holder}`")]
    Taken {
        /// As written.
        address: IpAddr,
        /// The network.
        network: NetworkName,
        /// Who has it.
        holder: ContainerName,
    },
    /// Nothing is left.
    #[error("network `{network}` has no free address left in {subnets}; give it a wider `subnet` under `ipam.config`")]
    Full {
        /// The network.
        network: NetworkName,
        /// Its subnets.
        subnets: String,
    },
}

/// The addresses of one network while containers are placed in it: first all that the file fixes ([`Pool::fix`]), then
/// the rest ([`Pool::lend`]).
#[derive(Debug)]
pub struct Pool {
    network: NetworkName,
    subnets: Vec<Subnet>,
    /// `aux_addresses`.
    aside: BTreeSet<IpAddr>,
    /// Who has what; containers that are not placed yet hold what they had.
    held: BTreeMap<IpAddr, ContainerName>,
    had: BTreeMap<ContainerName, Vec<IpAddr>>,
    fixed: BTreeSet<IpAddr>,
    /// Per subnet: below this one nothing is free.
    cursor: Vec<u128>,
}

impl Pool {
    /// An empty pool, but for those who have an address on this machine already.
    pub fn new(
        network: NetworkName,
        subnets: Vec<Subnet>,
        aside: BTreeSet<IpAddr>,
        lease: Option<&NetworkLease>,
    ) -> Self {
        let cursor = vec![0; subnets.len()];
        let mut pool = Self {
            network,
            subnets,
            aside,
            held: BTreeMap::new(),
            had: BTreeMap::new(),
            fixed: BTreeSet::new(),
            cursor,
        };
        for (name, endpoint) in lease.into_iter().flat_map(|lease| &lease.endpoints) {
            let addresses = endpoint.ipv4.map(IpAddr::V4).into_iter().chain(endpoint.ipv6.map(IpAddr::V6));
            for address in addresses {
                if pool.unusable(&address).is_some() {
                    continue;
                }
                pool.held.insert(address, name.clone());
                pool.had.entry(name.clone()).or_default().push(address);
            }
        }
        pool
    }

    /// Gives `who` the address that the file fixes. A container of `own` that only happened to have it, gives way, and
    /// is returned: it must be made anew.
    pub fn fix(
        &mut self,
        who: &ContainerName,
        address: IpAddr,
        own: &BTreeSet<ContainerName>,
    ) -> Result<Option<ContainerName>, AddressError> {
        self.check(address)?;
        let holder = self.held.get(&address).filter(|holder| *holder != who).cloned();
        if let Some(holder) = &holder
            && (self.fixed.contains(&address) || !own.contains(holder))
        {
            return Err(AddressError::Taken { address, network: self.network.clone(), holder: holder.clone() });
        }
        if let Some(had) = holder.as_ref().and_then(|holder| self.had.get_mut(holder)) {
            had.retain(|other| *other != address);
        }
        self.fixed.insert(address);
        self.held.insert(address, who.clone());
        Ok(holder)
    }

    /// Gives `who` an IPv4 address: the one it had, else the lowest free one. `None`: the network has no IPv4.
    pub fn lend_v4(&mut self, who: &ContainerName) -> Result<Option<Ipv4Addr>, AddressError> {
        Ok(match self.lend(who, true)? {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        })
    }

    /// Gives `who` an IPv6 address, as [`Pool::lend_v4`] does.
    pub fn lend_v6(&mut self, who: &ContainerName) -> Result<Option<Ipv6Addr>, AddressError> {
        Ok(match self.lend(who, false)? {
            Some(IpAddr::V6(address)) => Some(address),
            _ => None,
        })
    }

    fn lend(&mut self, who: &ContainerName, v4: bool) -> Result<Option<IpAddr>, AddressError> {
        let had = self.had.get(who).into_iter().flatten();
        if let Some(address) = had.copied().find(|address| address.is_ipv4() == v4 && !self.fixed.contains(address)) {
            return Ok(Some(address));
        }
        let indexes: Vec<usize> =
            (0..self.subnets.len()).filter(|index| self.subnets[*index].address.is_ipv4() == v4).collect();
        if indexes.is_empty() {
            return Ok(None);
        }
        for index in indexes {
            if let Some(address) = self.lowest_free(index) {
                self.held.insert(address, who.clone());
                return Ok(Some(address));
            }
        }
        Err(AddressError::Full { network: self.network.clone(), subnets: self.ranges() })
    }

    fn lowest_free(&mut self, index: usize) -> Option<IpAddr> {
        let subnet = self.subnets.get(index)?;
        let (start, prefix) = subnet.range.unwrap_or((subnet.address, subnet.prefix));
        let net = IpNet::new(start, prefix).ok()?;
        let (first, last) = (number(net.network()), number(net.broadcast()));
        let v4 = start.is_ipv4();
        let mut at = self.cursor.get(index).copied().unwrap_or_default().max(first);
        while at <= last {
            let address = from_number(at, v4);
            at = at.checked_add(1)?;
            if !self.held.contains_key(&address) && self.unusable(&address).is_none() {
                self.cursor[index] = at;
                return Some(address);
            }
        }
        None
    }

    fn check(&self, address: IpAddr) -> Result<(), AddressError> {
        let network = self.network.clone();
        match self.unusable(&address) {
            None => Ok(()),
            Some(Unusable::Outside) => Err(AddressError::Outside { address, network, subnets: self.ranges() }),
            Some(Unusable::Reserved(what)) => Err(AddressError::Reserved { address, network, what }),
        }
    }

    fn unusable(&self, address: &IpAddr) -> Option<Unusable> {
        let net = |subnet: &Subnet| IpNet::new(subnet.address, subnet.prefix).ok();
        let Some((subnet, net)) = self
            .subnets
            .iter()
            .filter_map(|subnet| Some((subnet, net(subnet)?)))
            .find(|(_, net)| net.contains(address))
        else {
            return Some(Unusable::Outside);
        };
        if *address == subnet.gateway {
            Some(Unusable::Reserved("the gateway"))
        } else if *address == net.network() {
            Some(Unusable::Reserved("the network's own address"))
        } else if address.is_ipv4() && *address == net.broadcast() {
            Some(Unusable::Reserved("the broadcast address"))
        } else if self.aside.contains(address) {
            Some(Unusable::Reserved("set aside (aux_addresses)"))
        } else {
            None
        }
    }

    fn ranges(&self) -> String {
        let one = |subnet: &Subnet| {
            let (address, prefix) = subnet.range.unwrap_or((subnet.address, subnet.prefix));
            format!("{address}/{prefix}")
        };
        self.subnets.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

enum Unusable {
    Outside,
    Reserved(&'static str),
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn from_number(number: u128, v4: bool) -> IpAddr {
    if v4 {
        IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)))
    } else {
        IpAddr::V6(Ipv6Addr::from(number))
    }
}
