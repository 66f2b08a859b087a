//! The steps of a plan, and what each of them comes after.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::action::{Action, Cause, Failure, Plan, Step, StepId, Wait};
use super::depend::{Standing, standing};
use super::fate::{self, Fate, Fates, Move};
use super::hook::preparation;
use super::order::Dependents;
use super::port;
use super::restart::{Verdict, verdict};
use crate::desired::{
    Condition, ContainerSpec, Dependency, Desired, DesiredContainer, MountSource, Stamp, StopSpec, Target,
};
use crate::name::{ContainerId, ContainerName, Digest, NetworkName, ServiceName, VolumeName};
use crate::observed::{Observed, ObservedContainer, State};

/// Puts a plan together.
pub struct Builder<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    now: &'a Stamp,
    dependents: Dependents,
    pub(super) plan: Plan,
    /// Networks that are made anew, with the causes.
    pub(super) renewed_networks: BTreeMap<NetworkName, Vec<String>>,
    pub(super) networks: BTreeMap<NetworkName, StepId>,
    pub(super) volumes: BTreeMap<VolumeName, StepId>,
    pub(super) images: BTreeMap<Digest, StepId>,
    pub(super) stops: BTreeMap<ContainerId, StepId>,
    mends: BTreeMap<ContainerId, StepId>,
    pub(super) removals: BTreeMap<ContainerId, StepId>,
    pub(super) starts: BTreeMap<ContainerName, StepId>,
    /// Containers that prepare others and have had their turn.
    pub(super) prepared: BTreeSet<ContainerName>,
    /// Why a container can't be started.
    failed: BTreeMap<ContainerName, Failure>,
}

