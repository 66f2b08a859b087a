//! Which image references of a project are locked.

use std::collections::{BTreeMap, BTreeSet};

use crate::compose::model::{MountKind, Project, Service};
use crate::name::ServiceName;

/// The references that come from a registry, and the services that use each: images of services, images that are
/// mounted, images of `pre_start` steps. What is built here (`build`) or must not be pulled (`pull_policy: never`) has nothing that a registry could
/// say; the contexts of builds are locked by their content.
pub fn wanted(project: &Project) -> BTreeMap<String, BTreeSet<ServiceName>> {
    let builders = project.services.iter().filter(|(_, service)| service.build.is_some());
    let built: BTreeSet<String> = builders
        .map(|(name, service)| service.image.clone().unwrap_or_else(|| format!("{}-{name}", project.name)))
        .collect();
    let mut wanted: BTreeMap<String, BTreeSet<ServiceName>> = BTreeMap::new();
    for (name, service) in &project.services {
        let own = service.image.iter().filter(|_| is_pulled(service));
        let mounted = service.volumes.iter().filter(|mount| mount.kind == MountKind::Image);
        let steps = service.pre_start.iter().filter_map(|step| step.image.as_ref());
        let others = mounted.filter_map(|mount| mount.source.as_ref()).chain(steps);
        for reference in own.chain(others.filter(|reference| !built.contains(reference.as_str()))) {
            wanted.entry(reference.clone()).or_default().insert(name.clone());
        }
    }
    wanted
}

fn is_pulled(service: &Service) -> bool {
    service.build.is_none()
        && service.provider.is_none()
        && !matches!(service.pull_policy.as_deref(), Some("never" | "build"))
}
