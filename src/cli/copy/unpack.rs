//! Unpacking a tar stream into a tree.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chmodat, chownat, fchmod, linkat, mkdirat, mkfifoat, openat,
    statat, symlinkat, utimensat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::super::error::CliError;
use super::about;
use super::tree::Tree;
use crate::host::container::inroot::is_made_up;
use crate::host::replace::replace;

/// What is kept of the originals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Permissions but for set-user-id and set-group-id; all belongs to root (for us, who run as root).
    Content,
    /// Owners too, by their numbers, as docker has it of what is copied into a container.
    Owners,
    /// Owners and all permission bits (`--archive`).
    All,
}

/// What is done once everything is there: a folder's time changes with each file in it.
type Later = Vec<(PathBuf, Timestamps)>;

/// Unpacks a tar stream into a folder of a tree.
///
/// # Errors
/// A stream that is none; names that lead out; what can't be written.
pub fn unpack(from: impl Read, to: &Tree, folder: &Path, keep: Keep) -> Result<(), CliError> {
    let top = to.folder(folder)?;
    if is_made_up(&top).map_err(about("look at", folder))? {
        return Err(CliError::failed(format!("nothing can be copied to {}: the kernel makes it up", folder.display())));
    }
    let broken = |error: io::Error| CliError::failed(format!("the archive can't be read: {error}"));
    let mut archive = Archive::new(from);
    let mut later = Later::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = inside(&entry.path().map_err(broken)?)?;
        one(&mut entry, to, folder, &name, keep, &mut later)?;
    }
    for (path, times) in later.iter().rev() {
        let at = to.folder(path)?;
        set_times(at.as_fd(), OsStr::new("."), times).map_err(about("set the time of", path))?;
    }
    Ok(())
}

/// A name of the archive, as a path below the target.
fn inside(name: &Path) -> Result<PathBuf, CliError> {
    let mut path = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(CliError::failed(format!("the archive has a name that leads out: {}", name.display())));
            }
        }
    }
    Ok(path)
}

fn one(
    entry: &mut Entry<'_, impl Read>,
    to: &Tree,
    folder: &Path,
    name: &Path,
    keep: Keep,
    later: &mut Later,
) -> Result<(), CliError> {
    let Some(last) = name.file_name() else { return Ok(()) };
    let path = folder.join(name);
    let above = to.folder(path.parent().unwrap_or(folder))?;
    let attributes = Attributes::of(entry, keep);
    let failed = about("write", &path);
    match entry.header().entry_type() {
        EntryType::Directory => {
            make_folder(&above, last, &attributes).map_err(failed)?;
            later.push((path, attributes.times));
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            write_file(entry, &above, last, &attributes, &path)?;
        }
        EntryType::Symlink => {
            let target = link_target(entry, &path)?;
            let made = |temporary: &OsStr| symlinkat(&target, &above, temporary);
            replace_with(above.as_fd(), last, made, &attributes, true).map_err(failed)?;
        }
        EntryType::Link => {
            let target = folder.join(inside(&link_target(entry, &path)?)?);
            let (Some(of), Some(target_name)) = (target.parent(), target.file_name()) else { return Ok(()) };
            let of = to.folder(of)?;
            let made = |temporary: &OsStr| linkat(&of, target_name, &above, temporary, AtFlags::empty());
            replace(above.as_fd(), last, made).map_err(failed)?;
        }
        EntryType::Fifo => {
            let made = |temporary: &OsStr| mkfifoat(&above, temporary, attributes.mode);
            replace_with(above.as_fd(), last, made, &attributes, false).map_err(failed)?;
        }
        // A device would be a door into the machine: it is not copied, whoever asks.
        _ => {}
    }
    Ok(())
}

fn link_target(entry: &Entry<'_, impl Read>, path: &Path) -> Result<PathBuf, CliError> {
    let target = entry.link_name().ok().flatten();
    let target = target.ok_or_else(|| CliError::failed(format!("the archive has no target for {}", path.display())))?;
    Ok(target.into_owned())
}

struct Attributes {
    mode: Mode,
    owner: Option<(Uid, Gid)>,
    times: Timestamps,
}

impl Attributes {
    fn of(entry: &Entry<'_, impl Read>, keep: Keep) -> Self {
        let header = entry.header();
        let number =
            |value: io::Result<u64>| value.ok().and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
        let bits = if keep == Keep::All { 0o7777 } else { 0o1777 };
        let seconds = i64::try_from(header.mtime().unwrap_or_default()).unwrap_or_default();
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        Self {
            mode: Mode::from_raw_mode(header.mode().unwrap_or(0o644) & bits),
            owner: (keep != Keep::Content)
                .then(|| (Uid::from_raw(number(header.uid())), Gid::from_raw(number(header.gid())))),
            times: Timestamps { last_access: time, last_modification: time },
        }
    }
}

fn set_times(at: BorrowedFd<'_>, name: &OsStr, times: &Timestamps) -> Result<(), Errno> {
    utimensat(at, name, times, AtFlags::SYMLINK_NOFOLLOW)
}

fn make_folder(above: &OwnedFd, name: &OsStr, attributes: &Attributes) -> Result<(), Errno> {
    match mkdirat(above, name, attributes.mode) {
        Ok(()) => {}
        // A folder that is there keeps its owner and mode; so does a symlink to one.
        Err(Errno::EXIST) => {
            let stat = statat(above, name, AtFlags::empty())?;
            let is_folder = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
            return if is_folder { Ok(()) } else { Err(Errno::NOTDIR) };
        }
        Err(errno) => return Err(errno),
    }
    let owner = attributes.owner;
    if let Some((uid, gid)) = owner {
        chownat(above, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    // The umask has taken bits away.
    chmodat(above, name, attributes.mode, AtFlags::empty())
}

fn write_file(
    entry: &mut Entry<'_, impl Read>,
    above: &OwnedFd,
    name: &OsStr,
    attributes: &Attributes,
    path: &Path,
) -> Result<(), CliError> {
    let written = replace(above.as_fd(), name, |temporary| fill(entry, above, temporary, attributes));
    written.map_err(|error| CliError::failed(format!("can't write {}: {error}", path.display())))
}

fn fill(entry: &mut Entry<'_, impl Read>, above: &OwnedFd, name: &OsStr, attributes: &Attributes) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(above, name, flags, Mode::from_raw_mode(0o600))?);
    io::copy(entry, &mut file)?;
    if let Some((uid, gid)) = attributes.owner {
        rustix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    // After the owner: a change of owner takes set-user-id away.
    fchmod(&file, attributes.mode)?;
    rustix::fs::futimens(&file, &attributes.times)?;
    Ok(())
}

/// Makes a node, gives it its owner and time, and puts it in its place.
fn replace_with(
    above: BorrowedFd<'_>,
    name: &OsStr,
    make: impl FnOnce(&OsStr) -> Result<(), Errno>,
    attributes: &Attributes,
    is_link: bool,
) -> Result<(), Errno> {
    replace(above, name, |temporary| {
        make(temporary)?;
        if let Some((uid, gid)) = attributes.owner {
            chownat(above, temporary, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !is_link {
            chmodat(above, temporary, attributes.mode, AtFlags::empty())?;
        }
        set_times(above, temporary, &attributes.times)
    })
}
