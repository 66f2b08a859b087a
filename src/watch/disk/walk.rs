//! Looking at folders and files. A symlink is looked at itself, never at what it names.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, lstat, openat2};
use rustix::io::Errno;

use super::folders::Folders;
use crate::watch::known::{Kind, Print};

/// What stands at a path; `None`: nothing. What a symlink above it leads to does not stand there.
pub(super) fn look(path: &Path) -> Option<Print> {
    fstat(open(path, OFlags::PATH).ok()?).ok().as_ref().map(print)
}

/// The same, with symlinks above the path followed.
pub(super) fn look_through(path: &Path) -> Option<Print> {
    lstat(path).ok().as_ref().map(print)
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat2(CWD, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

fn print(found: &Stat) -> Print {
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        _ => Kind::Special,
    };
    let seconds = Duration::from_secs(found.st_ctime.try_into().unwrap_or_default());
    Print {
        kind,
        mode: found.st_mode,
        // Those of a folder change with what is in it, and that is told by its own path.
        size: if kind == Kind::Folder { 0 } else { found.st_size.try_into().unwrap_or_default() },
        node: (found.st_dev, found.st_ino),
        changed: if kind == Kind::Folder {
            Duration::ZERO
        } else {
            seconds + Duration::from_nanos(found.st_ctime_nsec)
        },
    }
}

/// Watches a folder and all below it that `descends` says, and adds all that stands there. Each folder is watched before it
/// is read: what comes after that is told.
pub(super) fn enter(
    folder: &Path,
    descends: &dyn Fn(&Path) -> bool,
    folders: &mut Folders,
    found: &mut BTreeMap<PathBuf, Print>,
) {
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        folders.watch(&folder);
        let names = match names(&folder) {
            Ok(names) => names,
            // It has gone meanwhile, or is no folder any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(error) => {
                folders.unreadable(&folder, &io::Error::from(error).to_string());
                continue;
            }
        };
        for name in names {
            let path = folder.join(OsStr::from_bytes(&name));
            let Some(print) = look(&path) else { continue };
            if print.kind == Kind::Folder && descends(&path) {
                todo.push(path.clone());
            }
            found.insert(path, print);
        }
    }
}

fn names(folder: &Path) -> Result<Vec<Vec<u8>>, Errno> {
    let entries = Dir::new(open(folder, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
    let name = |entry: rustix::fs::DirEntry| entry.file_name().to_bytes().to_vec();
    // An entry that can't be read is the last.
    Ok(entries.map_while(Result::ok).map(name).filter(|name| name != b"." && name != b"..").collect())
}

/// The text of an ignore file, if it is there.
pub fn read_ignore(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The files by which git says that it is at work on the repositories that these paths are in.
pub(super) fn git_locks<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut locks: Vec<PathBuf> = paths.filter_map(|path| path.ancestors().find_map(git_folder)).collect();
    locks.sort();
    locks.dedup();
    locks.into_iter().map(|folder| folder.join("index.lock")).collect()
}

/// Where git keeps the index of a folder that is the top of a working tree.
fn git_folder(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    // A linked working tree or a submodule names it in a file.
    let text = std::fs::read_to_string(&git).ok()?;
    Some(folder.join(text.strip_prefix("gitdir:")?.trim()))
}
