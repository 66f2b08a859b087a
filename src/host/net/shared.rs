//! What the clones of a [`super::Net`] share: who publishes ports, and where connections lead that must be forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use super::conntrack::Place;
use super::error::{Context, Result};
use super::machine::Machine;
use super::publish::{self, Publisher};
use super::relay::keeper::Keeper;
use super::{lock, relayed};
use crate::desired::Protocol;
use crate::name::{ContainerId, ProjectName};

/// What there is once for a state folder.
pub(super) struct Shared {
    pub(super) machine: Machine,
    pub(super) publishers: Mutex<BTreeMap<ProjectName, Publisher>>,
    pub(super) keepers: Mutex<BTreeMap<ProjectName, Watched>>,
    /// Where connections lead that must be forgotten.
    pub(super) stale: Mutex<BTreeSet<Place>>,
    pub(super) forgetting: Mutex<()>,
    /// The executable that is started as relay.
    pub(super) program: PathBuf,
}

/// A project's keeper and the task that runs it.
pub(super) struct Watched {
    pub(super) keeper: Arc<Keeper>,
    pub(super) task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Takes ports back; says whether there was UDP among them, whose flows must be decided anew before anything else.
    pub(super) fn withdraw(&self, project: &ProjectName, containers: &[ContainerId]) -> Result<bool> {
        let (places, left) = self.with_publisher(project, |publisher| {
            Ok((publisher.withdraw(&self.machine, containers)?, publisher.publications().len()))
        })?;
        let urgent = places.iter().any(|(_, protocol, _)| *protocol == Protocol::Udp);
        lock(&self.stale).extend(places);
        let keeper = lock(&self.keepers).get(project).map(|watched| Arc::clone(&watched.keeper));
        if let Some(keeper) = &keeper {
            containers.iter().for_each(|container| keeper.remove(container));
        }
        if left == 0 {
            lock(&self.publishers).remove(project);
            lock(&self.keepers).remove(project);
            keeper.inspect(|keeper| keeper.close());
        }
        Ok(urgent)
    }

    /// Forgets the connections to all that was withdrawn since the last time, in one pass.
    pub(super) fn forget(&self) -> Result<()> {
        let _one_at_a_time = lock(&self.forgetting);
        let places = std::mem::take(&mut *lock(&self.stale));
        publish::forget(&places)
    }

    pub(super) fn with_publisher<T>(
        &self,
        project: &ProjectName,
        work: impl FnOnce(&mut Publisher) -> Result<T>,
    ) -> Result<T> {
        let mut publishers = lock(&self.publishers);
        if !publishers.contains_key(project) {
            publishers.insert(project.clone(), Publisher::open(&self.machine, project, relayed())?);
        }
        // It was put in just now, under the same lock.
        let publisher = publishers.get_mut(project);
        publisher.map_or_else(|| Err(std::io::Error::other("lost")).context("find", "the publisher"), work)
    }
}
