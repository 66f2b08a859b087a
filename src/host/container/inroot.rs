//! Paths inside a root that somebody else controls: resolved by the kernel so that none leads out of it.
//!
//! Everything that is made or opened for a container goes through here (CVE-2021-30465, CVE-2024-45310, CVE-2026-41579:
//! a symlink in the image, or one that another container sets while we look, must not lead to the host). The kernel's
//! RESOLVE_IN_ROOT does the walk; what was opened is a descriptor, and only descriptors are used afterwards.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, StatxFlags, Uid};
use rustix::io::Errno;

/// So many symlinks in one path are followed, as the kernel does.
const LINKS: usize = 40;

/// Opens `path` inside `root`; symlinks stay inside, magic links (/proc/PID/fd/N, CVE-2024-21626) are refused.
///
/// # Errors
/// Of openat2(2).
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_as(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` below `root` following no symlink and entering no other mount: for our own procfs (CVE-2025-52881).
///
/// # Errors
/// Of openat2(2).
pub(crate) fn open_exact(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    open_as(root, path, flags, resolve)
}

fn open_as(root: BorrowedFd<'_>, path: &Path, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    // EAGAIN: something below the root was renamed or mounted during the walk; the kernel asks to try again.
    for _ in 0..1000 {
        match rustix::fs::openat2(root, dot_if_empty(path), flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
    Err(io::Error::from(Errno::AGAIN))
}

fn dot_if_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// The folder `path` inside `root`, made with what is missing above it (mode 0755, owned by root).
///
/// # Errors
/// When a component is no folder, or can't be made.
pub(crate) fn folder(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    folder_within(root, path, None, &mut 0)
}

/// As [`folder`]; what is made belongs to `owner`.
///
/// # Errors
/// As [`folder`].
pub(crate) fn folder_of(root: BorrowedFd<'_>, path: &Path, owner: (Uid, Gid)) -> io::Result<OwnedFd> {
    folder_within(root, path, Some(owner), &mut 0)
}

fn folder_within(
    root: BorrowedFd<'_>,
    path: &Path,
    owner: Option<(Uid, Gid)>,
    links: &mut usize,
) -> io::Result<OwnedFd> {
    let look = OFlags::PATH | OFlags::DIRECTORY;
    match open(root, path, look) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let mut done = PathBuf::from("/");
    let mut here = open(root, &done, look)?;
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => {
                done.push("..");
                here = open(root, &done, look)?;
                continue;
            }
            _ => continue,
        };
        let parent = done.clone();
        done.push(name);
        here = match open(root, &done, look) {
            Ok(fd) => fd,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_component(root, &parent, here.as_fd(), name, owner, links)?
            }
            Err(error) => return Err(error),
        };
    }
    Ok(here)
}

/// Makes the folder `name` in `here`; where a symlink to nothing stands there, makes what it names inside the root.
fn make_component(
    root: BorrowedFd<'_>,
    parent: &Path,
    here: BorrowedFd<'_>,
    name: &OsStr,
    owner: Option<(Uid, Gid)>,
    links: &mut usize,
) -> io::Result<OwnedFd> {
    match (rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o755)), owner) {
        (Ok(()), Some((uid, gid))) => {
            rustix::fs::chownat(here, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        (Ok(()), None) | (Err(Errno::EXIST), _) => {}
        (Err(error), _) => return Err(error.into()),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(here, name, flags, Mode::empty()) {
        Ok(fd) => Ok(fd),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            *links += 1;
            if *links > LINKS {
                return Err(Errno::LOOP.into());
            }
            let target = rustix::fs::readlinkat(here, name, Vec::new())?;
            folder_within(root, &parent.join(OsStr::from_bytes(target.as_bytes())), owner, links)
        }
        Err(error) => Err(error.into()),
    }
}

/// The file or folder `path` inside `root` as a place to mount on; where nothing is there, an empty file or folder.
///
/// # Errors
/// When it can't be made, or is a folder where a file is wanted or the reverse.
pub(crate) fn mount_point(root: BorrowedFd<'_>, path: &Path, is_folder: bool) -> io::Result<OwnedFd> {
    if is_folder {
        return folder(root, path);
    }
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match open(root, &path, OFlags::PATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(fd) if self::is_folder(&fd)? => return Err(Errno::ISDIR.into()),
            other => return other,
        }
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let above = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let parent = folder(root, &above)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(0o644)) {
            // A symlink to nothing: what it names is made, inside the root; the link itself may be the user's own.
            Err(Errno::EXIST) if is_symlink(parent.as_fd(), &name) => {
                let target = rustix::fs::readlinkat(&parent, &name, Vec::new())?;
                path = above.join(OsStr::from_bytes(target.as_bytes()));
            }
            Ok(_) | Err(Errno::EXIST) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                return Ok(rustix::fs::openat(&parent, &name, flags, Mode::empty())?);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::LOOP.into())
}

fn is_symlink(parent: BorrowedFd<'_>, name: &OsStr) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// Whether `path` itself (its last component) is a symlink inside `root`.
///
/// # Errors
/// Of openat2(2), except that nothing is there.
pub(crate) fn is_link(root: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    match open(root, path, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(fd) => Ok(FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Symlink),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether `fd` is a folder.
///
/// # Errors
/// Of fstat(2).
pub(crate) fn is_folder(fd: impl AsFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

/// The id of the mount that `name` in `folder` lies on (with an empty name: `folder` itself); `None` if nothing is there.
///
/// # Errors
/// Of statx(2).
pub(crate) fn mount_at(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<u64>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    match rustix::fs::statx(folder, name, flags, StatxFlags::MNT_ID) {
        Ok(stat) => Ok(Some(stat.stx_mnt_id)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a descriptor lies on a file system that the kernel makes up (proc, sys, cgroup): its files have effects, no
/// content to copy.
///
/// # Errors
/// Of fstatfs(2).
pub(crate) fn is_made_up(fd: impl AsFd) -> io::Result<bool> {
    /// Magic numbers of linux/magic.h: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf.
    const MADE_UP: [u64; 8] =
        [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0xcafe_4a11];
    let kind = u64::try_from(rustix::fs::fstatfs(fd)?.f_type).unwrap_or_default();
    Ok(MADE_UP.contains(&kind))
}

/// Opens a plain file inside `root` for reading; a FIFO, device or folder there is refused and never blocks.
///
/// # Errors
/// `NotFound` if there is none, `InvalidInput` if it is no plain file.
pub(crate) fn open_plain(root: BorrowedFd<'_>, path: &Path) -> io::Result<std::fs::File> {
    // O_PATH first: opening a FIFO or a device for reading may block or act by itself.
    let seen = open(root, path, OFlags::PATH)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&seen)?.st_mode) != FileType::RegularFile {
        let text = format!("{} is not a plain file", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let file = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let (a, b) = (rustix::fs::fstat(&seen)?, rustix::fs::fstat(&file)?);
    if (a.st_dev, a.st_ino) != (b.st_dev, b.st_ino) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} changed under us", path.display())));
    }
    Ok(file.into())
}
