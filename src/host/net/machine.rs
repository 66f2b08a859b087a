//! The machine's networks: making, mending and removing them, and containers coming and going. Blocking: [`super::Net`] calls it
//! from blocking threads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE};

use super::address::{self, Mac};
use super::error::{Context, NetError, Result};
use super::events::OwnLinks;
use super::hold::{self, Held};
use super::inside::{self, Attached};
use super::link::{self, Link, Veth};
use super::netlink::Netlink;
use super::nft::{Family, Table, apply};
use super::owner::{Owner, Sockets};
use super::record::{EndpointRecord, NetworkRecord, Records};
use super::route::{self, HostRoute};
use super::rules::{self, Names};
use super::{forwarding, survey, sysctl};
use crate::desired::{EndpointSpec, NetworkSpec, PortSpec};
use crate::name::{ContainerId, NetworkName, ProjectName};

/// The usual state folder: its tables carry no suffix.
const USUAL_ROOT: &str = "/var/lib/windlass";

/// A port of the host that is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What was asked for.
    pub port: PortSpec,
    /// The address is one of this machine's.
    pub local: bool,
    /// The numbers that others have; `None`: who, can't be seen from here.
    pub numbers: BTreeMap<u16, Option<Owner>>,
}

/// One world: a state folder, and what it has in this network namespace.
pub(crate) struct Machine {
    pub records: Records,
    /// The state folder.
    pub root: PathBuf,
    pub names: Names,
    /// The link group of everything that this world makes: other worlds' links are not ours to sweep.
    pub group: u32,
    /// The run-time folder.
    pub run: PathBuf,
    /// The links that this process makes and takes away.
    pub links: Arc<OwnLinks>,
}

impl Machine {
    pub fn open(root: &Path, run: &Path) -> Result<Self> {
        let records = Records::open(root)?;
        let root = root.canonicalize().at("find", root)?;
        // Positive as a signed number too, so that `ip link` can name it.
        let group = (fold(root.as_os_str().as_encoded_bytes()) & 0x7fff_ffff).max(1);
        let world = if root == Path::new(USUAL_ROOT) { String::new() } else { format!("{group:08x}") };
        Ok(Self { records, root, names: Names::new(&world), group, run: run.to_owned(), links: Arc::default() })
    }

    /// Makes a network or mends it; tells what else had to be changed on the host.
    pub fn create(&self, spec: &NetworkSpec) -> Result<Vec<String>> {
        let _lock = self.records.lock()?;
        let known = self.records.network(&spec.name)?;
        if let Some(known) = &known {
            same_or_refuse(&known.spec, spec)?;
        }
        // Intent first: what is half made is found by the next look.
        let unowned = known.as_ref().is_some_and(|known| known.unowned);
        self.records.put_network(&NetworkRecord { spec: spec.clone(), unowned })?;
        let made = self.make_bridge(spec).and_then(|()| self.put_rules()).and_then(|()| match &known {
            Some(_) => self.put_back_routes(spec),
            None => Ok(()),
        });
        if made.is_err() && known.is_none() {
            self.records.remove_network(&spec.name)?;
        }
        made?;
        if spec.internal { Ok(Vec::new()) } else { forwarding::ensure(has_ipv6(spec)) }
    }

    fn make_bridge(&self, spec: &NetworkSpec) -> Result<()> {
        let name = spec.bridge.as_str();
        let mut netlink = route_socket()?;
        match link::find(&mut netlink, name).context("look for", name)? {
            None => {
                self.links.making(name);
                let first = spec.subnets.first().map_or(IpAddr::from([127, 0, 0, 1]), |subnet| subnet.gateway);
                link::add_bridge(&mut netlink, name, address::mac_of(first), spec.mtu, self.group)
                    .context("create the bridge", name)?;
            }
            Some(link) if link.bridge && link.group == self.group => {}
            Some(_) => return Err(NetError::BridgeTaken { network: spec.name.clone(), bridge: name.to_owned() }),
        }
        sysctl::protect_link(name, has_ipv6(spec))?;
        let index = self.bridge_index(&mut netlink, spec)?;
        let set = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let gateways = spec.subnets.iter();
        let mut requests: Vec<_> =
            gateways.map(|subnet| (address::add_message(index, subnet.gateway, subnet.prefix), set)).collect();
        requests.push((link::up_message(index), NLM_F_ACK));
        netlink.batch(requests).map_err(|(_, error)| error).context("set the addresses of", name)
    }

