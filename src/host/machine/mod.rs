//! This machine as the engine sees it: `observe`, and `apply` with a file an action.
//!
//! | file | what |
//! | --- | --- |
//! | [`observe`] | what exists, from the ledger and the kernel |
//! | [`create`], [`start`], [`stop`], [`remove`] | containers |
//! | `hook` | programs run inside a container after its start and before its stop |
//! | [`sandbox`] | what a container has beside its process: shim, links, ports, names |
//! | [`mend`], [`watch`] | putting back what somebody took away, and hearing of it |
//! | [`adopt`] | taking over what a former supervisor left running |
//! | `share` | the namespaces of other containers that one joins |
//! | [`etc`] | the texts of /etc/hosts and /etc/resolv.conf |
//! | [`names`] | the table of the embedded name server |

mod adopt;
mod create;
mod detach;
mod error;
pub mod etc;
mod forward;
mod hook;
mod mend;
mod names;
pub mod observe;
pub mod parts;
mod probe;
mod remove;
mod sandbox;
mod share;
mod start;
mod stop;
mod watch;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, RwLock};

use super::cgroup::Layout;
use super::container;
use super::image::{self, Store};
use super::ledger;
use super::net::Net;
use super::net::dns::DnsServer;
use super::paths::Paths;
use super::volume;
use crate::desired::{Desired, HealthSpec};
use crate::engine::port::{HealthRecord, Host, HostError, ProbeResult};
use crate::name::{ContainerId, ProjectName};
use crate::observed::{Exit, Observed};
use crate::plan::Action;

pub use error::{MachineError, with_causes};
use sandbox::Live;

/// One project's view of this machine. It lives in the project's supervisor; nobody else changes anything.
pub struct Machine {
    paths: Paths,
    project: ProjectName,
    layout: Layout,
    images: Store,
    net: Net,
    names: DnsServer,
    naming: names::Naming,
    /// The containers that have a shim.
    live: RwLock<BTreeMap<ContainerId, Arc<Live>>>,
    detaching: detach::Detaching,
    /// The generation whose processes were last seen to be recorded.
    recorded: AtomicU64,
    changed: Arc<Notify>,
    /// What shims and whoever enters a container run: this program, protected.
    executable: OwnedFd,
    cache: Arc<observe::Cache>,
    told: Arc<watch::Told>,
    /// Ends with this.
    _watch: watch::Watch,
}

impl Machine {
    /// Opens the machine for a project. Nothing is changed but that folders are made; [`Machine::adopt`] comes next.
    ///
    /// # Errors
    /// When a part of the machine can't be used.
    pub fn open(paths: &Paths, project: &ProjectName) -> Result<Self, MachineError> {
        let net = Net::open(&paths.root, &paths.run)?;
        let changed = Arc::new(Notify::new());
        let told = Arc::new(watch::Told::default());
        let cache = Arc::new(observe::Cache::told(net.keep(project)));
        let heard = watch::Heard { told: told.clone(), cache: cache.clone(), changed: changed.clone() };
        let watch = watch::Watch::networks(&net, project, heard)?;
        Ok(Self {
            paths: paths.clone(),
            project: project.clone(),
            layout: Layout::open(&observe::cgroup_name(paths, project))?,
            images: Store::open(&paths.root)?,
            detaching: detach::Detaching::start(net.clone(), cache.clone()),
            net,
            names: DnsServer::new("/etc/resolv.conf".into()),
            naming: names::Naming::default(),
            live: RwLock::default(),
            recorded: AtomicU64::new(0),
            changed,
            executable: container::executable::protected()?,
            cache,
            told,
            _watch: watch,
        })
    }

