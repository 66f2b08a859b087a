//! Publishing the ports of a project's containers: the project's table, the bridge parameters that it needs, and the
//! connections that must be decided anew.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use super::conntrack::Place;
use super::error::{Context, NetError, Result};
use super::machine::{Machine, route_socket};
use super::netlink::Netlink;
use super::nft::{Family, Table, apply};
use super::record::EndpointRecord;
use super::rules::{self, Publication, Relayed};
use super::{address, conntrack, forwarding, link};
use crate::desired::{PortSpec, Protocol};
use crate::name::{ContainerId, ProjectName};

/// What a project publishes. It lives as long as its supervisor: its socket owns the project's table.
pub(crate) struct Publisher {
    project: ProjectName,
    netlink: Netlink,
    publications: BTreeMap<ContainerId, Publication>,
    /// What the kernel has, as far as we know.
    table: Option<Table>,
    relayed: Relayed,
}

impl Publisher {
    /// Reads from the records what is published, and changes nothing.
    pub fn open(machine: &Machine, project: &ProjectName, relayed: Relayed) -> Result<Self> {
        let netlink = Netlink::netfilter().context("open", "a netfilter socket")?;
        let publications = recorded(machine, project)?;
        Ok(Self { project: project.clone(), netlink, publications, table: None, relayed })
    }

    /// What is published now.
    pub fn publications(&self) -> &BTreeMap<ContainerId, Publication> {
        &self.publications
    }

    /// Whether another firewall filters what comes in otherwise than when the ways to the ports were chosen.
    pub fn is_outdated(&self, relayed: Relayed) -> bool {
        !self.publications.is_empty() && self.relayed != relayed
    }

    /// Publishes the ports of a container, and nothing else of it.
    pub fn publish(&mut self, machine: &Machine, container: &ContainerId, ports: &[PortSpec]) -> Result<Publication> {
        let Some(mut endpoint) = way_in(machine, container)? else {
            return Err(NetError::Unpublishable(container.clone()));
        };
        endpoint.published = ports.to_vec();
        machine.records.put_endpoint(&endpoint)?;
        let publication = publication(machine, &endpoint)?;
        self.publications.insert(container.clone(), publication.clone());
        self.apply(machine)?;
        let mut netlink = route_socket()?;
        link::set_hairpin(&mut netlink, &endpoint.attached.link).context("set up", &endpoint.attached.link)?;
        if publication.needs_loopback() {
            forwarding::set_route_localnet(&publication.bridge, true)?;
        }
        self.forget_local(ports)?;
        Ok(publication)
    }

    /// Takes back all ports of some containers. Returns where their connections lead, which must be forgotten.
    pub fn withdraw(&mut self, machine: &Machine, containers: &[ContainerId]) -> Result<BTreeSet<Place>> {
        let gone: Vec<Publication> = containers.iter().filter_map(|one| self.publications.remove(one)).collect();
        for container in containers {
            for mut endpoint in machine.records.endpoints_of(container)? {
                if !endpoint.published.is_empty() {
                    endpoint.published.clear();
                    machine.records.put_endpoint(&endpoint)?;
                }
            }
        }
        if gone.is_empty() {
            return Ok(BTreeSet::new());
        }
        // The parameter before the guard that makes it safe, which goes with the last publication of the bridge.
        let bridges: BTreeSet<String> =
            gone.iter().filter(|one| one.needs_loopback()).map(|one| one.bridge.clone()).collect();
        for bridge in bridges {
            if !loopback_needed(machine, &bridge)? {
                forwarding::set_route_localnet(&bridge, false)?;
            }
        }
        self.apply(machine)?;
        Ok(gone.iter().flat_map(places).collect())
    }

    /// Makes everything anew from the records, whatever the kernel has.
    pub fn restore(&mut self, machine: &Machine, relayed: Relayed) -> Result<()> {
        self.relayed = relayed;
        self.publications = recorded(machine, &self.project)?;
        self.table = None;
        self.apply(machine)?;
        let ports: Vec<PortSpec> = self.publications.values().flat_map(|one| one.ports.clone()).collect();
        for bridge in self.publications.values().filter(|one| one.needs_loopback()).map(|one| &one.bridge) {
            forwarding::set_route_localnet(bridge, true)?;
        }
        self.forget_local(&ports)
    }

