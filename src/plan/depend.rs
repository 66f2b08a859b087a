//! Whether what a container depends on holds, may hold later, or never will.

use crate::desired::{Condition, Dependency, DesiredContainer, Target};
use crate::observed::{Health, ObservedContainer, State};

/// How a dependency stands for one replica of the service depended on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    Holds,
    /// It may, later.
    Waits,
    /// It never will, unless somebody changes something.
    Never(String),
}

/// Judges one replica: what it should be, what there is of it, and whether this plan is going to start it.
pub fn standing(
    dependency: &Dependency,
    replica: &DesiredContainer,
    observed: Option<&ObservedContainer>,
    starting: bool,
) -> Standing {
    let service = &dependency.service;
    if dependency.condition == Condition::ServiceHealthy && replica.health.is_none() {
        return Standing::Never(format!("dependency {service} has no health check, so it can't become healthy"));
    }
    if starting {
        return Standing::Waits;
    }
    let Some(observed) = observed else { return not_there(dependency, replica) };
    match (&observed.state, dependency.condition) {
        (State::Running { .. } | State::Paused { .. }, Condition::ServiceStarted) => Standing::Holds,
        (State::Running { .. } | State::Paused { .. }, Condition::ServiceHealthy) => match observed.health {
            Health::Healthy => Standing::Holds,
            Health::Unhealthy => Standing::Never(format!("dependency {service} is unhealthy")),
            Health::Starting | Health::None => Standing::Waits,
        },
        (State::Running { .. } | State::Paused { .. }, Condition::ServiceCompletedSuccessfully) => Standing::Waits,
        (State::Exited(exit), Condition::ServiceCompletedSuccessfully) if exit.code == 0 => Standing::Holds,
        // It has run, which is all that was asked for.
        (State::Exited(exit), Condition::ServiceStarted) if exit.code == 0 => Standing::Holds,
        (State::Exited(exit), _) => {
            let why = exit.error.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
            Standing::Never(format!("dependency {service} exited with {}{why}", exit.code))
        }
        (State::Created | State::Incomplete, _) => not_there(dependency, replica),
    }
}

fn not_there(dependency: &Dependency, replica: &DesiredContainer) -> Standing {
    match replica.target {
        Target::Stopped => Standing::Never(format!("dependency {} was stopped", dependency.service)),
        Target::Created => Standing::Never(format!("dependency {} is not to be started", dependency.service)),
        Target::Running | Target::Paused => Standing::Never(format!("dependency {} can't start", dependency.service)),
    }
}
