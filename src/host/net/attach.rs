//! Containers coming and going: their links to the machine's networks, made, put back and removed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use super::address::{self, Mac};
use super::error::{Context, NetError, Result};
use super::inside::{self, Attached};
use super::link::{self, Link, Veth};
use super::machine::{Machine, fold, route_socket};
use super::netlink::Netlink;
use super::record::EndpointRecord;
use super::{parent, sysctl};
use crate::desired::{EndpointSpec, NetworkSpec};
use crate::name::{ContainerId, NetworkName, ProjectName};

/// How long the links of a namespace that has ended are waited for; it takes some 50 ms.
const GONE_WAIT: Duration = Duration::from_secs(3);

impl Machine {
    /// Links a container to a network.
    pub fn attach(
        &self,
        container: &ContainerId,
        project: &ProjectName,
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
    ) -> Result<Attached> {
        let lock = self.records.lock_shared()?;
        let network = self.records.network(&endpoint.network)?;
        let network = network.ok_or_else(|| NetError::Missing(endpoint.network.clone()))?.spec;
        let parent = match network.driver.parent() {
            Some(parent) => Some(parent::index(&mut route_socket()?, &network, parent)?),
            None => None,
        };
        let (attached, mac) = plan_link(container, endpoint, &network, parent)?;
        self.records.put_endpoint(&EndpointRecord {
            container: container.clone(),
            project: project.clone(),
            spec: endpoint.clone(),
            attached: attached.clone(),
            published: Vec::new(),
        })?;
        drop(lock);
        let made = self.make_link(&attached, mac, (&network, endpoint), netns);
        if made.is_err() {
            self.remove_stale(&mut route_socket()?, &attached.link)?;
            self.records.remove_endpoint(&endpoint.network, container)?;
        }
        made.map(|()| attached)
    }

    /// Makes the link, still down, and sets what the endpoint wants of the kernel for it.
    fn make_link(
        &self,
        attached: &Attached,
        mac: Option<Mac>,
        (network, endpoint): (&NetworkSpec, &EndpointSpec),
        netns: BorrowedFd<'_>,
    ) -> Result<()> {
        match mac {
            Some(mac) if attached.parent.is_none() => self.make_veth(attached, mac, network, netns)?,
            _ => parent::add_child(attached, mac, network, netns)?,
        }
        if endpoint.sysctls.is_empty() {
            return Ok(());
        }
        sysctl::inside(netns, || endpoint.sysctls.iter().try_for_each(|(key, value)| sysctl::write(key, value)))
    }

