//! What exists on this machine of a project: read from the kernel and the ledger, never edited.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::desired::{ContainerSpec, NetworkSpec, PortSpec, Stamp, VolumeSpec};
use crate::name::{ContainerId, ContainerName, Digest, NetworkName, ProjectName, ServiceName, VolumeName};

/// Everything of a project that exists, and the external things its desired state names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Containers of the project, orphans and one-offs among them.
    pub containers: BTreeMap<ContainerId, ObservedContainer>,
    /// Containers of which can't be told what they are made of. They are left alone.
    #[serde(default)]
    pub unknown: BTreeMap<ContainerId, Unknown>,
    /// Networks of the project, and those that its desired state names.
    pub networks: BTreeMap<NetworkName, ObservedNetwork>,
    /// Volumes of the project, and those that its desired state names.
    pub volumes: BTreeMap<VolumeName, ObservedVolume>,
    /// Ids (config digests) of the images whose layers are all there.
    pub images: BTreeSet<Digest>,
    /// What people must be told of: records that were damaged and put aside.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Ports of the host that declared containers are to have, do not hold yet, and may not get: only those with an
    /// obstacle are here.
    #[serde(default)]
    pub ports: Vec<ObservedPort>,
    /// What the user must be told of this machine before something is made on it: other firewalls in the way, kernel
    /// parameters that get changed. Looked for only where a user asks.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A port of the host, and what is in its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedPort {
    /// What is asked for.
    pub spec: PortSpec,
    /// The address to publish on is one of this machine's.
    pub local: bool,
    /// The numbers of the range that somebody else than the project has; `None`: who, can't be seen from here.
    pub taken: BTreeMap<u16, Option<PortHolder>>,
}

/// Who has a port of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortHolder {
    /// The process.
    pub pid: u32,
    /// Its program, without arguments: those may hold secrets.
    pub command: String,
    /// The project for which it holds the port, if it is a process of windlass.
    pub project: Option<ProjectName>,
    /// The container that publishes the port, if it is one of this state folder.
    pub container: Option<ContainerName>,
}

/// A container whose record a newer windlass wrote, or can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Its service; empty where not even that is known.
    pub service: ServiceName,
    /// Why.
    pub reason: String,
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
    /// What somebody has taken away from it; it is put back while it runs.
    #[serde(default)]
    pub lost: BTreeSet<Loss>,
}

/// How far the hooks of a process have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// So many of `post_start` have ended with 0.
    pub post_start: usize,
    /// `pre_stop` was run, whatever came of it.
    pub pre_stop: bool,
}

/// What a container can lose of its surroundings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", content = "network", rename_all = "kebab-case")]
pub enum Loss {
    /// Its link to a network: deleted, down, or no longer on the network's bridge.
    Link(NetworkName),
    /// The rules of its published ports.
    Ports,
    /// The rewrites inside its network namespace that lead to the name server.
    NameServer,
    /// The routes inside its network namespace, to its networks or out.
    Routes,
    /// The way to its published ports is chosen by whether another firewall filters what comes in, and that has changed.
    Firewall,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(network) => write!(f, "its link to network {network} is gone"),
            Self::Ports => f.write_str("the rules of its published ports are gone"),
            Self::NameServer => f.write_str("its way to the name server is gone"),
            Self::Routes => f.write_str("routes inside it are gone"),
            Self::Firewall => {
                f.write_str("another firewall decides otherwise than before who reaches its published ports")
            }
        }
    }
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
    /// Its bridge is there and up, or the link that it stands on is there.
    pub present: bool,
    /// What else somebody has taken away from it.
    #[serde(default)]
    pub lost: BTreeSet<NetworkLoss>,
    /// The containers on it, of every project.
    pub endpoints: BTreeSet<ContainerId>,
}

/// What a network can lose beside its bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkLoss {
    /// The bridge's own addresses: the gateways of the containers.
    Addresses,
    /// The host's routes to it.
    Routes,
    /// The rules that keep it apart from others and let it out.
    Rules,
    /// The host no longer forwards packets.
    Forwarding,
}

impl fmt::Display for NetworkLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addresses => "its addresses are gone",
            Self::Routes => "the host's routes to it are gone",
            Self::Rules => "its rules are gone",
            Self::Forwarding => "the host does not forward packets any more",
        })
    }
}

/// A volume that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedVolume {
    /// What it was made of.
    pub spec: VolumeSpec,
    /// The containers of other projects that have it mounted, looked for only where it is to be removed.
    #[serde(default)]
    pub others: Vec<ContainerName>,
}

impl ObservedContainer {
    /// Whether its process lives.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Paused { .. })
    }
}
