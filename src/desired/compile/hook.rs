//! Hooks: programs run in a container after its start and before its stop, and containers that prepare it.

use std::collections::{BTreeMap, BTreeSet};

use super::container::{Draft, draft};
use super::{Compiler, Problems, label};
use crate::compose::model::{Hook, Preparation, Service};
use crate::desired::{HookSpec, ResolvedImage, RestartPolicy};
use crate::name::{ContainerName, ServiceName};

/// `post_start` or `pre_stop`, whichever `key` says.
pub fn hooks(at: &str, key: &str, hooks: &[Hook], problems: &mut Problems) -> Vec<HookSpec> {
    let mut all = Vec::new();
    for (index, hook) in hooks.iter().enumerate() {
        let path = format!("{at}.{key}[{index}]");
        if hook.command.first().is_none_or(String::is_empty) {
            problems.add(format!("{path}.command"), "a hook needs a command");
        }
        let cwd = hook.working_dir.clone().unwrap_or_default();
        if !cwd.is_empty() && !cwd.starts_with('/') {
            problems.add(format!("{path}.working_dir"), format!("`{cwd}` is not an absolute path"));
        }
        all.push(HookSpec {
            argv: hook.command.clone(),
            user: hook.user.clone().unwrap_or_default(),
            privileged: hook.privileged,
            cwd,
            env: set(&hook.environment),
        });
    }
    all
}

fn set(environment: &BTreeMap<String, Option<String>>) -> Vec<String> {
    environment.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?))).collect()
}

/// Puts the containers that prepare `owners` before them: one a step for all replicas, or one for each.
pub fn prepare(
    compiler: &Compiler<'_>,
    name: &ServiceName,
    service: &Service,
    owners: &mut [Draft],
    problems: &mut Problems,
) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for (owner, prepared) in owners.iter_mut().enumerate() {
        let mut before: Option<ContainerName> = None;
        for (index, step) in service.pre_start.iter().enumerate() {
            let replica = step.per_replica.then_some(&prepared.container.spec.name);
            let container = step_name(compiler, name, replica, index);
            if !drafts.iter().any(|draft| draft.container.spec.name == container) {
                let made = preparing(compiler, name, service, (step, index), (container.clone(), owner), problems);
                drafts.extend(made.map(|mut draft| {
                    draft.container.pre_start.extend(before.clone());
                    draft
                }));
            }
            prepared.container.pre_start.push(container.clone());
            before = Some(container);
        }
    }
    drafts
}

fn step_name(
    compiler: &Compiler<'_>,
    name: &ServiceName,
    replica: Option<&ContainerName>,
    index: usize,
) -> ContainerName {
    let between = compiler.between();
    match replica {
        Some(replica) => ContainerName::new(format!("{replica}{between}pre_start{between}{index}")),
        None => {
            ContainerName::new(format!("{}{between}{name}{between}pre_start{between}{index}", compiler.project.name))
        }
    }
}

/// The container of one step: the service's own, but for what the step says and for what only one container can have.
fn preparing(
    compiler: &Compiler<'_>,
    name: &ServiceName,
    service: &Service,
    (step, index): (&Preparation, usize),
    (container, owner): (ContainerName, usize),
    problems: &mut Problems,
) -> Option<Draft> {
    let image = image(compiler, name, step, index, problems)?;
    let mut like = Service {
        ports: Vec::new(),
        container_name: None,
        healthcheck: None,
        pre_start: Vec::new(),
        post_start: Vec::new(),
        pre_stop: Vec::new(),
        mac_address: None,
        privileged: service.privileged || step.privileged,
        ..service.clone()
    };
    for place in like.networks.values_mut() {
        (place.ipv4_address, place.ipv6_address, place.mac_address) = (None, None, None);
        place.aliases.clear();
    }
    if step.image.is_some() {
        (like.entrypoint, like.command) = (None, None);
    }
    like.command = step.command.clone().or(like.command);
    like.user = step.user.clone().or(like.user);
    like.working_dir = step.working_dir.clone().or(like.working_dir);
    like.environment.extend(step.environment.clone());
    // What is wrong with the service was told with its own container.
    let mut told = Problems::default();
    let mut draft = draft(compiler, name, &like, &image, (container, 0), &mut told);
    let owner = u32::try_from(owner).unwrap_or(0) + 1;
    share_volumes(compiler, name, service, owner, &mut draft);
    let made = &mut draft.container;
    let own: BTreeSet<String> = [made.spec.name.to_string()].into();
    for endpoint in &mut made.spec.endpoints {
        endpoint.aliases.retain(|alias| own.contains(alias));
    }
    (made.restart, made.health, made.prepares) = (RestartPolicy::No, None, true);
    made.spec.oneoff = true;
    label::preparing(&mut made.spec.labels, index);
    Some(draft)
}

/// The volumes of the replica that is prepared, its anonymous ones among them, in place of some of its own.
fn share_volumes(compiler: &Compiler<'_>, name: &ServiceName, service: &Service, number: u32, draft: &mut Draft) {
    let container = compiler.container_name(name, service, number);
    let owner = super::mount::Owner { name, service, container: &container, depth: 0 };
    let mounts = super::mount::mounts(compiler, owner, &mut Problems::default());
    draft.container.spec.mounts = mounts.list;
    draft.anonymous = mounts.anonymous;
}

fn image(
    compiler: &Compiler<'_>,
    name: &ServiceName,
    step: &Preparation,
    index: usize,
    problems: &mut Problems,
) -> Option<ResolvedImage> {
    match &step.image {
        None => compiler.images.get(name).cloned(),
        Some(image) => {
            let found = compiler.request.mount_images.get(image).cloned();
            if found.is_none() {
                let path = format!("services.{name}.pre_start[{index}].image");
                problems.add(path, format!("image `{image}` was not found"));
            }
            found
        }
    }
}
