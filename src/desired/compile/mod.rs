//! From the project to its desired state: every name, address, path and limit is decided here, by docker compose's rules,
//! and nothing is left to choose for those who act.
//!
//! ```text
//!  Project ─▶ select the services ─▶ draft their containers ─▶ decide networks and addresses ─▶ join with what is carried
//!                                    (a file a concern)        (network, subnet, address)       over from the last state
//! ```
//!
//! Pure: files, images and addresses in use come with the [`Request`] and the [`Leases`]. All that is wrong is told at
//! once, each with the place of its attribute.

mod address;
mod container;
mod device;
mod driver;
mod endpoint;
mod error;
mod file;
mod hook;
mod join;
mod label;
mod lifecycle;
mod log;
mod mount;
mod network;
mod process;
mod request;
mod resource;
mod run;
mod runtime;
mod security;
mod subnet;
#[cfg(test)]
mod tests;
mod volume;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

pub use error::CompileError;
use error::Problems;
pub use lifecycle::signal;
pub use mount::wanted_lenders;
pub use request::{Recreate, Request, Run, Verb, declared_volumes, wanted_files, wanted_images};
pub use runtime::{wanted_programs, without_default};

use super::{Desired, Leases, ResolvedImage};
use crate::compose::model::{Project, Service};
use crate::graph::Graph;
use crate::name::{ContainerName, ServiceName};

/// Decides the desired state of a project.
///
/// `project` holds every service whose profile is active, or of these those that `request` names and what they depend on;
/// which of them are touched is said by `request`. `images` has the image of each that is touched; `leases` what addresses
/// are taken on this machine. Attributes that nothing carries out were refused before (`compose::support`).
///
/// # Errors
/// All that is wrong, sorted by place.
pub fn compile(
    project: &Project,
    images: &BTreeMap<ServiceName, ResolvedImage>,
    leases: &Leases,
    request: &Request,
) -> Result<Desired, Vec<CompileError>> {
    let mut problems = Problems::default();
    let project = run::apply(project, request, &mut problems);
    let selected = select(&project, request, &mut problems);
    let leases = match &request.previous {
        Some(previous) => Cow::Owned(leases.clone().with_previous(previous)),
        None => Cow::Borrowed(leases),
    };
    let compiler = Compiler { project: &project, images, leases: &leases, request };
    let mut drafts = Vec::new();
    for name in &selected {
        if let Some(service) = project.services.get(name) {
            drafts.extend(container::drafts(&compiler, name, service, &mut problems));
        }
    }
    let desired = join::join(&compiler, &selected, drafts, &mut problems);
    problems.result(desired)
}

/// The services whose containers are decided anew: those that were named and what they depend on, or all.
fn select(project: &Project, request: &Request, problems: &mut Problems) -> BTreeSet<ServiceName> {
    let graph = Graph::of(project);
    for cycle in graph.cycles() {
        let first = cycle.services.first().cloned().unwrap_or_default();
        problems.add(format!("services.{first}.depends_on"), cycle);
    }
    let named = match &request.verb {
        Verb::Run(run) => BTreeSet::from([run.service.clone()]),
        Verb::Up | Verb::Create => request.services.clone(),
    };
    for name in named.iter().filter(|name| !project.services.contains_key(*name)) {
        let known: Vec<&str> = project.services.keys().map(ServiceName::as_str).collect();
        let help = format!("the services are {}", known.join(", "));
        problems.add_with_help(format!("services.{name}"), format!("there is no service `{name}`"), help);
    }
    if named.is_empty() {
        project.services.keys().cloned().collect()
    } else if request.no_deps {
        named
    } else {
        graph.dependencies(&named)
    }
}

/// What every part of the compilation reads.
#[derive(Clone, Copy)]
struct Compiler<'a> {
    project: &'a Project,
    images: &'a BTreeMap<ServiceName, ResolvedImage>,
    leases: &'a Leases,
    request: &'a Request,
}

impl<'a> Compiler<'a> {
    /// The command of `run`, if this is one.
    fn run(&self) -> Option<&'a Run> {
        match &self.request.verb {
            Verb::Run(run) => Some(run),
            Verb::Up | Verb::Create => None,
        }
    }

    /// The name of a replica (spec.md 12.1).
    fn container_name(&self, name: &ServiceName, service: &Service, number: u32) -> ContainerName {
        match service.container_name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => ContainerName::from(name),
            None => {
                let between = self.between();
                ContainerName::new(format!("{}{between}{name}{between}{number}", self.project.name))
            }
        }
    }

    /// The name of the container of `run`.
    fn oneoff_name(&self, run: &Run) -> ContainerName {
        let between = self.between();
        let slug = run.slug.get(..12).unwrap_or(&run.slug);
        run.name.clone().unwrap_or_else(|| {
            ContainerName::new(format!("{}{between}{}{between}run{between}{slug}", self.project.name, run.service))
        })
    }

    fn between(&self) -> char {
        if self.request.compatibility { '_' } else { '-' }
    }
}

/// sha256 in hexadecimal.
fn sha256(bytes: impl AsRef<[u8]>) -> String {
    super::hash::hex(&Sha256::digest(bytes.as_ref()))
}
