//! Networks: bridges, the containers' links to them, published ports, and the rules of the kernel that go with both.
//!
//! ```text
//!  Net ── machine ─┬─ record        networks/<name>/{spec, endpoints/<container>}, one lock for the machine
//!   │              ├─ attach        containers' links, coming and going
//!   │              ├─ parent        networks that stand on a link of the machine
//!   │              ├─ link, address, route, inside, sysctl, forwarding           what the kernel is told by netlink
//!   │              └─ rules ── nft  the rule sets: pure; as text; as one transaction
//!   ├─── shared                     what the clones of a Net share: a publisher a project
//!   ├─── publish ──── conntrack     connections that must be decided anew
//!   ├─── hold, owner                the listener that reserves a port; who else has it
//!   ├─── relay                      what reaches that listener
//!   ├─── firewall, foreign          other people's rules, read only
//!   ├─── dnsredirect                port 53 inside a container
//!   ├─── watch ── events ── notice  what others do to our links, routes and rules
//!   ├─── survey, kept               what there is, and what of it is lost; while nothing changes, it is not looked at again
//!   └─── sweep                      what nobody claims
//! ```
//!
//! The kernel is told everything by netlink, and answers at once: the work is plain blocking code, which [`Net`] runs on
//! blocking threads. Everything happens in the network namespace of the process; nothing here changes that of a thread that
//! is used again. Why it is built so is in docs/architecture.md.

mod address;
mod attach;
mod conntrack;
pub mod dns;
pub mod dnsredirect;
mod error;
mod events;
mod firewall;
mod foreign;
mod forwarding;
mod hold;
mod inside;
mod kept;
mod link;
mod machine;
mod netlink;
mod nft;
mod notice;
mod owner;
mod parent;
mod publish;
mod record;
pub mod relay;
mod route;
mod rules;
mod shared;
mod survey;
mod sweep;
mod sysctl;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::desired::{Driver, EndpointSpec, NetworkSpec, PortSpec};
use crate::name::{ContainerId, NetworkName, ProjectName};
use crate::observed::ObservedNetwork;
pub use error::{NetError, Result};
pub use events::{Event, Events, Redirect, Routes};
pub use hold::{Held, Listener};
pub use inside::Attached;
pub use kept::{Kept, Unheard};
pub use machine::Taken;
pub use owner::Owner;
pub use route::HostRoute;
pub use survey::Survey;

use error::Context;
use firewall::Firewall;
use machine::Machine;
use relay::keeper::{Keeper, Port};
use rules::{Publication, Relayed};
use shared::{Shared, Watched};

/// The networks of one state folder, in the network namespace of the process.
#[derive(Clone)]
pub struct Net {
    shared: Arc<Shared>,
}

/// A container's link to a network, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The container.
    pub container: ContainerId,
    /// Its project.
    pub project: ProjectName,
    /// What was asked for.
    pub spec: EndpointSpec,
}

