//! What failed, so that it is not tried again and again: not before somebody changes something, or, where trying again
//! may help, after a delay that doubles.

use std::collections::BTreeMap;
use std::time::Duration;

use super::port::HostError;
use super::round::objects;
use crate::desired::{ContainerSpec, Desired, MountSource, Stamp};
use crate::name::ContainerName;
use crate::plan::Action;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Failed {
    action: Action,
    generation: u64,
    reason: String,
    times: u32,
    again: Option<Stamp>,
}

/// Whether an action is only for containers that were not asked for.
pub fn is_beside(action: &Action, desired: &Desired) -> bool {
    let users = |uses: &dyn Fn(&ContainerSpec) -> bool| -> Vec<ContainerName> {
        let users = desired.containers.iter().filter(|(_, container)| uses(&container.spec));
        users.map(|(name, _)| name.clone()).collect()
    };
    let of_network = |spec: &ContainerSpec| spec.endpoints.iter().any(|one| one.network.as_str() == action.object());
    let of_volume = |spec: &ContainerSpec| spec.mounts.iter().any(|mount| mounts(&mount.source, action.object()));
    let whose = match action {
        Action::PullImage { id, .. } => users(&|spec| spec.images().any(|image| image.id == *id)),
        Action::CreateNetwork { .. } | Action::RemoveNetwork { .. } => users(&of_network),
        Action::CreateVolume { .. } | Action::RemoveVolume { .. } => users(&of_volume),
        _ => vec![action.object().into()],
    };
    !whose.is_empty() && whose.iter().all(|name| desired.is_beside(name))
}

fn mounts(source: &MountSource, volume: &str) -> bool {
    matches!(source, MountSource::Volume { name, .. } if name.as_str() == volume)
}

/// The failures of a project.
#[derive(Clone, Debug, Default)]
pub struct Failures(BTreeMap<String, Failed>);

/// What an action is, whatever id it gives to a container.
fn key(action: &Action) -> String {
    let object = objects(action).pop().unwrap_or_default();
    format!("{} {object}", action.verb())
}

impl Failures {
    /// An action has failed.
    pub fn add(&mut self, action: &Action, generation: u64, error: &HostError, now: &Stamp) {
        let before = self.0.get(&key(action)).filter(|f| f.generation == generation).map_or(0, |f| f.times);
        let delay = FIRST.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(LONGEST);
        let failed = Failed {
            action: action.clone(),
            generation,
            reason: format!("{} {}: {error}", action.verb(), action.object()),
            times: before + 1,
            again: error.transient.then(|| now.after(delay)),
        };
        self.0.insert(key(action), failed);
    }

    /// An action has succeeded.
    pub fn clear(&mut self, action: &Action) {
        self.0.remove(&key(action));
    }

    /// Forgets what failed for an earlier desired state: somebody changed something. What is beside that stays as it is.
    pub fn begin(&mut self, desired: &Desired) {
        self.0.retain(|_, failed| failed.generation == desired.generation || is_beside(&failed.action, desired));
    }

    /// Whether an action is not to be tried now.
    pub fn holds(&self, action: &Action, now: &Stamp) -> bool {
        self.0.get(&key(action)).is_some_and(|f| f.again.as_ref().is_none_or(|again| now.is_before(again)))
    }

    /// When the next one may be tried again.
    pub fn due(&self) -> Option<Stamp> {
        let mut due: Option<&Stamp> = None;
        for again in self.0.values().filter_map(|f| f.again.as_ref()) {
            if due.is_none_or(|first| again.is_before(first)) {
                due = Some(again);
            }
        }
        due.cloned()
    }

    /// Why what was asked for is not reached, a sentence each.
    pub fn reasons(&self, desired: &Desired) -> Vec<String> {
        let asked = self.0.values().filter(|failed| !is_beside(&failed.action, desired));
        asked.map(|failed| failed.reason.clone()).collect()
    }
}
