//! Opens what is mounted from the host, before anything of the container exists that could redirect it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::super::bundle::Resolved;
use super::super::{inroot, tree};
use super::problem::{Problem, Step, doing};
use crate::desired::{MountSource, MountSpec};

/// A mount's source: a detached tree, and whether it is a folder.
pub(crate) struct Source {
    /// The tree, with its propagation and read-only attribute set.
    pub tree: OwnedFd,
    /// A folder, else a file.
    pub is_folder: bool,
    /// The folder itself, for taking over the image's content into a new volume.
    pub folder: OwnedFd,
}

/// Opens the sources of `mounts`, in their order; `None` for those that come from nowhere (tmpfs, images).
///
/// This happens while the mounts of this namespace are still peers of the host's, so that `shared` binds stay so.
pub(crate) fn open(mounts: &[MountSpec], host: &Resolved) -> Step<Vec<Option<Source>>> {
    mounts.iter().map(|mount| open_one(mount, host)).collect()
}

fn open_one(mount: &MountSpec, host: &Resolved) -> Step<Option<Source>> {
    match &mount.source {
        MountSource::Bind { path, create, propagation, recursive, recursive_read_only } => {
            let at = |what: &str| format!("{what} {} for {}", path.display(), mount.target);
            let source = open_path(path, *create).map_err(doing(at("open")))?;
            let tree = tree::copy(&source, *recursive).map_err(doing(at("take")))?;
            let (kind, deep) = propagation_of(propagation)
                .ok_or_else(|| Problem::new(format!("propagation `{propagation}` of {} is unknown", mount.target)))?;
            tree::set(tree.as_fd(), deep, 0, kind).map_err(doing(at("set the propagation of")))?;
            if mount.read_only {
                tree::make_read_only(tree.as_fd(), *recursive && *recursive_read_only)
                    .map_err(doing(at("make read-only")))?;
            }
            let is_folder = inroot::is_folder(&source).map_err(doing(at("look at")))?;
            Ok(Some(Source { tree, is_folder, folder: source }))
        }
        MountSource::Volume { name, subpath, .. } => {
            let at = |what: &str| format!("{what} volume {name} for {}", mount.target);
            let folder = host.volumes.get(name).ok_or_else(|| Problem::new(at("find the folder of")))?;
            let folder = open_path(folder, false).map_err(doing(at("open")))?;
            let source = inroot::open(folder.as_fd(), Path::new(subpath), OFlags::PATH)
                .map_err(doing(at(&format!("open {subpath} in"))))?;
            let tree = tree::copy(&source, true).map_err(doing(at("take")))?;
            tree::set(tree.as_fd(), true, 0, libc::MS_PRIVATE).map_err(doing(at("detach")))?;
            if mount.read_only {
                tree::make_read_only(tree.as_fd(), true).map_err(doing(at("make read-only")))?;
            }
            let is_folder = inroot::is_folder(&source).map_err(doing(at("look at")))?;
            Ok(Some(Source { tree, is_folder, folder: source }))
        }
        MountSource::Tmpfs { .. } | MountSource::Image { .. } => Ok(None),
    }
}

fn open_path(path: &Path, create: bool) -> io::Result<OwnedFd> {
    let open = || rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    match open() {
        Err(rustix::io::Errno::NOENT) if create => {
            // Made by us, so with the mode that everybody expects, whatever the mask.
            fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
            Ok(open()?)
        }
        other => Ok(other?),
    }
}

/// The flag for mount_setattr and whether it goes to the mounts below too.
fn propagation_of(text: &str) -> Option<(u64, bool)> {
    Some(match text {
        "" | "rprivate" => (libc::MS_PRIVATE, true),
        "private" => (libc::MS_PRIVATE, false),
        "rslave" => (libc::MS_SLAVE, true),
        "slave" => (libc::MS_SLAVE, false),
        "rshared" => (libc::MS_SHARED, true),
        "shared" => (libc::MS_SHARED, false),
        _ => return None,
    })
}
