//! What exists on this machine of a project: read from the kernel and the ledger, never edited.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::desired::{ContainerSpec, NetworkSpec, PortSpec, Stamp, VolumeSpec};
use crate::name::{ContainerId, Digest, NetworkName, VolumeName};

/// Everything of a project that exists, and the external things its desired state names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Containers of the project, orphans and one-offs among them.
    pub containers: BTreeMap<ContainerId, ObservedContainer>,
    /// Networks of the project, and those that its desired state names.
    pub networks: BTreeMap<NetworkName, ObservedNetwork>,
    /// Volumes of the project, and those that its desired state names.
    pub volumes: BTreeMap<VolumeName, ObservedVolume>,
    /// Ids (config digests) of the images whose layers are all there.
    pub images: BTreeSet<Digest>,
    /// What people must be told of: records that were damaged and put aside.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A container that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedContainer {
    /// Its id.
    pub id: ContainerId,
    /// What it was made of.
    pub spec: ContainerSpec,
    /// [`ContainerSpec::hash`] of that.
    pub hash: String,
    /// When it was made.
    pub created: Stamp,
    /// What its process does.
    pub state: State,
    /// When its process was last started.
    pub started: Option<Stamp>,
    /// How healthy it is.
    pub health: Health,
    /// So often it was restarted by its policy since somebody started it.
    pub restarts: u32,
    /// So often in a row, each within 10 s of its start: the exponent of the delay.
    pub streak: u32,
    /// It has a shim, and with it namespaces, links and ports.
    pub sandbox: bool,
    /// The ports that it holds on the host, each with the number that was picked.
    pub ports: Vec<PortSpec>,
    /// How far the hooks of its process have come.
    pub hooks: Hooks,
}

/// How far the hooks of a process have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// So many of `post_start` have ended with 0.
    pub post_start: usize,
    /// `pre_stop` was run, whatever came of it.
    pub pre_stop: bool,
}

/// What the process of a container does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Half made: its making was cut short. It is removed before anything else.
    Incomplete,
    /// Made, never started.
    Created,
    /// It runs.
    Running {
        /// Its process id on the host.
        pid: i32,
    },
    /// It runs, frozen.
    Paused {
        /// Its process id on the host.
        pid: i32,
    },
    /// It has ended.
    Exited(Exit),
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + n for signal n; 125, 126, 127 where the program could not be started.
    pub code: i32,
    /// The kernel killed a process of it for want of memory.
    pub oom: bool,
    /// When.
    pub at: Stamp,
    /// A plan stopped it: where it is to run, it is started again, whatever its restart policy.
    #[serde(default)]
    pub stopped: bool,
    /// Why it could not be started or is not known, for people.
    pub error: Option<String>,
}

/// The health of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It has no health check.
    #[default]
    None,
    /// Not known yet.
    Starting,
    /// The last probes passed.
    Healthy,
    /// Too many probes in a row failed.
    Unhealthy,
}

/// A network that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedNetwork {
    /// What it was made of.
    pub spec: NetworkSpec,
    /// Its bridge is there and up.
    pub present: bool,
    /// The containers on it, of every project.
    pub endpoints: BTreeSet<ContainerId>,
}

/// A volume that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedVolume {
    /// What it was made of.
    pub spec: VolumeSpec,
}

impl ObservedContainer {
    /// Whether its process lives.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Paused { .. })
    }
}
