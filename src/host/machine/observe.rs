//! Reads what exists of a project. Works with and without a supervisor: the ledger says what was made of what, the
//! kernel says what runs.

mod cache;

use std::collections::{BTreeMap, BTreeSet};

pub use cache::Cache;

use super::{MachineError, with_causes};
use crate::desired::{Desired, DesiredContainer, NetworkSpec, PortSpec, Stamp, Target};
use crate::host::container::record;
use crate::host::image::Store;
use crate::host::ledger::container::{self as ledger, Made};
use crate::host::ledger::project;
use crate::host::net::{Net, Owner};
use crate::host::paths::Paths;
use crate::host::record::RecordError;
use crate::host::{clock, volume, world};
use crate::name::{ContainerId, ContainerName, ProjectName, ServiceName, VolumeName};
use crate::observed::{
    Exit, Health, Observed, ObservedContainer, ObservedPort, ObservedVolume, PortHolder, State, Unknown,
};

/// Where is looked.
pub struct Sight<'a> {
    /// The folders.
    pub paths: &'a Paths,
    /// The networks.
    pub net: &'a Net,
    /// The images.
    pub images: &'a Store,
    /// What was read before.
    pub cache: &'a Cache,
}

/// Everything of a project that exists, and what its desired state names besides.
///
/// # Errors
/// When the networks can't be read; when this process lacks what it takes to read records.
pub fn observe(sight: &Sight<'_>, project: &ProjectName, desired: &Desired) -> Result<Observed, MachineError> {
    let paths = sight.paths;
    let mut observed = containers(paths, project, None, sight.cache)?;
    networks(sight, project, desired, &mut observed)?;
    for spec in volume::list(paths) {
        if spec.project.as_ref() == Some(project) || desired.volumes.contains_key(&spec.name) {
            let goes = desired.remove_volumes.contains(&spec.name);
            let others = if goes { users_elsewhere(paths, project, &spec.name)? } else { Vec::new() };
            observed.volumes.insert(spec.name.clone(), ObservedVolume { spec, others });
        }
    }
    let images: BTreeMap<_, _> =
        desired.containers.values().flat_map(|c| c.spec.images()).map(|image| (&image.id, image)).collect();
    let present = images.into_iter().filter(|(_, image)| sight.images.layers_present(image));
    observed.images = present.map(|(id, _)| id.clone()).collect();
    Ok(observed)
}

/// The containers of other projects that have a volume mounted, running or not. Of one whose record can't be read nobody
/// knows: it counts.
fn users_elsewhere(
    paths: &Paths,
    project: &ProjectName,
    volume: &VolumeName,
) -> Result<Vec<ContainerName>, RecordError> {
    let mut users = Vec::new();
    let own: BTreeSet<ContainerId> = project::containers(paths, project)?.into_iter().collect();
    for id in project::every_container(paths)?.difference(&own) {
        match ledger::made(paths, id) {
            Ok(Some(made)) if made.spec.mounts.iter().any(|one| one.is_of(volume)) => {
                users.push(made.spec.name.clone());
            }
            Ok(_) | Err(RecordError::Damaged { .. }) => {}
            Err(_) => users.push(id.short().into()),
        }
    }
    Ok(users)
}

/// The containers of a project, or those of one of its services; the rest of what was observed is left out.
///
/// # Errors
/// When this process lacks what it takes to read records. A single one that can't be read makes its container unknown.
pub fn containers(
    paths: &Paths,
    project: &ProjectName,
    service: Option<&ServiceName>,
    cache: &Cache,
) -> Result<Observed, RecordError> {
    let mut observed = Observed::default();
    let ids = match service {
        Some(service) => project::containers_of(paths, project, service)?,
        None => project::containers(paths, project)?,
    };
    for id in ids {
        let warnings = &mut observed.warnings;
        match cache.seen(&id, || container(paths, project, &id, cache, warnings)) {
            Ok(there) => drop(observed.containers.insert(id, there)),
            Err(error) if error.is_of_record() => {
                let service = project::service_of(paths, project, &id);
                observed.unknown.insert(id, Unknown { service, reason: with_causes(&error) });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(observed)
}

/// The networks, what containers have lost of theirs, and the ports that may not be had.
fn networks(
    sight: &Sight<'_>,
    project: &ProjectName,
    desired: &Desired,
    observed: &mut Observed,
) -> Result<(), MachineError> {
    let (paths, net) = (sight.paths, sight.net);
    let survey = sight.cache.survey(|| net.survey_now(project))?;
    observed.warnings.extend(net.damaged());
    for network in &survey.networks {
        if network.spec.project.as_ref() == Some(project) || desired.networks.contains_key(&network.spec.name) {
            let mut network = network.clone();
            // Who is not there any more is about to be taken off it.
            network.endpoints.retain(|id| observed.containers.contains_key(id) || paths.container(id).exists());
            observed.networks.insert(network.spec.name.clone(), network);
        }
    }
    for (id, lost) in &survey.lost {
        if let Some(container) = observed.containers.get_mut(id) {
            container.lost.clone_from(lost);
        }
    }
    for taken in net.taken_now(project, &wanted_ports(desired, observed))? {
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
    let runs = |d: &&DesiredContainer| matches!(d.target, Target::Running | Target::Paused);
    for declared in desired.containers.values().filter(runs).filter(|d| !d.spec.ports.is_empty()) {
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
pub fn notes(net: &Net, desired: &Desired) -> Result<Vec<String>, MachineError> {
    let networks: Vec<NetworkSpec> = desired.networks.values().cloned().collect();
    let publishes = desired.containers.values().any(|declared| !declared.spec.ports.is_empty());
    Ok(net.warnings_now(&networks, publishes)?)
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
    if let Some(last) = last(paths, id, told) {
        return last;
    }
    if made.created.boot != clock::boot_id() {
        return (State::Exited(lost("the machine was restarted", &made.created)), None);
    }
    (State::Created, None)
}

/// The last process that is known of, which does not run.
fn last(paths: &Paths, id: &ContainerId, told: &mut Vec<String>) -> Option<(State, Option<Stamp>)> {
    let (run, state) = (paths.container_run(id), paths.container(id));
    if let Some(end) = take(record::ended(&run, &state), told) {
        let stopped = super::stop::stopped_mark(paths, id).exists();
        return Some((State::Exited(Exit { stopped, ..end.exit }), end.started));
    }
    let process = crate::host::record::read::<record::ProcessRecord>(&run.join(record::PROCESS)).ok()??;
    if record::is_same(process.shim, process.shim_ticks) {
        // It has ended, and its shim is about to say how: until then it counts as running.
        return Some((State::Running { pid: process.pid }, Some(process.started)));
    }
    let lost = lost(LOST, &process.started);
    Some((State::Exited(lost), Some(process.started)))
}

/// How the last process of a container has ended, as [`containers`] would tell; `None`: it has not, or nothing is known of it.
pub fn exit(paths: &Paths, id: &ContainerId) -> Option<Exit> {
    // What is damaged is told by the next look at all.
    match last(paths, id, &mut Vec::new())? {
        (State::Exited(exit), _) => Some(exit),
        _ => None,
    }
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
