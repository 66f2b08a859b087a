//! What a container has beside its process: its shim with the namespaces, its links, its ports. All of it is there before
//! the process is, and outlives its restarts.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, RwLock, watch};

use super::stop::KILLED;
use super::watch::{Inside, Taken};
use super::{Machine, MachineError};
use crate::desired::{ContainerSpec, NetMode};
use crate::host::container::client::{Running, SpawnRequest};
use crate::host::container::protocol::{Event, Part};
use crate::host::container::{Sandbox, Shim, ShimError};
use crate::host::ledger::container as ledger;
use crate::host::net::Held;
use crate::name::ContainerId;

/// The name under which a shim keeps the sockets of published ports, so that a new supervisor finds them: the first part of
/// them, for one message takes no more than [`SOCKETS`]. Further ones are called `ports.1` and so on.
const PORTS: &str = "ports";
/// Sockets in one message to a shim.
const SOCKETS: usize = 60;

/// The mark of a container whose shim, links and ports are being made or given back: they are not all there.
const PARTIAL: &str = "partial";

/// A container that has a shim.
pub struct Live {
    /// Its shim.
    pub shim: Shim,
    /// The descriptors of its namespaces, and the sockets inside.
    pub sandbox: Sandbox,
    /// What it is made of.
    pub spec: ContainerSpec,
    /// The ports that it holds on the host.
    pub held: Vec<Held>,
    /// Its process: what keeps its pipes and its identity while this lives.
    pub running: RwLock<Option<Running>>,
    /// Counts the ends of its process.
    pub ends: watch::Sender<u64>,
    /// Its shim is lost.
    pub over: AtomicBool,
    /// Its shim was told to end.
    leaving: AtomicBool,
    /// So many steps are ending its process.
    pub ending: AtomicUsize,
    /// What somebody has taken away inside its network namespace.
    pub taken: Arc<Taken>,
    /// Hears of that.
    pub inside: Mutex<Option<Inside>>,
}

impl Machine {
    /// The container's shim and all that belongs to it; made if it has none.
    pub(super) async fn sandbox(&self, id: &ContainerId, spec: &ContainerSpec) -> Result<Arc<Live>, MachineError> {
        if let Some(live) = self.live.read().await.get(id) {
            return Ok(live.clone());
        }
        let made = match self.make_sandbox(id, spec).await {
            Ok(live) => Arc::new(live),
            Err(error) => {
                self.unplug(id, !spec.ports.is_empty(), None).await;
                return Err(error);
            }
        };
        self.take_in(id, made.clone()).await;
        Ok(made)
    }

    async fn make_sandbox(&self, id: &ContainerId, spec: &ContainerSpec) -> Result<Live, MachineError> {
        let (run, state) = (self.paths.container_run(id), self.paths.container(id));
        let request = SpawnRequest {
            program: self.executable.as_fd(),
            run: &run,
            state: &state,
            project: &self.project,
            world_root: &self.paths.root,
            world_run: &self.paths.run,
        };
        // Who comes after a supervisor that was killed here must not take what is half made for the whole.
        let partial = run.join(PARTIAL);
        std::fs::write(&partial, b"").map_err(MachineError::file("write", &partial))?;
        // The listeners come first: a port that is taken is the likeliest failure and the cheapest to find.
        let held = self.net.hold(&spec.ports, spec.number).await?;
        let shim = Shim::spawn(&request).await?;
        let made = self.link(id, spec, &shim, &held).await;
        match made {
            Ok(sandbox) => {
                std::fs::remove_file(&partial).map_err(MachineError::file("remove", &partial))?;
                Ok(Live::new(shim, sandbox, spec.clone(), held))
            }
            Err(error) => {
                self.net.leaving(id);
                // The error at hand is the one to tell.
                let _ = shim.shutdown().await;
                Err(error)
            }
        }
    }

