//! What an action makes of the machine in memory, and the rules that it must keep.

use super::{Inner, Life};
use crate::desired::{ContainerSpec, EndpointSpec, MountSource, NetMode, Stamp};
use crate::name::{ContainerId, ContainerName, VolumeName};
use crate::observed::{Exit, Health, Observed, ObservedContainer, ObservedNetwork, ObservedVolume, State};
use crate::plan::{Action, HookKind};

fn volumes(spec: &ContainerSpec) -> impl Iterator<Item = &VolumeName> {
    spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { name, .. } => Some(name),
        _ => None,
    })
}

impl Inner {
    /// What a look at the machine finds: health only where the record speaks of the process that runs.
    pub fn observed(&self) -> Observed {
        let mut observed = self.observed.clone();
        for container in observed.containers.values_mut() {
            let record = self.records.get(&container.id).filter(|record| record.started == container.started);
            container.health = record.map_or(Health::None, |record| record.health);
        }
        observed
    }

    fn breach(&mut self, text: String) {
        self.breaches.push(text);
    }

    /// The rules, whatever becomes of the action.
    pub fn check(&mut self, action: &Action) {
        match action {
            Action::RemoveVolume { name } => self.check_volume(name),
            Action::RemoveNetwork { name } => {
                let endpoints = self.observed.networks.get(name).map(|n| n.endpoints.len()).unwrap_or_default();
                if endpoints > 0 {
                    self.breach(format!("network {name} removed under {endpoints} containers"));
                }
            }
            Action::CreateContainer { spec, .. } => self.check_creation(spec),
            Action::StartContainer { id, name, .. } => self.check_start(id, name),
            Action::StopContainer { id, name, .. } => self.check_container("stopped", id, name, true),
            Action::PauseContainer { id, name } => self.check_container("paused", id, name, true),
            Action::UnpauseContainer { id, name } => self.check_container("unpaused", id, name, true),
            Action::ReleaseContainer { id, name } => self.check_release(id, name),
            Action::MendContainer { id, name, .. } => self.check_container("mended", id, name, true),
            Action::RemoveContainer { id, name } => self.check_container("removed", id, name, false),
            // It may have ended meanwhile: then the hook fails with it.
            Action::RunHooks { .. } => {}
            Action::BuildImage { name } => self.breach(format!("{name} is built by nobody here")),
            Action::PullImage { .. } | Action::CreateNetwork { .. } | Action::CreateVolume { .. } => {}
        }
    }

