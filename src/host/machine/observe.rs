//! Reads what exists of a project. Works with and without a supervisor: the ledger says what was made of what, the
//! kernel says what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{MachineError, with_causes};
use crate::desired::{Desired, NetworkSpec, PortSpec, Stamp, Target};
use crate::host::container::record;
use crate::host::image::Store;
use crate::host::ledger::container::{self as ledger, Made};
use crate::host::ledger::project;
use crate::host::net::{Net, Owner};
use crate::host::paths::Paths;
use crate::host::record::RecordError;
use crate::host::{clock, volume, world};
use crate::name::{ContainerId, ContainerName, ProjectName};
use crate::observed::{Exit, Health, Observed, ObservedContainer, ObservedPort, ObservedVolume, PortHolder, State};

/// What was read before and still holds.
#[derive(Debug, Default)]
pub struct Cache {
    /// What containers are made of never changes: read once.
    made: Mutex<BTreeMap<ContainerId, Arc<Made>>>,
    /// How containers stood; `None` for those who look without being told of changes.
    seen: Option<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Counts them: what was read while one came is not kept.
    changes: u64,
    /// Those whose shims tell of their ends; of others nothing is kept.
    followed: BTreeSet<ContainerId>,
    containers: BTreeMap<ContainerId, ObservedContainer>,
}

impl Cache {
    /// For a supervisor, who makes all changes himself or is told of them by the shims: a container is read anew after
    /// [`Cache::changed`].
    pub fn told() -> Self {
        Self { seen: Some(Mutex::default()), ..Self::default() }
    }

    /// From now on its shim tells of its end.
    pub fn follow(&self, id: &ContainerId) {
        self.changed(id);
        if let Some(seen) = &self.seen {
            lock(seen).followed.insert(id.clone());
        }
    }

    /// Nobody tells of its end any more.
    pub fn unfollow(&self, id: &ContainerId) {
        if let Some(seen) = &self.seen {
            lock(seen).followed.remove(id);
        }
        self.changed(id);
    }

    /// A container is not as it was.
    pub fn changed(&self, id: &ContainerId) {
        if let Some(seen) = &self.seen {
            let mut seen = lock(seen);
            seen.changes += 1;
            seen.containers.remove(id);
        }
    }

    /// Forgets a container that was removed.
    pub fn forget(&self, id: &ContainerId) {
        lock(&self.made).remove(id);
        self.changed(id);
    }

    /// `None`: its making was not finished. So it is with a damaged record, which the user is told of: what is left of the
    /// container is made anew. One that can't be read, or that a newer windlass wrote, is nobody's to be removed.
    fn made(&self, paths: &Paths, id: &ContainerId, told: &mut Vec<String>) -> Result<Option<Arc<Made>>, RecordError> {
        let mut cache = lock(&self.made);
        if let Some(made) = cache.get(id) {
            return Ok(Some(made.clone()));
        }
        let made = match ledger::made(paths, id) {
            Err(error @ RecordError::Damaged { .. }) => {
                told.push(with_causes(&error));
                None
            }
            other => other?.map(Arc::new),
        };
        cache.extend(made.iter().map(|made| (id.clone(), made.clone())));
        Ok(made)
    }

