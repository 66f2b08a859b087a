//! /etc/hosts, /etc/hostname and /etc/resolv.conf: files of the container's state folder, mounted over the image's.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::super::bundle::Bundle;
use super::super::{inroot, tree};
use super::problem::{Step, doing};
use crate::desired::ContainerSpec;

/// Their targets, and their names in the state folder.
const FILES: [(&str, &str); 3] =
    [("/etc/hosts", "hosts"), ("/etc/hostname", "hostname"), ("/etc/resolv.conf", "resolv.conf")];

/// A file that waits to be mounted: its target, and the tree.
pub(crate) struct Ready {
    /// Its place.
    pub target: &'static str,
    /// Itself, detached.
    pub tree: OwnedFd,
}

/// Writes the files and takes them, except those that a mount of the user's replaces.
pub(crate) fn prepare(bundle: &Bundle) -> Step<Vec<Ready>> {
    let hostname = format!("{}\n", bundle.host.hostname);
    let texts = [bundle.host.hosts.as_deref(), Some(hostname.as_str()), bundle.host.resolv_conf.as_deref()];
    let mut ready = Vec::new();
    for ((target, name), text) in FILES.into_iter().zip(texts) {
        let Some(text) = text else { continue };
        if !is_replaced(&bundle.spec, target) {
            let path = bundle.host.state.join(name);
            write(&path, text)?;
            let tree = take(&path)?;
            // As docker: a container that may write nothing may not write these either.
            let flags = if bundle.spec.read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
            tree::set(tree.as_fd(), false, flags, libc::MS_PRIVATE).map_err(doing(format!("set up {target}")))?;
            ready.push(Ready { target, tree });
        }
    }
    Ok(ready)
}

/// The files as the last start has left them, for who looks at a container that does not run.
pub(crate) fn left(state: &Path, spec: &ContainerSpec) -> Step<Vec<Ready>> {
    let there = |(target, name): (&'static str, &str)| {
        let path = state.join(name);
        (path.exists() && !is_replaced(spec, target)).then(|| Ok(Ready { target, tree: take(&path)? }))
    };
    FILES.into_iter().filter_map(there).collect()
}

fn is_replaced(spec: &ContainerSpec, target: &str) -> bool {
    spec.mounts.iter().any(|mount| mount.target == target) || spec.files.iter().any(|file| file.target == target)
}

fn write(path: &Path, text: &str) -> Step {
    let at = |what: &str| format!("{what} {}", path.display());
    // Unchanged files are left alone: a write costs more than a read.
    if fs::read_to_string(path).map_or(true, |old| old != text) {
        fs::write(path, text).map_err(doing(at("write")))?;
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(doing(at("open up")))?;
    }
    Ok(())
}

fn take(path: &Path) -> Step<OwnedFd> {
    let at = |what: &str| format!("{what} {}", path.display());
    let file = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(doing(at("open")))?;
    tree::copy(&file, false).map_err(doing(at("take")))
}

/// Mounts the files; where the image has a symlink, on what it names inside the root.
pub(crate) fn mount(root: &OwnedFd, files: Vec<Ready>) -> Step {
    for Ready { target, tree } in files {
        let point =
            inroot::mount_point(root.as_fd(), Path::new(target), false).map_err(doing(format!("make {target}")))?;
        tree::attach(&tree, &point).map_err(doing(format!("mount {target}")))?;
    }
    link_mtab(root);
    Ok(())
}

/// Old programs look for mounts in /etc/mtab, which docker makes where the image has none. No container is worse off for one
/// that can't be made.
fn link_mtab(root: &OwnedFd) {
    if let Ok(etc) = inroot::open(root.as_fd(), Path::new("/etc"), OFlags::PATH | OFlags::DIRECTORY) {
        let _ = rustix::fs::symlinkat("/proc/mounts", etc, "mtab");
    }
}
