//! The verbs that need no file: `stop`, `start`, `restart`, `kill`, `pause`, `unpause`, `rm`, `down` change a stored desired
//! state, and the reconciler does the rest. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desired, DesiredContainer, Leaving, MountSource, Stamp, StopSpec, Target};
use crate::name::{ContainerName, ServiceName, VolumeName};

/// One verb, as it travels over the control socket. An empty set of services means all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub enum Edit {
    /// Run what is not running: the services, and what they depend on.
    Start {
        /// Which.
        services: BTreeSet<ServiceName>,
    },
    /// End what runs.
    Stop {
        /// Which.
        services: BTreeSet<ServiceName>,
        /// In place of the grace time.
        timeout: Option<Duration>,
    },
    /// End and run again.
    Restart {
        /// Which.
        services: BTreeSet<ServiceName>,
        /// In place of the grace time.
        timeout: Option<Duration>,
        /// Leave alone those whose `depends_on` has `restart: true`.
        no_deps: bool,
    },
    /// End at once. (Any other signal than KILL is sent by the host and changes nothing that is desired.)
    Kill {
        /// Which.
        services: BTreeSet<ServiceName>,
    },
    /// Freeze what runs.
    Pause {
        /// Which.
        services: BTreeSet<ServiceName>,
        /// Containers that do not run, as who asks has seen it: they are left as they are, an `up` that waits for their
        /// start too.
        #[serde(default)]
        down: BTreeSet<ContainerName>,
    },
    /// Thaw what is frozen.
    Unpause {
        /// Which.
        services: BTreeSet<ServiceName>,
    },
    /// Remove containers.
    Remove {
        /// Which.
        services: BTreeSet<ServiceName>,
        /// Only these: those that do not run, if nobody asked to stop the others. They may be of `run` too.
        only: Option<BTreeSet<ContainerName>>,
        /// Their anonymous volumes too.
        volumes: bool,
    },
    /// Remove containers and networks. [`Edit::before`] comes first.
    Down {
        /// Which.
        services: BTreeSet<ServiceName>,
        /// In place of the grace time.
        timeout: Option<Duration>,
        /// Volumes too: anonymous ones, and named ones that are not external and that nobody else of the project uses.
        volumes: bool,
        /// With `volumes`: the volumes that the files declare, known here or not: no other named one goes, where services are
        /// named because the files declare no others. `None`: whatever the services use.
        declared: Option<BTreeSet<VolumeName>>,
        /// Containers of services that the file does not have, too.
        remove_orphans: bool,
    },
}

/// Why a verb cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum EditError {
    /// Nothing has this name.
    #[error("there is no service `{service}` in project `{project}`; it has {known}")]
    UnknownService {
        /// As it was given.
        service: ServiceName,
        /// The project.
        project: String,
        /// What there is.
        known: String,
    },
    /// The service is known, but has no container.
    #[error("service `{service}` has no container; `windlass up {service}` makes one")]
    NoContainer {
        /// The service.
        service: ServiceName,
    },
    /// What does not run cannot be frozen.
    #[error("service `{service}` does not run, so it cannot be paused; `windlass start {service}` runs it")]
    NotRunning {
        /// The service.
        service: ServiceName,
    },
    /// What is frozen cannot be frozen again.
    #[error("service `{service}` is paused already")]
    Paused {
        /// The service.
        service: ServiceName,
    },
    /// What is not frozen cannot be thawed.
    #[error("service `{service}` is not paused")]
    NotPaused {
        /// The service.
        service: ServiceName,
    },
}

impl Edit {
    /// Whether it only takes away, or goes back to what ran before it was frozen: nothing is made of it that needs room.
    pub fn takes_away(&self) -> bool {
        !matches!(self, Edit::Start { .. } | Edit::Restart { .. })
    }

    /// The services that it names.
    pub fn services(&self) -> &BTreeSet<ServiceName> {
        match self {
            Edit::Start { services }
            | Edit::Stop { services, .. }
            | Edit::Restart { services, .. }
            | Edit::Kill { services }
            | Edit::Pause { services, .. }
            | Edit::Unpause { services }
            | Edit::Remove { services, .. }
            | Edit::Down { services, .. } => services,
        }
    }
}