    /// The kernel makes them with an address, and not again once somebody has taken them away.
    fn put_back_routes(&self, spec: &NetworkSpec) -> Result<()> {
        let mut netlink = Netlink::strict_route().context("open", "a route socket")?;
        let Some(bridge) = link::find(&mut route_socket()?, &spec.bridge).context("look for", &spec.bridge)? else {
            return Ok(());
        };
        let missing = survey::missing_routes(&mut netlink, spec, &bridge).context("list the routes to", &*spec.name)?;
        let requests = missing.into_iter().map(|route| (route, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE));
        let put_back = netlink.batch(requests.collect()).map_err(|(_, error)| error);
        put_back.context("put back the routes to", &*spec.name)
    }

    fn bridge_index(&self, netlink: &mut Netlink, spec: &NetworkSpec) -> Result<u32> {
        let found = link::find(netlink, &spec.bridge).context("look for", &spec.bridge)?;
        found.map(|link| link.index).ok_or_else(|| NetError::Missing(spec.name.clone()))
    }

    /// Removes a network that nobody is on.
    pub fn remove(&self, name: &NetworkName) -> Result<()> {
        let _lock = self.records.lock()?;
        let Some(mut record) = self.records.network(name)? else { return Ok(()) };
        let containers: Vec<ContainerId> =
            self.records.endpoints(name)?.into_iter().map(|endpoint| endpoint.container).collect();
        if !containers.is_empty() {
            record.unowned = true;
            self.records.put_network(&record)?;
            return Err(NetError::Busy { network: name.clone(), containers });
        }
        self.remove_bridge(&record.spec)
    }

    /// Link, rules and record, in this order: a record without a link is found and mended, the other way round nobody
    /// would look for the link.
    fn remove_bridge(&self, spec: &NetworkSpec) -> Result<()> {
        let mut netlink = route_socket()?;
        let found = link::find(&mut netlink, &spec.bridge).context("look for", &spec.bridge)?;
        if let Some(link) = found.filter(|link| link.bridge && link.group == self.group) {
            // Its routes go first, and the kernel does not say whose deed that was.
            self.links.removing(std::iter::once(spec.bridge.as_str()));
            link::remove(&mut netlink, link.index).context("remove the bridge", &spec.bridge)?;
        }
        self.records.remove_network(&spec.name)?;
        self.apply_rules()
    }

    /// Puts the table of the networks in place, as the records have it. The lock must be held.
    fn apply_rules(&self) -> Result<()> {
        let mut netlink = Netlink::netfilter().context("open", "a netfilter socket")?;
        match self.rules()? {
            Some(table) => apply::replace(&mut netlink, &table, false).context("write the table", table.name),
            None => {
                let name = self.names.networks();
                apply::remove(&mut netlink, Family::Inet, &name).context("remove the table", name)
            }
        }
    }

    /// Puts that table back where somebody has flushed it.
    pub fn restore_rules(&self) -> Result<()> {
        let _lock = self.records.lock()?;
        self.put_rules()
    }

    /// Where the table is whole nothing is written: every supervisor of the machine is told of a change of it, and they
    /// would wake one another for ever. The lock must be held.
    fn put_rules(&self) -> Result<()> {
        if self.rules()?.is_some() && self.have_rules()? { Ok(()) } else { self.apply_rules() }
    }

    fn have_rules(&self) -> Result<bool> {
        let Some(table) = self.rules()? else { return Ok(true) };
        let mut netlink = Netlink::netfilter().context("open", "a netfilter socket")?;
        apply::is_there(&mut netlink, &table).context("read the table", &table.name)
    }

    /// Whether the table of the networks is as the records have it.
    pub fn rules_are_whole(&self) -> Result<bool> {
        if self.have_rules()? {
            return Ok(true);
        }
        // Somebody may be at it: what a network is made of is recorded before its rules are there.
        let _lock = self.records.lock_shared()?;
        self.have_rules()
    }

    fn rules(&self) -> Result<Option<Table>> {
        let networks: Vec<NetworkSpec> = self.records.networks()?.into_iter().map(|record| record.spec).collect();
        Ok((!networks.is_empty()).then(|| rules::networks(self.names.networks(), &networks)))
    }

    /// The routes of the host.
    pub fn routes(&self) -> Result<Vec<HostRoute>> {
        let mut netlink = route_socket()?;
        let links = link::list(&mut netlink).context("list", "links")?;
        route::list(&mut netlink, &links).context("list", "routes")
    }