impl Net {
    /// Opens the records below the state folder `root`; `run` is the run-time folder.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn open(root: &Path, run: &Path) -> Result<Self> {
        let machine = Machine::open(root, run)?;
        let program = PathBuf::from("/proc/self/exe");
        let shared = Shared {
            machine,
            publishers: Mutex::default(),
            keepers: Mutex::default(),
            stale: Mutex::default(),
            forgetting: Mutex::default(),
            program,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes a network, or mends one whose bridge, parent or rules are gone. Returns what else had to be changed on the host, to be
    /// told to the user.
    ///
    /// # Errors
    /// [`NetError::Different`] when it exists with other settings, [`NetError::BridgeTaken`], and the kernel's refusals.
    pub async fn create(&self, spec: &NetworkSpec) -> Result<Vec<String>> {
        let spec = spec.clone();
        self.run(move |shared| shared.machine.create(&spec)).await
    }

    /// Removes a network, and with it the links and records of containers that are leaving their networks: the kernel waits
    /// once for all of them. A network that does not exist is no error.
    ///
    /// # Errors
    /// [`NetError::Busy`] when containers are on it: then it goes away with the last of them.
    pub async fn remove(&self, name: &NetworkName, leaving: &[ContainerId]) -> Result<()> {
        let (name, leaving) = (name.clone(), leaving.to_vec());
        self.run(move |shared| shared.machine.remove(&name, &leaving)).await
    }

    /// All networks of the machine, with the containers on them.
    ///
    /// # Errors
    /// When the records or the kernel can't be read.
    pub async fn list(&self) -> Result<Vec<ObservedNetwork>> {
        self.run(|shared| Ok(survey::survey(&shared.machine, None)?.networks)).await
    }

    /// What all networks of the machine were made of, on the calling thread.
    ///
    /// # Errors
    /// When the records can't be read.
    pub fn specs_now(&self) -> Result<Vec<NetworkSpec>> {
        Ok(self.shared.machine.records.networks()?.into_iter().map(|record| record.spec).collect())
    }

    /// All networks of the machine, and what containers of a project have lost of their links and ports; on the calling
    /// thread.
    ///
    /// # Errors
    /// When the records or the kernel can't be read.
    pub fn survey_now(&self, project: &ProjectName) -> Result<Survey> {
        survey::survey(&self.shared.machine, Some(project))
    }

    /// Keeps a project's surveys, as far as this machine lets us hear of changes.
    pub fn keep(&self, project: &ProjectName) -> Kept {
        Kept::of(self.shared.machine.records.folder(), project)
    }

    /// What is to be told of records that were damaged and put aside since the last call.
    pub fn damaged(&self) -> Vec<String> {
        self.shared.machine.records.take_damaged()
    }

    /// What a network was made of, on the calling thread; `None`: there is no such network.
    ///
    /// # Errors
    /// When the record can't be read.
    pub fn network_now(&self, name: &NetworkName) -> Result<Option<NetworkSpec>> {
        Ok(self.shared.machine.records.network(name)?.map(|record| record.spec))
    }

    /// Every container's link to every network of the machine, but for the containers that are `known`, on the calling
    /// thread.
    ///
    /// # Errors
    /// When the records can't be read.
    pub fn endpoints_now(&self, known: impl Fn(&ContainerId) -> bool) -> Result<Vec<Endpoint>> {
        let records = self.shared.machine.records.endpoints_but(known)?;
        let endpoint = |record: record::EndpointRecord| Endpoint {
            container: record.container,
            project: record.project,
            spec: record.spec,
        };
        Ok(records.into_iter().map(endpoint).collect())
    }

    /// Whether a container has a link, or the record of one, on the calling thread; also where that can't be found out.
    pub fn is_attached(&self, container: &ContainerId) -> bool {
        self.shared.machine.records.networks_of(container).map_or(true, |networks| !networks.is_empty())
    }

    /// As [`Net::routes`], on the calling thread.
    ///
    /// # Errors
    /// As [`Net::routes`].
    pub fn routes_now(&self) -> Result<Vec<HostRoute>> {
        self.shared.machine.routes()
    }

    /// The host's routes: address ranges that a new network must keep clear of.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub async fn routes(&self) -> Result<Vec<HostRoute>> {
        self.run(|shared| shared.machine.routes()).await
    }

    /// Links a container to a network: a veth pair whose inner end is born in `netns`, or a link on the network's parent. It is still down and without an
    /// address; [`Net::finish_inside`] follows when all links of the container are made.
    ///
    /// # Errors
    /// [`NetError::Missing`] without the network, [`NetError::Address`] for an address that is not of it, and the kernel's
    /// refusals. Nothing is left of a link that could not be made.
    pub async fn attach(
        &self,
        container: &ContainerId,
        project: &ProjectName,
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
    ) -> Result<Attached> {
        let netns = netns.try_clone_to_owned().context("keep", "the network namespace")?;
        let (container, project, endpoint) = (container.clone(), project.clone(), endpoint.clone());
        self.run(move |shared| shared.machine.attach(&container, &project, &endpoint, netns.as_fd())).await
    }

    /// Takes loopback and all links of a container up, with their addresses and default routes, in one batch over
    /// `route_socket`: a bound NETLINK_ROUTE socket that lives in the container's network namespace. A container without links
    /// gets its loopback.
    ///
    /// # Errors
    /// The kernel's refusals.
    pub async fn finish_inside(&self, route_socket: BorrowedFd<'_>, links: &[Attached]) -> Result<()> {
        let socket = route_socket.try_clone_to_owned().context("keep", "the container's socket")?;
        let links = links.to_vec();
        self.run(move |shared| shared.machine.finish(socket.as_fd(), &links)).await
    }