/// The desired state after a verb, one generation later.
///
/// # Errors
/// When it names what is not there, or asks for what cannot be.
pub fn edit(desired: &Desired, edit: &Edit, now: &Stamp) -> Result<Desired, EditError> {
    known(desired, edit)?;
    let mut next = desired.clone();
    next.generation += 1;
    next.grace = None;
    match edit {
        Edit::Start { services } => start(&mut next, services, now)?,
        Edit::Stop { services, timeout } => stop(&mut next, services, *timeout),
        Edit::Restart { services, timeout, no_deps } => restart(&mut next, services, *timeout, *no_deps, now)?,
        Edit::Kill { services } => kill(&mut next, services),
        Edit::Pause { services, down } => pause(&mut next, services, down)?,
        Edit::Unpause { services } => unpause(&mut next, services)?,
        Edit::Remove { services, only, volumes } => {
            remove(&mut next, services, only.as_ref(), *volumes);
            // What exists without being desired goes too.
            next.remove_containers.extend(only.iter().flatten().cloned());
        }
        Edit::Down { services, timeout, volumes, declared, remove_orphans } => {
            down(&mut next, services, *volumes, declared.as_ref(), *remove_orphans);
            next.remove_orphans = *remove_orphans;
            // Its timeout holds for all that it stops, and what a profile that is off has is an orphan to it.
            next.grace = *timeout;
            next.off.clear();
            // What is there of them without being desired goes too.
            next.services.extend(services.iter().cloned());
        }
    }
    drop_preparations(&mut next);
    for (name, container) in desired.containers.iter().filter(|(name, _)| !next.containers.contains_key(*name)) {
        next.remove_containers.insert(name.clone());
        let leaving = Leaving { depends_on: container.depends_on.clone(), grace: container.spec.stop.grace };
        next.leaving.insert(name.clone(), leaving);
    }
    next.asked = asked(desired, &next, edit);
    Ok(next)
}

/// The containers that a verb names, and those that it changes; `None`: all. What is frozen or thawed is that alone: the others
/// stay as they are, be it that an earlier `up` still waits for them.
fn asked(before: &Desired, next: &Desired, edit: &Edit) -> Option<BTreeSet<ContainerName>> {
    let services = edit.services();
    let only_changed = matches!(edit, Edit::Pause { .. } | Edit::Unpause { .. });
    if services.is_empty() && !only_changed && !matches!(edit, Edit::Remove { only: Some(_), .. }) {
        return None;
    }
    let asked = next.containers.iter().filter(|(name, container)| {
        let named = !only_changed && services.contains(&container.spec.service) && !container.spec.oneoff;
        named || before.containers.get(*name) != Some(*container)
    });
    Some(asked.map(|(name, _)| name.clone()).collect())
}

/// What prepares nobody any more goes.
fn drop_preparations(desired: &mut Desired) {
    let owners = desired.containers.values().filter(|container| !container.prepares);
    let needed: BTreeSet<ContainerName> = owners.flat_map(|container| container.pre_start.clone()).collect();
    desired.containers.retain(|name, container| !container.prepares || needed.contains(name));
}

/// Every service that is named must be declared, or have a container.
fn known(desired: &Desired, edit: &Edit) -> Result<(), EditError> {
    if matches!(edit, Edit::Stop { .. } | Edit::Down { .. }) {
        // Of what only exists, by other files, nothing is desired.
        return Ok(());
    }
    let mut known: BTreeSet<&ServiceName> = desired.services.iter().collect();
    known.extend(desired.containers.values().map(|container| &container.spec.service));
    let Some(service) = edit.services().iter().find(|service| !known.contains(service)) else { return Ok(()) };
    let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "none".to_owned() } else { known };
    Err(EditError::UnknownService { service: service.clone(), project: desired.project.to_string(), known })
}

/// The containers of these services, or all; those of `run` only where the verb means them too.
fn of<'a>(
    desired: &'a mut Desired,
    services: &'a BTreeSet<ServiceName>,
) -> impl Iterator<Item = &'a mut DesiredContainer> {
    let chosen = |one: &DesiredContainer| services.is_empty() || services.contains(&one.spec.service);
    desired
        .containers
        .values_mut()
        .filter(move |container| (!container.spec.oneoff || container.prepares) && chosen(container))
}

/// Services of which none has a container are an error for verbs that would do nothing.
fn must_have(desired: &Desired, services: &BTreeSet<ServiceName>) -> Result<(), EditError> {
    let has =
        |service: &ServiceName| desired.containers.values().any(|one| one.spec.service == *service && !one.spec.oneoff);
    match services.first() {
        Some(service) if !services.iter().any(has) => Err(EditError::NoContainer { service: service.clone() }),
        _ => Ok(()),
    }
}

