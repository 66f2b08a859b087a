//! Fills a new volume with what the image has at its target: content, owners, modes, times, extended attributes.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};

use super::problem::{Step, doing};

/// While this file stands beside a volume's folder, its filling was begun and not ended.
const BEGUN: &str = "filling";
/// Folders in folders; deeper ones would exhaust the stack.
const DEPTH: usize = 256;

/// Copies `content` into `volume` (whose folder is `path`) unless something is in it already.
///
/// Two containers may start on one new volume at once: a lock lets one fill it. A filling that was cut short is begun
/// again, so a volume is never half filled.
pub(crate) fn fill(content: &OwnedFd, volume: &OwnedFd, path: &Path) -> Step {
    let at = |what: &str| format!("{what} the volume {}", path.display());
    let target = reopen(volume).map_err(doing(at("open")))?;
    rustix::fs::flock(&target, FlockOperation::LockExclusive).map_err(doing(at("lock")))?;
    let begun = path.parent().unwrap_or(path).join(BEGUN);
    let again = begun.exists();
    if !again && !is_empty(&target).map_err(doing(at("look into")))? {
        return Ok(());
    }
    File::create(&begun).map_err(doing(format!("make {}", begun.display())))?;
    let mut copy = Copy { links: BTreeMap::new() };
    if again {
        clear(&target).map_err(doing(at("clear")))?;
    }
    let stat = rustix::fs::fstat(content).map_err(doing(at("look at the image's content for")))?;
    copy.folder(content, &target, 0).map_err(doing(at("fill")))?;
    copy_attributes(content, &target, &stat).map_err(doing(at("set the owner and mode of")))?;
    fs::remove_file(&begun).map_err(doing(format!("remove {}", begun.display())))
}

struct Copy {
    /// Files with several names that have been copied: device and inode → the copy.
    links: BTreeMap<(u64, u64), OwnedFd>,
}

impl Copy {
    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
        if depth > DEPTH {
            return Err(io::Error::other("the folders are nested too deep"));
        }
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                self.entry(from, to, entry.file_name(), depth)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let id = (stat.st_dev, stat.st_ino);
        let kind = FileType::from_raw_mode(stat.st_mode);
        if let Some(copied) = self.links.get(&id) {
            rustix::fs::linkat(copied, c"", to, name, AtFlags::EMPTY_PATH)?;
            return Ok(());
        }
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
                let target = rustix::fs::openat(to, name, flags, Mode::empty())?;
                self.folder(&source, &target, depth + 1)?;
                return copy_attributes(&source, &target, &stat);
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut target = File::from(rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
                io::copy(&mut source, &mut target)?;
                copy_attributes(&source.into(), &target.into(), &stat)?;
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(link, to, name)?;
                chown(to, name, &stat)?;
            }
            _ => {
                rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
                chown(to, name, &stat)?;
                rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
            }
        }
        if stat.st_nlink > 1 {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            self.links.insert(id, rustix::fs::openat(to, name, flags, Mode::empty())?);
        }
        Ok(())
    }
}

fn chown(folder: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (owner, group) = owners(stat);
    Ok(rustix::fs::chownat(folder, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn owners(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

/// Owner, extended attributes, mode, times: in this order, because a change of owner drops setuid and file capabilities,
/// and everything changes the times.
fn copy_attributes(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> io::Result<()> {
    let (owner, group) = owners(stat);
    rustix::fs::fchown(to, owner, group)?;
    copy_xattrs(from, to)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    Ok(rustix::fs::futimens(to, &times)?)
}

fn copy_xattrs(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::flistxattr(from, names.as_mut_slice()) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        other => other?,
    };
    let mut value = vec![0; 64 << 10];
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        // Overlayfs's own marks mean nothing outside it, and could mislead a later overlay.
        if name.to_bytes().starts_with(b"trusted.overlay.") || name.to_bytes().starts_with(b"user.overlay.") {
            continue;
        }
        let length = rustix::fs::fgetxattr(from, name, value.as_mut_slice())?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn reopen(folder: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, c".", flags, Mode::empty())?)
}

fn is_empty(folder: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(folder)? {
        // A new ext4 file system has a `lost+found`, which is nobody's content.
        if !matches!(entry?.file_name().to_bytes(), b"." | b".." | b"lost+found") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn clear(folder: &OwnedFd) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b".." | b"lost+found") {
            continue;
        }
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = rustix::fs::openat(folder, name, flags, Mode::empty())?;
            clear(&below)?;
            rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
        } else {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
        }
    }
    Ok(())
}