    /// Takes containers off all their networks, in one go. Their ports must have been withdrawn.
    ///
    /// # Errors
    /// The kernel's refusals; then it can be repeated.
    pub async fn detach(&self, containers: &[ContainerId]) -> Result<()> {
        let containers = containers.to_vec();
        self.run(move |shared| shared.machine.detach(&containers)).await
    }

    /// Holds ports on the host: all of them, or none. Where a port or a range leaves the choice, one is picked; of a range first
    /// the number that is the turn of the `replica`, from 1.
    ///
    /// # Errors
    /// [`NetError::PortTaken`] with the process that has it, [`NetError::RangeTaken`], [`NetError::NotLocal`].
    pub async fn hold(&self, ports: &[PortSpec], replica: u32) -> Result<Vec<Held>> {
        let ports = ports.to_vec();
        self.run(move |shared| shared.machine.hold(&ports, replica)).await
    }

    /// Of ports of the host, those of which somebody else than the project has a number now, or whose address is not this
    /// machine's: for a plan, which opens nothing. On the calling thread.
    ///
    /// # Errors
    /// When the records can't be read.
    pub fn taken_now(&self, project: &ProjectName, ports: &[PortSpec]) -> Result<Vec<Taken>> {
        self.shared.machine.taken(project, ports)
    }

    /// Puts back the links that a container has lost, with its addresses and routes: `netns` is its network namespace,
    /// `route_socket` as for [`Net::finish_inside`].
    ///
    /// # Errors
    /// [`NetError::Missing`] without the network, and the kernel's refusals.
    pub async fn relink(
        &self,
        container: &ContainerId,
        project: &ProjectName,
        endpoints: &[EndpointSpec],
        netns: BorrowedFd<'_>,
        route_socket: BorrowedFd<'_>,
    ) -> Result<()> {
        let netns = netns.try_clone_to_owned().context("keep", "the network namespace")?;
        let socket = route_socket.try_clone_to_owned().context("keep", "the container's socket")?;
        let (container, project, endpoints) = (container.clone(), project.clone(), endpoints.to_vec());
        self.run(move |shared| shared.machine.relink(&container, &project, &endpoints, (netns.as_fd(), socket.as_fd())))
            .await
    }

    /// Publishes the ports of a container, in place of those that it published before. The numbers must be picked, and
    /// held by the caller for as long as they are published; this makes duplicates, to see what reaches the listeners.
    ///
    /// # Errors
    /// [`NetError::Unpublishable`] for a container on internal networks only, [`NetError::TableHeld`], the kernel's refusals.
    pub async fn publish(&self, project: &ProjectName, container: &ContainerId, held: &[Held]) -> Result<()> {
        let ports: Vec<PortSpec> = held.iter().map(|held| held.spec.clone()).collect();
        let (owner, id) = (project.clone(), container.clone());
        let publication = self
            .run(move |shared| {
                shared.with_publisher(&owner, |publisher| publisher.publish(&shared.machine, &id, &ports))
            })
            .await?;
        held.iter().for_each(hold::drain);
        self.watch(project, container, &publication, held).await
    }

    /// Takes back the ports of containers.
    ///
    /// # Errors
    /// The kernel's refusals; then it can be repeated.
    pub async fn withdraw(&self, project: &ProjectName, containers: &[ContainerId]) -> Result<()> {
        let (project, containers) = (project.clone(), containers.to_vec());
        let urgent = self.run(move |shared| shared.withdraw(&project, &containers)).await?;
        if urgent {
            return self.run(Shared::forget).await;
        }
        // Connections of TCP whose container goes fail one way or the other: nobody has to wait for that.
        let net = self.clone();
        tokio::spawn(async move {
            if let Err(error) = net.run(Shared::forget).await {
                tracing::warn!(%error, "connections to containers that are gone were not forgotten");
            }
        });
        Ok(())
    }

