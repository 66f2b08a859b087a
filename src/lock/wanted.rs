//! Which image references of a project are locked.

use std::collections::{BTreeMap, BTreeSet};

use crate::compose::model::{MountKind, Project, Service};
use crate::name::ServiceName;

/// An image reference that is locked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The services that use it.
    pub users: BTreeSet<ServiceName>,
    /// One of them has `build` beside `image`: no registry need have it.
    pub may_be_built: bool,
}

/// The references that come from a registry: images of services, images that are mounted, images of `pre_start` steps. What is
/// only built here (`build` without `image`, `pull_policy: build`) or must not be pulled (`pull_policy: never`) has nothing that a
/// registry could say; the contexts of builds are locked by their content.
pub fn wanted(project: &Project) -> BTreeMap<String, Wanted> {
    let builders = || project.services.iter().filter(|(_, service)| service.build.is_some());
    let buildable: BTreeSet<&str> = builders()
        .filter(|(_, service)| is_pulled(service))
        .filter_map(|(_, service)| service.image.as_deref())
        .collect();
    let built: BTreeSet<String> = builders()
        .map(|(name, service)| service.image.clone().unwrap_or_else(|| format!("{}-{name}", project.name)))
        .filter(|image| !buildable.contains(image.as_str()))
        .collect();
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    for (name, service) in &project.services {
        let own = service.image.iter().filter(|_| is_pulled(service));
        let mounted = service.volumes.iter().filter(|mount| mount.kind == MountKind::Image);
        let steps = service.pre_start.iter().filter_map(|step| step.image.as_ref());
        let others = mounted.filter_map(|mount| mount.source.as_ref()).chain(steps);
        for reference in own.chain(others).filter(|reference| !built.contains(reference.as_str())) {
            let one = wanted.entry(reference.clone()).or_default();
            one.users.insert(name.clone());
            one.may_be_built = buildable.contains(reference.as_str());
        }
    }
    wanted
}

fn is_pulled(service: &Service) -> bool {
    service.provider.is_none() && !matches!(service.pull_policy.as_deref(), Some("never" | "build"))
}
