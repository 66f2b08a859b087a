//! The steps for what containers are made of: images, networks, volumes.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, StepId};
use super::build::{Builder, volumes};
use super::fate::{self, Fate, Fates, Move};
use crate::desired::hash::COMPOSE_LABELS;
use crate::desired::{ContainerSpec, ImageSpec, NetworkSpec};
use crate::name::ContainerId;
use crate::observed::{ObservedContainer, ObservedNetwork, State};

impl Builder<'_> {
    /// Fetches what the containers that are made or started need, before anything of theirs is stopped.
    pub(super) fn pull_images(&mut self, fates: &Fates) {
        let desired = self.desired;
        for (name, declared) in &desired.containers {
            let starts = |id| matches!(fates.fates.get(id), Some(Fate::Stays(Some(Move::Start(..)))));
            let stays = fates.holders.get(name).is_some_and(|id| !starts(id));
            if stays || self.is_left_out(declared, name, fates) {
                continue;
            }
            // One that is not built has no layers that could be missing.
            let lacks = |image: &&ImageSpec| image.is_unbuilt() || !self.observed.images.contains(&image.id);
            for image in declared.spec.images().filter(lacks) {
                if !self.images.contains_key(&image.id) {
                    let name = image.name.clone();
                    let (action, cause) = match image.is_unbuilt() {
                        true => (Action::BuildImage { name }, "not built yet"),
                        false => (Action::PullImage { name, id: image.id.clone() }, "layers are missing"),
                    };
                    let step = self.step(action, vec![cause.to_owned()], Vec::new());
                    self.images.insert(image.id.clone(), step);
                }
            }
        }
    }

    /// Why a container can't be made: something external that is not there.
    pub(super) fn lacking(&self, spec: &ContainerSpec) -> Option<String> {
        let say = |what: &str, name: &str| {
            format!("{what} {name} is declared as external, but there is none: make it, or take `external` out")
        };
        let network = spec.endpoints.iter().map(|endpoint| &endpoint.network).find(|name| {
            let external = self.desired.networks.get(*name).is_some_and(|n| n.project.is_none());
            external && !self.observed.networks.contains_key(*name)
        });
        let volume = volumes(spec).find(|name| {
            let external = self.desired.volumes.get(*name).is_some_and(|v| v.project.is_none());
            external && !self.observed.volumes.contains_key(*name)
        });
        network.map(|name| say("network", name)).or(volume.map(|name| say("volume", name)))
    }

    pub(super) fn compare_networks(&mut self) {
        for (name, spec) in &self.desired.networks {
            let Some(there) = self.observed.networks.get(name) else { continue };
            if spec.project.is_some() && there.spec.project == spec.project {
                let causes = network_changes(&there.spec, spec);
                if causes.is_empty() {
                    continue;
                }
                // Whoever stays on it keeps it: to make the others anew would change nothing, again and again.
                if there.endpoints.iter().any(|id| self.stays(id)) {
                    let text = format!(
                        "network {name} differs ({}), but is still in use, and stays as it is",
                        causes.join(", ")
                    );
                    self.plan.warnings.push(text);
                } else {
                    self.renewed_networks.insert(name.clone(), causes);
                }
            }
        }
    }

    /// Whether a container on a network is not ours to remove: an orphan, or one of another project.
    fn stays(&self, id: &ContainerId) -> bool {
        self.observed
            .containers
            .get(id)
            .is_none_or(|there| there.state != State::Incomplete && fate::is_left_alone(self.desired, there))
    }

    /// After which step a container that goes is on no network any more; `None`: it is on none already.
    fn leaves_its_networks(&self, id: &ContainerId, removal: StepId) -> Option<StepId> {
        let there = self.observed.containers.get(id);
        if there.is_some_and(|there| !there.sandbox && matches!(there.state, State::Created | State::Exited(_))) {
            return None;
        }
        Some(self.stops.get(id).copied().unwrap_or(removal))
    }

    pub(super) fn remove_networks(&mut self) {
        for (name, network) in &self.observed.networks {
            let own = network.spec.project.as_ref() == Some(&self.desired.project);
            let causes = match self.renewed_networks.get(name) {
                Some(causes) => causes.clone(),
                None if own && !self.desired.networks.contains_key(name) => vec!["not declared".to_owned()],
                None => continue,
            };
            let leaves = |id: &ContainerId| self.removals.get(id).map(|removal| self.leaves_its_networks(id, *removal));
            let leaving: Vec<_> = network.endpoints.iter().map(leaves).collect();
            // Somebody stays on it: an orphan, or a container of another project.
            let Some(leaving) = leaving.into_iter().collect::<Option<Vec<_>>>() else {
                self.plan.warnings.push(format!("network {name} is still in use, and stays as it is"));
                continue;
            };
            let mut after: Vec<StepId> = leaving.into_iter().flatten().collect();
            // Those without a link just now may be getting one from a step that is under way.
            let users =
                self.observed.containers.values().filter(|c| c.spec.endpoints.iter().any(|e| e.network == *name));
            after.extend(users.filter_map(|user| leaves(&user.id).flatten()));
            let step = self.step(Action::RemoveNetwork { name: name.clone() }, causes, after);
            self.networks.insert(name.clone(), step);
        }
    }

    pub(super) fn create_networks(&mut self) {
        for (name, spec) in &self.desired.networks {
            let (spec, causes, after) = match (self.observed.networks.get(name), self.networks.get(name)) {
                (Some(_), Some(removal)) => {
                    (spec, self.renewed_networks.get(name).cloned().unwrap_or_default(), vec![*removal])
                }
                // What is mended stays as it is: whose it is, and in what it may differ from what is declared.
                (Some(there), None) => (&there.spec, network_losses(there), Vec::new()),
                // Its users say so.
                (None, _) if spec.project.is_none() => continue,
                (None, _) if !self.is_used(|user| user.endpoints.iter().any(|e| e.network == *name)) => continue,
                (None, _) => (spec, vec!["missing".to_owned()], Vec::new()),
            };
            if causes.is_empty() {
                continue;
            }
            let step = self.step(Action::CreateNetwork { spec: spec.clone() }, causes, after);
            self.networks.insert(name.clone(), step);
        }
    }

    pub(super) fn create_volumes(&mut self) {
        for (name, spec) in &self.desired.volumes {
            match self.observed.volumes.get(name) {
                Some(there) if spec.project.is_some() && there.spec.project != spec.project => {
                    let whose = there.spec.project.as_ref().map(|other| format!(" for project {other}"));
                    let text = format!(
                        "volume {name} was made{} and is used as it is: `external: true` in the file says so",
                        whose.as_deref().unwrap_or(" by itself")
                    );
                    self.plan.warnings.push(text);
                }
                Some(there) if spec.project.is_some() && there.spec.driver_opts != spec.driver_opts => {
                    let text = format!("volume {name} was made with other options, and stays as it is");
                    self.plan.warnings.push(text);
                }
                Some(there) if spec.project.is_some() && own_labels(&there.spec.labels) != own_labels(&spec.labels) => {
                    let text = format!("volume {name} was made with other labels, and stays as it is");
                    self.plan.warnings.push(text);
                }
                Some(_) => {}
                // Its users say so.
                None if spec.project.is_none() => {}
                None if !self.is_used(|user| volumes(user).any(|volume| volume == name)) => {}
                None => {
                    let after = self.volumes.get(name).copied().into_iter().collect();
                    let step =
                        self.step(Action::CreateVolume { spec: spec.clone() }, vec!["missing".to_owned()], after);
                    self.volumes.insert(name.clone(), step);
                }
            }
        }
    }

    /// Only what somebody asked to be removed, and after everything that may use it.
    pub(super) fn remove_volumes(&mut self) {
        for name in &self.desired.remove_volumes {
            let Some(there) = self.observed.volumes.get(name).filter(|_| !self.desired.volumes.contains_key(name))
            else {
                continue;
            };
            let keeps =
                |c: &&ObservedContainer| !self.removals.contains_key(&c.id) && volumes(&c.spec).any(|v| v == name);
            if let Some(user) = self.observed.containers.values().find(keeps) {
                let text = format!("volume {name} is still used by {}, and stays", user.spec.name);
                self.plan.warnings.push(text);
                continue;
            }
            if let Some(user) = there.others.first() {
                let text = format!("volume {name} is still used by {user} of another project, and stays");
                self.plan.warnings.push(text);
                continue;
            }
            if let Some(user) = self.observed.unknown.keys().next() {
                let text = format!("volume {name} may be used by {}, which is left alone, and stays", user.short());
                self.plan.warnings.push(text);
                continue;
            }
            let after = self.removals.values().copied().collect();
            let cause = vec!["asked to be removed".to_owned()];
            let step = self.step(Action::RemoveVolume { name: name.clone() }, cause, after);
            self.volumes.insert(name.clone(), step);
        }
    }
}