    async fn link(
        &self,
        id: &ContainerId,
        spec: &ContainerSpec,
        shim: &Shim,
        held: &[Held],
    ) -> Result<Sandbox, MachineError> {
        let keep = self.executable.try_clone().map_err(MachineError::file("keep", "/proc/self/exe"))?;
        shim.set_executable(keep).await?;
        let sandbox = shim.sandbox(&spec.namespaces, spec.shm_size).await?;
        if spec.namespaces.net == NetMode::Bridge
            && let Some(net) = sandbox.get(&Part::Net)
        {
            // An address may have been that of one who has just left.
            self.detaching.flush().await;
            let mut links = Vec::new();
            for endpoint in &spec.endpoints {
                links.push(self.net.attach(id, &self.project, endpoint, net.as_fd()).await?);
            }
            if let Some(socket) = sandbox.get(&Part::RouteNetlink) {
                self.net.finish_inside(socket.as_fd(), &links).await?;
            }
            if let (Some(socket), false) = (sandbox.get(&Part::NetfilterNetlink), links.is_empty()) {
                self.net.dns_redirect(socket.as_fd()).await?;
            }
        }
        self.answer(id, spec, &sandbox)?;
        if !held.is_empty() {
            let mut sockets = duplicates(held)?.into_iter();
            for part in 0..sockets.len().div_ceil(SOCKETS) {
                shim.store(&ports_name(part), sockets.by_ref().take(SOCKETS).collect()).await?;
            }
            let ports: Vec<_> = held.iter().map(|held| held.spec.clone()).collect();
            ledger::set_ports(&self.paths, id, &ports)?;
            self.net.publish(&self.project, id, held).await?;
        }
        Ok(sandbox)
    }

    /// Takes a container in that has a shim: its events count from now on.
    pub(super) async fn take_in(&self, id: &ContainerId, live: Arc<Live>) {
        self.live.write().await.insert(id.clone(), live.clone());
        self.cache.followed(id);
        let (changed, cache, id) = (self.changed.clone(), self.cache.clone(), id.clone());
        tokio::spawn(async move {
            while let Some(Event::Exited(_)) = live.shim.event().await {
                live.running.write().await.take();
                cache.changed(&id);
                live.ends.send_modify(|ends| *ends += 1);
                tell(&live, &changed);
            }
            if live.leaving.load(Ordering::Acquire) {
                return;
            }
            // The shim is lost, which the next observation deals with.
            cache.lost(&id);
            live.over.store(true, Ordering::Release);
            live.ends.send_modify(|ends| *ends += 1);
            changed.notify_one();
        });
    }

    /// Takes over a container whose shim a former supervisor started. Its questions for names are not answered yet.
    pub(super) async fn adopt_sandbox(&self, id: &ContainerId, spec: &ContainerSpec) -> Result<(), MachineError> {
        let run = self.paths.container_run(id);
        let shim = Shim::adopt(&run).await?;
        if run.join(PARTIAL).exists() {
            // No process is in it yet, or any more.
            shim.shutdown().await?;
            return Err(MachineError::HalfMade(spec.name.clone()));
        }
        let keep = self.executable.try_clone().map_err(MachineError::file("keep", "/proc/self/exe"))?;
        shim.set_executable(keep).await?;
        let sandbox = shim.sandbox(&spec.namespaces, spec.shm_size).await?;
        let state = shim.state().await?;
        let mut held = Vec::new();
        let mut sockets = Vec::new();
        for name in (0..).map(ports_name).take_while(|name| state.stored.contains(name)) {
            sockets.extend(shim.take(&name).await?);
        }
        if !sockets.is_empty() {
            let mut sockets = sockets.into_iter();
            for port in ledger::ports(&self.paths, id)? {
                let count = if port.host_ip.is_some() { 1 } else { 2 };
                held.push(Held::adopt(port, sockets.by_ref().take(count).collect())?);
            }
        }
        let live = Live::new(shim, sandbox, spec.clone(), held);
        *live.running.write().await = state.running;
        self.take_in(id, Arc::new(live)).await;
        Ok(())
    }