    /// Does it; what could not be had along with it is returned.
    async fn act(&self, action: &Action) -> Result<Vec<String>, MachineError> {
        match action {
            Action::PullImage { name, id } => self.pull(name, id).await?,
            Action::BuildImage { name } => return Err(MachineError::NotBuilt(name.clone())),
            Action::CreateNetwork { spec } => {
                for told in self.net.create(spec).await? {
                    tracing::info!(network = %spec.name, "{told}");
                }
            }
            Action::RemoveNetwork { name } => {
                let unheard = self.cache.rest_networks();
                // The kernel takes its time for both.
                let (removed, rested) =
                    tokio::join!(self.detaching.remove_network(name), tokio::task::spawn_blocking(|| drop(unheard)));
                removed?;
                rested?;
            }
            Action::CreateVolume { spec } => volume::create(&self.paths, spec)?,
            Action::RemoveVolume { name } => {
                let (paths, name) = (self.paths.clone(), name.clone());
                tokio::task::spawn_blocking(move || volume::remove(&paths, &name)).await??;
            }
            Action::CreateContainer { id, spec } => self.create(id, spec).await?,
            Action::StartContainer { id, name, restart } => return self.start(id, name, *restart).await,
            Action::StopContainer { id, name, signal, grace } => return self.stop(id, name, *signal, *grace).await,
            Action::RunHooks { id, kind, hooks, done, .. } => {
                return self.run_hooks(id, *kind, hooks, *done).await;
            }
            Action::PauseContainer { id, .. } => self.pause(id).await?,
            Action::UnpauseContainer { id, .. } => self.unpause(id).await?,
            Action::ReleaseContainer { id, .. } => self.release(id).await?,
            Action::MendContainer { id, name, lost } => self.mend(id, name, lost).await?,
            Action::RemoveContainer { id, .. } => self.remove(id).await?,
        }
        Ok(Vec::new())
    }

    /// Fetches layers that went missing since the client resolved the image: from where the last caller had its images,
    /// without anybody's login.
    async fn pull(&self, name: &str, id: &crate::name::Digest) -> Result<(), MachineError> {
        let settings = ledger::project::caller(&self.paths, &self.project)?.registries;
        let client = Arc::new(image::Client::new(settings)?);
        Ok(self.images.fetch_id(&client, name, id, &(Arc::new(image::Quiet) as image::Watcher)).await?)
    }

    /// Ends what the supervisor holds of this machine when nothing of the project is left.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn close(&self) -> Result<(), MachineError> {
        // This process is in the last group itself.
        self.layout.leave_self()?;
        self.layout.remove()?;
        Ok(ledger::project::forget(&self.paths, &self.project)?)
    }
}

impl Machine {
    /// What others take away while something is put back may be taken for our own doing: a moment later all is looked at anew.
    fn look_again(&self) {
        let (cache, changed) = (self.cache.clone(), self.changed.clone());
        tokio::spawn(async move {
            tokio::time::sleep(MOMENT).await;
            cache.networks_changed();
            changed.notify_one();
        });
    }
}

/// When what was put back is looked at once more.
const MOMENT: Duration = Duration::from_secs(1);

impl Host for Machine {
    async fn observe(&self, desired: &Desired) -> Result<Observed, HostError> {
        self.end_lost_shims().await;
        let sight = observe::Sight { paths: &self.paths, net: &self.net, images: &self.images, cache: &self.cache };
        let mut observed = observe::observe(&sight, &self.project, desired)?;
        if self.record_processes(desired.generation, &observed).await {
            let told = observed.warnings;
            observed = observe::observe(&sight, &self.project, desired)?;
            observed.warnings.extend(told);
        }
        self.observe_told(&mut observed).await;
        let news = self.declare_names(desired);
        if self.told.names_stale.swap(false, Ordering::AcqRel) || news {
            self.refresh_names().await;
        }
        Ok(observed)
    }

    async fn apply(&self, action: &Action) -> Result<Vec<String>, HostError> {
        let result = self.act(action).await;
        if let Some(id) = action.container() {
            self.cache.changed(id);
        }
        self.cache.networks_changed();
        if matches!(action, Action::MendContainer { .. }) && result.is_ok() {
            self.look_again();
        }
        Ok(result?)
    }

    async fn ended(&self, id: &ContainerId) -> Option<Exit> {
        observe::exit(&self.paths, id)
    }

    async fn probe(&self, id: &ContainerId, spec: &HealthSpec) -> ProbeResult {
        self.run_probe(id, spec).await
    }

    async fn health(&self, id: &ContainerId) -> Option<HealthRecord> {
        ledger::container::health(&self.paths, id).ok().flatten()
    }

    async fn record_health(&self, id: &ContainerId, record: &HealthRecord) -> Result<(), HostError> {
        let result = ledger::container::set_health(&self.paths, id, record);
        self.cache.changed(id);
        result.map_err(|e| MachineError::from(e).into())
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}