/// Of a volume's or a network's labels those that the user gave it.
fn own_labels(labels: &BTreeMap<String, String>) -> Vec<(&String, &String)> {
    labels.iter().filter(|(key, _)| !key.starts_with(COMPOSE_LABELS)).collect()
}

/// What somebody has taken away from a network.
fn network_losses(there: &ObservedNetwork) -> Vec<String> {
    let gone = (!there.present).then(|| match there.spec.driver.parent() {
        None => "its bridge is gone".to_owned(),
        Some(parent) => format!("link {} is gone", parent.name()),
    });
    gone.into_iter().chain(there.lost.iter().map(ToString::to_string)).collect()
}

/// What differs between two definitions of a network that is our own. Subnets that were chosen are no difference.
fn network_changes(old: &NetworkSpec, new: &NetworkSpec) -> Vec<String> {
    let mut causes = Vec::new();
    let mut differs = |what: &str, differs: bool| {
        if differs {
            causes.push(format!("{what} changed"));
        }
    };
    let fixed = |spec: &NetworkSpec| spec.subnets.iter().filter(|s| s.fixed).cloned().collect::<Vec<_>>();
    let families = |spec: &NetworkSpec| spec.subnets.iter().map(|s| s.address.is_ipv6()).collect::<BTreeSet<_>>();
    differs("driver", old.driver != new.driver);
    differs("bridge", old.bridge != new.bridge);
    differs("subnets", fixed(old) != fixed(new) || families(old) != families(new));
    differs("internal", old.internal != new.internal);
    differs("icc", old.icc != new.icc);
    differs("masquerade", old.masquerade != new.masquerade);
    differs("host_binding", old.host_binding != new.host_binding);
    differs("mtu", old.mtu != new.mtu);
    differs("labels", own_labels(&old.labels) != own_labels(&new.labels));
    causes
}
