//! Hides what of /proc and /sys tells about or reaches the host, and makes other parts read-only.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use super::super::{inroot, tree};
use super::problem::{Problem, Step, doing};
use super::standard::Standard;

/// Hidden below /proc (docker's list).
pub(crate) const PROC: [&str; 12] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "key-users",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
    "kpagecount",
];
/// Hidden below /sys.
pub(crate) const SYS: [&str; 2] = ["firmware", "devices/virtual/powercap"];
/// Read-only below /proc.
pub(crate) const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// What is put over a hidden file or folder: made before the root is there, from the host's side only.
pub(crate) struct Cover {
    null: OwnedFd,
    empty: OwnedFd,
}

/// Takes the host's /dev/null, checked, and an empty folder of `memory`.
///
/// The container's own /dev/null could have been made a link to something in /proc, which would then be mounted
/// writable instead of hidden (CVE-2025-31133).
pub(crate) fn cover(memory: &OwnedFd) -> Step<Cover> {
    let null = rustix::fs::open("/dev/null", OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(doing("open the host's /dev/null"))?;
    let stat = rustix::fs::fstat(&null).map_err(doing("look at the host's /dev/null"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || stat.st_rdev != rustix::fs::makedev(1, 3) {
        return Err(Problem::new("the host's /dev/null is not the null device: nothing can be hidden with it"));
    }
    rustix::fs::mkdirat(memory, "empty", Mode::from_raw_mode(0o555)).map_err(doing("make an empty folder"))?;
    let empty = rustix::fs::openat(memory, "empty", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(doing("open the empty folder"))?;
    Ok(Cover { null, empty })
}

/// Hides and write-protects, by descriptors of our own /proc and /sys: no mount over them is in the way.
pub(crate) fn apply(standard: &Standard, cover: &Cover) -> Step {
    for name in PROC {
        hide(&standard.proc, name, cover).map_err(doing(format!("hide /proc/{name}")))?;
    }
    for name in SYS {
        hide(&standard.sys, name, cover).map_err(doing(format!("hide /sys/{name}")))?;
    }
    for name in READ_ONLY {
        protect(&standard.proc, name).map_err(doing(format!("make /proc/{name} read-only")))?;
    }
    Ok(())
}

fn hide(mount: &OwnedFd, name: &str, cover: &Cover) -> io::Result<()> {
    let Some(target) = find(mount, name)? else { return Ok(()) };
    let source = if inroot::is_folder(&target)? { &cover.empty } else { &cover.null };
    let tree = tree::copy(source, false)?;
    tree::set(tree.as_fd(), false, libc::MOUNT_ATTR_RDONLY | u64::from(tree::SAFE.bits() & !NODEV), libc::MS_PRIVATE)?;
    tree::attach(&tree, &target)
}

/// A null device on a mount without devices can't be opened at all, and programs expect an empty file.
const NODEV: u32 = rustix::mount::MountAttrFlags::MOUNT_ATTR_NODEV.bits();

fn protect(mount: &OwnedFd, name: &str) -> io::Result<()> {
    let Some(target) = find(mount, name)? else { return Ok(()) };
    let tree = tree::copy(&target, true)?;
    tree::make_read_only(tree.as_fd(), true)?;
    tree::attach(&tree, &target)
}

fn find(mount: &OwnedFd, name: &str) -> io::Result<Option<OwnedFd>> {
    match inroot::open_exact(mount.as_fd(), Path::new(name), OFlags::PATH) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
