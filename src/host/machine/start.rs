//! Starts a container's process.

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::etc::{self, Surroundings};
use super::sandbox::Live;
use super::{Machine, MachineError, forward, parts, share, stop};
use crate::desired::{ContainerSpec, EndpointSpec, NetMode, NetworkSpec, NsMode, Stamp};
use crate::host::cdi;
use crate::host::cgroup::{Cgroup, Devices};
use crate::host::container::{Bundle, Resolved};
use crate::host::ledger::container::{self as ledger, Counters};
use crate::name::{ContainerId, ContainerName};

impl Machine {
    pub(super) async fn start(
        &self,
        id: &ContainerId,
        name: &ContainerName,
        restart: Option<(u32, u32)>,
    ) -> Result<Vec<String>, MachineError> {
        let made = ledger::whole(&self.paths, id)?.ok_or_else(|| MachineError::Gone(name.clone()))?;
        let spec = made.spec;
        let (restarts, streak) = restart.unwrap_or_default();
        let run = self.paths.container_run(id);
        fs::create_dir_all(&run).map_err(MachineError::file("make", &run))?;
        ledger::set_counters(&self.paths, id, &Counters { restarts, streak })?;
        let live = self.sandbox(id, &spec).await?;
        let result = self.start_process(id, &spec, &made.created, &live).await;
        if result.is_err() {
            self.release(id).await?;
        }
        let warnings = result?;
        stop::clear_marks(&self.paths, id);
        self.refresh_names().await;
        Ok(warnings)
    }

    async fn start_process(
        &self,
        id: &ContainerId,
        spec: &ContainerSpec,
        created: &Stamp,
        live: &Arc<Live>,
    ) -> Result<Vec<String>, MachineError> {
        let mut full = spec.clone();
        full.namespaces = self.joined(spec).await?;
        let hooks = cdi::apply(&mut full, &cdi::FOLDERS.map(Path::new))?;
        let (cgroup, mut warnings) = self.cgroup(id, &full, live).await?;
        let names = self.names(id, spec).await?;
        let forward = forward::of(id, spec, created).await?.map(Box::new);
        let host = Resolved { hooks, forward, ..self.resolve(id, spec, cgroup, names)? };
        let shared = self.shared(&full).await?;
        let bundle = Bundle::new(id.clone(), full, host)?;
        let running = live.shim.start(&bundle, shared).await?;
        warnings.extend(running.warnings.iter().cloned());
        *live.running.write().await = Some(running);
        self.watch_inside(spec, live).await;
        Ok(warnings)
    }

    /// What a container is started from.
    fn resolve(
        &self,
        id: &ContainerId,
        spec: &ContainerSpec,
        cgroup: Cgroup,
        (around, names): (Surroundings, ContainerSpec),
    ) -> Result<Resolved, MachineError> {
        Ok(Resolved {
            hosts: Some(etc::hosts(&names, &around)),
            resolv_conf: Some(etc::resolv_conf(&names, &around)),
            hostname: around.hostname,
            cgroup,
            cgroup_path: Path::new("/").join(self.layout.path_of(id, spec.resources.parent.as_deref())?),
            log: (spec.log.driver != "none").then(|| self.paths.logs(spec, id)),
            ..parts::of(&self.paths, &self.images, id, spec)?
        })
    }

    /// The surroundings of a container, and the specification that its names come from: one that lives in another's network
    /// has the other's name server and host names, and what it declares itself besides.
    async fn names(
        &self,
        id: &ContainerId,
        spec: &ContainerSpec,
    ) -> Result<(Surroundings, ContainerSpec), MachineError> {
        if !matches!(spec.namespaces.net, NetMode::Container(_)) {
            return Ok((self.surroundings(id, spec)?, spec.clone()));
        }
        let chain = self.chain(&*self.live.read().await, spec, share::net)?;
        let Some(owner) = chain.last() else { return Ok((self.surroundings(id, spec)?, spec.clone())) };
        let mut around = self.surroundings(&owner.id, &owner.spec)?;
        let mut names = owner.spec.clone();
        // From the owner on, each has what the one before it has, and its own besides.
        for between in chain.iter().rev().skip(1) {
            around.hostname = between.spec.hostname.clone().unwrap_or(around.hostname);
            names = etc::joined(&between.spec, &names);
        }
        around.hostname = spec.hostname.clone().unwrap_or(around.hostname);
        Ok((around, etc::joined(spec, &names)))
    }

    /// The host's address on a container's network: on the one of its default route, else on the first.
    fn host_gateway(&self, spec: &ContainerSpec) -> Result<Option<IpAddr>, MachineError> {
        let mut networks: Vec<(&EndpointSpec, NetworkSpec)> = Vec::new();
        for endpoint in &spec.endpoints {
            networks.extend(self.net.network_now(&endpoint.network)?.map(|network| (endpoint, network)));
        }
        let outward = networks.iter().filter(|(_, network)| !network.internal);
        let network = outward.min_by_key(|(endpoint, _)| endpoint.rank()).or(networks.first());
        Ok(network.and_then(|(_, network)| network.subnets.first()).map(|subnet| subnet.gateway))
    }

    fn surroundings(&self, id: &ContainerId, spec: &ContainerSpec) -> Result<Surroundings, MachineError> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let own = if spec.namespaces.uts == NsMode::Host || spec.namespaces.net == NetMode::Host {
            read("/proc/sys/kernel/hostname").trim().to_owned()
        } else {
            id.short().to_owned()
        };
        let addresses = spec
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.ipv4.map(IpAddr::V4).into_iter().chain(endpoint.ipv6.map(IpAddr::V6)));
        let gateway = match spec.namespaces.net {
            NetMode::Host => Some(IpAddr::from([127, 0, 0, 1])),
            _ => self.host_gateway(spec)?,
        };
        Ok(Surroundings {
            hostname: spec.hostname.clone().unwrap_or(own),
            addresses: addresses.collect(),
            gateway,
            host_hosts: read("/etc/hosts"),
            host_resolv: read("/etc/resolv.conf"),
        })
    }

    /// The container's cgroup, and what could not be had of its limits.
    async fn cgroup(
        &self,
        id: &ContainerId,
        spec: &ContainerSpec,
        live: &Live,
    ) -> Result<(Cgroup, Vec<String>), MachineError> {
        if let Some(scope) = self.layout.scope(id, spec.resources.parent.as_deref())?
            // A scope may be there that is on its way out, with the holder of an earlier shim.
            && !(live.shim.is_holding().await? && scope.is_held())
        {
            let holder = live.shim.hold(self.executable.as_fd()).await?;
            tokio::task::spawn_blocking(move || scope.start(holder)).await??;
        }
        let created = self.layout.container(id, &spec.resources, &Devices::of(spec)?)?;
        Ok((created.cgroup, created.warnings))
    }
}
