//! The subnets of a network: as the file has them, as they already are, or chosen from the pool.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sha2::{Digest as _, Sha256};

use crate::desired::{Leases, Subnet};
use crate::name::NetworkName;

/// The pools that IPv4 subnets come from, tried in this order: docker's, in smaller pieces.
const POOLS: [(Ipv4Addr, u8); 17] = [
    (Ipv4Addr::new(172, 17, 0, 0), 16),
    (Ipv4Addr::new(172, 18, 0, 0), 16),
    (Ipv4Addr::new(172, 19, 0, 0), 16),
    (Ipv4Addr::new(172, 20, 0, 0), 16),
    (Ipv4Addr::new(172, 21, 0, 0), 16),
    (Ipv4Addr::new(172, 22, 0, 0), 16),
    (Ipv4Addr::new(172, 23, 0, 0), 16),
    (Ipv4Addr::new(172, 24, 0, 0), 16),
    (Ipv4Addr::new(172, 25, 0, 0), 16),
    (Ipv4Addr::new(172, 26, 0, 0), 16),
    (Ipv4Addr::new(172, 27, 0, 0), 16),
    (Ipv4Addr::new(172, 28, 0, 0), 16),
    (Ipv4Addr::new(172, 29, 0, 0), 16),
    (Ipv4Addr::new(172, 30, 0, 0), 16),
    (Ipv4Addr::new(172, 31, 0, 0), 16),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
];

/// The first fifteen pools are one in spirit: a network's name picks where in them the search begins.
const FIRST_POOLS: usize = 15;

/// A subnet has room for this many containers before a wider one is chosen.
const SMALL: usize = 200;

/// What a file says about the addresses of a network.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `ipam.config`, each with its place in the list.
    pub ranges: Vec<WantedRange>,
    /// IPv4 addresses are given out.
    pub ipv4: bool,
    /// IPv6 addresses are given out.
    pub ipv6: bool,
    /// So many containers will be on it.
    pub endpoints: usize,
}

/// One entry of `ipam.config`.
#[derive(Clone, Debug)]
pub struct WantedRange {
    /// Its index, for messages.
    pub index: usize,
    /// `subnet`.
    pub subnet: IpNet,
    /// `ip_range`.
    pub range: Option<IpNet>,
    /// `gateway`.
    pub gateway: Option<IpAddr>,
}

/// Why a network can't have a subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Two networks, or a network and a route, would overlap.
    #[error("subnet {subnet} overlaps {other}; choose another range, or leave `ipam` out to have one chosen")]
    Overlap {
        /// Index in `ipam.config`.
        index: usize,
        /// As written.
        subnet: IpNet,
        /// What it collides with.
        other: String,
    },
    /// A gateway or a range that is not in its subnet.
    #[error("{what} {address} is not inside subnet {subnet}")]
    Outside {
        /// Index in `ipam.config`.
        index: usize,
        /// `gateway` or `ip_range`.
        what: &'static str,
        /// As written.
        address: String,
        /// The subnet.
        subnet: IpNet,
    },
    /// A subnet without room for a gateway and a container.
    #[error("subnet {subnet} is too small for a gateway and a container")]
    TooSmall {
        /// Index in `ipam.config`.
        index: usize,
        /// As written.
        subnet: IpNet,
    },
    /// Nothing is left.
    #[error(
        "no free /{prefix} subnet is left in 172.17.0.0-172.31.255.255, 192.168.0.0/16 and 10.0.0.0/8: {networks} networks and \
         {routes} routes of this machine are in the way ({examples}); remove unused networks, or give this one a \
         `subnet` under `ipam.config`"
    )]
    Exhausted {
        /// The size that was looked for.
        prefix: u8,
        /// Networks in the way.
        networks: usize,
        /// Routes in the way.
        routes: usize,
        /// The widest of them.
        examples: String,
    },
}

/// Decides the subnets of network `name`. `taken` holds what other networks of the same file have got so far.
///
/// A network that has chosen subnets already keeps them. A new one begins its search at a place that its name picks, so
/// that it gets the same subnet again after `down`, and two `up`s at once hardly ever want the same.
pub fn subnets(
    name: &NetworkName,
    wanted: &Wanted,
    leases: &Leases,
    taken: &[(IpNet, String)],
) -> Result<Vec<Subnet>, SubnetError> {
    let mut subnets = Vec::new();
    let mut taken = taken.to_vec();
    for range in &wanted.ranges {
        subnets.push(fixed(range, &taken)?);
        taken.push((range.subnet.trunc(), format!("another subnet of this network ({})", range.subnet.trunc())));
    }
    let taken = taken.as_slice();
    let has = |v4: bool| subnets.iter().any(|subnet: &Subnet| subnet.address.is_ipv4() == v4);
    let (need4, need6) = (wanted.ipv4 && !has(true), wanted.ipv6 && !has(false));
    if need4 {
        let subnet = match kept(name, leases, taken, true).filter(|subnet| has_room(subnet, wanted.endpoints)) {
            Some(subnet) => subnet,
            None => chosen(IpNet::V4(free_v4(name, wanted.endpoints, taken)?)),
        };
        subnets.insert(0, subnet);
    }
    if need6 {
        let subnet = kept(name, leases, taken, false).unwrap_or_else(|| chosen(IpNet::V6(free_v6(name, taken))));
        subnets.push(subnet);
    }
    Ok(subnets)
}

