//! The container's own mounts, in their order: binds, volumes, tmpfs, images.

use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::mount::MountAttrFlags;

use super::super::bundle::Resolved;
use super::super::{inroot, tree};
use super::problem::{Problem, Step, doing};
use super::sources::Source;
use super::{copy_up, rootfs};
use crate::desired::{MountSource, MountSpec};

/// Mounts each of `mounts` on its target, which is made inside the root if it is missing.
pub(crate) fn mount(root: &OwnedFd, mounts: &[MountSpec], sources: Vec<Option<Source>>, host: &Resolved) -> Step {
    let image = pristine(root, mounts)?;
    for (mount, source) in mounts.iter().zip(sources) {
        super::procguard::check(mount)?;
        let at = |what: &str| format!("{what} {}", mount.target);
        let is_folder = source.as_ref().is_none_or(|source| source.is_folder);
        // Before the mount point is made, which would look like the image's own.
        if let Some(source) = &source {
            take_over(image.as_ref().unwrap_or(root), mount, source, host)?;
        }
        // A tmpfs on a folder of the image has the folder's mode, as docker's has.
        let mode_there = match &mount.source {
            MountSource::Tmpfs { mode: None, .. } => inroot::open(root.as_fd(), Path::new(&mount.target), OFlags::PATH)
                .ok()
                .and_then(|folder| layer_mode(root, &folder)),
            _ => None,
        };
        let target = inroot::mount_point(root.as_fd(), Path::new(&mount.target), is_folder)
            .map_err(doing(at("make the mount point")))?;
        match (&mount.source, source) {
            (_, Some(source)) => tree::attach(&source.tree, &target).map_err(doing(at("mount on")))?,
            (MountSource::Tmpfs { size, mode, options }, None) => {
                if mode.or(mode_there).is_none() && layer_mode(root, &target).is_some() {
                    open_up(&target).map_err(doing(at("open up the mount point")))?;
                }
                let tree = tmpfs(mount, *size, mode.or(mode_there), options)?;
                tree::attach(&tree, &target).map_err(doing(at("mount on")))?;
            }
            (MountSource::Image { image, subpath }, None) => {
                let layers = host.images.get(&image.id).ok_or_else(|| Problem::new(at("find the image of")))?;
                mount_image((root, Path::new(&mount.target)), mount, layers, subpath, &target)?;
            }
            (MountSource::Bind { .. } | MountSource::Volume { .. }, None) => {
                return Err(Problem::new(at("find the source of")));
            }
        }
    }
    Ok(())
}

/// Fills a new volume with what `image` has at its target.
pub(crate) fn take_over(image: &OwnedFd, mount: &MountSpec, source: &Source, host: &Resolved) -> Step {
    let MountSource::Volume { copy: true, name, .. } = &mount.source else { return Ok(()) };
    let volume = host.volumes.get(name);
    let volume = volume.ok_or_else(|| Problem::new(format!("find the volume of {}", mount.target)))?;
    match content(image, mount)?.filter(|_| source.is_folder) {
        Some(content) => copy_up::fill(&content, &source.folder, volume),
        None => Ok(()),
    }
}

/// What the image has where a new volume is mounted; `None`: nothing, or nothing is to be taken over.
fn content(image: &OwnedFd, mount: &MountSpec) -> Step<Option<OwnedFd>> {
    if !matches!(mount.source, MountSource::Volume { copy: true, .. }) {
        return Ok(None);
    }
    match inroot::open(image.as_fd(), Path::new(&mount.target), rustix::fs::OFlags::RDONLY) {
        Ok(content) => Ok(Some(content)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(doing(format!("open the image's {}", mount.target))(cause)),
    }
}

/// The root without what is mounted below it: a new volume takes over what the image has at its place, also where a bind
/// covers a folder above it.
fn pristine(root: &OwnedFd, mounts: &[MountSpec]) -> Step<Option<OwnedFd>> {
    if !mounts.iter().any(|mount| matches!(mount.source, MountSource::Volume { copy: true, .. })) {
        return Ok(None);
    }
    tree::copy(root, false).map(Some).map_err(doing("take the root without its mounts"))
}

/// So that the next start finds what this one has made as open as it leaves it.
fn open_up(folder: &OwnedFd) -> std::io::Result<()> {
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o1777))
}

