//! One look at all networks: what is recorded, and what of it the kernel still has.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage as Route;

use super::error::{Context, Result};
use super::link::{self, Link};
use super::machine::{Machine, has_ipv6, route_socket};
use super::netlink::Netlink;
use super::nft::{Table, apply};
use super::publish;
use super::record::EndpointRecord;
use super::rules::{self, Relayed};
use super::{address, forwarding, parent, route};
use crate::desired::{Driver, NetworkSpec, Subnet};
use crate::name::{ContainerId, ProjectName};
use crate::observed::{Loss, NetworkLoss, ObservedNetwork};

/// What there is, and what was taken away from it.
#[derive(Debug, Default)]
pub struct Survey {
    /// All networks of the machine, with the containers on them.
    pub networks: Vec<ObservedNetwork>,
    /// What containers of a project have lost. Of one that is just being made or removed, anything.
    pub lost: BTreeMap<ContainerId, BTreeSet<Loss>>,
    /// Whether the kernel forwarded: without (`false`) and with IPv6, as far as networks need it.
    pub(super) forwarding: BTreeMap<bool, bool>,
}

/// Looks at every network, and at the links and ports of a project's containers.
pub(crate) fn survey(machine: &Machine, project: Option<&ProjectName>) -> Result<Survey> {
    let mut netlink = route_socket()?;
    let links = link::list(&mut netlink).context("list", "links")?;
    let addresses = address::all(&mut netlink).context("list", "addresses")?;
    let mut routes = Netlink::strict_route().context("open", "a route socket")?;
    let rules = machine.rules_are_whole()?;
    let mut found = Survey::default();
    let mut own = Vec::new();
    for record in machine.records.networks()? {
        let base = base(machine, &links, &record.spec);
        let mut lost = network_losses(&record.spec, base, &addresses, rules, &mut routes)?;
        if record.spec.driver == Driver::Bridge && !record.spec.internal {
            let ipv6 = has_ipv6(&record.spec);
            let on = forwarding::is_on(ipv6)?;
            found.forwarding.insert(ipv6, on);
            lost.extend((!on).then_some(NetworkLoss::Forwarding));
        }
        if let Some(project) = project {
            let mine = machine.records.endpoints(&record.spec.name)?.into_iter().filter(|e| e.project == *project);
            own.extend(mine.map(|endpoint| (endpoint, base.map(|base| base.index))));
        }
        let on_it = machine.records.containers_on(&record.spec.name)?.into_iter().collect();
        found.networks.push(ObservedNetwork { present: base.is_some(), lost, spec: record.spec, endpoints: on_it });
    }
    if let Some(project) = project {
        found.lost = lost(machine, project, &own, &links)?;
    }
    Ok(found)
}

/// The link of the host that a network is made of, if it does its work: its bridge, or what it stands on.
fn base<'a>(machine: &Machine, links: &'a [Link], spec: &NetworkSpec) -> Option<&'a Link> {
    if let Some(parent) = spec.driver.parent() {
        machine.links.stands_on(parent.name());
        return parent::among(machine, links, parent);
    }
    links.iter().find(|link| link.name == spec.bridge && link.bridge && link.up && link.group == machine.group)
}

/// The host's routes to a network that are not there: the kernel made them with the addresses, and does not again.
pub(crate) fn missing_routes(netlink: &mut Netlink, spec: &NetworkSpec, bridge: &Link) -> io::Result<Vec<Route>> {
    let mut missing = Vec::new();
    for ipv4 in [true, false] {
        // While nobody is on a bridge it has no carrier, and then no IPv6 route either.
        let subnets = spec.subnets.iter().filter(|subnet| subnet.address.is_ipv4() == ipv4);
        let subnets: Vec<&Subnet> = subnets.filter(|_| ipv4 || bridge.running).collect();
        if subnets.is_empty() {
            continue;
        }
        let there = route::main_table(netlink, ipv4, Some(bridge.index))?;
        let is_there = |subnet: &Subnet| {
            let first = Some(address::first(subnet.address, subnet.prefix));
            there.iter().any(|route| route.destination == first && route.prefix == subnet.prefix)
        };
        let gone = subnets.into_iter().filter(|subnet| !is_there(subnet));
        missing.extend(gone.map(|subnet| route::subnet_message(bridge.index, subnet.gateway, subnet.prefix)));
    }
    Ok(missing)
}

/// What a bridge has lost; a network that stands on a link of the machine has nothing else to lose.
fn network_losses(
    spec: &NetworkSpec,
    base: Option<&Link>,
    addresses: &[(u32, IpAddr)],
    rules: bool,
    routes: &mut Netlink,
) -> Result<BTreeSet<NetworkLoss>> {
    let mut lost = BTreeSet::new();
    if spec.driver != Driver::Bridge {
        return Ok(lost);
    }
    if let Some(bridge) = base
        && !has_gateways(spec, bridge, addresses)
    {
        lost.insert(NetworkLoss::Addresses);
    } else if let Some(bridge) = base
        && !missing_routes(routes, spec, bridge).context("list", "routes")?.is_empty()
    {
        lost.insert(NetworkLoss::Routes);
    }
    if !rules {
        lost.insert(NetworkLoss::Rules);
    }
    Ok(lost)
}

fn has_gateways(spec: &NetworkSpec, bridge: &Link, addresses: &[(u32, IpAddr)]) -> bool {
    spec.subnets.iter().all(|subnet| addresses.contains(&(bridge.index, subnet.gateway)))
}

fn lost(
    machine: &Machine,
    project: &ProjectName,
    endpoints: &[(EndpointRecord, Option<u32>)],
    links: &[Link],
) -> Result<BTreeMap<ContainerId, BTreeSet<Loss>>> {
    let ports = endpoints.iter().any(|(endpoint, _)| !endpoint.published.is_empty());
    let ports_are_lost = ports && !ports_are_whole(machine, project)?;
    let mut lost: BTreeMap<ContainerId, BTreeSet<Loss>> = BTreeMap::new();
    for (endpoint, base) in endpoints {
        let is_it = |link: &Link| {
            link.name == endpoint.attached.link && link.group == machine.group && link.up && link.controller == *base
        };
        let linked = base.is_some()
            && match endpoint.attached.parent {
                // It is seen inside only, and goes with its parent.
                Some(parent) => *base == Some(parent),
                None => links.iter().any(is_it),
            };
        if !linked {
            let network = endpoint.attached.network.clone();
            lost.entry(endpoint.container.clone()).or_default().insert(Loss::Link(network));
        }
        if ports_are_lost && !endpoint.published.is_empty() {
            lost.entry(endpoint.container.clone()).or_default().insert(Loss::Ports);
        }
    }
    Ok(lost)
}

/// Whether the table of a project's ports has its chains. Its elements depend on other firewalls, and go with them.
fn ports_are_whole(machine: &Machine, project: &ProjectName) -> Result<bool> {
    let publications: Vec<_> = publish::recorded(machine, project)?.into_values().collect();
    let table = rules::project(machine.names.project(project), &publications, Relayed::default());
    let chains_only = Table { maps: BTreeMap::new(), ..table };
    let mut netlink = Netlink::netfilter().context("open", "a netfilter socket")?;
    apply::is_there(&mut netlink, &chains_only).context("read the table", chains_only.name)
}
