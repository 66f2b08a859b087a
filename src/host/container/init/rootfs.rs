//! The root file system: the image's layers below, the container's own layer above, joined by overlayfs.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, UnmountFlags};

use super::super::bundle::Resolved;
use super::super::{root, tree};
use super::problem::{Problem, Step, doing};

/// Longest string that fsconfig(2) takes.
const STRING: usize = 255;

/// Makes every mount of this namespace a slave of the host's: what the host unmounts goes here too (a private copy would
/// pin it), and nothing that is mounted here reaches the host.
pub(crate) fn leave_host() -> Step {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags).map_err(doing("make the mounts slaves of the host's"))
}

/// The folder that the root is mounted on, in the run folder.
pub(crate) fn mount_point(host: &Resolved) -> Step<OwnedFd> {
    let path = host.run.join("root");
    let open = || rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    match open() {
        Err(Errno::NOENT) => fs::create_dir(&path).and_then(|()| Ok(open()?)),
        other => other.map_err(io::Error::from),
    }
    .map_err(doing(format!("open {}", path.display())))
}

/// Mounts the root on `point` and returns its descriptor, once nobody writes into the last one any more.
pub(crate) fn mount(host: &Resolved, point: &OwnedFd) -> Step<OwnedFd> {
    let _lock = root::wait_for_writers(&host.run).map_err(doing("wait for who writes into the last root"))?;
    mount_under_lock(host, point)
}

/// As [`mount`], for who holds the lock of the run folder.
pub(crate) fn mount_under_lock(host: &Resolved, point: &OwnedFd) -> Step<OwnedFd> {
    let upper = Upper { upper: host.state.join("upper"), work: host.state.join("work"), volatile: host.volatile };
    for folder in [&upper.upper, &upper.work] {
        match fs::create_dir(folder) {
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Problem::new(format!("make {}: {cause}", folder.display())));
            }
            _ => {}
        }
    }
    // The kernel leaves this mark of a `volatile` mount and refuses the next one while it stands.
    if upper.work.join("work/incompat/volatile").exists() {
        fs::remove_dir_all(upper.work.join("work/incompat")).map_err(doing("remove the mark of a volatile layer"))?;
    }
    overlay(&host.layers, Some(&upper), point)
}

/// The root of an image alone, read-only, attached on `target`.
pub(crate) fn mount_image(layers: &[PathBuf], target: &OwnedFd) -> Step<OwnedFd> {
    if let [only] = layers {
        // Overlayfs wants two layers where none is writable.
        let folder = open_folder(only)?;
        let tree = tree::copy(&folder, false).map_err(doing("take the image's layer"))?;
        tree::set(tree.as_fd(), false, libc::MOUNT_ATTR_RDONLY, libc::MS_PRIVATE)
            .map_err(doing("make the image's layer read-only"))?;
        tree::attach(&tree, target).map_err(doing("attach the image's layer"))?;
        return Ok(tree);
    }
    let root = overlay(layers, None, target)?;
    tree::make_read_only(root.as_fd(), false).map_err(doing("make the image read-only"))?;
    Ok(root)
}

struct Upper {
    upper: PathBuf,
    work: PathBuf,
    volatile: bool,
}

/// Mounts `layers` (lowest first) by descriptors, with `lowerdir+` where the kernel has it (6.8), else by mount(2).
fn overlay(layers: &[PathBuf], upper: Option<&Upper>, target: &OwnedFd) -> Step<OwnedFd> {
    match by_context(layers, upper) {
        Ok(root) => {
            tree::attach(&root, target).map_err(doing("attach the root"))?;
            Ok(root)
        }
        Err(Tried::Missing) => by_mount(layers, upper, target),
        Err(Tried::Failed(problem)) => Err(problem),
    }
}

enum Tried {
    /// The kernel has no `lowerdir+`.
    Missing,
    Failed(Problem),
}

