//! Mounts as descriptors: made detached, attached to a descriptor, never to a path that could change meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use super::sys::{self, MountAttr};

/// The usual attributes of a mount that holds no programs.
pub(crate) const SAFE: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV).union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// A new file system of kind `kind`; an option without value is a flag.
///
/// # Errors
/// Of fsopen(2), fsconfig(2) and fsmount(2).
pub(crate) fn filesystem(
    kind: &str,
    options: &[(&str, Option<&str>)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What `df` and `mount` show as the device; without it they show `none`.
    for (key, value) in std::iter::once(&("source", Some(kind))).chain(options) {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&context, *key, *value),
            None => rustix::mount::fsconfig_set_flag(&context, *key),
        }
        .map_err(|error| explain(&context, error))?;
    }
    rustix::mount::fsconfig_create(&context).map_err(|error| explain(&context, error))?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// The error together with what the kernel wrote into the context's log about it.
pub(crate) fn explain(context: &OwnedFd, error: rustix::io::Errno) -> io::Error {
    let mut buffer = [0; 512];
    match rustix::io::read(context, &mut buffer) {
        Ok(length) if length > 2 => {
            let text = String::from_utf8_lossy(&buffer[2..length]).trim().to_owned();
            let cause = io::Error::from(error);
            io::Error::new(cause.kind(), format!("{text} ({cause})"))
        }
        _ => error.into(),
    }
}

/// A detached copy of the mount (and those below it, if `recursive`) that shows what `fd` stands for.
///
/// # Errors
/// Of open_tree(2): the mount must belong to this mount namespace.
pub(crate) fn copy(fd: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(rustix::mount::open_tree(fd, "", flags)?)
}

/// Attaches a detached mount on what `target` stands for.
///
/// # Errors
/// Of move_mount(2).
pub(crate) fn attach(tree: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, "", target, "", flags)?)
}

/// Changes attributes of the mount of `tree`.
///
/// # Errors
/// Of mount_setattr(2).
pub(crate) fn set(tree: BorrowedFd<'_>, recursive: bool, set: u64, propagation: u64) -> io::Result<()> {
    sys::mount_setattr(tree, recursive, MountAttr { set, propagation, ..MountAttr::default() })
}

/// Makes the mount of `tree` read-only.
///
/// # Errors
/// Of mount_setattr(2).
pub(crate) fn make_read_only(tree: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    set(tree, recursive, libc::MOUNT_ATTR_RDONLY, 0)
}
