//! Hooks, and the containers that prepare others.

use super::action::{Action, HookKind, StepId};
use super::build::Builder;
use super::fate::Fates;
use crate::desired::{Condition, Dependency, DesiredContainer, StopSpec, Target};
use crate::name::{ContainerId, ContainerName, ServiceName};
use crate::observed::{ObservedContainer, State};

impl Builder<'_> {
    /// The `post_start` hooks of a container that is started in this plan: who depends on it comes after them.
    pub(super) fn after_start(&mut self, declared: &DesiredContainer, id: &ContainerId, start: StepId) -> StepId {
        self.post_start(declared, id, 0, "started", vec![start]).unwrap_or(start)
    }

    /// The `post_start` hooks that are left of a container that runs.
    pub(super) fn catch_up(&mut self, container: &ObservedContainer) {
        let desired = self.desired;
        let name = &container.spec.name;
        let Some(declared) = desired.containers.get(name).filter(|d| d.target == Target::Running) else { return };
        if !matches!(container.state, State::Running { .. }) {
            return;
        }
        let done = container.hooks.post_start;
        if let Some(step) = self.post_start(declared, &container.id, done, "not run since its start", Vec::new()) {
            self.starts.insert(name.clone(), step);
        }
    }

    fn post_start(
        &mut self,
        declared: &DesiredContainer,
        id: &ContainerId,
        done: usize,
        cause: &str,
        after: Vec<StepId>,
    ) -> Option<StepId> {
        let hooks = declared.spec.post_start.clone();
        if done >= hooks.len() {
            return None;
        }
        let (id, name) = (id.clone(), declared.spec.name.clone());
        let action = Action::RunHooks { id, name, kind: HookKind::PostStart, hooks, done };
        Some(self.step(action, vec![cause.to_owned()], after))
    }

    /// The `pre_stop` hooks of a container that is stopped by a plan. A frozen one can run none.
    pub(super) fn before_stop(
        &mut self,
        container: &ObservedContainer,
        stop: &StopSpec,
        causes: &[String],
        after: &[StepId],
    ) -> Option<StepId> {
        let runs = matches!(container.state, State::Running { .. });
        let hooks = container.spec.pre_stop.clone();
        if hooks.is_empty() || stop.kill || !runs || container.hooks.pre_stop {
            return None;
        }
        let (id, name) = (container.id.clone(), container.spec.name.clone());
        let action = Action::RunHooks { id, name, kind: HookKind::PreStop, hooks, done: 0 };
        Some(self.step(action, causes.to_vec(), after.to_vec()))
    }

    /// Brings up what prepares a container that is about to be started; `made`: the step that makes that one.
    pub(super) fn prepare(&mut self, declared: &DesiredContainer, made: Option<StepId>, fates: &Fates) {
        let desired = self.desired;
        for name in &declared.pre_start {
            let Some(preparing) = desired.containers.get(name) else { continue };
            if self.prepared.insert(name.clone()) {
                self.bring_up_one(name, preparing, made, fates);
            }
        }
    }
}

/// What a container waits for of the one that prepares it, as if that were a service.
pub(super) fn preparation(index: usize) -> Dependency {
    Dependency {
        service: ServiceName::new(format!("pre_start[{index}]")),
        condition: Condition::ServiceCompletedSuccessfully,
        restart: false,
        required: true,
    }
}

/// Whether a container prepares others, and all of those are made anew: then it is too.
pub(super) fn is_stale(name: &ContainerName, fates: &Fates, desired: &crate::desired::Desired) -> bool {
    let mut prepared = desired.containers.iter().filter(|(_, other)| !other.prepares && other.pre_start.contains(name));
    !prepared.any(|(other, _)| fates.holders.contains_key(other))
}