/// The mode of a folder of the image or the container's own layer. What lies on a bind or a volume is the user's: its mode says
/// nothing of what the program needs, and is not ours to change.
fn layer_mode(root: &OwnedFd, folder: &OwnedFd) -> Option<u32> {
    let (root, folder) = (rustix::fs::fstat(root).ok()?, rustix::fs::fstat(folder).ok()?);
    (root.st_dev == folder.st_dev).then_some(folder.st_mode & 0o7777)
}

/// A tmpfs with docker's defaults (nosuid, nodev, noexec), each of which an option can turn round.
fn tmpfs(mount: &MountSpec, size: u64, mode: Option<u32>, options: &[String]) -> Step<OwnedFd> {
    let mut attributes = tree::SAFE;
    let mut settings: Vec<(String, Option<String>)> =
        vec![("mode".into(), Some(format!("{:o}", mode.unwrap_or(0o1777))))];
    if size > 0 {
        settings.push(("size".into(), Some(size.to_string())));
    }
    for option in options {
        match attribute(option) {
            Some((flag, on)) => attributes.set(flag, on),
            None if option == "rw" || option.is_empty() => {}
            None => {
                let (key, value) = option.split_once('=').map_or((option.as_str(), None), |(k, v)| (k, Some(v)));
                settings.retain(|(known, _)| known != key);
                settings.push((key.to_owned(), value.map(str::to_owned)));
            }
        }
    }
    attributes.set(
        MountAttrFlags::MOUNT_ATTR_RDONLY,
        mount.read_only || attributes.contains(MountAttrFlags::MOUNT_ATTR_RDONLY),
    );
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
    tree::filesystem("tmpfs", &settings, attributes).map_err(|cause| {
        let mut text = format!("make the tmpfs for {}", mount.target);
        let _ = write!(text, " with `{}`: {cause}", options.join(","));
        Problem::new(text)
    })
}

/// The mount attribute that an option sets or clears.
fn attribute(option: &str) -> Option<(MountAttrFlags, bool)> {
    Some(match option {
        "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, true),
        "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, true),
        "suid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, false),
        "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, true),
        "dev" => (MountAttrFlags::MOUNT_ATTR_NODEV, false),
        "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
        "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
        "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
        "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
        "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        "relatime" => (MountAttrFlags::MOUNT_ATTR_RELATIME, true),
        _ => return None,
    })
}

/// Mounts an image, or a part of it, on `target`, which is found again as a path below a folder.
pub(crate) fn mount_image(
    (base, place): (&OwnedFd, &Path),
    mount: &MountSpec,
    layers: &[std::path::PathBuf],
    subpath: &str,
    target: &OwnedFd,
) -> Step {
    let whole = rootfs::mount_image(layers, target)?;
    if subpath.is_empty() {
        return Ok(());
    }
    // The whole image is on the target now; a copy of the part covers it.
    let at = |what: &str| format!("{what} {subpath} of the image for {}", mount.target);
    let part = inroot::open(whole.as_fd(), Path::new(subpath), rustix::fs::OFlags::PATH).map_err(doing(at("open")))?;
    if !inroot::is_folder(&part).map_err(doing(at("look at")))? {
        return Err(Problem::new(at("mount the file")));
    }
    let tree = tree::copy(&part, false).map_err(doing(at("take")))?;
    let target =
        inroot::open(base.as_fd(), place, rustix::fs::OFlags::PATH).map_err(doing(at("find the place for")))?;
    tree::attach(&tree, &target).map_err(doing(at("mount")))
}