    /// The container that publishes a port, if it is one of this world.
    pub fn publisher_of(&self, port: &PortSpec) -> Result<Option<(ProjectName, ContainerId)>> {
        let range = port.published..=port.published_end.max(port.published);
        let same = |other: &PortSpec| {
            let apart = matches!((other.host_ip, port.host_ip), (Some(one), Some(two))
                if one != two && !one.is_unspecified() && !two.is_unspecified());
            other.protocol == port.protocol && range.contains(&other.published) && !apart
        };
        let all = self.records.all_endpoints()?;
        let found = all.into_iter().find(|endpoint| endpoint.published.iter().any(same));
        Ok(found.map(|endpoint| (endpoint.project, endpoint.container)))
    }

    /// Of ports of the host, those of which somebody else than the project has a number.
    pub fn taken(&self, project: &ProjectName, ports: &[PortSpec]) -> Result<Vec<Taken>> {
        let mut found = Vec::new();
        if ports.is_empty() {
            return Ok(found);
        }
        let sockets = Sockets::read();
        for port in ports {
            let mut taken = Taken { port: port.clone(), local: hold::is_local(port.host_ip), numbers: BTreeMap::new() };
            // 0 is any free one: the kernel has that.
            let numbers = (port.published != 0).then(|| port.published..=port.published_end.max(port.published));
            for number in numbers.into_iter().flatten().filter(|_| taken.local) {
                let single = PortSpec { published: number, published_end: number, ..port.clone() };
                if let Some(owner) = self.in_the_way(project, &single, &sockets)? {
                    taken.numbers.insert(number, owner);
                }
            }
            if !taken.local || !taken.numbers.is_empty() {
                found.push(taken);
            }
        }
        Ok(found)
    }

    /// Who has a port, if anybody but the project has. `Some(None)`: it can't be seen from here.
    fn in_the_way(&self, project: &ProjectName, port: &PortSpec, sockets: &Sockets) -> Result<Option<Option<Owner>>> {
        let Some(owner) = sockets.owner_of(port.host_ip, port.published, port.protocol) else { return Ok(None) };
        let owner = self.with_container(port, owner)?;
        let ours = owner.as_ref().is_some_and(|owner| match (&owner.container, &owner.project) {
            (Some((other, _)), _) => other == project,
            (None, Some((other, root))) => other == project && *root == self.root,
            (None, None) => false,
        });
        // What is bound to [::] may leave 0.0.0.0 free, and only the kernel knows.
        Ok((!ours && !hold::is_free(port)).then_some(owner))
    }

    /// Adds the container that publishes a port where a process of windlass has it.
    fn with_container(&self, port: &PortSpec, owner: Option<Owner>) -> Result<Option<Owner>> {
        let Some(mut owner) = owner else { return Ok(None) };
        let this = owner.pid == std::process::id();
        if this || owner.project.as_ref().is_some_and(|(_, root)| *root == self.root) {
            owner.container = self.publisher_of(port)?;
        }
        Ok(Some(owner))
    }

