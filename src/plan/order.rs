//! The order in which containers are stopped: dependents first.

use std::collections::{BTreeMap, BTreeSet};

use super::fate;
use crate::desired::Desired;
use crate::name::{ContainerId, ContainerName, ServiceName};
use crate::observed::{Observed, ObservedContainer};

/// The label by which a container that nobody declares any more tells what it depended on.
const DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// Which containers depend on which, or join their namespaces.
#[derive(Debug, Default)]
pub struct Dependents(BTreeMap<ContainerId, Vec<ContainerId>>);

impl Dependents {
    /// Those of what exists.
    pub fn new(desired: &Desired, observed: &Observed) -> Self {
        let mut by_service: BTreeMap<&ServiceName, Vec<&ContainerId>> = BTreeMap::new();
        let mut by_name: BTreeMap<&ContainerName, Vec<&ContainerId>> = BTreeMap::new();
        for (id, container) in &observed.containers {
            by_service.entry(&container.spec.service).or_default().push(id);
            by_name.entry(&container.spec.name).or_default().push(id);
        }
        let mut found: BTreeMap<ContainerId, Vec<ContainerId>> = BTreeMap::new();
        for (id, container) in &observed.containers {
            let services = dependencies(desired, container);
            let lenders = fate::providers(&container.spec.namespaces);
            let before = services.iter().filter_map(|name| by_service.get(name));
            let before = before.chain(lenders.into_iter().filter_map(|name| by_name.get(name))).flatten();
            let before: BTreeSet<&ContainerId> = before.copied().filter(|other| *other != id).collect();
            for other in before {
                found.entry(other.clone()).or_default().push(id.clone());
            }
        }
        Self(found)
    }

    /// Those of one container.
    pub fn of(&self, id: &ContainerId) -> &[ContainerId] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }

    /// Every container, dependents first.
    pub fn stop_order(&self, observed: &Observed) -> Vec<ContainerId> {
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        for id in observed.containers.keys() {
            self.visit(id, &mut seen, &mut order);
        }
        order
    }

    fn visit<'a>(&'a self, id: &'a ContainerId, seen: &mut BTreeSet<&'a ContainerId>, order: &mut Vec<ContainerId>) {
        if seen.insert(id) {
            self.of(id).iter().for_each(|dependent| self.visit(dependent, seen, order));
            order.push(id.clone());
        }
    }
}

/// The services that a container depends on: as declared, or as it was when it still was, else as its label tells.
fn dependencies(desired: &Desired, container: &ObservedContainer) -> BTreeSet<ServiceName> {
    let name = &container.spec.name;
    let declared = desired.containers.get(name).map(|declared| &declared.depends_on);
    if let Some(declared) = declared.or_else(|| desired.leaving.get(name).map(|leaving| &leaving.depends_on)) {
        return declared.iter().map(|d| d.service.clone()).collect();
    }
    let label = container.spec.labels.get(DEPENDS_ON).map_or("", String::as_str);
    label.split(',').filter_map(|one| one.split(':').next()).filter(|s| !s.is_empty()).map(Into::into).collect()
}