    /// As it was seen last, else by a `look`.
    fn seen<E>(
        &self,
        id: &ContainerId,
        look: impl FnOnce() -> Result<ObservedContainer, E>,
    ) -> Result<ObservedContainer, E> {
        let Some(seen) = &self.seen else { return look() };
        let changes = {
            let seen = lock(seen);
            if let Some(container) = seen.containers.get(id) {
                return Ok(container.clone());
            }
            seen.changes
        };
        let container = look()?;
        let mut seen = lock(seen);
        if seen.changes == changes && seen.followed.contains(id) && container.state != State::Incomplete {
            seen.containers.insert(id.clone(), container.clone());
        }
        Ok(container)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything of a project that exists, and what its desired state names besides.
///
/// # Errors
/// When the networks can't be read, or a container's record can't or is a newer windlass's.
pub fn observe(
    paths: &Paths,
    project: &ProjectName,
    desired: Option<&Desired>,
    cache: &Cache,
) -> Result<Observed, MachineError> {
    let mut observed = Observed::default();
    for id in project::containers(paths, project) {
        let warnings = &mut observed.warnings;
        let there = cache.seen(&id, || container(paths, project, &id, cache, warnings))?;
        observed.containers.insert(id, there);
    }
    networks(paths, project, desired, &mut observed)?;
    let named = |name: &str| desired.is_some_and(|d| d.volumes.contains_key(name));
    for spec in volume::list(paths) {
        if spec.project.as_ref() == Some(project) || named(&spec.name) {
            observed.volumes.insert(spec.name.clone(), ObservedVolume { spec });
        }
    }
    if let Some(desired) = desired {
        let store = Store::open(&paths.root)?;
        let images: BTreeMap<_, _> =
            desired.containers.values().flat_map(|c| c.spec.images()).map(|image| (&image.id, image)).collect();
        observed.images =
            images.into_iter().filter(|(_, image)| store.layers_present(image)).map(|(id, _)| id.clone()).collect();
    }
    Ok(observed)
}

/// The networks, what containers have lost of theirs, and the ports that may not be had.
fn networks(
    paths: &Paths,
    project: &ProjectName,
    desired: Option<&Desired>,
    observed: &mut Observed,
) -> Result<(), MachineError> {
    let named = |name: &str| desired.is_some_and(|d| d.networks.contains_key(name));
    let net = Net::open(&paths.root, &paths.run)?;
    let survey = net.survey_now(project)?;
    observed.warnings.extend(net.damaged());
    for network in survey.networks {
        if network.spec.project.as_ref() == Some(project) || named(&network.spec.name) {
            observed.networks.insert(network.spec.name.clone(), network);
        }
    }
    for (id, lost) in survey.lost {
        if let Some(container) = observed.containers.get_mut(&id) {
            container.lost = lost;
        }
    }
    let wanted: Vec<PortSpec> = desired.map(|desired| wanted_ports(desired, observed)).unwrap_or_default();
    for taken in net.taken_now(project, &wanted)? {
        let numbers =
            taken.numbers.into_iter().map(|(number, owner)| (number, owner.map(|owner| holder(paths, owner))));
        observed.ports.push(ObservedPort { spec: taken.port, local: taken.local, taken: numbers.collect() });
    }
    Ok(())
}

/// What a record says; where it can't be read, the user is told, and it is as if there were none.
fn take<T: Default>(result: Result<T, RecordError>, told: &mut Vec<String>) -> T {
    result.unwrap_or_else(|error| {
        told.push(with_causes(&error));
        T::default()
    })
}

/// The ports that declared containers are to have and do not hold.
fn wanted_ports(desired: &Desired, observed: &Observed) -> Vec<PortSpec> {
    let mut wanted = BTreeSet::new();
    for declared in desired.containers.values().filter(|d| matches!(d.target, Target::Running | Target::Paused)) {
        let own: Vec<&PortSpec> = observed
            .containers
            .values()
            .filter(|container| container.spec.name == declared.spec.name)
            .flat_map(|container| &container.ports)
            .collect();
        wanted.extend(declared.spec.ports.iter().filter(|port| !own.iter().any(|held| held.fills(port))).cloned());
    }
    wanted.into_iter().collect()
}

fn holder(paths: &Paths, owner: Owner) -> PortHolder {
    let container = owner.container.as_ref().map(|(_, id)| match ledger::made(paths, id) {
        Ok(Some(made)) => made.spec.name.clone(),
        _ => ContainerName::from(id.short()),
    });
    let project = owner.container.map(|(project, _)| project).or(owner.project.map(|(project, _)| project));
    PortHolder { pid: owner.pid, command: owner.command, project, container }
}

/// What the user must be told of this machine before a desired state is applied; for [`Observed::notes`].
///
/// # Errors
/// When the rules of the kernel can't be read.
pub fn notes(paths: &Paths, desired: &Desired) -> Result<Vec<String>, MachineError> {
    let networks: Vec<NetworkSpec> = desired.networks.values().cloned().collect();
    let publishes = desired.containers.values().any(|declared| !declared.spec.ports.is_empty());
    Ok(Net::open(&paths.root, &paths.run)?.warnings_now(&networks, publishes)?)
}

fn container(
    paths: &Paths,
    project: &ProjectName,
    id: &ContainerId,
    cache: &Cache,
    told: &mut Vec<String>,
) -> Result<ObservedContainer, RecordError> {
    let Some(made) = cache.made(paths, id, told)? else { return Ok(half_made(paths, project, id)) };
    let run = paths.container_run(id);
    let process = take(record::living(&run), told);
    let counters = take(ledger::counters(paths, id), told);
    let (state, started) = match process {
        Some(process) if is_paused(paths, id) => (State::Paused { pid: process.pid }, Some(process.started)),
        Some(process) => (State::Running { pid: process.pid }, Some(process.started)),
        None => ended(paths, id, &made, told),
    };
    let health = health(paths, id, &state, started.as_ref(), told);
    let hooks = take(ledger::hooks(paths, id, started.as_ref()), told);
    Ok(ObservedContainer {
        id: id.clone(),
        spec: made.spec.clone(),
        hash: made.hash.clone(),
        created: made.created.clone(),
        state,
        started,
        health,
        restarts: counters.restarts,
        streak: counters.streak,
        sandbox: paths.shim_socket(id).exists(),
        ports: take(ledger::ports(paths, id), told),
        hooks,
        lost: BTreeSet::new(),
    })
}

fn half_made(paths: &Paths, project: &ProjectName, id: &ContainerId) -> ObservedContainer {
    let spec = crate::desired::ContainerSpec { project: project.clone(), ..Default::default() };
    ObservedContainer {
        id: id.clone(),
        spec,
        hash: String::new(),
        created: Stamp::default(),
        state: State::Incomplete,
        started: None,
        health: Health::None,
        restarts: 0,
        streak: 0,
        sandbox: paths.shim_socket(id).exists(),
        ports: Vec::new(),
        hooks: Default::default(),
        lost: BTreeSet::new(),
    }
}

fn is_paused(paths: &Paths, id: &ContainerId) -> bool {
    super::stop::paused_mark(paths, id).exists()
}

/// How the last process ended, and when it had been started.
fn ended(paths: &Paths, id: &ContainerId, made: &Made, told: &mut Vec<String>) -> (State, Option<Stamp>) {
    let (run, state) = (paths.container_run(id), paths.container(id));
    if let Some(end) = take(record::ended(&run, &state), told) {
        let stopped = super::stop::stopped_mark(paths, id).exists();
        return (State::Exited(Exit { stopped, ..end.exit }), end.started);
    }
    if let Ok(Some(process)) = crate::host::record::read::<record::ProcessRecord>(&run.join(record::PROCESS)) {
        if record::is_same(process.shim, process.shim_ticks) {
            // It has ended, and its shim is about to say how: until then it counts as running.
            return (State::Running { pid: process.pid }, Some(process.started));
        }
        let lost = lost(LOST, &process.started);
        return (State::Exited(lost), Some(process.started));
    }
    if made.created.boot != clock::boot_id() {
        return (State::Exited(lost("the machine was restarted", &made.created)), None);
    }
    (State::Created, None)
}

/// Why nothing is known of an end: the shim was killed.
pub const LOST: &str = "its shim was lost, and its exit code with it";

/// An end that nobody saw. 255 is what docker gives those.
pub fn lost(why: &str, at: &Stamp) -> Exit {
    Exit { code: 255, oom: false, at: at.clone(), stopped: false, error: Some(why.to_owned()) }
}

/// The recorded health, if it speaks of the process that lives.
fn health(paths: &Paths, id: &ContainerId, state: &State, started: Option<&Stamp>, told: &mut Vec<String>) -> Health {
    if !matches!(state, State::Running { .. } | State::Paused { .. }) {
        return Health::None;
    }
    match take(ledger::health(paths, id), told) {
        Some(record) if record.started.as_ref() == started => record.health,
        _ => Health::None,
    }
}

/// The name of a project's cgroups: several worlds have projects of the same name.
pub fn cgroup_name(paths: &Paths, project: &ProjectName) -> String {
    world::name_of(&paths.root, project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_anew_when_it_changed_or_nobody_tells_of_it() {
        let (cache, id, project) = (Cache::told(), ContainerId::from("c"), ProjectName::from("p"));
        let paths = Paths { root: "/nowhere".into(), run: "/nowhere".into() };
        let created = || ObservedContainer { state: State::Created, ..half_made(&paths, &project, &id) };
        let looks = std::cell::Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            Ok::<_, RecordError>(created())
        };
        cache.seen(&id, look).expect("a look");
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 2, "nobody tells of it yet");
        cache.follow(&id);
        cache.seen(&id, look).expect("a look");
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 3);
        cache.changed(&id);
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 4);
        cache.changed(&id);
        cache
            .seen(&id, || {
                cache.changed(&id);
                look()
            })
            .expect("a look");
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 6, "it changed while it was looked at");
        cache.unfollow(&id);
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 7);
    }
}
