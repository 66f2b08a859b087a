//! What becomes of each container, before anything is put in order.

use std::collections::{BTreeMap, BTreeSet};

use super::hook;
use super::restart::{Verdict, verdict};
use crate::desired::changes;
use crate::desired::{Desired, DesiredContainer, NetMode, NsMode, Stamp, Target};
use crate::name::{ContainerId, ContainerName, NetworkName};
use crate::observed::{Observed, ObservedContainer, State};

/// What becomes of a container that exists.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It goes.
    Goes(Vec<String>),
    /// It stays, and this is done to it.
    Stays(Option<Move>),
}

/// What is done to the process of a container that stays.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Start it; by its restart policy with the new counts.
    Start(String, Option<(u32, u32)>),
    /// Start it by its restart policy, but later.
    Later(Stamp),
    /// Stop it.
    Stop(String),
    /// Stop it and start it.
    Restart(String),
    /// Freeze it.
    Pause(String),
    /// Thaw it.
    Unpause(String),
    /// Take its shim, links and ports: it has ended and stays so.
    Release(String),
}

/// The fates of all containers, and which container stands for which declared name.
#[derive(Clone, Debug, Default)]
pub struct Fates {
    /// By id.
    pub fates: BTreeMap<ContainerId, Fate>,
    /// The container that has a declared name, if it stays.
    pub holders: BTreeMap<ContainerName, ContainerId>,
    /// Containers of services that nobody declares.
    pub orphans: BTreeSet<ContainerName>,
    /// Why a declared container is made anew.
    pub renewed: BTreeMap<ContainerName, Vec<String>>,
}

/// Decides the fate of every container. `networks` are those that are made anew.
pub fn decide(desired: &Desired, observed: &Observed, networks: &BTreeSet<NetworkName>, now: &Stamp) -> Fates {
    let mut fates = Fates::default();
    let newest = newest(observed);
    for (id, container) in &observed.containers {
        let name = &container.spec.name;
        let fate = match desired.containers.get(name) {
            _ if container.state == State::Incomplete => Fate::Goes(vec!["half made".into()]),
            Some(_) if newest.get(name) != Some(&id) => Fate::Goes(vec!["superseded".into()]),
            Some(declared) => {
                if desired.is_undeclared(declared) && !container.spec.oneoff && !is_off(desired, container) {
                    fates.orphans.insert(name.clone());
                }
                declared_fate(desired, declared, container, networks, now)
            }
            None if is_left_alone(desired, container) => {
                if !is_off(desired, container) {
                    fates.orphans.insert(name.clone());
                }
                Fate::Stays(None)
            }
            None => Fate::Goes(vec!["not declared".into()]),
        };
        match &fate {
            Fate::Stays(_) if desired.containers.contains_key(name) => {
                fates.holders.insert(name.clone(), id.clone());
            }
            Fate::Goes(causes) if desired.containers.contains_key(name) && newest.get(name) == Some(&id) => {
                fates.renewed.insert(name.clone(), causes.clone());
            }
            _ => {}
        }
        fates.fates.insert(id.clone(), fate);
    }
    follow_namespaces(desired, observed, &mut fates);
    follow_prepared(desired, &mut fates);
    follow_dependencies(desired, observed, &mut fates);
    let_go(desired, observed, &mut fates);
    fates
}

/// What prepares containers that are all made anew is made anew too.
fn follow_prepared(desired: &Desired, fates: &mut Fates) {
    for (name, id) in fates.holders.clone() {
        let declared = &desired.containers[&name];
        if declared.prepares && !desired.is_undeclared(declared) && hook::is_stale(&name, fates, desired) {
            let causes = vec!["what it prepares is made anew".to_owned()];
            fates.holders.remove(&name);
            fates.renewed.insert(name, causes.clone());
            fates.fates.insert(id, Fate::Goes(causes));
        }
    }
}

/// What has ended and does not come back by itself holds no ports, addresses or shim. Not while another container lives, or
/// is to live, in its namespaces: that one would lose its network.
fn let_go(desired: &Desired, observed: &Observed, fates: &mut Fates) {
    let mut released = Vec::new();
    let needed = needed(desired, observed, fates);
    for (name, id) in &fates.holders {
        let Some(there) = observed.containers.get(id) else { continue };
        let (State::Exited(exit), true) = (&there.state, there.sandbox) else { continue };
        let stays = fates.fates.get(id) == Some(&Fate::Stays(None)) && !desired.containers[name].auto_remove;
        if stays && !needed.contains(name) {
            released.push((id.clone(), Move::Release(format!("exited {}, and stays down", exit.code))));
        }
    }
    fates.fates.extend(released.into_iter().map(|(id, release)| (id, Fate::Stays(Some(release)))));
}

