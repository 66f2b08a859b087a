//! What the files declare, fully decided: every name, address, path and limit is here, nothing is left to choose.
//!
//! [`Desired`] is what a supervisor holds. It is written to the ledger at each `up`, read back by a new supervisor, and
//! changed by the verbs (`stop`, `scale`, `restart`, …) through pure [`edit`]s. The types speak of kernel things, never of
//! compose: the host layer reads nothing else.

pub mod changes;
pub mod compile;
pub mod edit;
pub mod hash;
pub mod image;
pub mod leases;
mod same;
pub mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{ContainerName, NetworkName, ProjectName, ServiceName, VolumeName};
pub use image::{ImageHealthcheck, ResolvedImage};
pub use leases::{EndpointLease, Leases, NetworkLease};
pub use spec::*;

/// The version of the records below; a supervisor refuses what is newer than itself.
pub const SCHEMA: u32 = 1;

/// A moment on this machine that a clock change cannot move: the boot, and the time since then (CLOCK_BOOTTIME).
///
/// Moments of an earlier boot are before every moment of this one: compare with [`Stamp::is_before`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// Nanoseconds since that boot.
    pub nanos: u64,
    /// Wall clock, nanoseconds since 1970; only to show to people.
    pub wall: u64,
}

impl Stamp {
    /// Whether this moment lies before `other`. A moment of another boot lies before: records of a later boot than
    /// the present one do not exist.
    pub fn is_before(&self, other: &Stamp) -> bool {
        if self.boot == other.boot { self.nanos < other.nanos } else { true }
    }

    /// How long before `other` this moment lies; zero if it does not, and for another boot the difference of the wall clocks.
    pub fn until(&self, other: &Stamp) -> Duration {
        if self.boot == other.boot {
            Duration::from_nanos(other.nanos.saturating_sub(self.nanos))
        } else {
            Duration::from_nanos(other.wall.saturating_sub(self.wall))
        }
    }

    /// The moment `later` after this one.
    pub fn after(&self, later: Duration) -> Stamp {
        let nanos = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Stamp {
            boot: self.boot.clone(),
            nanos: self.nanos.saturating_add(nanos),
            wall: self.wall.saturating_add(nanos),
        }
    }
}

/// The declared state of one project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The project's name.
    pub project: ProjectName,
    /// Counts the applied states of the project, from 1.
    pub generation: u64,
    /// The request by which it was made, where its supervisor was told one: the same request again finds what it has done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub made_by: String,
    /// When it was applied. A container that ended before is started again, whatever its restart policy.
    pub applied: Stamp,
    /// Where it came from, for labels and messages.
    pub source: Source,
    /// Every service that the files declare and whose profile is active.
    pub services: BTreeSet<ServiceName>,
    /// Those that they declare and whose profile is off: nothing is told of their containers. A container of a service that is
    /// in neither is an orphan.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub off: BTreeSet<ServiceName>,
    /// Whether orphans are removed (`--remove-orphans`); otherwise they are left alone.
    pub remove_orphans: bool,
    /// Orphans are not told of.
    #[serde(default)]
    pub ignore_orphans: bool,
    /// So long has what is stopped and no longer declared, in place of what it was made for (`--timeout` of `up` and `down`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Duration>,
    /// Networks that must exist; those of the project that are not here go, once nobody is on them.
    pub networks: BTreeMap<NetworkName, NetworkSpec>,
    /// Volumes that must exist.
    pub volumes: BTreeMap<VolumeName, VolumeSpec>,
    /// Volumes that must not exist: somebody asked for their removal (`down -v`). No other volume is ever removed.
    pub remove_volumes: BTreeSet<VolumeName>,
    /// Containers that must not exist although nothing removes orphans: somebody asked for their removal (`rm`, `down`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub remove_containers: BTreeSet<ContainerName>,
    /// What was declared last of containers that go.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leaving: BTreeMap<ContainerName, Leaving>,
    /// Containers by name: those of the services, and what exists beside them ([`Desired::is_undeclared`]).
    pub containers: BTreeMap<ContainerName, DesiredContainer>,
    /// Services that programs outside provide: no part of any plan, kept so that `down` knows of them.
    #[serde(default)]
    pub providers: BTreeMap<ServiceName, ProviderSpec>,
    /// The containers that were asked for, of those that are declared, when this state was applied; `None`: all. What the
    /// others lack fails no command.
    #[serde(default)]
    pub asked: Option<BTreeSet<ContainerName>>,
}

/// What a container that is no longer declared is stopped by. It may be newer than what the container was made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leaving {
    /// What it is stopped before.
    pub depends_on: Vec<Dependency>,
    /// The time from its signal until it is killed.
    pub grace: Duration,
}

/// A service that a program outside provides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderSpec {
    /// The program, as the file has it.
    pub program: String,
    /// Its options, each with its values.
    pub options: BTreeMap<String, Vec<String>>,
    /// What it told, for those who depend on it, under the service's name.
    pub variables: BTreeMap<String, Secret>,
    /// What it told, under just these names.
    pub raw: BTreeMap<String, Secret>,
}

/// Where a desired state came from (labels `com.docker.compose.project.*`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The project directory.
    pub working_dir: PathBuf,
    /// The compose files, absolute.
    pub config_files: Vec<PathBuf>,
    /// The `--env-file`s, absolute.
    pub environment_files: Vec<PathBuf>,
    /// What was told about these files and need not be told again.
    #[serde(default)]
    pub told: Vec<String>,
    /// The files' canonical form as it was applied, JSON, for `diff`; nothing here is made of it.
    #[serde(default)]
    pub model: String,
}

