//! What can be asked for: bring up, and changes of what was brought up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::compose::model::Project;
use crate::desired::Desired;
use crate::desired::edit::Edit;
use crate::graph::Graph;
use crate::name::{ContainerId, ServiceName};
use crate::plan::Failure;

use super::lock::LockUse;

/// How a project is to be brought up; what the flags of `up`, `create`, `run` and `scale` come to.
#[derive(Clone, Debug, Default)]
pub struct UpWish {
    /// Only these services (and, unless `no_deps`, what they depend on); empty: all.
    pub services: Vec<ServiceName>,
    /// Leave what they depend on alone.
    pub no_deps: bool,
    /// Create, but don't start.
    pub no_start: bool,
    /// Number of replicas of services, instead of the file's.
    pub scale: BTreeMap<ServiceName, u32>,
    /// Whether containers that exist are made anew.
    pub recreate: Recreate,
    /// What the named services depend on is made anew.
    pub recreate_dependencies: bool,
    /// Anonymous volumes are made anew, not taken over.
    pub renew_anonymous_volumes: bool,
    /// Remove containers of services that the files don't declare.
    pub remove_orphans: bool,
    /// `pull_policy` for all, instead of the file's.
    pub pull: Option<PullPolicy>,
    /// Say nothing of pulls.
    pub quiet_pull: bool,
    /// Nothing outside may be changed (`plan`): programs that provide services are not run.
    pub rehearsal: bool,
    /// In a rehearsal, the services whose images would be built before: one that is not there yet is planned unseen.
    pub builds: BTreeSet<ServiceName>,
    /// How the lock file is used.
    pub lock: LockUse,
    /// In place of the file's grace time.
    pub timeout: Option<Duration>,
    /// One more container beside them (`run`).
    pub oneoff: Option<Box<RunWish>>,
}

impl UpWish {
    /// The services that are brought up: those named and what they depend on, or all.
    pub fn touched(&self, project: &Project) -> BTreeSet<ServiceName> {
        let named: BTreeSet<ServiceName> = self.services.iter().cloned().collect();
        if named.is_empty() {
            return project.services.keys().cloned().collect();
        }
        if self.no_deps {
            return named;
        }
        Graph::of(project).dependencies(&named).into_iter().chain(named).collect()
    }
}

/// Whether containers that exist are made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recreate {
    /// Where they differ from the file.
    #[default]
    Different,
    /// All.
    Force,
    /// None.
    Never,
}

/// `--pull`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Even if it is there.
    Always,
    /// If it is not there.
    Missing,
    /// Not at all: an image that is not there is an error.
    Never,
    /// Build it.
    Build,
}

/// The container of `run`: a service's, with changes.
#[derive(Clone, Debug, Default)]
pub struct RunWish {
    /// The service.
    pub service: ServiceName,
    /// The container's name.
    pub name: String,
    /// Instead of the service's command.
    pub command: Option<Vec<String>>,
    /// Instead of the service's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// `KEY=value` beside the service's own; without `=`: the value that we have.
    pub env: Vec<String>,
    /// Further labels.
    pub labels: Vec<String>,
    /// Instead of the service's.
    pub user: Option<String>,
    /// Instead of the service's.
    pub workdir: Option<String>,
    /// Further capabilities.
    pub cap_add: Vec<String>,
    /// Fewer capabilities.
    pub cap_drop: Vec<String>,
    /// Further volumes, short form.
    pub volumes: Vec<String>,
    /// Published ports, short form.
    pub publish: Vec<String>,
    /// Publish the service's ports.
    pub service_ports: bool,
    /// Be found under the service's aliases.
    pub use_aliases: bool,
    /// A terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub stdin: bool,
    /// Remove it when it has ended.
    pub rm: bool,
}

/// A change of a project.
#[derive(Clone, Debug)]
pub enum Change {
    /// `up`, `create`, `run`: the state that the files declare.
    Declare(Box<Desired>),
    /// Any other verb: a change of what was last applied.
    Edit(Edit),
}

/// How long [`Backend::apply`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All steps of the plan are done, and what is started runs.
    Done,
    /// Beyond that, everything runs and what has a health check is healthy (`--wait`).
    Healthy,
}

/// What came of a change.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Containers that did not reach their target.
    pub failures: Vec<Failure>,
    /// What those who are to blame have printed last, a paragraph each.
    pub evidence: Vec<String>,
    /// docker's code for a container that could not be started: 125, 126, 127.
    pub code: Option<u8>,
    /// What is to be told besides.
    pub warnings: Vec<String>,
    /// Containers that were made, by their names.
    pub made: BTreeMap<String, ContainerId>,
}