/// The containers in whose namespaces others live, or are to live, be it through one that lives in another's itself.
fn needed(desired: &Desired, observed: &Observed, fates: &Fates) -> BTreeSet<ContainerName> {
    let coming = desired.containers.iter().filter(|(name, declared)| {
        let wanted = matches!(declared.target, Target::Running | Target::Paused);
        wanted
            && match fates.holders.get(*name) {
                Some(id) => !is_down(observed, fates, id),
                None => !desired.is_undeclared(declared),
            }
    });
    let coming = coming.map(|(_, declared)| &declared.spec.namespaces);
    let lives =
        |there: &&ObservedContainer| there.is_running() && matches!(fates.fates.get(&there.id), Some(Fate::Stays(_)));
    let living = observed.containers.values().filter(lives).map(|there| &there.spec.namespaces);
    let mut needed: BTreeSet<ContainerName> = coming.chain(living).flat_map(providers).cloned().collect();
    loop {
        let (before, there) = (needed.len(), observed.containers.values());
        let through = there.filter(|there| needed.contains(&there.spec.name)).map(|there| &there.spec.namespaces);
        let more: Vec<ContainerName> = through.flat_map(providers).cloned().collect();
        needed.extend(more);
        if needed.len() == before {
            return needed;
        }
    }
}

/// Whether a container neither runs nor is to be started.
fn is_down(observed: &Observed, fates: &Fates, id: &ContainerId) -> bool {
    !runs(observed, id)
        && matches!(fates.fates.get(id), Some(Fate::Stays(None | Some(Move::Stop(_) | Move::Release(_)))))
}

/// `depends_on.restart`: who depends so on a container that is made anew is restarted. (Of an explicit restart the edit
/// of the desired state takes care.)
fn follow_dependencies(desired: &Desired, observed: &Observed, fates: &mut Fates) {
    for (name, id) in &fates.holders {
        let declared = &desired.containers[name];
        if declared.target != Target::Running || !runs(observed, id) || desired.is_undeclared(declared) {
            continue;
        }
        let renewed = declared.depends_on.iter().filter(|d| d.restart).find(|dependency| {
            fates.renewed.keys().any(|name| {
                desired.containers.get(name).is_some_and(|d| d.spec.service == dependency.service && !d.spec.oneoff)
            })
        });
        if let (Some(dependency), Some(Fate::Stays(None))) = (renewed, fates.fates.get(id)) {
            let cause = format!("dependency {} is made anew", dependency.service);
            fates.fates.insert(id.clone(), Fate::Stays(Some(Move::Restart(cause))));
        }
    }
}

fn newest(observed: &Observed) -> BTreeMap<&ContainerName, &ContainerId> {
    let mut newest: BTreeMap<&ContainerName, (&ContainerId, &Stamp)> = BTreeMap::new();
    for (id, container) in &observed.containers {
        let entry = newest.entry(&container.spec.name).or_insert((id, &container.created));
        if entry.1.is_before(&container.created) && entry.1 != &container.created {
            *entry = (id, &container.created);
        }
    }
    newest.into_iter().map(|(name, (id, _))| (name, id)).collect()
}

/// Whether a container of a service that is not declared is not ours to remove: its profile is off, or it is an orphan, and
/// nobody asked for its removal.
pub fn is_left_alone(desired: &Desired, container: &ObservedContainer) -> bool {
    let asked_away = desired.remove_containers.contains(&container.spec.name);
    let orphan = || !desired.remove_orphans && !desired.services.contains(&container.spec.service);
    !asked_away && (is_off(desired, container) || orphan())
}

fn is_off(desired: &Desired, container: &ObservedContainer) -> bool {
    desired.off.contains(&container.spec.service)
}

fn declared_fate(
    desired: &Desired,
    declared: &DesiredContainer,
    container: &ObservedContainer,
    networks: &BTreeSet<NetworkName>,
    now: &Stamp,
) -> Fate {
    if declared.target == Target::Stopped {
        // The next start makes it anew, if it has to be.
        return Fate::Stays(process_move(desired, declared, container, now));
    }
    if let Some(causes) = anew(desired, declared, container, networks) {
        return Fate::Goes(causes);
    }
    if declared.auto_remove && matches!(container.state, State::Exited(_)) {
        // The supervisor takes it out of the desired state, and only then it goes: a container that is declared and
        // missing would be made, and its command run, a second time.
        return Fate::Stays(None);
    }
    Fate::Stays(process_move(desired, declared, container, now))
}

/// Why a container is made anew, if it is. One that the files no longer declare never is: what would be made in its place?
fn anew(
    desired: &Desired,
    declared: &DesiredContainer,
    container: &ObservedContainer,
    networks: &BTreeSet<NetworkName>,
) -> Option<Vec<String>> {
    if desired.is_undeclared(declared) {
        return None;
    }
    if !declared.keep_different && declared.hash != container.hash {
        let mut causes = changes::changes(&container.spec, &declared.spec);
        if causes.is_empty() {
            causes.push("made by another version of windlass".into());
        }
        return Some(causes);
    }
    if declared.recreate_before.as_ref().is_some_and(|before| container.created.is_before(before)) {
        return Some(vec!["asked to be made anew".into()]);
    }
    let network = container.spec.endpoints.iter().find(|e| networks.contains(&e.network))?;
    Some(vec![format!("network {} is made anew", network.network)])
}

/// The cause of a stop that somebody has asked for, and nothing follows.
pub const ASKED_TO_STOP: &str = "asked to stop";

