//! What has gone on this machine goes inside the container.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

use super::{Change, Folder, Refusal, Target};
use crate::host::replace::is_mount_point;

/// Folders in folders: deeper is nobody's source tree, and each one takes a descriptor.
const DEEPEST: usize = 200;

impl Target<'_> {
    pub(super) fn remove(&self, path: &Path) -> Result<Change, Refusal> {
        let Some((above, name)) = self.place(path, false)? else { return Ok(Change::None) };
        match self.kind(&above, name, path)? {
            None => return Ok(Change::None),
            // The folder that everything goes to stays; what was in it is removed by its own paths.
            Some(FileType::Directory) if path.as_os_str().is_empty() => return Ok(Change::None),
            Some(FileType::Directory) => {
                self.refuse_mounted(&above, name, path)?;
                self.remove_tree(&above, name, path)?;
            }
            Some(_) => {
                self.refuse_mounted(&above, name, path)?;
                self.forget(path);
                unlink(&above.fd, name, AtFlags::empty()).map_err(self.failed("remove", path))?;
            }
        }
        Ok(Change::Removed)
    }

    /// Removes a folder with all that is in it, but for what is not mirrored or is a mount of its own; with something of
    /// that in it, it stays.
    pub(super) fn remove_tree(&self, above: &Folder, name: &OsStr, path: &Path) -> Result<(), Refusal> {
        self.forget(path);
        self.empty(&above.fd, name, path, 0).map(|_| ()).map_err(self.failed("remove", path))
    }

    /// Whether it has gone.
    fn empty(&self, above: &OwnedFd, name: &OsStr, path: &Path, depth: usize) -> io::Result<bool> {
        if depth > DEEPEST {
            return Err(io::Error::other(format!("it is more than {DEEPEST} folders deep")));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match openat(above, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(true),
            other => other?,
        };
        let mut all = true;
        for entry in names(&folder)? {
            let entry = OsStr::from_bytes(entry.as_bytes());
            let below = path.join(entry);
            if (self.mirror.keeps)(&below) || is_mount_point(std::os::fd::AsFd::as_fd(&folder), entry)? {
                all = false;
                continue;
            }
            all &= match statat(&folder, entry, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => true,
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    self.empty(&folder, entry, &below, depth + 1)?
                }
                Ok(_) => unlink(&folder, entry, AtFlags::empty()).map(|()| true)?,
                Err(errno) => return Err(errno.into()),
            };
        }
        if !all {
            return Ok(false);
        }
        match unlink(above, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            // The container has put something there meanwhile.
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// As unlinkat(2); that it has gone already is right.
fn unlink(folder: &OwnedFd, name: &OsStr, flags: AtFlags) -> Result<(), Errno> {
    match unlinkat(folder, name, flags) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

fn names(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