/// One container that must exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DesiredContainer {
    /// What it is made of. A difference here means that it is made anew.
    pub spec: ContainerSpec,
    /// [`ContainerSpec::hash`] of `spec`.
    pub hash: String,
    /// The state it must be in.
    pub target: Target,
    /// What must hold before it is started, and is stopped after it.
    pub depends_on: Vec<Dependency>,
    /// What follows its end.
    pub restart: RestartPolicy,
    /// How its health is found out; `None`: not at all.
    pub health: Option<HealthSpec>,
    /// How it is stopped.
    pub stop: StopSpec,
    /// A container that was created before this moment is made anew (`--force-recreate`).
    pub recreate_before: Option<Stamp>,
    /// A process that was started before this moment is stopped and started again (`restart`).
    pub restart_before: Option<Stamp>,
    /// A process that ended before this moment is started again, whatever its restart policy (`up` of some services,
    /// `start`): [`Desired::applied`] for one container, so that the one-shots of other services are not run again.
    #[serde(default)]
    pub start_before: Option<Stamp>,
    /// Keep a container whose spec differs (`--no-recreate`).
    pub keep_different: bool,
    /// Taken out of the desired state, and so removed, when it has ended (`run --rm`); never started a second time.
    pub auto_remove: bool,
    /// Containers that must have ended with 0 before it is started, in this order (`pre_start`).
    #[serde(default)]
    pub pre_start: Vec<ContainerName>,
    /// It prepares others (it is named in their `pre_start`): made after them, started before them, and once it has ended
    /// with 0 it is not started again, until all of those are made anew.
    #[serde(default)]
    pub prepares: bool,
    /// How fast its restart policy starts it again.
    #[serde(default)]
    pub restart_pace: RestartPace,
}

/// The state that a container must be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// It exists; whether it runs does not matter (`create`, `up --no-start`).
    Created,
    /// It runs, or has ended as its restart policy allows.
    Running,
    /// It runs, frozen.
    Paused,
    /// It does not run (`stop`, `kill`).
    Stopped,
}

/// An edge of the dependency graph, from the container that holds it to all replicas of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The service depended on.
    pub service: ServiceName,
    /// What must hold of each of its replicas.
    pub condition: Condition,
    /// Restart this container when one of those is made anew or explicitly restarted.
    pub restart: bool,
    /// `false`: a warning and on, when the condition cannot be met.
    pub required: bool,
}

/// The condition of a [`Dependency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Condition {
    /// It runs (or has run).
    ServiceStarted,
    /// Its health check passes.
    ServiceHealthy,
    /// It has ended with 0.
    ServiceCompletedSuccessfully,
}

/// What follows the end of a container (spec.md 12.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Start again.
    Always,
    /// Start again, unless somebody stopped it.
    UnlessStopped,
    /// Start again after an exit code other than 0, at most so many times in a row (0: without end).
    OnFailure {
        /// The limit.
        retries: u32,
    },
    /// Start again, at most so many times in a row (`deploy.restart_policy: {condition: any, max_attempts: N}`).
    Attempts {
        /// The limit, 1 or more.
        retries: u32,
    },
}

impl RestartPolicy {
    /// Whether a process that ended with `code` is started again, after so many attempts.
    pub fn wants(self, code: i32, attempts: u32) -> bool {
        match self {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { retries } => code != 0 && (retries == 0 || attempts < retries),
            RestartPolicy::Attempts { retries } => attempts < retries,
        }
    }
}

/// How fast a restart policy starts a container again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPace {
    /// So long after each end; `None`: 100 ms, doubled with each end in a row, up to a minute.
    pub delay: Option<Duration>,
    /// A process that lived so long was started well: the attempts before it no longer count. `None`: ten seconds end a
    /// row, and attempts count for ever.
    pub window: Option<Duration>,
}

/// How health is found out (spec.md 12.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSpec {
    /// The program and its arguments, run inside the container with its user and environment.
    pub argv: Vec<String>,
    /// Between two probes.
    pub interval: Duration,
    /// A probe that takes longer has failed and is killed.
    pub timeout: Duration,
    /// So many failures in a row make it unhealthy.
    pub retries: u32,
    /// Failures count only after this time, or after the first success.
    pub start_period: Duration,
    /// Between two probes while the start period lasts.
    pub start_interval: Duration,
}

/// How a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSpec {
    /// The number of the signal.
    pub signal: i32,
    /// After this it is killed.
    pub grace: Duration,
    /// It is killed, not stopped: no `pre_stop` comes before that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kill: bool,
}

impl Default for StopSpec {
    /// SIGTERM and ten seconds, as docker has it.
    fn default() -> Self {
        Self { signal: 15, grace: Duration::from_secs(10), kill: false }
    }
}

impl Desired {
    /// Whether a container is declared, and was not asked for.
    pub fn is_beside(&self, name: &ContainerName) -> bool {
        self.asked.as_ref().is_some_and(|asked| self.containers.contains_key(name) && !asked.contains(name))
    }

    /// Whether a container is here although the files no longer declare its service, or its profile is off. It is never made,
    /// nor made anew; but where it exists, it is held as it was: started again by its restart policy, probed, stopped by verbs.
    pub fn is_undeclared(&self, container: &DesiredContainer) -> bool {
        !self.services.contains(&container.spec.service)
    }

    /// Whether nothing is declared: what `down` of a whole project leaves.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.providers.is_empty()
    }
}
