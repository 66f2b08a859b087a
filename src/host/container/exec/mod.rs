//! Joining a container that runs: `windlass exec`, hooks, health probes.
//!
//! ```text
//!  caller ── posix_spawn ─▶ __exec (from a protected copy of this program, never dumpable)
//!                            │ enters the container's namespaces
//!                            └─ clone3 ─▶ child: cgroup, streams, user, rights, program      (as the last part of init)
//! ```
//!
//! In a container that an OCI runtime drives, the runtime's own `exec` does that (`runtime.rs`).
//!
//! `__exec` stays as the child's parent and ends with its exit code, so that the program goes on when its caller dies.

mod client;
mod inside;
mod probe;
mod runtime;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::oci::Driver;
use super::protocol::StartError;
use super::record::ProcessRecord;
use crate::desired::{ContainerSpec, SecuritySpec, Ulimit};
use crate::host::cgroup::Cgroup;

pub use client::{Exec, Streams, start};
pub(super) use inside::main;
pub use probe::{captured, probe, sweep};

/// What to run in which container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The container's first process.
    pub pid: i32,
    /// Its start time.
    pub ticks: u64,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// `KEY=value`.
    pub env: Vec<String>,
    /// Working directory; must be there.
    pub cwd: String,
    /// `user[:group]`.
    pub user: String,
    /// Supplementary groups.
    pub groups: Vec<String>,
    /// A terminal of the container's, with rows and columns.
    pub tty: Option<(u16, u16)>,
    /// What it may do.
    pub security: SecuritySpec,
    /// Resource limits.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// As the container's own process.
    pub oom_score_adj: Option<i32>,
    /// The cgroup to enter: the container's, or one below it.
    pub cgroup: Cgroup,
    /// The container has a cgroup namespace of its own.
    pub own_cgroup: bool,
    /// The OCI runtime that drives the container, and does the joining.
    pub runtime: Option<Box<Driver>>,
    /// It, and what it leaves in its session, ends with itself and with its caller (a probe).
    pub bound: bool,
}

impl ExecSpec {
    /// `argv` in the container of `process` with everything as its own program has it; change what is asked for.
    pub fn new(spec: &ContainerSpec, process: &ProcessRecord, cgroup: Cgroup) -> ExecSpec {
        ExecSpec {
            pid: process.pid,
            ticks: process.ticks,
            argv: Vec::new(),
            env: spec.env.clone(),
            cwd: spec.cwd.clone(),
            user: spec.user.clone(),
            groups: spec.groups.clone(),
            tty: None,
            security: spec.security.clone(),
            ulimits: spec.ulimits.clone(),
            oom_score_adj: spec.resources.oom_score_adj,
            cgroup,
            own_cgroup: !spec.namespaces.host_cgroup,
            runtime: process.runtime.clone(),
            bound: false,
        }
    }

    /// Variables in place of those of the same names, or beside them: PATH too is then looked through as it is here.
    pub fn set_env(&mut self, variables: impl IntoIterator<Item = String>) {
        let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
        for variable in variables {
            self.env.retain(|entry| key(entry) != key(&variable));
            self.env.push(variable);
        }
    }

    /// Gives it all rights (`exec --privileged`).
    pub fn privileged(&mut self) {
        self.security = SecuritySpec { privileged: true, ..SecuritySpec::default() };
    }
}

/// What `__exec` tells its caller.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// The terminal's master comes along.
    Terminal,
    /// The program runs; its process id on the host.
    Started(i32),
    /// It could not be started.
    Failed(StartError),
    /// It has ended with this code.
    Exited(i32),
}