fn fixed(range: &WantedRange, taken: &[(IpNet, String)]) -> Result<Subnet, SubnetError> {
    let (index, subnet) = (range.index, range.subnet.trunc());
    if let Some((_, other)) = taken.iter().find(|(other, _)| overlap(&subnet, other)) {
        return Err(SubnetError::Overlap { index, subnet, other: other.clone() });
    }
    if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
        return Err(SubnetError::TooSmall { index, subnet });
    }
    let outside = |what, address: String| SubnetError::Outside { index, what, address, subnet };
    if let Some(inner) = range.range.filter(|inner| !subnet.contains(inner)) {
        return Err(outside("ip_range", inner.to_string()));
    }
    if let Some(gateway) = range.gateway.filter(|gateway| !subnet.contains(gateway)) {
        return Err(outside("gateway", gateway.to_string()));
    }
    Ok(Subnet {
        address: subnet.addr(),
        prefix: subnet.prefix_len(),
        gateway: range.gateway.unwrap_or_else(|| first(&subnet)),
        range: range.range.map(|inner| (inner.trunc().addr(), inner.prefix_len())),
        fixed: true,
    })
}

/// The chosen subnet that the network has already, if nothing is in its way.
fn kept(name: &NetworkName, leases: &Leases, taken: &[(IpNet, String)], v4: bool) -> Option<Subnet> {
    let lease = leases.networks.get(name)?;
    let subnet = lease.spec.subnets.iter().find(|subnet| !subnet.fixed && subnet.address.is_ipv4() == v4)?;
    let net = IpNet::new(subnet.address, subnet.prefix).ok()?;
    // Its own route is not in its way; a route that came later is the machine's business, not a reason to renumber.
    let networks = taken.iter().filter(|(_, what)| !what.starts_with("route"));
    networks.into_iter().all(|(other, _)| !overlap(&net, other)).then(|| subnet.clone())
}

/// Whether a subnet that was chosen has room for so many containers, beside its own address, the gateway's and broadcast. A
/// network that has outgrown it gets a wider one.
fn has_room(subnet: &Subnet, endpoints: usize) -> bool {
    let bits = 32_u32.saturating_sub(u32::from(subnet.prefix));
    1_usize.checked_shl(bits).is_none_or(|all| all.saturating_sub(3) >= endpoints)
}

fn chosen(net: IpNet) -> Subnet {
    Subnet { address: net.addr(), prefix: net.prefix_len(), gateway: first(&net), range: None, fixed: false }
}

/// The first address that is not the network's own.
fn first(net: &IpNet) -> IpAddr {
    match net {
        IpNet::V4(net) => IpAddr::V4(Ipv4Addr::from(u32::from(net.network()).saturating_add(1))),
        IpNet::V6(net) => IpAddr::V6(Ipv6Addr::from(u128::from(net.network()).saturating_add(1))),
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

fn free_v4(name: &NetworkName, endpoints: usize, taken: &[(IpNet, String)]) -> Result<Ipv4Net, SubnetError> {
    let prefix = prefix_for(endpoints);
    let taken4: Vec<Ipv4Net> = taken.iter().filter_map(|(net, _)| as_v4(net)).collect();
    let free = |net: &Ipv4Net| !taken4.iter().any(|other| net.contains(other) || other.contains(net));
    let pieces = |pools: &[(Ipv4Addr, u8)]| -> Vec<Ipv4Net> {
        let pools = pools.iter().filter_map(|(address, bits)| Ipv4Net::new(*address, *bits).ok());
        pools.flat_map(|pool| pool.subnets(prefix).into_iter().flatten()).collect()
    };
    let near = pieces(&POOLS[..FIRST_POOLS]);
    let start = usize::try_from(seed(name, 0) % near.len().max(1) as u64).unwrap_or(0);
    let (before, after) = near.split_at(start);
    let found = after.iter().chain(before).copied().find(free);
    found.or_else(|| pieces(&POOLS[FIRST_POOLS..]).into_iter().find(free)).ok_or_else(|| exhausted(prefix, taken))
}

/// /24, and wider for a network that needs more: at least twice the room.
fn prefix_for(endpoints: usize) -> u8 {
    let mut prefix = 24;
    let mut room = SMALL;
    while room < endpoints && prefix > 16 {
        prefix -= 1;
        room = room.saturating_mul(2);
    }
    prefix
}

fn as_v4(net: &IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    }
}

fn exhausted(prefix: u8, taken: &[(IpNet, String)]) -> SubnetError {
    let mut inside: Vec<&(IpNet, String)> = taken.iter().filter(|(net, _)| net.addr().is_ipv4()).collect();
    inside.sort_by_key(|(net, _)| net.prefix_len());
    let routes = inside.iter().filter(|(_, what)| what.starts_with("route")).count();
    let examples = inside.iter().take(4).map(|(_, what)| what.as_str()).collect::<Vec<_>>().join(", ");
    SubnetError::Exhausted { prefix, networks: inside.len() - routes, routes, examples }
}

/// A /64 of a unique local prefix (RFC 4193) that the network's name picks.
fn free_v6(name: &NetworkName, taken: &[(IpNet, String)]) -> Ipv6Net {
    let mut turn = 0;
    loop {
        let bits = u128::from(seed(name, turn) & 0x00ff_ffff_ffff_ffff) | (0xfd << 56);
        let net = Ipv6Net::new_assert(Ipv6Addr::from(bits << 64), 64);
        let clash = |(other, _): &(IpNet, String)| overlap(&IpNet::V6(net), other);
        // Each turn is another of 2^56 prefixes; the bound only guards against a machine that routes all of fd00::/8.
        if turn >= 1024 || !taken.iter().any(clash) {
            return net;
        }
        turn += 1;
    }
}

fn seed(name: &NetworkName, turn: u32) -> u64 {
    let hash = Sha256::new().chain_update(name.as_bytes()).chain_update(turn.to_le_bytes()).finalize();
    hash.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
