//! What `run` says goes over what the file says of its service.

use std::borrow::Cow;

use super::{Problems, Request, Run, Verb};
use crate::compose::model::{Project, Service};

/// The project with the overrides of `run`, if this is one.
pub fn apply<'a>(project: &'a Project, request: &Request, problems: &mut Problems) -> Cow<'a, Project> {
    let Verb::Run(run) = &request.verb else { return Cow::Borrowed(project) };
    let mut project = project.clone();
    match project.services.get_mut(&run.service) {
        Some(service) => overrides(service, run),
        None => problems.add(format!("services.{}", run.service), format!("there is no service `{}`", run.service)),
    }
    Cow::Owned(project)
}

fn overrides(service: &mut Service, run: &Run) {
    if let Some(entrypoint) = &run.entrypoint {
        service.entrypoint = Some(entrypoint.clone());
        service.command = Some(Vec::new());
    }
    if let Some(command) = &run.command {
        service.command = Some(command.clone());
    }
    service.environment.extend(run.environment.clone());
    service.labels.extend(run.labels.clone());
    if run.user.is_some() {
        service.user.clone_from(&run.user);
    }
    if run.workdir.is_some() {
        service.working_dir.clone_from(&run.workdir);
    }
    service.volumes.extend(run.volumes.iter().cloned());
    if !run.service_ports {
        service.ports.clear();
    }
    service.ports.extend(run.publish.iter().cloned());
    (service.tty, service.stdin_open) = (run.tty, run.stdin_open);
    // What is added is no longer dropped, and the other way round.
    service.cap_drop.retain(|name| !listed(&run.cap_add, name));
    service.cap_add.retain(|name| !listed(&run.cap_drop, name));
    service.cap_add.extend(run.cap_add.iter().cloned());
    service.cap_drop.extend(run.cap_drop.iter().cloned());
}

fn listed(names: &[String], name: &str) -> bool {
    let plain = |name: &str| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
    };
    names.iter().any(|other| plain(other) == plain(name))
}