    /// Brings the kernel to what is wanted: by elements where that does, else the whole table.
    fn apply(&mut self, machine: &Machine) -> Result<()> {
        let name = machine.names.project(&self.project);
        if self.publications.is_empty() {
            self.table = None;
            return apply::remove(&mut self.netlink, Family::Inet, &name).map_err(|error| held(name, error));
        }
        let publications: Vec<Publication> = self.publications.values().cloned().collect();
        let table = rules::project(name, &publications, self.relayed);
        let by_elements = match &self.table {
            Some(old) if apply::same_shape(old, &table) => apply::update(&mut self.netlink, old, &table).is_ok(),
            _ => false,
        };
        if !by_elements {
            // Also when the elements were refused: then somebody else has removed the table.
            self.table = None;
            apply::replace(&mut self.netlink, &table, true).map_err(|error| held(table.name.clone(), error))?;
        }
        self.table = Some(table);
        Ok(())
    }

    /// Forgets flows to ports that are only now led away. With TCP each connection begins anew, and one that is half open
    /// finds the listener.
    fn forget_local(&self, ports: &[PortSpec]) -> Result<()> {
        let udp: BTreeSet<u16> =
            ports.iter().filter(|port| port.protocol == Protocol::Udp).map(|port| port.published).collect();
        if udp.is_empty() {
            return Ok(());
        }
        let all = address::all(&mut route_socket()?).context("list", "addresses")?;
        let locals: Vec<IpAddr> = all.into_iter().map(|(_, address)| address).collect();
        let mut netlink = Netlink::netfilter().context("open", "a netfilter socket")?;
        let ipv6 = self.publications.values().any(|publication| publication.ipv6.is_some());
        for ipv4 in [Some(true), ipv6.then_some(false)].into_iter().flatten() {
            conntrack::forget_local(&mut netlink, &locals, &udp, ipv4).context("forget", "connections")?;
        }
        Ok(())
    }
}

/// Forgets the connections that lead to ports of containers.
pub(crate) fn forget(places: &BTreeSet<Place>) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let mut netlink = Netlink::netfilter().context("open", "a netfilter socket")?;
    conntrack::forget_containers(&mut netlink, places).context("forget", "connections")
}

fn places(publication: &Publication) -> Vec<Place> {
    let v4 = publication.ipv4.map(IpAddr::V4).into_iter();
    let addresses: Vec<IpAddr> = v4.chain(publication.ipv6.map(IpAddr::V6)).collect();
    let place = |port: &PortSpec| {
        let (protocol, target) = (port.protocol, port.target);
        addresses.iter().map(move |address| (*address, protocol, target)).collect::<Vec<Place>>()
    };
    publication.ports.iter().flat_map(place).collect()
}

fn held(table: String, error: io::Error) -> NetError {
    if error.raw_os_error() == Some(libc::EPERM) {
        return NetError::TableHeld { table };
    }
    NetError::Kernel { operation: "write the table", object: table, source: error }
}

/// What the records say is published of a project.
pub(crate) fn recorded(machine: &Machine, project: &ProjectName) -> Result<BTreeMap<ContainerId, Publication>> {
    let mut found = BTreeMap::new();
    for endpoint in machine.records.all_endpoints()? {
        if endpoint.project == *project && !endpoint.published.is_empty() {
            found.insert(endpoint.container.clone(), publication(machine, &endpoint)?);
        }
    }
    Ok(found)
}

fn publication(machine: &Machine, endpoint: &EndpointRecord) -> Result<Publication> {
    let name = &endpoint.attached.network;
    let network = machine.records.network(name)?.ok_or_else(|| NetError::Missing(name.clone()))?;
    Ok(Publication {
        bridge: network.spec.bridge,
        ipv4: endpoint.attached.ipv4.map(|(address, _)| address),
        ipv6: endpoint.attached.ipv6.map(|(address, _)| address),
        ports: endpoint.published.clone(),
    })
}

/// The endpoint over which a container's ports are reached: where its own default route goes.
fn way_in(machine: &Machine, container: &ContainerId) -> Result<Option<EndpointRecord>> {
    let mut endpoints = machine.records.endpoints_of(container)?;
    // One without an end on the host is reached by its own address.
    endpoints.retain(|endpoint| !endpoint.attached.gateways.is_empty() && endpoint.attached.parent.is_none());
    Ok(endpoints.into_iter().min_by(|one, other| one.attached.rank().cmp(&other.attached.rank())))
}

fn loopback_needed(machine: &Machine, bridge: &str) -> Result<bool> {
    for endpoint in machine.records.all_endpoints()? {
        if !endpoint.published.is_empty() {
            let publication = publication(machine, &endpoint)?;
            if publication.bridge == bridge && publication.needs_loopback() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
