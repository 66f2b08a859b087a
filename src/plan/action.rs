//! What a plan is made of: steps, each one action with its cause.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::desired::{Condition, ContainerSpec, HookSpec, NetworkSpec, Stamp, VolumeSpec};
use crate::name::{ContainerId, ContainerName, Digest, NetworkName, ServiceName, VolumeName};
use crate::observed::Loss;

/// One call to the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Fetch the layers of an image that are missing.
    PullImage {
        /// As the user wrote it.
        name: String,
        /// Config digest.
        id: Digest,
    },
    /// Build an image. Only a rehearsal plans it: whoever means it has built before the plan is made, since what a container
    /// is made of is not known before.
    BuildImage {
        /// As the user wrote it.
        name: String,
    },
    /// Make a network, or mend one of which something is gone.
    CreateNetwork {
        /// What it is made of.
        spec: NetworkSpec,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Its name.
        name: NetworkName,
    },
    /// Make a volume.
    CreateVolume {
        /// What it is made of.
        spec: VolumeSpec,
    },
    /// Remove a volume and all that is in it.
    RemoveVolume {
        /// Its name.
        name: VolumeName,
    },
    /// Make a container: its record and folders, but no process, links or ports.
    CreateContainer {
        /// Its id.
        id: ContainerId,
        /// What it is made of.
        spec: Box<ContainerSpec>,
    },
    /// Start its process; its shim, links and ports are made first where it has none.
    StartContainer {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: ContainerName,
        /// Started by its restart policy: the new (restarts, streak) to record. `None`: by somebody's wish, both become 0.
        restart: Option<(u32, u32)>,
    },
    /// Signal its process, wait for the grace time, kill what is left.
    StopContainer {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: ContainerName,
        /// Number of the signal.
        signal: i32,
        /// Wait so long.
        grace: Duration,
    },
    /// Run hooks inside it, one after the other.
    RunHooks {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: ContainerName,
        /// Which kind.
        kind: HookKind,
        /// All hooks of the kind.
        hooks: Vec<HookSpec>,
        /// So many of them have been run before.
        done: usize,
    },
    /// Freeze its processes.
    PauseContainer {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: ContainerName,
    },
    /// Thaw them.
    UnpauseContainer {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: ContainerName,
    },
    /// Take its shim, links and ports from a container that has ended and is not to come back; what it wrote, its logs and
    /// its exit code stay. The next start makes them anew.
    ReleaseContainer {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: ContainerName,
    },
    /// Put back what somebody has taken away from a running container: links, rules.
    MendContainer {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: ContainerName,
        /// What it has lost.
        lost: BTreeSet<Loss>,
    },
    /// Remove a container that does not run: links, ports, folder.
    RemoveContainer {
        /// Its id.
        id: ContainerId,
        /// Its name.
        name: ContainerName,
    },
}

/// When a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookKind {
    /// After a start. One that fails is the last that is run, and fails the start.
    PostStart,
    /// Before a stop. One that fails is told, and the container is stopped all the same.
    PreStop,
}

impl Action {
    /// The container that it acts on.
    pub fn container(&self) -> Option<&ContainerId> {
        match self {
            Self::CreateContainer { id, .. }
            | Self::StartContainer { id, .. }
            | Self::StopContainer { id, .. }
            | Self::PauseContainer { id, .. }
            | Self::UnpauseContainer { id, .. }
            | Self::RunHooks { id, .. }
            | Self::ReleaseContainer { id, .. }
            | Self::MendContainer { id, .. }
            | Self::RemoveContainer { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// Why a step is taken; prints as people read it (`image a→b`, `environment.FOO changed`, `exited 137`, `missing`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause(pub String);

/// A step's number in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub usize);

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number.
    pub id: StepId,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// Why; never empty.
    pub causes: Vec<Cause>,
    /// Steps that must have succeeded before it.
    pub after: Vec<StepId>,
    /// Conditions of other containers that must hold before it.
    pub waits: Vec<Wait>,
}

/// A condition that a step waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Wait {
    /// The service waited for.
    pub service: ServiceName,
    /// The container waited for.
    pub container: ContainerName,
    /// What must hold.
    pub condition: Condition,
}

/// All that is to be done now, and what is to be awaited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In an order that respects `after`.
    pub steps: Vec<Step>,
    /// The next moment at which time alone changes the plan (a restart that is due), if any.
    pub due: Option<Stamp>,
    /// Containers that cannot reach their target by any step, each with the reason (`dependency db is unhealthy`).
    pub failures: Vec<Failure>,
    /// Things to tell that are no failures (`dependency db failed, but is not required`; orphans).
    pub warnings: Vec<String>,
}

/// A container that cannot reach its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// The container.
    pub container: ContainerName,
    /// Why.
    pub reason: String,
    /// The container that is to blame, if it is another one: what it has printed last tells more.
    #[serde(default)]
    pub culprit: Option<ContainerName>,
    /// It stands before anything is done, and nothing of the plan can remove it: somebody has the port, what is external
    /// is not there. `up` does not begin.
    #[serde(default)]
    pub obstacle: bool,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether there is nothing to do, to wait for or to tell.
    pub fn is_idle(&self) -> bool {
        self.steps.is_empty() && self.due.is_none() && self.failures.is_empty() && self.warnings.is_empty()
    }

    /// The failures that are known before anything is done.
    pub fn obstacles(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter().filter(|failure| failure.obstacle)
    }
}