    fn make_veth(&self, attached: &Attached, mac: Mac, network: &NetworkSpec, netns: BorrowedFd<'_>) -> Result<()> {
        let mut netlink = route_socket()?;
        self.links.making(&attached.link);
        let veth = Veth {
            host: &attached.link,
            host_mac: address::outer(mac),
            bridge: self.bridge_index(&mut netlink, network)?,
            inside: &attached.interface,
            inside_mac: mac,
            netns,
            mtu: network.mtu,
            group: self.group,
            isolated: !network.icc,
        };
        sysctl::protected(netns, &attached.interface, attached.ipv6.is_some(), || {
            let made = link::add_veth(&mut netlink, &veth);
            let made = match made {
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                    self.remove_stale(&mut netlink, veth.host)?;
                    link::add_veth(&mut netlink, &veth)
                }
                made => made,
            };
            made.context("create the link", format!("{} of network {}", veth.host, network.name))
        })
    }

    /// Removes a link that is left over from an earlier sandbox of a container.
    fn remove_stale(&self, netlink: &mut Netlink, name: &str) -> Result<()> {
        if name.is_empty() {
            return Ok(());
        }
        let stale = link::find(netlink, name).context("look for", name)?;
        match stale.filter(|link| link::is_of(link.group, self.group)) {
            Some(stale) => link::remove(netlink, stale.index).context("remove", name),
            None => Ok(()),
        }
    }

    /// Puts back the links that a container has lost, with what is set inside.
    pub fn relink(
        &self,
        container: &ContainerId,
        project: &ProjectName,
        endpoints: &[EndpointSpec],
        inside: (BorrowedFd<'_>, BorrowedFd<'_>),
    ) -> Result<()> {
        let (netns, socket) = inside;
        let known = self.records.endpoints_of(container)?;
        let mut links = Vec::new();
        for endpoint in endpoints {
            match known.iter().find(|one| one.attached.network == endpoint.network) {
                Some(record) => links.push(self.relink_one(record, netns)?),
                // Its record was damaged.
                None => links.push(self.attach(container, project, endpoint, netns)?),
            }
        }
        self.finish(socket, &links)
    }

    fn relink_one(&self, record: &EndpointRecord, netns: BorrowedFd<'_>) -> Result<Attached> {
        let attached = &record.attached;
        let network = self.records.network(&attached.network)?;
        let network = network.ok_or_else(|| NetError::Missing(attached.network.clone()))?.spec;
        let mut netlink = route_socket()?;
        let mac = if attached.mac.is_empty() { None } else { Some(address::parse_mac(&attached.mac)?) };
        if let Some(parent) = network.driver.parent() {
            let parent = Some(parent::index(&mut netlink, &network, parent)?);
            if attached.parent == parent {
                return Ok(attached.clone());
            }
            let attached = Attached { parent, ..attached.clone() };
            self.make_link(&attached, mac, (&network, &record.spec), netns)?;
            self.records.put_endpoint(&EndpointRecord { attached: attached.clone(), ..record.clone() })?;
            return Ok(attached);
        }
        let bridge = self.bridge_index(&mut netlink, &network)?;
        match link::find(&mut netlink, &attached.link).context("look for", &attached.link)? {
            Some(link) if link.up && link.controller == Some(bridge) => {}
            Some(link) if link.group == self.group => {
                self.links.making(&link.name);
                link::enslave(&mut netlink, link.index, bridge, !network.icc).context("connect", &attached.link)?;
            }
            _ => self.make_link(attached, mac, (&network, &record.spec), netns)?,
        }
        Ok(attached.clone())
    }

    /// A container's links, as they were made, in the order in which they are declared.
    pub fn attached(&self, container: &ContainerId, endpoints: &[EndpointSpec]) -> Result<Vec<Attached>> {
        let mut records = self.records.endpoints_of(container)?;
        let place = |record: &EndpointRecord| endpoints.iter().position(|one| one.network == record.attached.network);
        records.sort_by_key(place);
        Ok(records.into_iter().map(|record| record.attached).collect())
    }

    /// Takes a container's links up and makes them usable at once.
    pub fn finish(&self, socket: BorrowedFd<'_>, links: &[Attached]) -> Result<()> {
        let stands = links.iter().any(|attached| attached.parent.is_some());
        let end = Instant::now() + GONE_WAIT;
        while let Err(error) = inside::configure(socket, links) {
            // Who had this address before may be gone only now: the kernel takes the links of a namespace away some time after
            // the namespace, tells nobody, and lets no two of one hardware address stand on one link.
            if !(stands && error.is_in_use() && Instant::now() < end) {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(5));
        }
        let mut netlink = route_socket()?;
        let mut on_bridges = links.iter().filter(|attached| attached.parent.is_none());
        on_bridges
            .try_for_each(|attached| link::settle(&mut netlink, &attached.link).context("look at", &attached.link))
    }

    /// Takes containers off all their networks, and networks away that only waited for that.
    pub fn detach(&self, containers: &[ContainerId]) -> Result<()> {
        let _lock = self.records.lock()?;
        self.unplug(containers, None)?;
        self.forget(containers)
    }

    /// Removes the links of containers, and a bridge that goes too, all in one go. Their records stay. The lock must be held.
    pub(super) fn unplug(&self, containers: &[ContainerId], bridge: Option<&str>) -> Result<()> {
        if containers.is_empty() {
            return Ok(());
        }
        let mut names: BTreeSet<String> = bridge.map(str::to_owned).into_iter().collect();
        for container in containers {
            let networks = self.records.networks_of(container)?;
            names.extend(networks.iter().map(|network| link_name(container, network)));
        }
        let mut netlink = route_socket()?;
        let links = link::list(&mut netlink).context("list", "links")?;
        let ours = |link: &&Link| link::is_of(link.group, self.group) && names.contains(&link.name);
        let doomed: Vec<u32> = links.iter().filter(ours).map(|link| link.index).collect();
        self.links.removing(links.iter().filter(ours));
        link::remove_all(&mut netlink, &doomed, self.group).context("remove", "the links of containers")
    }

    /// Removes the records of containers without links, and networks that only waited for that. The lock must be held.
    pub(super) fn forget(&self, containers: &[ContainerId]) -> Result<()> {
        let mut left = BTreeSet::new();
        for container in containers {
            for network in self.records.networks_of(container)? {
                self.records.remove_endpoint(&network, container)?;
                left.insert(network);
            }
        }
        for network in left {
            let unowned = self.records.network(&network)?.filter(|record| record.unowned);
            if let Some(record) = unowned
                && self.records.containers_on(&network)?.is_empty()
            {
                self.remove_links(&record.spec)?;
            }
        }
        Ok(())
    }
}

/// What the link will be like.
fn plan_link(
    container: &ContainerId,
    endpoint: &EndpointSpec,
    network: &NetworkSpec,
    parent: Option<u32>,
) -> Result<(Attached, Option<Mac>)> {
    let mut gateways = Vec::new();
    let mut with_prefix = |address: IpAddr| -> Result<u8> {
        let subnet = address::subnet_of(network, address)?;
        if !network.internal {
            let nowhere = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            gateways.push(if network.driver.routes() { nowhere } else { subnet.gateway });
        }
        Ok(subnet.prefix)
    };
    let ipv4 = endpoint.ipv4.map(|v4| with_prefix(v4.into()).map(|prefix| (v4, prefix))).transpose()?;
    let ipv6 = endpoint.ipv6.map(|v6| with_prefix(v6.into()).map(|prefix| (v6, prefix))).transpose()?;
    let address = endpoint.ipv4.map(IpAddr::V4).or(endpoint.ipv6.map(IpAddr::V6));
    let mac = match (&endpoint.mac, address) {
        _ if parent::shares_mac(&network.driver) => None,
        (Some(text), _) => Some(address::parse_mac(text)?),
        (None, Some(address)) => Some(address::mac_of(address)),
        (None, None) => Some(address::mac_of(IpAddr::from(fold(container.as_bytes()).to_be_bytes()))),
    };
    let attached = Attached {
        network: network.name.clone(),
        interface: endpoint.interface.clone(),
        link: if parent.is_some() { String::new() } else { link_name(container, &network.name) },
        parent,
        mac: mac.map(address::show_mac).unwrap_or_default(),
        ipv4,
        ipv6,
        link_local: endpoint.link_local.clone(),
        gateways,
        gateway_priority: endpoint.gateway_priority,
    };
    Ok((attached, mac))
}

/// `wl-`, 8 digits of the container's id and 4 of the network's name: 15 characters, all that a link may have.
pub(crate) fn link_name(container: &ContainerId, network: &NetworkName) -> String {
    let id = container.get(..8).unwrap_or(container);
    format!("wl-{id}{:04x}", fold(network.as_bytes()) & 0xffff)
}