/// Where none is named, there must be one container at least.
fn must_have_any(desired: &Desired, services: &BTreeSet<ServiceName>) -> Result<(), EditError> {
    let none = desired.containers.values().all(|one| one.spec.oneoff);
    match desired.services.iter().find(|service| !desired.providers.contains_key(*service)) {
        Some(service) if none && services.is_empty() => Err(EditError::NoContainer { service: service.clone() }),
        _ => Ok(()),
    }
}

fn start(desired: &mut Desired, services: &BTreeSet<ServiceName>, now: &Stamp) -> Result<(), EditError> {
    must_have(desired, services)?;
    must_have_any(desired, services)?;
    let all = with_dependencies(desired, services);
    for container in of(desired, &all) {
        if container.target != Target::Paused {
            container.target = Target::Running;
            container.start_before = Some(now.clone());
            container.stop = container.spec.stop.clone();
        }
    }
    Ok(())
}

fn with_dependencies(desired: &Desired, services: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    grow(services, |all| {
        let holders = desired.containers.values().filter(|container| all.contains(&container.spec.service));
        holders.flat_map(|container| &container.depends_on).map(|edge| edge.service.clone()).collect()
    })
}

/// Adds what `more` finds until it finds nothing new.
fn grow(
    services: &BTreeSet<ServiceName>,
    more: impl Fn(&BTreeSet<ServiceName>) -> Vec<ServiceName>,
) -> BTreeSet<ServiceName> {
    let mut all = services.clone();
    loop {
        let before = all.len();
        all.extend(more(&all));
        if all.len() == before {
            return all;
        }
    }
}

fn graced(stop: &StopSpec, timeout: Option<Duration>) -> StopSpec {
    StopSpec { grace: timeout.unwrap_or(stop.grace), ..stop.clone() }
}

fn stop(desired: &mut Desired, services: &BTreeSet<ServiceName>, timeout: Option<Duration>) {
    for container in of(desired, services) {
        container.target = Target::Stopped;
        container.stop = graced(&container.spec.stop, timeout);
    }
}

fn restart(
    desired: &mut Desired,
    services: &BTreeSet<ServiceName>,
    timeout: Option<Duration>,
    no_deps: bool,
    now: &Stamp,
) -> Result<(), EditError> {
    must_have(desired, services)?;
    // What was not named comes along only if it runs: nobody asked to start it.
    let along = if no_deps || services.is_empty() { services.clone() } else { with_dependents(desired, services) };
    for container in of(desired, &along) {
        let named = services.is_empty() || services.contains(&container.spec.service);
        if named || container.target == Target::Running {
            container.target = Target::Running;
            container.restart_before = Some(now.clone());
            container.start_before = Some(now.clone());
            container.stop = graced(&container.spec.stop, timeout);
        }
    }
    Ok(())
}

/// These services, and those that must be restarted with them (`depends_on.*.restart: true`), directly or not.
fn with_dependents(desired: &Desired, services: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    grow(services, |all| {
        // Through what does not run nobody is concerned: it is not restarted itself.
        let follows = |one: &&DesiredContainer| {
            let mut edges = one.depends_on.iter();
            one.target == Target::Running && edges.any(|edge| edge.restart && all.contains(&edge.service))
        };
        desired.containers.values().filter(follows).map(|container| container.spec.service.clone()).collect()
    })
}

fn kill(desired: &mut Desired, services: &BTreeSet<ServiceName>) {
    const SIGKILL: i32 = 9;
    for container in desired.containers.values_mut() {
        if services.is_empty() || services.contains(&container.spec.service) {
            container.target = Target::Stopped;
            container.stop = StopSpec { signal: SIGKILL, grace: Duration::ZERO, kill: true };
        }
    }
}

fn pause(
    desired: &mut Desired,
    services: &BTreeSet<ServiceName>,
    down: &BTreeSet<ContainerName>,
) -> Result<(), EditError> {
    must_have(desired, services)?;
    let (mut changed, mut paused, mut still) = (false, None, None);
    for container in of(desired, services) {
        match container.target {
            Target::Running if !down.contains(&container.spec.name) => {
                (container.target, changed) = (Target::Paused, true);
            }
            Target::Paused => paused = Some(container.spec.service.clone()),
            Target::Running | Target::Created | Target::Stopped => still = Some(container.spec.service.clone()),
        }
    }
    match (paused, still) {
        (Some(service), _) if !services.is_empty() || !changed => Err(EditError::Paused { service }),
        (None, Some(service)) if !services.is_empty() && !changed => Err(EditError::NotRunning { service }),
        _ => Ok(()),
    }
}