    /// Makes the rules anew from the records: those of the machine's networks and those of the project's ports. For a new
    /// supervisor, which hands over the listeners that the shims have kept, and when somebody has flushed the rules, then
    /// without any.
    ///
    /// # Errors
    /// The kernel's refusals.
    pub async fn republish_all(&self, project: &ProjectName, held: &[(ContainerId, Vec<Held>)]) -> Result<()> {
        let owner = project.clone();
        let publications = self
            .run(move |shared| {
                shared.machine.restore_rules()?;
                shared.with_publisher(&owner, |publisher| {
                    publisher.restore(&shared.machine, relayed())?;
                    Ok(publisher.publications().clone())
                })
            })
            .await?;
        for (container, held) in held {
            if let Some(publication) = publications.get(container) {
                self.watch(project, container, publication, held).await?;
            }
        }
        Ok(())
    }

    /// Watches the listeners of a container for what the rules do not carry.
    async fn watch(
        &self,
        project: &ProjectName,
        container: &ContainerId,
        publication: &Publication,
        held: &[Held],
    ) -> Result<()> {
        let failed = |source| NetError::Relay { project: project.to_string(), source };
        let ports: std::io::Result<Vec<Port>> = held.iter().flat_map(|held| publication.relay_ports(held)).collect();
        let ports = ports.map_err(failed)?;
        let keeper = {
            let mut keepers = lock(&self.shared.keepers);
            if !keepers.contains_key(project) {
                let keeper = Keeper::open(&self.shared.machine.run, &self.shared.program, project).map_err(failed)?;
                let keeper = Arc::new(keeper);
                let task = tokio::spawn(Arc::clone(&keeper).watch());
                keepers.insert(project.clone(), Watched { keeper, task });
            }
            keepers.get(project).map(|watched| Arc::clone(&watched.keeper))
        };
        let (project, container) = (project.to_string(), container.clone());
        self.run(move |_| match keeper {
            Some(keeper) => keeper.add(&container, ports).map_err(|source| NetError::Relay { project, source }),
            None => Ok(()),
        })
        .await
    }

    /// What the user must be told about networks before they are made: kernel parameters that get changed; other firewalls'
    /// chains that drop their traffic, each with the command that opens it; with `publishes`, that ports go through the
    /// relay; and records that were damaged and put aside. On the calling thread.
    ///
    /// # Errors
    /// When the rules can't be read.
    pub fn warnings_now(&self, networks: &[NetworkSpec], publishes: bool) -> Result<Vec<String>> {
        let bridges = || networks.iter().filter(|network| network.driver == Driver::Bridge);
        let outward: Vec<&NetworkSpec> = bridges().filter(|network| !network.internal).collect();
        let mut told = Vec::new();
        if !outward.is_empty() {
            told = forwarding::pending(outward.into_iter().any(machine::has_ipv6))?;
        }
        let firewall = Firewall::read().context("read", "the rules of other firewalls")?;
        told.extend(bridges().flat_map(|network| firewall.warnings(network)));
        told.extend(firewall.relay_note().filter(|_| publishes));
        told.extend(self.shared.machine.records.take_damaged());
        Ok(told)
    }

    /// Leads port 53 of 127.0.0.11 inside a container to [`dnsredirect::RESOLVER_PORT`], over a bound NETLINK_NETFILTER socket
    /// that lives in its network namespace. Can be repeated, to put back what the container has flushed.
    ///
    /// # Errors
    /// The kernel's refusals.
    pub async fn dns_redirect(&self, netfilter_socket: BorrowedFd<'_>) -> Result<()> {
        let socket = netfilter_socket.try_clone_to_owned().context("keep", "the container's socket")?;
        self.run(move |_| dnsredirect::put(socket.as_fd())).await
    }

    /// Removes what nobody claims: endpoints of containers that are not in `known` (every container of the machine's ledger,
    /// read when it is asked), links without a record, tables of projects that publish nothing. Returns what was removed.
    ///
    /// # Errors
    /// The kernel's refusals.
    pub async fn sweep(
        &self,
        known: impl FnOnce() -> std::io::Result<BTreeSet<ContainerId>> + Send + 'static,
    ) -> Result<Vec<String>> {
        self.run(move |shared| sweep::sweep(&shared.machine, known)).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> Result<T> + Send + 'static) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(std::io::Error::other("windlass is ending")).context("run", "a network operation"),
            },
        }
    }
}

/// Which ports go through the relay. Where the foreign rules can't be read, [`Net::warnings`] tells.
fn relayed() -> Relayed {
    Firewall::read().map(|firewall| firewall.filters_input()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
