//! The execution of one plan: which steps may begin now. Pure bookkeeping.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::desired::MountSource;
use crate::name::{ContainerId, NetworkName};
use crate::observed::Observed;
use crate::plan::{Action, Plan, Step, StepId};

/// The number is the same on every architecture.
pub(super) const SIGKILL: i32 = 9;

/// A plan under execution.
#[derive(Debug, Default)]
pub struct Round {
    // Specifications are large, and a ready step is looked at many times.
    steps: Vec<Arc<Step>>,
    begun: BTreeSet<StepId>,
    done: BTreeSet<StepId>,
    /// What networks the containers are on, or will be.
    networks: BTreeMap<ContainerId, Vec<NetworkName>>,
}

impl Round {
    /// Begins a plan that was made for what was observed.
    pub fn new(plan: &Plan, observed: &Observed) -> Self {
        let made = plan.steps.iter().filter_map(|step| match &step.action {
            Action::CreateContainer { id, spec } => Some((id, &**spec)),
            _ => None,
        });
        let all = observed.containers.iter().map(|(id, there)| (id, &there.spec)).chain(made);
        let networks = all.map(|(id, spec)| (id.clone(), spec.endpoints.iter().map(|e| e.network.clone()).collect()));
        Self {
            networks: networks.collect(),
            steps: plan.steps.iter().cloned().map(Arc::new).collect(),
            ..Self::default()
        }
    }

    /// What a step keeps others from.
    pub fn claims(&self, action: &Action) -> Claims {
        let on = action.container().and_then(|id| self.networks.get(id));
        Claims::of(action, on.map_or(&[], Vec::as_slice))
    }

    /// The steps that may begin: what they come after is done, what they wait for holds, and they are not `held`.
    pub fn ready(&self, held: impl Fn(&Action) -> bool) -> Vec<Arc<Step>> {
        self.steps
            .iter()
            .filter(|step| !self.begun.contains(&step.id) && step.waits.is_empty())
            .filter(|step| step.after.iter().all(|id| self.done.contains(id)))
            .filter(|step| !held(&step.action))
            .cloned()
            .collect()
    }

    /// A step has begun.
    pub fn begin(&mut self, id: StepId) {
        self.begun.insert(id);
    }

    /// A step has succeeded.
    pub fn done(&mut self, id: StepId) {
        self.done.insert(id);
    }

    /// Whether no step that has not begun is worth waiting for: each is, or comes after, one that `failed`; or nobody asked
    /// for it (`beside`), and it waits for another container, or comes after one that does. That may take for ever.
    pub fn is_stuck(&self, failed: impl Fn(&Action) -> bool, beside: impl Fn(&Action) -> bool) -> bool {
        let (mut hopeless, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        // Steps stand in an order that respects `after`.
        for step in &self.steps {
            let follows = |others: &BTreeSet<StepId>| step.after.iter().any(|id| others.contains(id));
            if failed(&step.action) || follows(&hopeless) {
                hopeless.insert(step.id);
            } else if (!step.waits.is_empty() || follows(&waiting)) && beside(&step.action) {
                waiting.insert(step.id);
            }
        }
        self.steps.iter().all(|step| [&self.begun, &hopeless, &waiting].iter().any(|over| over.contains(&step.id)))
    }

    /// Steps that wait for a condition of another container and for nothing else.
    pub fn waiting(&self) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .map(Arc::as_ref)
            .filter(|step| !step.waits.is_empty() && !self.begun.contains(&step.id))
            .filter(|step| step.after.iter().all(|id| self.done.contains(id)))
    }

    /// Whether anything has been done.
    pub fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// Whether all has been done.
    pub fn is_over(&self) -> bool {
        self.steps.iter().all(|step| self.done.contains(&step.id))
    }
}

