//! Hearing of what others do to the networks: it wakes the engine, which looks, and mends by its plan.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::observe::Cache;
use super::sandbox::Live;
use super::{Machine, MachineError, share};
use crate::desired::{ContainerSpec, NetMode};
use crate::host::container::protocol::Part;
use crate::host::net::{Event, Events, Net, NetError, Redirect, Routes};
use crate::name::{ContainerId, ContainerName, ProjectName};
use crate::observed::{Loss, Observed};

/// A firewall's tool changes many rules in many transactions: they are looked at so long after the first of them, and so
/// no more often.
const QUIET: Duration = Duration::from_millis(500);

/// A task that listens, and ends with this.
#[derive(Debug)]
pub struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What this process was told of, and no look at the machine shows.
#[derive(Debug, Default)]
pub struct Told {
    /// Containers of other projects came to our networks, or left them: the name server's table may not be true any more.
    pub names_stale: AtomicBool,
    /// Another firewall filters otherwise than when the ways to the published ports were chosen.
    pub ways_outdated: AtomicBool,
}

/// What was taken away inside a container's network namespace.
#[derive(Debug, Default)]
pub struct Taken {
    /// Its way to the name server.
    pub redirect: AtomicBool,
    /// Routes.
    pub routes: AtomicBool,
}

/// What is watched inside a container's network namespace; ends with this.
#[derive(Debug)]
pub struct Inside {
    /// The way to the name server, since whoever may change rules there may flush ours; the routes are then its own affair,
    /// a VPN's say. Else the routes, which only the host's tools can take away.
    redirect: bool,
    _watch: Watch,
}

/// Who is told of what is heard.
pub struct Heard {
    /// What no look shows.
    pub told: Arc<Told>,
    /// What was observed of the networks no longer holds.
    pub cache: Arc<Cache>,
    /// Wakes the engine.
    pub changed: Arc<Notify>,
}

/// Listens to one project's networks.
struct Networks {
    net: Net,
    project: ProjectName,
    heard: Heard,
    /// When other firewalls are looked at.
    due: Option<Instant>,
}

impl Networks {
    async fn listen(mut self, mut events: Events) -> Result<(), NetError> {
        loop {
            let quiet = async {
                match self.due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => self.hear(&event?),
                () = quiet => self.look_at_firewalls().await?,
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Firewall => {
                self.due.get_or_insert_with(|| Instant::now() + QUIET);
                return;
            }
            Event::Joined(_) => self.heard.told.names_stale.store(true, Ordering::Release),
            Event::Link(_) => {
                tracing::info!(?event, "somebody changed the network");
                self.heard.told.names_stale.store(true, Ordering::Release);
            }
            Event::Rules | Event::Address(_) | Event::Route(_) => {
                tracing::info!(?event, "somebody changed the network");
            }
        }
        self.heard.cache.networks_changed();
        self.heard.changed.notify_one();
    }

    async fn look_at_firewalls(&mut self) -> Result<(), NetError> {
        self.due = None;
        if self.net.ways_are_outdated(&self.project).await? {
            tracing::info!("another firewall filters what comes in otherwise than before");
            self.heard.told.ways_outdated.store(true, Ordering::Release);
            self.heard.changed.notify_one();
        }
        Ok(())
    }
}

impl Watch {
    /// Listens to changes of links, routes and rules in the network namespace of the process.
    pub fn networks(net: &Net, project: &ProjectName, heard: Heard) -> Result<Self, MachineError> {
        let events = net.events(project)?;
        let networks = Networks { net: net.clone(), project: project.clone(), heard, due: None };
        let cache = networks.heard.cache.clone();
        Ok(Self(tokio::spawn(async move {
            if let Err(error) = networks.listen(events).await {
                tracing::warn!(%error, "changes of the network are not heard any more");
                cache.keep_no_networks();
            }
        })))
    }

    /// Listens to whether a container takes its own way to the name server away.
    fn redirect(mut redirect: Redirect, taken: Arc<Taken>, changed: Arc<Notify>) -> Self {
        Self(tokio::spawn(async move {
            while let Ok(()) = redirect.lost().await {
                taken.redirect.store(true, Ordering::Release);
                changed.notify_one();
            }
        }))
    }