    /// Whether something that it needs was taken away from outside meanwhile: that is nobody's breach.
    pub fn is_cut(&self, action: &Action) -> Option<&'static str> {
        let Action::StartContainer { id, .. } = action else { return None };
        let there = self.observed.containers.get(id)?;
        let cut = |e: &EndpointSpec| self.observed.networks.get(&e.network).is_some_and(|n| !n.present);
        if !there.sandbox && there.spec.endpoints.iter().any(cut) {
            return Some("its bridge is gone");
        }
        let NetMode::Container(provider) = &there.spec.namespaces.net else { return None };
        let shared = self.observed.containers.values().any(|c| c.spec.name == *provider && c.sandbox);
        (!shared).then_some("what it shares namespaces with has none")
    }

    fn check_start(&mut self, id: &ContainerId, name: &ContainerName) {
        self.check_container("started", id, name, false);
        let Some(there) = self.observed.containers.get(id).filter(|there| !there.sandbox) else { return };
        let mut wrong = Vec::new();
        for endpoint in there.spec.endpoints.iter().filter(|e| !self.observed.networks.contains_key(&e.network)) {
            wrong.push(format!("{name} started without network {}", endpoint.network));
        }
        for port in &there.spec.ports {
            let holds = |other: &&ObservedContainer| other.ports.iter().any(|held| held.published == port.published);
            if let Some(other) = self.observed.containers.values().find(holds) {
                wrong.push(format!("{name} started while {} holds port {}", other.spec.name, port.published));
            }
        }
        wrong.into_iter().for_each(|text| self.breach(text));
    }

    fn check_release(&mut self, id: &ContainerId, name: &ContainerName) {
        self.check_container("released", id, name, false);
        let shares = |other: &&ObservedContainer| other.spec.namespaces.net == NetMode::Container(name.clone());
        if let Some(other) = self.observed.containers.values().find(|other| shares(other) && other.is_running()) {
            let text = format!("{name} released under {}", other.spec.name);
            self.breach(text);
        }
    }

    fn check_volume(&mut self, name: &VolumeName) {
        if !self.given_up.contains(name.as_str()) {
            self.breach(format!("volume {name} removed unasked"));
        }
        if self.observed.containers.values().any(|c| volumes(&c.spec).any(|used| used == name)) {
            self.breach(format!("volume {name} removed under a container"));
        }
    }

    fn check_creation(&mut self, spec: &ContainerSpec) {
        let name = &spec.name;
        let mut wrong = Vec::new();
        for endpoint in &spec.endpoints {
            if !self.observed.networks.contains_key(&endpoint.network) {
                wrong.push(format!("{name} made without network {}", endpoint.network));
            }
        }
        for volume in volumes(spec).filter(|volume| !self.observed.volumes.contains_key(*volume)) {
            wrong.push(format!("{name} made without volume {volume}"));
        }
        if !self.observed.images.contains(&spec.image.id) {
            wrong.push(format!("{name} made without its image"));
        }
        for other in self.observed.containers.values() {
            if other.spec.name == *name && other.state != State::Incomplete {
                wrong.push(format!("{name} made twice"));
            }
        }
        wrong.into_iter().for_each(|text| self.breach(text));
    }

    /// What is begun under a desired state must not touch that state's orphans. (It may end under the next.)
    pub fn check_orphan(&mut self, action: &Action) {
        let container = self.observed.containers.values().find(|c| c.spec.name.as_str() == action.object());
        let (Some(container), Some(desired)) = (container, &self.desired) else { return };
        // What is half made is nobody's yet, and goes.
        let whole = container.state != State::Incomplete;
        let service = &container.spec.service;
        let orphan = !desired.services.contains(service) && !desired.remove_orphans;
        let name = &container.spec.name;
        let ours = desired.containers.contains_key(name) || desired.remove_containers.contains(name);
        if whole && !ours && (orphan || desired.off.contains(service)) {
            self.breach(format!("orphan: {} {}", action.verb(), action.object()));
        }
    }

    fn check_container(&mut self, verb: &str, id: &ContainerId, name: &ContainerName, runs: bool) {
        // It may have ended while the step was on its way: only what is there and runs is against the rules.
        let Some(container) = self.observed.containers.get(id) else { return };
        let running = container.is_running();
        if running && !runs {
            self.breach(format!("{name} {verb} while it runs"));
        }
    }

    /// Every action but a start.
    pub fn apply(&mut self, action: &Action, half: bool, now: &Stamp) {
        match action {
            Action::PullImage { id, .. } if !half => drop(self.observed.images.insert(id.clone())),
            Action::CreateNetwork { spec } => {
                let endpoints = self.observed.networks.get(&spec.name).map(|n| n.endpoints.clone()).unwrap_or_default();
                let network =
                    ObservedNetwork { spec: spec.clone(), present: !half, lost: Default::default(), endpoints };
                self.observed.networks.insert(spec.name.clone(), network);
            }
            Action::RemoveNetwork { name } if half => {
                if let Some(network) = self.observed.networks.get_mut(name) {
                    network.present = false;
                }
            }
            Action::RemoveNetwork { name } => drop(self.observed.networks.remove(name)),
            Action::CreateVolume { spec } if !half => {
                self.observed
                    .volumes
                    .insert(spec.name.clone(), ObservedVolume { spec: spec.clone(), others: Vec::new() });
            }
            Action::RemoveVolume { name } if !half => drop(self.observed.volumes.remove(name)),
            Action::CreateContainer { id, spec } => self.create(id, spec, half, now),
            Action::StopContainer { id, name, .. } if !half => {
                self.end(name, None, 143, true, now);
                self.release(id);
            }
            Action::RunHooks { id, kind, hooks, .. } if !half => {
                let Some(container) = self.observed.containers.get_mut(id).filter(|c| c.is_running()) else { return };
                match kind {
                    HookKind::PostStart => container.hooks.post_start = hooks.len(),
                    HookKind::PreStop => container.hooks.pre_stop = true,
                }
            }
            Action::PauseContainer { id, .. } => self.freeze(id, true),
            Action::UnpauseContainer { id, .. } => self.freeze(id, false),
            Action::MendContainer { id, lost, .. } if !half => {
                if let Some(container) = self.observed.containers.get_mut(id) {
                    container.lost.retain(|loss| !lost.contains(loss));
                }
            }
            Action::RemoveContainer { id, .. } if half => {
                if let Some(container) = self.observed.containers.get_mut(id) {
                    container.state = State::Incomplete;
                }
            }
            Action::ReleaseContainer { id, .. } if !half => self.release(id),
            Action::RemoveContainer { id, .. } => self.forget(id),
            _ => {}
        }
    }

    fn create(&mut self, id: &ContainerId, spec: &ContainerSpec, half: bool, now: &Stamp) {
        let container = ObservedContainer {
            id: id.clone(),
            spec: spec.clone(),
            hash: spec.hash(),
            created: now.clone(),
            state: if half { State::Incomplete } else { State::Created },
            started: None,
            health: Health::None,
            restarts: 0,
            streak: 0,
            sandbox: false,
            lost: Default::default(),
            ports: Vec::new(),
            hooks: Default::default(),
        };
        self.observed.containers.insert(id.clone(), container);
    }

    fn release(&mut self, id: &ContainerId) {
        if let Some(container) = self.observed.containers.get_mut(id) {
            (container.sandbox, container.ports) = (false, Vec::new());
        }
        self.observed.networks.values_mut().for_each(|network| {
            network.endpoints.remove(id);
        });
    }

    /// Starts it, unless it runs; the process id, and how it will live.
    pub fn start(&mut self, id: &ContainerId, restart: Option<(u32, u32)>, now: &Stamp) -> Option<(i32, Life, u32)> {
        self.next_pid += 1;
        let pid = self.next_pid;
        let container = self.observed.containers.get_mut(id).filter(|c| !c.is_running())?;
        container.state = State::Running { pid };
        container.started = Some(now.clone());
        container.hooks = Default::default();
        (container.restarts, container.streak) = restart.unwrap_or_default();
        (container.sandbox, container.ports) = (true, container.spec.ports.clone());
        for endpoint in &container.spec.endpoints {
            if let Some(network) = self.observed.networks.get_mut(&endpoint.network) {
                network.endpoints.insert(id.clone());
            }
        }
        let run = self.runs.entry(container.spec.name.clone()).or_default();
        *run += 1;
        let life = self.lives.get(&container.spec.service).copied().unwrap_or_default();
        Some((pid, life, *run - 1))
    }

    /// The process ends; with `pid`, only if it is that one.
    pub fn end(&mut self, name: &ContainerName, pid: Option<i32>, code: i32, stopped: bool, at: &Stamp) {
        for container in self.observed.containers.values_mut().filter(|c| c.spec.name == *name) {
            let (State::Running { pid: now } | State::Paused { pid: now }) = container.state else { continue };
            if pid.is_none_or(|pid| pid == now) {
                container.state = State::Exited(Exit { code, oom: false, at: at.clone(), stopped, error: None });
                if stopped {
                    // Its links go with its surroundings.
                    container.lost.clear();
                }
            }
        }
    }

    fn freeze(&mut self, id: &ContainerId, freeze: bool) {
        if let Some(container) = self.observed.containers.get_mut(id) {
            container.state = match container.state {
                State::Running { pid } if freeze => State::Paused { pid },
                State::Paused { pid } if !freeze => State::Running { pid },
                ref other => other.clone(),
            };
        }
    }

    /// Takes a container away with all its links.
    pub fn forget(&mut self, id: &ContainerId) {
        self.release(id);
        self.observed.containers.remove(id);
        self.records.remove(id);
    }
}