impl<'a> Builder<'a> {
    /// An empty plan between the two.
    pub fn new(desired: &'a Desired, observed: &'a Observed, now: &'a Stamp) -> Self {
        Self {
            desired,
            observed,
            now,
            dependents: Dependents::new(desired, observed),
            plan: Plan::default(),
            renewed_networks: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            stops: BTreeMap::new(),
            mends: BTreeMap::new(),
            removals: BTreeMap::new(),
            starts: BTreeMap::new(),
            prepared: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Builds it: removals before additions, dependents stopped before and started after what they depend on.
    pub fn build(mut self) -> Plan {
        self.plan.warnings.extend(self.observed.warnings.iter().cloned());
        self.compare_networks();
        let renewed = self.renewed_networks.keys().cloned().collect();
        let fates = fate::decide(self.desired, self.observed, &renewed, self.now);
        self.pull_images(&fates);
        self.stop_and_remove(&fates);
        self.remove_networks();
        self.remove_volumes();
        self.create_networks();
        self.create_volumes();
        self.keep(&fates);
        self.start(&fates);
        self.warn(&fates);
        self.plan
    }

    pub(super) fn step(&mut self, action: Action, causes: Vec<String>, after: Vec<StepId>) -> StepId {
        let id = StepId(self.plan.steps.len());
        let mut after = after;
        after.sort();
        after.dedup();
        let causes = causes.into_iter().map(Cause).collect();
        self.plan.steps.push(Step { id, action, causes, after, waits: Vec::new() });
        id
    }

    fn fail(&mut self, container: &ContainerName, reason: String, culprit: Option<ContainerName>) {
        self.fail_with(Failure { container: container.clone(), reason, culprit, obstacle: false });
    }

    fn fail_with(&mut self, failure: Failure) {
        self.failed.insert(failure.container.clone(), failure.clone());
        self.plan.failures.push(failure);
    }

    /// What can't be made or started, and was so before anything is tried.
    fn bar(&mut self, container: &ContainerName, reason: String) {
        self.fail_with(Failure { container: container.clone(), reason, culprit: None, obstacle: true });
    }

    /// Why a container can't be made or started, before anything is tried.
    fn barred(&self, declared: &DesiredContainer, fates: &Fates) -> Option<String> {
        self.lacking(&declared.spec).or_else(|| port::blocked(self.observed, declared, fates))
    }

    /// Whether a container that can't be read may be the one that is missing.
    fn unknown(&self, declared: &DesiredContainer) -> Option<String> {
        let mut unknown = self.observed.unknown.iter();
        let (id, other) =
            unknown.find(|(_, other)| other.service.is_empty() || other.service == declared.spec.service)?;
        Some(format!("{} may be it, and is left alone: {}", id.short(), other.reason))
    }

    /// Stops in the reverse order of dependencies, then removes.
    fn stop_and_remove(&mut self, fates: &Fates) {
        let order = self.dependents.stop_order(self.observed);
        for id in &order {
            let Some(container) = self.observed.containers.get(id) else { continue };
            let (cause, goes) = match fates.fates.get(id) {
                Some(Fate::Goes(causes)) => (causes.clone(), true),
                Some(Fate::Stays(Some(Move::Stop(cause) | Move::Restart(cause)))) => (vec![cause.clone()], false),
                _ => continue,
            };
            let mut after = self.dependents_stops(container);
            let next = self.desired.containers.get(&container.spec.name).filter(|_| goes);
            if container.state != State::Incomplete && next.is_some_and(|d| self.barred(d, fates).is_some()) {
                // Nothing can take its place.
                continue;
            }
            if next.is_some() {
                // The old one runs until all that the new one is made of is there.
                after.extend(self.images_of(&container.spec.name));
            }
            if container.is_running() {
                let stop = self.stop_spec(container);
                let hooks = self.before_stop(container, &stop, &cause, &after);
                let after = hooks.map_or_else(|| after.clone(), |hooks| vec![hooks]);
                let (id, name) = (id.clone(), container.spec.name.clone());
                let action = Action::StopContainer { id, name, signal: stop.signal, grace: stop.grace };
                let step = self.step(action, cause.clone(), after);
                self.stops.insert(container.id.clone(), step);
            }
            if goes {
                let after = self.stops.get(id).map_or(after, |stop| vec![*stop]);
                let (id, name) = (id.clone(), container.spec.name.clone());
                let step = self.step(Action::RemoveContainer { id, name }, cause, after);
                self.removals.insert(container.id.clone(), step);
            }
        }
    }

    fn dependents_stops(&self, container: &ObservedContainer) -> Vec<StepId> {
        self.dependents.of(&container.id).iter().filter_map(|id| self.stops.get(id)).copied().collect()
    }

    /// The signal is the one that the container was made for, unless it is killed; how long it has is what is declared now.
    fn stop_spec(&self, container: &ObservedContainer) -> StopSpec {
        let made = container.spec.stop.clone();
        match self.desired.containers.get(&container.spec.name) {
            Some(declared) if declared.stop.kill => declared.stop.clone(),
            Some(declared) => StopSpec { signal: made.signal, ..declared.stop.clone() },
            None => {
                let declared = self.desired.leaving.get(&container.spec.name).map(|leaving| leaving.grace);
                StopSpec { grace: self.desired.grace.or(declared).unwrap_or(made.grace), ..made }
            }
        }
    }

    fn keep(&mut self, fates: &Fates) {
        for (id, fate) in &fates.fates {
            let Some(container) = self.observed.containers.get(id) else { continue };
            if is_mended(container, fate) && fates.holders.get(&container.spec.name) == Some(id) {
                self.mend(container);
            }
            let (id, name) = (id.clone(), container.spec.name.clone());
            match fate {
                Fate::Stays(None) => self.catch_up(container),
                Fate::Stays(Some(Move::Pause(cause))) => {
                    self.step(Action::PauseContainer { id, name }, vec![cause.clone()], Vec::new());
                }
                Fate::Stays(Some(Move::Unpause(cause))) => {
                    self.step(Action::UnpauseContainer { id, name }, vec![cause.clone()], Vec::new());
                }
                Fate::Stays(Some(Move::Release(cause))) => {
                    self.step(Action::ReleaseContainer { id, name }, vec![cause.clone()], Vec::new());
                }
                Fate::Stays(Some(Move::Later(due)))
                    if self.plan.due.as_ref().is_none_or(|first| due.is_before(first)) =>
                {
                    self.plan.due = Some(due.clone());
                }
                _ => {}
            }
        }
    }

    /// Puts back what a container has lost, once the networks are whole that it is on.
    fn mend(&mut self, container: &ObservedContainer) {
        let after = container.spec.endpoints.iter().filter_map(|endpoint| self.networks.get(&endpoint.network));
        let after = after.copied().collect();
        let (id, name, lost) = (container.id.clone(), container.spec.name.clone(), container.lost.clone());
        let causes = lost.iter().map(ToString::to_string).collect();
        let step = self.step(Action::MendContainer { id: id.clone(), name, lost }, causes, after);
        self.mends.insert(id, step);
    }

    /// Creates and starts in the order of dependencies.
    fn start(&mut self, fates: &Fates) {
        let desired = self.desired;
        let mut seen = BTreeSet::new();
        for (name, _) in desired.containers.iter().filter(|(_, declared)| !declared.prepares) {
            self.bring_up(name, fates, &mut seen);
        }
    }

    fn bring_up(&mut self, name: &ContainerName, fates: &Fates, seen: &mut BTreeSet<ContainerName>) {
        let desired = self.desired;
        let Some(declared) = desired.containers.get(name) else { return };
        if !seen.insert(name.clone()) {
            return;
        }
        for other in self.replicas_of_dependencies(declared) {
            self.bring_up(&other, fates, seen);
        }
        for provider in fate::providers(&declared.spec.namespaces).into_iter().cloned().collect::<Vec<_>>() {
            self.bring_up(&provider, fates, seen);
        }
        self.bring_up_one(name, declared, None, fates);
    }

    /// What a container alone needs; `after`: what its making comes after, beside what is always before it.
    pub(super) fn bring_up_one(
        &mut self,
        name: &ContainerName,
        declared: &DesiredContainer,
        after: Option<StepId>,
        fates: &Fates,
    ) {
        match fates.holders.get(name) {
            Some(id) => self.start_kept(name, declared, id, fates),
            None if self.is_left_out(declared, name, fates) => {}
            None => self.create(name, declared, after, fates),
        }
    }

    /// Whether a container that is not there is not made: it has had its turn, is to be stopped, or is declared no longer.
    pub(super) fn is_left_out(&self, declared: &DesiredContainer, name: &ContainerName, fates: &Fates) -> bool {
        let was_there =
            || self.observed.containers.values().any(|c| c.spec.name == *name && c.state != State::Incomplete);
        let undeclared = self.desired.is_undeclared(declared) && !fates.holders.contains_key(name);
        undeclared
            || is_spent(declared, name, fates, self.observed)
            || (declared.target == Target::Stopped && !was_there())
    }

    /// Whether something is used by a container that is not to be stopped.
    pub(super) fn is_used(&self, uses: impl Fn(&ContainerSpec) -> bool) -> bool {
        let is_there = |name: &ContainerName| self.observed.containers.values().any(|there| there.spec.name == *name);
        self.desired.containers.values().filter(|declared| uses(&declared.spec)).any(|declared| {
            declared.target != Target::Stopped
                && (!self.desired.is_undeclared(declared) || is_there(&declared.spec.name))
        })
    }

    fn images_of(&self, name: &ContainerName) -> Vec<StepId> {
        let declared = self.desired.containers.get(name);
        declared
            .into_iter()
            .flat_map(|d| d.spec.images())
            .filter_map(|image| self.images.get(&image.id))
            .copied()
            .collect()
    }

    fn start_kept(&mut self, name: &ContainerName, declared: &DesiredContainer, id: &ContainerId, fates: &Fates) {
        let (cause, restart) = match fates.fates.get(id) {
            Some(Fate::Stays(Some(Move::Start(cause, restart)))) => (cause.clone(), *restart),
            Some(Fate::Stays(Some(Move::Restart(cause)))) => (cause.clone(), None),
            _ => return,
        };
        if let Some(reason) = self.barred(declared, fates) {
            self.bar(name, reason);
            return;
        }
        // Where it has lost its sandbox, its links and ports are made anew.
        let mut after = self.before_creation(declared);
        after.extend([self.stops.get(id), self.mends.get(id)].into_iter().flatten());
        self.prepare(declared, None, fates);
        self.push_start(name, declared, id.clone(), vec![cause], restart, after);
    }

    fn create(
        &mut self,
        name: &ContainerName,
        declared: &DesiredContainer,
        after_other: Option<StepId>,
        fates: &Fates,
    ) {
        if let Some(reason) = self.unknown(declared).or_else(|| self.barred(declared, fates)) {
            self.bar(name, reason);
            return;
        }
        let id = new_id(self.desired, name, self.now);
        let mut after = self.before_creation(declared);
        after.extend(after_other);
        // An old one of the same name, and whoever of the project holds a port that this one wants.
        after.extend(self.removals.values().copied().collect::<BTreeSet<_>>());
        let causes = fates.renewed.get(name).cloned().unwrap_or_else(|| vec!["missing".to_owned()]);
        let spec = Box::new(declared.spec.clone());
        let step = self.step(Action::CreateContainer { id: id.clone(), spec }, causes.clone(), after);
        if matches!(declared.target, Target::Running | Target::Paused) {
            self.prepare(declared, Some(step), fates);
            self.push_start(name, declared, id, causes, None, vec![step]);
        }
    }

    fn before_creation(&self, declared: &DesiredContainer) -> Vec<StepId> {
        let spec = &declared.spec;
        let mut after: Vec<StepId> =
            spec.endpoints.iter().filter_map(|e| self.networks.get(&e.network)).copied().collect();
        after.extend(volumes(spec).filter_map(|name| self.volumes.get(name)));
        after.extend(spec.images().filter_map(|image| self.images.get(&image.id)));
        after
    }

    fn push_start(
        &mut self,
        name: &ContainerName,
        declared: &DesiredContainer,
        id: ContainerId,
        causes: Vec<String>,
        restart: Option<(u32, u32)>,
        mut after: Vec<StepId>,
    ) {
        let mut waits = Vec::new();
        for provider in fate::providers(&declared.spec.namespaces) {
            after.extend(self.starts.get(provider));
        }
        for (dependency, replica) in self.before_start(declared) {
            if let Some((reason, culprit)) = self.judge(&dependency, &replica, &mut waits, &mut after) {
                if dependency.required {
                    self.fail(name, reason, Some(culprit));
                    return;
                }
                self.plan.warnings.push(format!("{name}: {reason}, but it is not required"));
            }
        }
        let action = Action::StartContainer { id: id.clone(), name: name.clone(), restart };
        let step = self.step(action, causes, after);
        self.plan.steps[step.0].waits = waits;
        let step = self.after_start(declared, &id, step);
        self.starts.insert(name.clone(), step);
    }

    /// What a container's start waits for: every replica that it depends on, and what prepares it.
    fn before_start(&self, declared: &DesiredContainer) -> Vec<(Dependency, ContainerName)> {
        let of = |dependency: &Dependency| self.replicas(&dependency.service);
        let needed = declared.depends_on.iter().flat_map(|one| of(one).into_iter().map(|name| (one.clone(), name)));
        let prepared = declared.pre_start.iter().enumerate();
        needed.chain(prepared.map(|(index, name)| (preparation(index), name.clone()))).collect()
    }

    /// Adds what a start waits for because of one replica of a dependency; `Some`: why it never will hold, and who is to
    /// blame.
    fn judge(
        &self,
        dependency: &Dependency,
        replica: &ContainerName,
        waits: &mut Vec<Wait>,
        after: &mut Vec<StepId>,
    ) -> Option<(String, ContainerName)> {
        if let Some(failure) = self.failed.get(replica) {
            let reason = format!("dependency {} can't start: {}", dependency.service, failure.reason);
            return Some((reason, failure.culprit.clone().unwrap_or_else(|| replica.clone())));
        }
        let declared = self.desired.containers.get(replica)?;
        let observed =
            self.observed.containers.values().find(|c| {
                c.spec.name == *replica && !self.removals.contains_key(&c.id) && c.state != State::Incomplete
            });
        let start = self.starts.get(replica);
        let comes = start.is_some() || self.comes_again(declared, observed);
        match standing(dependency, declared, observed, comes) {
            Standing::Holds => None,
            Standing::Never(reason) => Some((reason, replica.clone())),
            Standing::Waits => {
                after.extend(start);
                if start.is_none() || dependency.condition != Condition::ServiceStarted {
                    waits.push(Wait {
                        service: dependency.service.clone(),
                        container: replica.clone(),
                        condition: dependency.condition,
                    });
                }
                None
            }
        }
    }

    /// Whether the restart policy starts a replica again, later.
    fn comes_again(&self, declared: &DesiredContainer, observed: Option<&ObservedContainer>) -> bool {
        let verdict = observed.and_then(|observed| verdict(declared, observed));
        let again = matches!(verdict, Some(Verdict::Again { .. }));
        again && matches!(declared.target, Target::Running | Target::Paused)
    }

    fn replicas(&self, service: &ServiceName) -> Vec<ContainerName> {
        let of = |c: &DesiredContainer| c.spec.service == *service && !c.spec.oneoff;
        self.desired.containers.iter().filter(|(_, c)| of(c)).map(|(name, _)| name.clone()).collect()
    }

    fn replicas_of_dependencies(&self, declared: &DesiredContainer) -> Vec<ContainerName> {
        declared.depends_on.iter().flat_map(|d| self.replicas(&d.service)).collect()
    }

    fn warn(&mut self, fates: &Fates) {
        self.plan.warnings.extend(self.observed.notes.iter().cloned());
        if !fates.orphans.is_empty() && !self.desired.ignore_orphans {
            let names: Vec<&str> = fates.orphans.iter().map(|n| n.as_str()).collect();
            let (who, what) = match names.len() {
                1 => ("a container of this project belongs", "it"),
                _ => ("containers of this project belong", "them"),
            };
            let names = names.join(", ");
            let text = format!("{who} to no service of the files ({names}); `--remove-orphans` removes {what}");
            self.plan.warnings.push(text);
        }
    }
}

/// Whether what a container has lost is put back: it runs and goes on, or is started again in the same surroundings.
fn is_mended(container: &ObservedContainer, fate: &Fate) -> bool {
    let goes_on = match fate {
        Fate::Stays(Some(Move::Start(..))) => container.sandbox,
        Fate::Stays(None | Some(Move::Pause(_) | Move::Unpause(_))) => container.is_running(),
        Fate::Stays(Some(Move::Later(_) | Move::Stop(_) | Move::Restart(_) | Move::Release(_))) | Fate::Goes(_) => {
            false
        }
    };
    goes_on && !container.lost.is_empty()
}

/// A container of `run --rm` that has ended is not made again.
fn is_spent(declared: &DesiredContainer, name: &ContainerName, fates: &Fates, observed: &Observed) -> bool {
    declared.spec.oneoff
        && !declared.prepares
        && (fates.renewed.contains_key(name) || observed.containers.values().any(|c| c.spec.name == *name))
}

/// The volumes that a container mounts.
pub(super) fn volumes(spec: &ContainerSpec) -> impl Iterator<Item = &VolumeName> {
    spec.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { name, .. } => Some(name),
        _ => None,
    })
}

/// The id of a container that is made now: nobody else's, and the same for the same inputs.
fn new_id(desired: &Desired, name: &ContainerName, now: &Stamp) -> ContainerId {
    let text =
        format!("{}\0{name}\0{}\0{}\0{}\0{}", desired.project, desired.generation, now.boot, now.nanos, now.wall);
    ContainerId::new(crate::desired::hash::hex(&Sha256::digest(text)))
}
