//! Mirrors files of this machine into running containers (`watch`), without any program of the image.
//!
//! ```text
//!  Mirror (paths that changed) ─▶ source   what stands there now; symlinks are never followed
//!                                 mounts   which mounts of the container may be written
//!                                 target   the same below the container's root, by descriptors only
//! ```
//!
//! What changed does not matter, only what stands there now: so the order of events, and how many of them there were, makes
//! no difference, and doing it again does no harm.

mod mounts;
mod source;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Gid, Uid};

use super::container::{Root, RootError, owner, record};
use super::paths::Paths;
use super::volume::{self, VolumeError};
use crate::desired::{ContainerSpec, MountSource};
use crate::name::{ContainerId, ContainerName};

use mounts::Mounts;
use target::{Change, Refusal, Target};

/// So long a container's root is held at a time: its restart waits for us.
const HELD: Duration = Duration::from_millis(50);

/// A container that files go to.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    run: PathBuf,
    user: String,
    volumes: Vec<Volume>,
    has_tmpfs: bool,
}

/// A volume of a container: where it is inside, and its folder on this machine.
#[derive(Clone, Debug)]
struct Volume {
    target: PathBuf,
    data: PathBuf,
    subpath: PathBuf,
}

/// Some files, and where they go.
pub struct Mirror<'a> {
    /// A folder or a file of this machine, without symlinks in its path.
    pub source: &'a Path,
    /// What it is inside the container.
    pub target: &'a Path,
    /// What to look at, relative to `source`.
    pub paths: &'a BTreeSet<PathBuf>,
    /// Paths (of those, or above them) that were symlinks at some time: where a symlink stands at one inside the container
    /// it is ours and may go. Any other symlink there is the image's own, and is followed.
    pub links: &'a BTreeSet<PathBuf>,
    /// What stays when the folder around it goes: what is not mirrored.
    pub keeps: &'a (dyn Fn(&Path) -> bool + Sync),
    /// Leave files alone that have the same size, time, mode and owner.
    pub only_different: bool,
    /// Leave alone what outlives the container's process: only what lies on a tmpfs is looked at.
    pub only_in_memory: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was written, relative to the source.
    pub written: BTreeSet<PathBuf>,
    /// What was removed.
    pub removed: BTreeSet<PathBuf>,
    /// What could not be done, and why.
    pub refused: Vec<(PathBuf, String)>,
    /// Those of what was written that are symlinks: they belong to [`Mirror::links`] from now on.
    pub links: BTreeSet<PathBuf>,
    /// The container ended before its turn came: what is to be done when it runs again.
    pub left: BTreeSet<PathBuf>,
}

/// Why nothing can be mirrored into a container.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Its root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Its volumes.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Its user.
    #[error("can't tell whose the files in container {name} are to be: {why}")]
    Owner {
        /// The container.
        name: ContainerName,
        /// Why.
        why: String,
    },
    /// Its mounts.
    #[error("can't read the mounts of container {name}")]
    Mounts {
        /// The container.
        name: ContainerName,
        /// Why.
        source: std::io::Error,
    },
}

impl Replica {
    /// A container, by what it was made of.
    ///
    /// # Errors
    /// When one of its volumes can't be found.
    pub fn new(paths: &Paths, id: &ContainerId, spec: &ContainerSpec) -> Result<Self, SyncError> {
        let mut volumes = Vec::new();
        for mount in &spec.mounts {
            let MountSource::Volume { name, subpath, .. } = &mount.source else { continue };
            let Some(found) = volume::read(paths, name)? else { continue };
            let data = volume::data(paths, &found)?;
            volumes.push(Volume { target: mount.target.clone().into(), data, subpath: subpath.into() });
        }
        Ok(Self {
            id: id.clone(),
            name: spec.name.clone(),
            run: paths.container_run(id),
            user: spec.user.clone(),
            volumes,
            has_tmpfs: spec.mounts.iter().any(|mount| matches!(mount.source, MountSource::Tmpfs { .. })),
        })
    }

    /// Whether it may lose files when its process ends.
    pub fn has_tmpfs(&self) -> bool {
        self.has_tmpfs
    }

    /// Whether its process lives.
    pub fn is_running(&self) -> bool {
        record::living(&self.run).is_ok_and(|found| found.is_some())
    }
}

/// Makes the paths of a mirror the same inside a container as they are here. The container may end at any moment: what was
/// not done by then is in [`Outcome::left`].
///
/// # Errors
/// When nothing can be written into it at all.
pub fn sync(replica: &Replica, mirror: &Mirror<'_>) -> Result<Outcome, SyncError> {
    let mut outcome = Outcome::default();
    let mut paths = mirror.paths.iter().peekable();
    while paths.peek().is_some() {
        let Some(root) = Root::of_living(&replica.run)? else { break };
        let Some(process) = root.process() else { break };
        let (pid, ticks) = (process.pid, process.ticks);
        let read = Mounts::read(pid, root.as_fd(), &replica.volumes);
        // Of a process that has died meanwhile nothing can be read: the next one is looked for.
        let gone = || !record::is_same(pid, ticks);
        let mounts = match read {
            Ok(mounts) => mounts,
            Err(_) if gone() => continue,
            Err(source) => return Err(SyncError::Mounts { name: replica.name.clone(), source }),
        };
        let (uid, gid) =
            owner(&root, &replica.user).map_err(|why| SyncError::Owner { name: replica.name.clone(), why })?;
        let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
        let target = Target::new(root.as_fd(), mirror, owner, &mounts, std::mem::take(&mut outcome.links));
        mirror_for(HELD, &target, mirror, &mut paths, &mut outcome);
        outcome.links = target.into_links();
    }
    outcome.left = paths.cloned().collect();
    Ok(outcome)
}

/// Mirrors paths until all are done or the time is over.
fn mirror_for<'a>(
    time: Duration,
    target: &Target<'_>,
    mirror: &Mirror<'_>,
    paths: &mut impl Iterator<Item = &'a PathBuf>,
    outcome: &mut Outcome,
) {
    let begun = Instant::now();
    for path in paths.by_ref() {
        match one(target, mirror, path) {
            Ok(Change::Written) => {
                outcome.written.insert(path.clone());
            }
            Ok(Change::Removed) => {
                outcome.removed.insert(path.clone());
            }
            Ok(Change::None) => {}
            Err(refusal) => outcome.refused.push((path.clone(), refusal.to_string())),
        }
        if begun.elapsed() >= time {
            return;
        }
    }
}

fn one(target: &Target<'_>, mirror: &Mirror<'_>, path: &Path) -> Result<Change, Refusal> {
    if mirror.only_in_memory && !target.is_in_memory(path) {
        return Ok(Change::None);
    }
    let full = full(mirror, path);
    let found = source::look(&full).map_err(|cause| Refusal::Source { path: full.clone(), cause })?;
    target.make(path, found)
}

/// A path of a mirror on this machine.
fn full(mirror: &Mirror<'_>, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { mirror.source.to_owned() } else { mirror.source.join(path) }
}
