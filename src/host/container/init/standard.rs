//! The mounts that every container has: /proc, /dev with pts, shm and mqueue, /sys with the cgroups.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::MountAttrFlags;

use super::super::{inroot, tree};
use super::problem::{Problem, Step, doing};

/// Descriptors of mounts that later steps work on.
pub(crate) struct Standard {
    /// The container's /proc.
    pub proc: OwnedFd,
    /// The container's /sys.
    pub sys: OwnedFd,
    /// The container's /dev.
    pub dev: OwnedFd,
    /// The container's /dev/pts.
    pub pts: OwnedFd,
}

/// What the standard mounts depend on.
pub(crate) struct Wish<'a> {
    /// /sys and the cgroups are writable, and nothing is hidden.
    pub privileged: bool,
    /// The sandbox's /dev/shm; `None`: the host's.
    pub shm: Option<BorrowedFd<'a>>,
    /// It has no /dev/shm at all.
    pub without_shm: bool,
    /// It has a cgroup namespace of its own.
    pub own_cgroup: bool,
}

/// Device nodes of every container: name, major, minor.
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Mounts them all.
pub(crate) fn mount(root: &OwnedFd, wish: &Wish<'_>) -> Step<Standard> {
    let proc = on(root, "/proc", "proc", &[], tree::SAFE)?;
    let dev = mount_dev(root, wish.without_shm)?;
    let pts_options = [("newinstance", None), ("ptmxmode", Some("0666")), ("mode", Some("0620")), ("gid", Some("5"))];
    let safe_pts = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let pts = on(root, "/dev/pts", "devpts", &pts_options, safe_pts)?;
    on(root, "/dev/mqueue", "mqueue", &[], tree::SAFE)?;
    if !wish.without_shm {
        mount_shm(root, wish.shm)?;
    }
    let read_only = if wish.privileged { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    let sys = on(root, "/sys", "sysfs", &[], tree::SAFE | read_only)?;
    super::cgroupfs::mount(root, wish.own_cgroup, read_only)?;
    Ok(Standard { proc, sys, dev, pts })
}

/// Mounts a new file system on `path` inside the root.
///
/// A symlink there is refused: an image that makes /proc, /sys or /dev one would have our mounts land elsewhere and
/// later writes go to what it put there (CVE-2019-19921, CVE-2026-41579).
pub(super) fn on(
    root: &OwnedFd,
    path: &str,
    kind: &str,
    options: &[(&str, Option<&str>)],
    attributes: MountAttrFlags,
) -> Step<OwnedFd> {
    let point = point(root, path)?;
    let tree = tree::filesystem(kind, options, attributes).map_err(doing(format!("make {kind} for {path}")))?;
    tree::attach(&tree, &point).map_err(doing(format!("mount {kind} on {path}")))?;
    Ok(tree)
}

fn point(root: &OwnedFd, path: &str) -> Step<OwnedFd> {
    let path = Path::new(path);
    if inroot::is_link(root.as_fd(), path).map_err(doing(format!("look at {}", path.display())))? {
        return Err(Problem::new(format!("{} is a symlink in the image, which is refused", path.display())));
    }
    inroot::folder(root.as_fd(), path).map_err(doing(format!("make {}", path.display())))
}

fn mount_dev(root: &OwnedFd, without_shm: bool) -> Step<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    let dev = on(root, "/dev", "tmpfs", &[("mode", Some("755")), ("size", Some("65536k"))], attributes)?;
    for (name, major, minor) in NODES {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)
            .map_err(doing(format!("make /dev/{name}")))?;
    }
    for (name, target) in LINKS {
        rustix::fs::symlinkat(target, &dev, name).map_err(doing(format!("make /dev/{name}")))?;
    }
    for name in ["pts", "shm", "mqueue"].into_iter().filter(|name| !(without_shm && *name == "shm")) {
        rustix::fs::mkdirat(&dev, name, Mode::from_raw_mode(0o755)).map_err(doing(format!("make /dev/{name}")))?;
    }
    Ok(dev)
}

/// Puts the sandbox's shared memory on /dev/shm: it belongs to the ipc namespace, which outlives the process.
fn mount_shm(root: &OwnedFd, shm: Option<BorrowedFd<'_>>) -> Step {
    let tree = shared_memory(shm)?;
    let point = point(root, "/dev/shm")?;
    tree::attach(&tree, &point).map_err(doing("mount /dev/shm"))
}

/// A copy of the sandbox's shared memory, or of the host's.
pub(crate) fn shared_memory(shm: Option<BorrowedFd<'_>>) -> Step<OwnedFd> {
    match shm {
        Some(fd) => tree::copy(fd, false),
        None => rustix::fs::open("/dev/shm", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(std::io::Error::from)
            .and_then(|fd| tree::copy(fd, false)),
    }
    .map_err(doing("take the shared memory"))
}