    /// Listens to whether routes inside a container go. Nobody waits until it does: a container starts without.
    fn routes(
        open: impl FnOnce() -> Result<Routes, NetError> + Send + 'static,
        name: ContainerName,
        taken: Arc<Taken>,
        changed: Arc<Notify>,
    ) -> Self {
        Self(tokio::spawn(async move {
            let Ok(opened) = tokio::task::spawn_blocking(open).await else { return };
            let result = async {
                let mut routes = opened?;
                loop {
                    routes.lost().await?;
                    taken.routes.store(true, Ordering::Release);
                    changed.notify_one();
                }
            };
            let result: Result<(), NetError> = result.await;
            if let Err(error) = result {
                tracing::warn!(%error, container = %name, "its routes are not watched");
            }
        }))
    }
}

/// Whether somebody in a container may change its network: its own processes, or hooks of its file.
fn may_change_network(spec: &ContainerSpec) -> bool {
    let capable = spec.security.capabilities.iter().any(|name| name == "NET_ADMIN");
    spec.security.privileged || capable || spec.post_start.iter().any(|hook| hook.privileged)
}

impl Machine {
    /// Watches the network namespace in which a container lives: its own, or, where it may change that, another's.
    pub(super) async fn watch_inside(&self, spec: &ContainerSpec, live: &Arc<Live>) {
        let may = may_change_network(spec);
        let owner = match &spec.namespaces.net {
            NetMode::Bridge => Some(live.clone()),
            NetMode::Container(_) if may => self.net_owner(spec).await.map(|(_, owner)| owner),
            _ => None,
        };
        let Some(owner) = owner.filter(|owner| !owner.spec.endpoints.is_empty()) else { return };
        let mut inside = owner.inside.lock().await;
        if inside.as_ref().is_some_and(|inside| inside.redirect || !may) {
            return;
        }
        *inside = None;
        let watch = if may {
            owner.taken.routes.store(false, Ordering::Release);
            self.watch_redirect(&owner)
        } else {
            self.watch_routes(&owner).await
        };
        *inside = watch.map(|watch| Inside { redirect: may, _watch: watch });
    }

    /// Who has the network namespace that a container shares.
    async fn net_owner(&self, spec: &ContainerSpec) -> Option<(ContainerId, Arc<Live>)> {
        let owner = self.chain(&*self.live.read().await, spec, share::net).ok()?.pop()?;
        // That of another project is its own supervisor's to watch.
        owner.live().map(|live| (owner.id.clone(), live))
    }

    fn watch_redirect(&self, live: &Live) -> Option<Watch> {
        let netns = live.sandbox.get(&Part::Net)?;
        match self.net.watch_redirect(netns.as_fd()) {
            Ok(redirect) => Some(Watch::redirect(redirect, live.taken.clone(), self.changed.clone())),
            Err(error) => {
                tracing::warn!(%error, container = %live.spec.name, "its rules are not watched");
                None
            }
        }
    }

    async fn watch_routes(&self, live: &Arc<Live>) -> Option<Watch> {
        let id = self.live.read().await.iter().find(|(_, one)| Arc::ptr_eq(one, live)).map(|(id, _)| id.clone())?;
        let (net, spec, netns) = (self.net.clone(), &live.spec, live.part(Part::Net)?);
        let endpoints = spec.endpoints.clone();
        let open = move || net.watch_routes(&id, &endpoints, netns.as_fd());
        Some(Watch::routes(open, spec.name.clone(), live.taken.clone(), self.changed.clone()))
    }

    /// Adds what only this process was told of.
    pub(super) async fn observe_told(&self, observed: &mut Observed) {
        let outdated = self.told.ways_outdated.load(Ordering::Acquire);
        for (id, live) in self.live.read().await.iter() {
            let Some(container) = observed.containers.get_mut(id) else { continue };
            let losses = [
                (live.taken.redirect.load(Ordering::Acquire), Loss::NameServer),
                (live.taken.routes.load(Ordering::Acquire), Loss::Routes),
                (outdated && !live.held.is_empty(), Loss::Firewall),
            ];
            container.lost.extend(losses.into_iter().filter(|(lost, _)| *lost).map(|(_, loss)| loss));
        }
    }
}