/// What an action acts on; the object that people know stands last.
pub fn objects(action: &Action) -> Vec<String> {
    match action {
        Action::PullImage { id, .. } => vec![format!("image {id}")],
        Action::BuildImage { name } => vec![format!("image {name}")],
        Action::CreateNetwork { .. } | Action::RemoveNetwork { .. } => vec![format!("network {}", action.object())],
        Action::CreateVolume { .. } | Action::RemoveVolume { .. } => vec![format!("volume {}", action.object())],
        Action::RunHooks { .. } => vec![format!("{} {}", action.verb(), action.object())],
        Action::CreateContainer { id, .. }
        | Action::StartContainer { id, .. }
        | Action::StopContainer { id, .. }
        | Action::PauseContainer { id, .. }
        | Action::UnpauseContainer { id, .. }
        | Action::ReleaseContainer { id, .. }
        | Action::MendContainer { id, .. }
        | Action::RemoveContainer { id, .. } => {
            vec![format!("container {id}"), format!("name {}", action.object())]
        }
    }
}

/// What an action under way keeps others from. A later plan does not know of it: what is half made shows in no
/// observation, so that plan may take away the network on which an earlier one is just making a container.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    alone: BTreeSet<String>,
    shared: BTreeSet<String>,
    /// A stop: of which container, and how long that may take.
    stops: Option<(ContainerId, Duration)>,
}

impl Claims {
    /// The claims of an action: alone on what it acts on, and shared on what it only needs, as are the `networks` that a
    /// container is put on. Hooks claim only themselves: a container that hangs in one can be killed.
    pub fn of(action: &Action, networks: &[NetworkName]) -> Self {
        let mut claims = Self { alone: objects(action).into_iter().collect(), ..Self::default() };
        if let Action::StopContainer { id, signal, grace, .. } = action {
            let grace = if *signal == SIGKILL { Duration::ZERO } else { *grace };
            claims.stops = Some((id.clone(), grace));
        }
        if let Action::CreateContainer { .. } | Action::StartContainer { .. } | Action::MendContainer { .. } = action {
            claims.shared.extend(networks.iter().map(|network| format!("network {network}")));
        }
        let Action::CreateContainer { spec, .. } = action else { return claims };
        claims.alone.extend(spec.ports.iter().filter(|p| p.published != 0).map(|p| format!("port {}", p.published)));
        claims.shared.insert(format!("image {}", spec.image.id));
        for mount in &spec.mounts {
            if let MountSource::Volume { name, .. } = &mount.source {
                claims.shared.insert(format!("volume {name}"));
            }
        }
        claims
    }

    /// Whether the two cannot be under way at the same time.
    pub fn clash(&self, other: &Claims) -> bool {
        if let (Some((under_way, long)), Some((next, short))) = (&self.stops, &other.stops)
            && under_way == next
            && short < long
        {
            // A stop that waits is cut short by a quicker one: the second Ctrl-C, a kill.
            return false;
        }
        let meet = |one: &BTreeSet<String>, two: &BTreeSet<String>| !one.is_disjoint(two);
        meet(&self.alone, &other.alone) || meet(&self.alone, &other.shared) || meet(&self.shared, &other.alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Condition;
    use crate::plan::Wait;

    #[test]
    fn a_step_waits_once_all_that_comes_before_it_is_done() {
        let step = |id, after: &[usize], waits: &[Wait]| Step {
            id: StepId(id),
            action: Action::RemoveVolume { name: "v".into() },
            causes: Vec::new(),
            after: after.iter().copied().map(StepId).collect(),
            waits: waits.to_vec(),
        };
        let wait = Wait { service: "db".into(), container: "app-db-1".into(), condition: Condition::ServiceHealthy };
        let steps = vec![step(0, &[], &[]), step(1, &[0], &[wait])];
        let mut round = Round::new(&Plan { steps, ..Plan::default() }, &Observed::default());
        assert_eq!(round.waiting().count(), 0, "its network is not there yet");
        round.begin(StepId(0));
        round.done(StepId(0));
        assert_eq!(round.waiting().count(), 1);
    }
    #[test]
    fn a_network_stays_while_a_container_is_put_on_it() {
        let id = ContainerId::from("c".repeat(64).as_str());
        let start = Action::StartContainer { id, name: "app-web-1".into(), restart: None };
        let remove = |name: &str| Claims::of(&Action::RemoveNetwork { name: name.into() }, &[]);
        let starts = Claims::of(&start, &["app_default".into()]);
        assert!(starts.clash(&remove("app_default")) && remove("app_default").clash(&starts));
        assert!(!starts.clash(&remove("app_other")) && !remove("app_default").clash(&remove("app_other")));
    }
}