    /// Gives back what a container without a process has: its ports, its links, its shim.
    ///
    /// The links go when it suits ([`super::detach`]).
    pub(super) async fn release(&self, id: &ContainerId) -> Result<(), MachineError> {
        let live = self.live.write().await.remove(id);
        let partial = self.paths.container_run(id).join(PARTIAL);
        if live.is_some() {
            // Without the mark the next supervisor would start a process in what is left, where this one is killed now; that
            // is no reason not to go on on a full disk.
            let _ = std::fs::write(&partial, b"");
        }
        // Its sockets keep its network namespace alive.
        self.names.stop(id).await;
        let ports = match &live {
            Some(live) => !live.held.is_empty(),
            // Its shim was lost: what its record says is still published.
            None => ledger::ports(&self.paths, id).is_ok_and(|ports| !ports.is_empty()),
        };
        let netns = live.as_ref().and_then(|live| live.part(Part::Net));
        self.unplug(id, ports, netns).await;
        if let Some(live) = live {
            live.leaving.store(true, Ordering::Release);
            self.end_shim(id, &live).await?;
            self.told.names_stale.store(true, Ordering::Release);
        }
        // One that was killed left its socket, which is how a container tells that it has a sandbox.
        for path in [self.paths.shim_socket(id), partial] {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(MachineError::file("remove", path)(e));
                }
                _ => {}
            }
        }
        self.cache.followed(id);
        self.cache.networks_changed();
        Ok(())
    }

    /// Ends a container's shim. It refuses while a process of it runs: one whose start failed halfway.
    async fn end_shim(&self, id: &ContainerId, live: &Live) -> Result<(), MachineError> {
        let mut ends = live.ends.subscribe();
        let before = *ends.borrow_and_update();
        // One that is gone already needs no telling.
        if let Err(ShimError::Failed(_)) = live.shim.shutdown().await {
            self.layout.existing(id)?.kill()?;
            let ended = tokio::time::timeout(KILLED, ends.wait_for(|ends| *ends > before)).await.is_ok();
            if !ended || live.shim.shutdown().await.is_err() {
                tracing::warn!(container = %live.spec.name, "its shim did not end");
            }
        }
        Ok(())
    }

    /// Takes a container's ports away, and hands its links on to be removed. What fails here is found again by the next
    /// sweep.
    async fn unplug(&self, id: &ContainerId, ports: bool, netns: Option<OwnedFd>) {
        if ports && let Err(error) = self.net.withdraw(&self.project, std::slice::from_ref(id)).await {
            tracing::warn!(%error, container = id.short(), "its ports were not withdrawn");
        }
        // The record comes before the link: without one there is none.
        if self.net.is_attached(id) {
            self.detaching.add(id.clone(), netns);
        }
        if let Err(error) = ledger::set_ports(&self.paths, id, &[]) {
            tracing::warn!(%error, container = id.short(), "its ports are still in its record");
        }
    }
}

/// Wakes the engine, as a process has ended. One that a step ends is looked at when the step is over, or where that takes its
/// time, a little later: fifty that go at the same time are not worth fifty looks.
fn tell(live: &Live, changed: &Arc<Notify>) {
    if live.ending.load(Ordering::Acquire) == 0 {
        return changed.notify_one();
    }
    let changed = changed.clone();
    tokio::spawn(async move {
        tokio::time::sleep(LATER).await;
        changed.notify_one();
    });
}

/// So much later.
const LATER: Duration = Duration::from_millis(200);

impl Live {
    fn new(shim: Shim, sandbox: Sandbox, spec: ContainerSpec, held: Vec<Held>) -> Self {
        Self {
            shim,
            sandbox,
            spec,
            held,
            running: RwLock::new(None),
            ends: watch::Sender::new(0),
            over: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            ending: AtomicUsize::new(0),
            taken: Arc::default(),
            inside: Mutex::default(),
        }
    }

    /// A descriptor of the sandbox for another container that shares it.
    pub fn part(&self, part: Part) -> Option<OwnedFd> {
        self.sandbox.get(&part)?.try_clone().ok()
    }
}

fn ports_name(part: usize) -> String {
    if part == 0 { PORTS.to_owned() } else { format!("{PORTS}.{part}") }
}

fn duplicates(held: &[Held]) -> Result<Vec<OwnedFd>, MachineError> {
    let sockets = held.iter().flat_map(|held| &held.listeners);
    sockets
        .map(|listener| listener.socket.try_clone())
        .collect::<Result<_, _>>()
        .map_err(MachineError::file("keep", "a published port's socket"))
}
