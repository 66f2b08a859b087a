//! The machine's networks: making, mending and removing them, and containers coming and going. Blocking: [`super::Net`] calls it
//! from blocking threads.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE};

use super::address;
use super::error::{Context, NetError, Result};
use super::events::OwnLinks;
use super::hold::{self, Held};
use super::link;
use super::netlink::Netlink;
use super::nft::{Family, Table, apply};
use super::owner::{Owner, Sockets};
use super::record::{NetworkRecord, Records};
use super::route::{self, HostRoute};
use super::rules::{self, Names};
use super::{forwarding, parent, survey, sysctl};
use crate::desired::{Driver, NetworkSpec, PortSpec};
use crate::name::{ContainerId, NetworkName, ProjectName};

/// The usual state folder: its tables carry no suffix.
const USUAL_ROOT: &str = "/var/lib/windlass";

/// So long is waited in all for ports that nobody visible has, looking so often.
const MOMENT: Duration = Duration::from_millis(100);
const WAIT: Duration = Duration::from_millis(10);

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
    netfilter: Mutex<Option<Netlink>>,
}

impl Machine {
    pub fn open(root: &Path, run: &Path) -> Result<Self> {
        let records = Records::open(root)?;
        let root = root.canonicalize().at("find", root)?;
        // Positive as a signed number too, so that `ip link` can name it.
        let group = (fold(root.as_os_str().as_encoded_bytes()) & 0x7fff_ffff).max(1);
        let world = if root == Path::new(USUAL_ROOT) { String::new() } else { format!("{group:08x}") };
        Ok(Self {
            records,
            root,
            names: Names::new(&world),
            group,
            run: run.to_owned(),
            links: Arc::default(),
            netfilter: Mutex::default(),
        })
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
        let made = match (spec.driver.parent(), &known) {
            (Some(parent), _) => parent::make(self, spec, parent),
            (None, None) => self.make_bridge(spec).and_then(|()| self.put_rules()),
            (None, Some(_)) => {
                self.make_bridge(spec).and_then(|()| self.put_rules()).and_then(|()| self.put_back_routes(spec))
            }
        };
        if made.is_err() && known.is_none() {
            self.records.remove_network(&spec.name)?;
        }
        made?;
        if spec.internal || spec.driver != Driver::Bridge { Ok(Vec::new()) } else { forwarding::ensure(has_ipv6(spec)) }
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

    pub(super) fn bridge_index(&self, netlink: &mut Netlink, spec: &NetworkSpec) -> Result<u32> {
        let found = link::find(netlink, &spec.bridge).context("look for", &spec.bridge)?;
        found.map(|link| link.index).ok_or_else(|| NetError::Missing(spec.name.clone()))
    }

    /// Removes a network that nobody is on but those who are `leaving`, and these from all of theirs.
    pub fn remove(&self, name: &NetworkName, leaving: &[ContainerId]) -> Result<()> {
        let _lock = self.records.lock()?;
        let record = self.records.network(name)?;
        let mut staying = self.records.endpoints(name)?.into_iter().map(|endpoint| endpoint.container);
        let staying: Vec<ContainerId> = staying.by_ref().filter(|container| !leaving.contains(container)).collect();
        let goes = record.as_ref().filter(|record| staying.is_empty() && record.spec.driver.parent().is_none());
        self.unplug(leaving, goes.map(|record| record.spec.bridge.as_str()))?;
        self.forget(leaving)?;
        let Some(mut record) = record else { return Ok(()) };
        if !staying.is_empty() {
            record.unowned = true;
            self.records.put_network(&record)?;
            return Err(NetError::Busy { network: name.clone(), containers: staying });
        }
        self.remove_links(&record.spec)
    }

    /// Link, rules and record, in this order: a record without a link is found and mended, the other way round nobody
    /// would look for the link.
    pub(super) fn remove_links(&self, spec: &NetworkSpec) -> Result<()> {
        if let Some(parent) = spec.driver.parent() {
            parent::remove(self, spec, parent)?;
            return self.records.remove_network(&spec.name);
        }
        let mut netlink = route_socket()?;
        let found = link::find(&mut netlink, &spec.bridge).context("look for", &spec.bridge)?;
        if let Some(link) = found.filter(|link| link.bridge && link::is_of(link.group, self.group)) {
            // Its routes go first, and the kernel does not say whose deed that was.
            self.links.removing(std::iter::once(&link));
            link::remove(&mut netlink, link.index).context("remove the bridge", &spec.bridge)?;
        }
        self.records.remove_network(&spec.name)?;
        self.apply_rules()
    }

    /// Puts the table of the networks in place, as the records have it. The lock must be held.
    fn apply_rules(&self) -> Result<()> {
        let rules = self.rules()?;
        self.with_netfilter(|netlink| match rules {
            Some(table) => apply::replace(netlink, &table, false).context("write the table", table.name),
            None => {
                let name = self.names.networks();
                apply::remove(netlink, Family::Inet, &name).context("remove the table", name)
            }
        })
    }

    /// Works with a socket that is kept: to close one, the kernel waits until what the last transaction replaced is freed,
    /// which takes a grace period.
    fn with_netfilter<T>(&self, work: impl FnOnce(&mut Netlink) -> Result<T>) -> Result<T> {
        let mut kept = self.netfilter.lock().unwrap_or_else(PoisonError::into_inner);
        let mut netlink = match kept.take() {
            Some(netlink) => netlink,
            None => Netlink::netfilter().context("open", "a netfilter socket")?,
        };
        // After a failure there may be answers in it that belong to nobody: it is not kept.
        let done = work(&mut netlink)?;
        *kept = Some(netlink);
        Ok(done)
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
        self.with_netfilter(|netlink| apply::is_there(netlink, &table).context("read the table", &table.name))
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
        let mut networks: Vec<NetworkSpec> = self.records.networks()?.into_iter().map(|record| record.spec).collect();
        networks.retain(|network| network.driver == Driver::Bridge);
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
        // The sockets of a process that was just killed, which nobody has any more, close a moment later.
        let mut waits = MOMENT.as_millis() / WAIT.as_millis();
        for port in ports {
            let mut taken = Taken { port: port.clone(), local: hold::is_local(port.host_ip), numbers: BTreeMap::new() };
            // 0 is any free one: the kernel has that.
            let numbers = (port.published != 0).then(|| port.published..=port.published_end.max(port.published));
            for number in numbers.into_iter().flatten().filter(|_| taken.local) {
                let single = PortSpec { published: number, published_end: number, ..port.clone() };
                let mut owner = self.in_the_way(project, &single, &sockets)?;
                while waits > 0 && matches!(owner, Some(None)) {
                    waits -= 1;
                    thread::sleep(WAIT);
                    owner = owner.filter(|_| !hold::is_free(&single));
                }
                if let Some(owner) = owner {
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
    pub fn hold(&self, ports: &[PortSpec], replica: u32) -> Result<Vec<Held>> {
        let mut result = hold::hold(ports, replica);
        if let Err(NetError::PortTaken { port, protocol, owner, .. }) = &mut result
            && let Some(taken) = ports.iter().find(|spec| spec.published == *port && spec.protocol == *protocol)
        {
            *owner = self.with_container(taken, owner.take().map(|owner| *owner))?.map(Box::new);
        }
        result
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
        ("driver", known.driver == wanted.driver),
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

/// FNV-1a: a number that stays the same from version to version.
pub(super) fn fold(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