fn process_move(
    desired: &Desired,
    declared: &DesiredContainer,
    container: &ObservedContainer,
    now: &Stamp,
) -> Option<Move> {
    let asked = |started: Option<&Stamp>| {
        let before = declared.restart_before.as_ref();
        before.is_some_and(|before| started.is_none_or(|started| started.is_before(before)))
    };
    match (declared.target, &container.state) {
        (Target::Created, _) | (Target::Stopped, State::Created | State::Exited(_)) => None,
        (_, State::Incomplete) => None,
        (Target::Stopped, State::Running { .. } | State::Paused { .. }) => Some(Move::Stop(ASKED_TO_STOP.into())),
        (Target::Running | Target::Paused, State::Created) => Some(Move::Start("not started yet".into(), None)),
        (Target::Running | Target::Paused, State::Exited(exit)) if declared.prepares && exit.code == 0 => None,
        (Target::Running | Target::Paused, State::Exited(exit)) => {
            let start_before = declared.start_before.as_ref();
            if start_before.is_some_and(|before| exit.at.is_before(before)) {
                return Some(Move::Start(format!("exited {}, asked to start", exit.code), None));
            }
            if asked(container.started.as_ref()) {
                return Some(Move::Start("asked to start".into(), None));
            }
            if exit.stopped {
                return Some(Move::Start("was stopped to be started again".into(), None));
            }
            if exit.at.is_before(&desired.applied) && !desired.is_undeclared(declared) {
                return Some(Move::Start(format!("exited {}, up asks again", exit.code), None));
            }
            match verdict(declared, container)? {
                Verdict::Stays => None,
                Verdict::Again { due, .. } if now.is_before(&due) => Some(Move::Later(due)),
                Verdict::Again { restarts, streak, .. } => {
                    let cause = format!("exited {}", exit.code);
                    Some(Move::Start(cause, Some((restarts, streak))))
                }
            }
        }
        (Target::Running, State::Paused { .. }) => Some(Move::Unpause("asked to go on".into())),
        (Target::Running, State::Running { .. }) => {
            asked(container.started.as_ref()).then(|| Move::Restart("asked to restart".into()))
        }
        (Target::Paused, State::Running { .. }) => Some(Move::Pause("asked to pause".into())),
        (Target::Paused, State::Paused { .. }) => None,
    }
}

/// A container in another's namespaces lives and dies with that one: made anew with it, restarted with it.
fn follow_namespaces(desired: &Desired, observed: &Observed, fates: &mut Fates) {
    loop {
        let mut found = None;
        for (name, id) in &fates.holders {
            let declared = &desired.containers[name];
            for provider in providers(&declared.spec.namespaces) {
                let comes = desired.containers.get(provider).is_some_and(|other| other.target != Target::Stopped);
                let renewed = fates.renewed.contains_key(provider) || (comes && !fates.holders.contains_key(provider));
                if renewed && desired.is_undeclared(declared) {
                    // Nothing is made in its place: it stays in the old ones.
                } else if renewed {
                    let cause = format!("shares namespaces of {provider}, which is made anew");
                    found = Some((name.clone(), id.clone(), Fate::Goes(vec![cause])));
                } else if renews_sandbox(observed, fates, provider) && !restarts(fates, name) && runs(observed, id) {
                    let what = if restarts(fates, provider) { "restarted" } else { "started with new ones" };
                    let cause = format!("shares namespaces of {provider}, which is {what}");
                    found = Some((name.clone(), id.clone(), Fate::Stays(Some(Move::Restart(cause)))));
                }
            }
            if found.is_some() {
                break;
            }
        }
        let Some((name, id, fate)) = found else { return };
        if let Fate::Goes(causes) = &fate {
            fates.holders.remove(&name);
            fates.renewed.insert(name, causes.clone());
        }
        fates.fates.insert(id, fate);
    }
}

/// Whether a container gets new namespaces, which those who share them have to enter.
fn renews_sandbox(observed: &Observed, fates: &Fates, name: &ContainerName) -> bool {
    let Some(id) = fates.holders.get(name) else { return false };
    match fates.fates.get(id) {
        Some(Fate::Stays(Some(Move::Restart(_)))) => true,
        Some(Fate::Stays(Some(Move::Start(..)))) => observed.containers.get(id).is_some_and(|there| !there.sandbox),
        _ => false,
    }
}

fn restarts(fates: &Fates, name: &ContainerName) -> bool {
    let fate = fates.holders.get(name).and_then(|id| fates.fates.get(id));
    matches!(fate, Some(Fate::Stays(Some(Move::Restart(_)))))
}

fn runs(observed: &Observed, id: &ContainerId) -> bool {
    observed.containers.get(id).is_some_and(ObservedContainer::is_running)
}

/// The containers whose namespaces a container joins.
pub fn providers(namespaces: &crate::desired::Namespaces) -> BTreeSet<&ContainerName> {
    let mut found = BTreeSet::new();
    if let NetMode::Container(name) = &namespaces.net {
        found.insert(name);
    }
    for mode in [&namespaces.pid, &namespaces.ipc, &namespaces.uts] {
        if let NsMode::Container(name) = mode {
            found.insert(name);
        }
    }
    found
}
