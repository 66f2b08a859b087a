//! Folders that a layer has no member for, but files in: made on the way, they would hide owner and mode of the same folder
//! in the layers below, so they get those.

use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Timestamps, XattrFlags};

use crate::host::image::ImageError;

/// Gives each of the folders `implied` below `root` owner, mode, attributes and time of the topmost lower one.
pub(super) fn dress(root: &Path, implied: &[Vec<u8>], lower: &[PathBuf]) -> Result<(), ImageError> {
    for path in implied {
        for layer in lower.iter().rev() {
            match open(layer, path) {
                Ok(from) => {
                    let to = open(root, path).map_err(|errno| ImageError::io("open", root)(errno.into()))?;
                    copy(&from, &to).map_err(|errno| ImageError::io("set the owner of", root)(errno.into()))?;
                    break;
                }
                Err(_) if is_there(layer, path) => break,
                Err(_) => {}
            }
        }
    }
    Ok(())
}

fn open(root: &Path, path: &[u8]) -> rustix::io::Result<std::os::fd::OwnedFd> {
    let root = fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Whether something that is no folder has this name: what lies further below is hidden by it.
fn is_there(root: &Path, path: &[u8]) -> bool {
    let Ok(root) = fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else { return false };
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
        .and_then(|fd| fs::statat(&fd, "", AtFlags::EMPTY_PATH))
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
}

fn copy(from: &std::os::fd::OwnedFd, to: &std::os::fd::OwnedFd) -> rustix::io::Result<()> {
    let stat = fs::fstat(from)?;
    fs::fchown(to, Some(fs::Uid::from_raw(stat.st_uid)), Some(fs::Gid::from_raw(stat.st_gid)))?;
    fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = |seconds, nanos: u64| fs::Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    let mtime = time(stat.st_mtime, stat.st_mtime_nsec);
    for key in [c"system.posix_acl_access", c"system.posix_acl_default"] {
        let mut value = [0u8; 4096];
        if let Ok(count) = fs::fgetxattr(from, key, &mut value[..]) {
            fs::fsetxattr(to, key, &value[..count], XattrFlags::empty())?;
        }
    }
    fs::futimens(to, &Timestamps { last_access: mtime, last_modification: mtime })
}