fn by_context(layers: &[PathBuf], upper: Option<&Upper>) -> Result<OwnedFd, Tried> {
    let failed = |what: String| move |cause: io::Error| Tried::Failed(doing(what)(cause));
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|cause| failed("open overlayfs".into())(cause.into()))?;
    let mut held = Vec::new();
    for (index, layer) in layers.iter().rev().enumerate() {
        let text = short(layer, &mut held).map_err(Tried::Failed)?;
        match rustix::mount::fsconfig_set_string(&context, "lowerdir+", &text) {
            Err(Errno::INVAL) if index == 0 => return Err(Tried::Missing),
            Err(cause) => {
                return Err(failed(format!("add layer {}", layer.display()))(tree::explain(&context, cause)));
            }
            Ok(()) => {}
        }
    }
    if let Some(upper) = upper {
        for (key, path) in [("upperdir", &upper.upper), ("workdir", &upper.work)] {
            let text = short(path, &mut held).map_err(Tried::Failed)?;
            rustix::mount::fsconfig_set_string(&context, key, &text)
                .map_err(|cause| failed(format!("set {key} {}", path.display()))(tree::explain(&context, cause)))?;
        }
        if upper.volatile {
            rustix::mount::fsconfig_set_flag(&context, "volatile")
                .map_err(|cause| failed("set volatile".into())(tree::explain(&context, cause)))?;
        }
    }
    rustix::mount::fsconfig_create(&context)
        .map_err(|cause| failed("join the layers".into())(tree::explain(&context, cause)))?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .map_err(|cause| failed("mount the layers".into())(cause.into()))
}

/// The path, or where it is too long or holds what overlayfs takes for syntax, the name of a descriptor of it.
fn short(path: &Path, held: &mut Vec<OwnedFd>) -> Step<String> {
    if let Some(text) = path.to_str()
        && text.len() < STRING
        && !text.contains([':', ',', '\\'])
    {
        return Ok(text.to_owned());
    }
    let fd = open_folder(path)?;
    let text = format!("/proc/self/fd/{}", fd.as_raw_fd());
    held.push(fd);
    Ok(text)
}

fn open_folder(path: &Path) -> Step<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(doing(format!("open {}", path.display())))
}

/// mount(2) takes one page of options: 127 layers fit only because each is named by its descriptor (18 bytes).
fn by_mount(layers: &[PathBuf], upper: Option<&Upper>, target: &OwnedFd) -> Step<OwnedFd> {
    let mut held = Vec::new();
    let mut name = |path: &Path| -> Step<String> {
        let fd = open_folder(path)?;
        let text = format!("/proc/self/fd/{}", fd.as_raw_fd());
        held.push(fd);
        Ok(text)
    };
    let lower = layers.iter().rev().map(|layer| name(layer)).collect::<Step<Vec<_>>>()?.join(":");
    let mut options = format!("lowerdir={lower}");
    if let Some(upper) = upper {
        options.push_str(&format!(",upperdir={},workdir={}", name(&upper.upper)?, name(&upper.work)?));
        if upper.volatile {
            options.push_str(",volatile");
        }
    }
    let options = std::ffi::CString::new(options).map_err(doing("put the overlay options together"))?;
    let point = format!("/proc/self/fd/{}", target.as_raw_fd());
    rustix::mount::mount("overlay", &point, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .map_err(doing("mount the layers"))?;
    // The descriptor of the mount point still shows what lies below: its path leads to what is on top.
    let path = fs::read_link(&point).map_err(doing("find the mount point"))?;
    open_folder(&path)
}

/// Makes `root` the root of this mount namespace and drops everything else.
pub(crate) fn pivot(root: &OwnedFd) -> Step {
    rustix::process::fchdir(root).map_err(doing("enter the new root"))?;
    // pivot_root(".", ".") stacks the old root on the new one, so that no folder for it is needed (pivot_root(2)).
    rustix::process::pivot_root(".", ".").map_err(doing("pivot_root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(doing("drop the host's mounts"))?;
    rustix::process::chdir("/").map_err(doing("enter the new root"))
}