    /// Holds ports; a clash names the container where it is one of ours.
    pub fn hold(&self, ports: &[PortSpec]) -> Result<Vec<Held>> {
        let mut result = hold::hold(ports);
        if let Err(NetError::PortTaken { port, protocol, owner, .. }) = &mut result
            && let Some(taken) = ports.iter().find(|spec| spec.published == *port && spec.protocol == *protocol)
        {
            *owner = self.with_container(taken, owner.take().map(|owner| *owner))?.map(Box::new);
        }
        result
    }

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
        let (attached, mac) = plan_link(container, endpoint, &network)?;
        self.records.put_endpoint(&EndpointRecord {
            container: container.clone(),
            project: project.clone(),
            spec: endpoint.clone(),
            attached: attached.clone(),
            published: Vec::new(),
        })?;
        drop(lock);
        let made = self.make_veth(&attached, mac, &network, netns);
        if made.is_err() {
            self.records.remove_endpoint(&endpoint.network, container)?;
        }
        made.map(|()| attached)
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
        let stale = link::find(netlink, name).context("look for", name)?;
        match stale.filter(|link| link.group == self.group) {
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
                Some(record) => {
                    self.relink_one(&record.attached, netns)?;
                    links.push(record.attached.clone());
                }
                // Its record was damaged.
                None => links.push(self.attach(container, project, endpoint, netns)?),
            }
        }
        self.finish(socket, &links)
    }

    fn relink_one(&self, attached: &Attached, netns: BorrowedFd<'_>) -> Result<()> {
        let network = self.records.network(&attached.network)?;
        let network = network.ok_or_else(|| NetError::Missing(attached.network.clone()))?.spec;
        let mut netlink = route_socket()?;
        let bridge = self.bridge_index(&mut netlink, &network)?;
        match link::find(&mut netlink, &attached.link).context("look for", &attached.link)? {
            Some(link) if link.up && link.controller == Some(bridge) => Ok(()),
            Some(link) if link.group == self.group => {
                self.links.making(&link.name);
                link::enslave(&mut netlink, link.index, bridge, !network.icc).context("connect", &attached.link)
            }
            _ => self.make_veth(attached, address::parse_mac(&attached.mac)?, &network, netns),
        }
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
        inside::configure(socket, links)?;
        let mut netlink = route_socket()?;
        links
            .iter()
            .try_for_each(|attached| link::settle(&mut netlink, &attached.link).context("look at", &attached.link))
    }

    /// Takes containers off all their networks, and networks away that only waited for that.
    pub fn detach(&self, containers: &[ContainerId]) -> Result<()> {
        self.unplug(containers)?;
        self.forget(containers)
    }

    /// Removes the links of containers, all in one go. Their records stay.
    pub fn unplug(&self, containers: &[ContainerId]) -> Result<()> {
        let _lock = self.records.lock()?;
        let mut names = BTreeSet::new();
        for container in containers {
            let networks = self.records.networks_of(container)?;
            names.extend(networks.iter().map(|network| link_name(container, network)));
        }
        let mut netlink = route_socket()?;
        let links = link::list(&mut netlink).context("list", "links")?;
        let ours = |link: &&Link| link.group == self.group && names.contains(&link.name);
        let doomed: Vec<u32> = links.iter().filter(ours).map(|link| link.index).collect();
        self.links.removing(links.iter().filter(ours).map(|link| link.name.as_str()));
        link::remove_all(&mut netlink, &doomed, self.group).context("remove", "the links of containers")
    }

    /// Removes the records of containers without links, and networks that only waited for that.
    pub fn forget(&self, containers: &[ContainerId]) -> Result<()> {
        let _lock = self.records.lock()?;
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
                self.remove_bridge(&record.spec)?;
            }
        }
        Ok(())
    }
}

/// A socket for links in this namespace.
pub(crate) fn route_socket() -> Result<Netlink> {
    Netlink::route().context("open", "a route socket")
}

pub(crate) fn has_ipv6(spec: &NetworkSpec) -> bool {
    spec.subnets.iter().any(|subnet| subnet.address.is_ipv6())
}

fn same_or_refuse(known: &NetworkSpec, wanted: &NetworkSpec) -> Result<()> {
    let settings = [
        ("bridge", known.bridge == wanted.bridge),
        ("subnets", known.subnets == wanted.subnets),
        ("internal", known.internal == wanted.internal),
        ("mtu", known.mtu == wanted.mtu),
    ];
    match settings.into_iter().find(|(_, same)| !same) {
        Some((difference, _)) => Err(NetError::Different { network: wanted.name.clone(), difference }),
        None => Ok(()),
    }
}

/// What the link will be like.
fn plan_link(container: &ContainerId, endpoint: &EndpointSpec, network: &NetworkSpec) -> Result<(Attached, Mac)> {
    let mut gateways = Vec::new();
    let mut with_prefix = |address: IpAddr| -> Result<u8> {
        let subnet = address::subnet_of(network, address)?;
        if !network.internal {
            gateways.push(subnet.gateway);
        }
        Ok(subnet.prefix)
    };
    let ipv4 = endpoint.ipv4.map(|v4| with_prefix(v4.into()).map(|prefix| (v4, prefix))).transpose()?;
    let ipv6 = endpoint.ipv6.map(|v6| with_prefix(v6.into()).map(|prefix| (v6, prefix))).transpose()?;
    let address = endpoint.ipv4.map(IpAddr::V4).or(endpoint.ipv6.map(IpAddr::V6));
    let mac = match (&endpoint.mac, address) {
        (Some(text), _) => address::parse_mac(text)?,
        (None, Some(address)) => address::mac_of(address),
        (None, None) => address::mac_of(IpAddr::from(fold(container.as_bytes()).to_be_bytes())),
    };
    let attached = Attached {
        network: network.name.clone(),
        interface: endpoint.interface.clone(),
        link: link_name(container, &network.name),
        mac: address::show_mac(mac),
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

/// FNV-1a: a number that stays the same from version to version.
fn fold(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
