//! Where things wait that a runtime mounts: it takes paths, so each tree that was opened safely gets a path that nobody but
//! this mount namespace has.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::super::init::problem::{Step, doing};
use super::super::{inroot, tree};

/// A tmpfs on a folder, in this mount namespace only.
pub(super) struct Shelf {
    path: PathBuf,
    /// It.
    pub tree: OwnedFd,
    next: u32,
}

impl Shelf {
    /// Mounts it on the folder `path`.
    pub(super) fn mount(path: PathBuf) -> Step<Shelf> {
        let point = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(doing(format!("open {}", path.display())))?;
        let options = [("mode", Some("0700"))];
        // What is put on it keeps its own attributes; what is written into it may be a program (PID 1 of `init: true`).
        let attributes = rustix::mount::MountAttrFlags::MOUNT_ATTR_NODEV;
        let tree = tree::filesystem("tmpfs", &options, attributes).map_err(doing("make a tmpfs"))?;
        tree::attach(&tree, &point).map_err(doing("mount a tmpfs"))?;
        Ok(Shelf { path, tree, next: 0 })
    }

    /// Puts a detached tree on it; its path.
    pub(super) fn put(&mut self, tree: &OwnedFd) -> Step<PathBuf> {
        let is_folder = inroot::is_folder(tree).map_err(doing("look at what is to be mounted"))?;
        let (name, place) = self.place(is_folder)?;
        tree::attach(tree, &place).map_err(doing("put what is to be mounted in place"))?;
        Ok(self.path.join(name))
    }

    /// A new folder or file on it: its name and itself.
    pub(super) fn place(&mut self, is_folder: bool) -> Step<(PathBuf, OwnedFd)> {
        let name = PathBuf::from(format!("mount-{}", self.next));
        self.next += 1;
        let place = inroot::mount_point(self.tree.as_fd(), &name, is_folder).map_err(doing("make a place"))?;
        Ok((name, place))
    }

    /// The path of what is on it under this name.
    pub(super) fn path_of(&self, name: &Path) -> PathBuf {
        self.path.join(name)
    }
}