fn unpause(desired: &mut Desired, services: &BTreeSet<ServiceName>) -> Result<(), EditError> {
    must_have(desired, services)?;
    let (mut changed, mut running, mut down) = (false, None, None);
    for container in of(desired, services) {
        match container.target {
            Target::Paused => (container.target, changed) = (Target::Running, true),
            Target::Created | Target::Stopped => down = Some(container.spec.service.clone()),
            Target::Running => running = Some(container.spec.service.clone()),
        }
    }
    match (running, down) {
        (Some(service), _) if !services.is_empty() || !changed => Err(EditError::NotPaused { service }),
        (None, Some(service)) if !services.is_empty() && !changed => Err(EditError::NotPaused { service }),
        _ => Ok(()),
    }
}

fn remove(
    desired: &mut Desired,
    services: &BTreeSet<ServiceName>,
    only: Option<&BTreeSet<ContainerName>>,
    volumes: bool,
) {
    let chosen = |name: &ContainerName, container: &DesiredContainer| {
        let of_service = services.is_empty() || services.contains(&container.spec.service);
        of_service && only.map_or(!container.spec.oneoff, |only| only.contains(name))
    };
    let used = take_out(desired, chosen);
    // Named volumes stay known, so that a later `down -v` finds them.
    let anonymous = used.into_iter().filter(|name| desired.volumes.get(name).is_some_and(|volume| volume.anonymous));
    forget(desired, anonymous.collect(), volumes);
}

fn down(
    desired: &mut Desired,
    services: &BTreeSet<ServiceName>,
    volumes: bool,
    declared: Option<&BTreeSet<VolumeName>>,
    orphans: bool,
) {
    let mut used = take_out(desired, |_, container| services.is_empty() || services.contains(&container.spec.service));
    if services.is_empty() {
        used.extend(desired.volumes.keys().cloned());
    } else if let Some(declared) = declared {
        let anonymous = |name: &VolumeName| desired.volumes.get(name).is_some_and(|volume| volume.anonymous);
        used.retain(|name| declared.contains(name) || anonymous(name));
    }
    used.extend(declared.into_iter().flatten().cloned());
    if orphans {
        let known = desired.services.clone();
        let of_orphans = take_out(desired, |_, container| !known.contains(&container.spec.service));
        used.extend(of_orphans.into_iter().filter(|name| desired.volumes.get(name).is_some_and(|one| one.anonymous)));
    }
    desired.providers.retain(|name, _| !services.is_empty() && !services.contains(name));
    forget(desired, used, volumes);
    let needed: BTreeSet<_> =
        desired.containers.values().flat_map(|one| &one.spec.endpoints).map(|endpoint| &endpoint.network).collect();
    desired.networks.retain(|name, _| needed.contains(name));
}

/// Takes containers out, and returns the volumes that they used.
fn take_out(desired: &mut Desired, chosen: impl Fn(&ContainerName, &DesiredContainer) -> bool) -> BTreeSet<VolumeName> {
    let mut used = BTreeSet::new();
    desired.containers.retain(|name, container| {
        let goes = chosen(name, container);
        if goes {
            used.extend(volumes_of(container).cloned());
        }
        !goes
    });
    used
}

fn volumes_of(container: &DesiredContainer) -> impl Iterator<Item = &VolumeName> {
    container.spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { name, .. } => Some(name),
        _ => None,
    })
}

/// Volumes that no container of the project uses any more are no longer asked for, and asked away if `destroy`. External
/// ones are never.
fn forget(desired: &mut Desired, volumes: BTreeSet<VolumeName>, destroy: bool) {
    let needed: BTreeSet<VolumeName> = desired.containers.values().flat_map(volumes_of).cloned().collect();
    for name in volumes.into_iter().filter(|name| !needed.contains(name)) {
        let external = desired.volumes.get(&name).is_some_and(|volume| volume.project.is_none());
        desired.volumes.remove(&name);
        if destroy && !external {
            desired.remove_volumes.insert(name);
        }
    }
}
