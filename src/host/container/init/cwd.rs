//! The working directory, inside the root beyond doubt.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;

use super::super::inroot;
use super::problem::{Problem, Step, doing};

/// Opens the folder `path` of `root`; makes it if it is missing and `create` says so.
///
/// Magic links are refused: /proc/self/fd/N would lead to a descriptor of ours, out of the root (CVE-2024-21626).
pub(crate) fn open(root: &OwnedFd, path: &str, create: bool) -> Step<OwnedFd> {
    let path = Path::new(if path.is_empty() { "/" } else { path });
    if !path.is_absolute() {
        return Err(Problem::new(format!("the working directory {} is not an absolute path", path.display())));
    }
    if create {
        inroot::folder(root.as_fd(), path)
    } else {
        inroot::open(root.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY)
    }
    .map_err(doing(format!("enter the working directory {}", path.display())))
}

/// Goes there, and checks that the kernel sees it below the root.
pub(crate) fn enter(folder: &OwnedFd) -> Step {
    rustix::process::fchdir(folder).map_err(doing("enter the working directory"))?;
    let path = rustix::process::getcwd(Vec::new()).map_err(doing("check the working directory"))?;
    // The kernel writes `(unreachable)` in front of a directory that is not below the root.
    if path.as_bytes().first() == Some(&b'/') {
        Ok(())
    } else {
        Err(Problem::new("the working directory is outside of the container"))
    }
}
