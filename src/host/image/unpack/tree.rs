//! Files below a folder, reached by descriptor only: a name is resolved by the kernel as if the folder were `/`
//! (openat2 with RESOLVE_IN_ROOT), so no symlink and no `..` leads out of it.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::{Fault, failed};

/// Metadata of a node.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, i64),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A folder and what is below it.
#[derive(Debug)]
pub(super) struct Tree {
    root: OwnedFd,
    /// The folder used last: members of one folder come one after the other.
    last: Option<(Vec<u8>, OwnedFd)>,
    /// Folders that were made on the way to something else.
    pub implied: BTreeSet<Vec<u8>>,
}

/// What was in the way and is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    Nothing,
    /// A whiteout of this layer.
    Whiteout,
    Other,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Tree {
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let name = path.as_os_str().as_encoded_bytes();
        let root = fs::open(path, FOLDER, Mode::empty()).map_err(failed("open", name))?;
        Ok(Self { root, last: None, implied: BTreeSet::new() })
    }

    /// The folder `path` (cleaned, relative), made if it is missing; `budget` bounds how many are made.
    pub(super) fn folder(&mut self, path: &[u8], budget: &mut u64) -> Result<BorrowedFd<'_>, Fault> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        if !self.last.as_ref().is_some_and(|(known, _)| known == path) {
            let fd = match self.resolve(path) {
                Err(Errno::NOENT) => self.make_all(path, budget)?,
                other => other.map_err(failed("open", path))?,
            };
            self.last = Some((path.to_vec(), fd));
        }
        match &self.last {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Ok(self.root.as_fd()),
        }
    }

    /// Opens a folder as if the root were `/`.
    fn resolve(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match fs::openat2(&self.root, path, flags, Mode::empty(), how) {
                // Something was renamed elsewhere while the kernel looked: it asks to be asked again.
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
    }

    fn make_all(&mut self, path: &[u8], budget: &mut u64) -> Result<OwnedFd, Fault> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let ends: Vec<usize> = ends.chain([path.len()]).collect();
        let mut made = None;
        let mut start = 0;
        for end in ends {
            let (prefix, name) = (&path[..end], &path[start..end]);
            match self.resolve(prefix) {
                Ok(fd) => made = Some(fd),
                Err(Errno::NOENT) => {
                    *budget = budget.checked_sub(1).ok_or_else(|| Fault::Bad("it has too many folders".into()))?;
                    let parent = made.as_ref().unwrap_or(&self.root);
                    match fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) => {
                            self.implied.insert(prefix.to_vec());
                        }
                        // A symlink that leads nowhere, or a whiteout that something is now put below.
                        Err(Errno::EXIST) if remove_whiteout(parent.as_fd(), name)? => {
                            fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)).map_err(failed("make", prefix))?;
                            self.implied.insert(prefix.to_vec());
                            let made = self.resolve(prefix).map_err(failed("open", prefix))?;
                            set_opaque(made.as_fd(), prefix)?;
                        }
                        Err(Errno::EXIST) => return Err(failed("make", prefix)(Errno::NOTDIR)),
                        Err(errno) => return Err(failed("make", prefix)(errno)),
                    }
                    made = Some(self.resolve(prefix).map_err(failed("open", prefix))?);
                }
                Err(Errno::NOTDIR) if made_whiteout(made.as_ref().unwrap_or(&self.root).as_fd(), name)? => {
                    let parent = made.as_ref().unwrap_or(&self.root);
                    remove_whiteout(parent.as_fd(), name)?;
                    fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)).map_err(failed("make", prefix))?;
                    self.implied.insert(prefix.to_vec());
                    let fd = self.resolve(prefix).map_err(failed("open", prefix))?;
                    set_opaque(fd.as_fd(), prefix)?;
                    made = Some(fd);
                }
                Err(errno) => return Err(failed("open", prefix)(errno)),
            }
            start = end + 1;
        }
        made.ok_or_else(|| Fault::Bad("it has an empty name".into()))
    }

    /// A folder that was opened may have gone or moved: forget it.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Sets the time of a folder, if it is still one.
    pub(super) fn set_folder_time(&self, path: &[u8], mtime: (i64, i64)) -> Result<(), Fault> {
        let fd = if path.is_empty() {
            fs::openat(&self.root, ".", FOLDER, Mode::empty())
        } else {
            let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            fs::openat2(&self.root, path, FOLDER, Mode::empty(), how)
        };
        match fd {
            Ok(fd) => fs::futimens(&fd, &stamps(mtime)).map_err(failed("set the time of", path)),
            Err(_) => Ok(()),
        }
    }
}

/// Removes whatever has this name in a folder.
pub(super) fn clear(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Removed, Fault> {
    let stat = match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Removed::Nothing),
        Err(errno) => return Err(failed("look at", name)(errno)),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            remove_tree(folder, name).map_err(failed("remove", name))?;
            Ok(Removed::Other)
        }
        kind => {
            fs::unlinkat(folder, name, AtFlags::empty()).map_err(failed("remove", name))?;
            // Devices of the layer itself are never made.
            Ok(if kind == FileType::CharacterDevice { Removed::Whiteout } else { Removed::Other })
        }
    }
}

fn made_whiteout(folder: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Fault> {
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice),
        Err(errno) => Err(failed("look at", name)(errno)),
    }
}

fn remove_whiteout(folder: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Fault> {
    if !made_whiteout(folder, name)? {
        return Ok(false);
    }
    fs::unlinkat(folder, name, AtFlags::empty()).map_err(failed("remove", name))?;
    Ok(true)
}

/// Makes a whiteout: a character device 0/0 hides what lower layers have (overlayfs.rst, "whiteouts and opaque directories").
pub(super) fn make_whiteout(folder: BorrowedFd<'_>, name: &[u8]) -> Result<(), Fault> {
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            // The layer has this folder itself: it is to hide the lower one, not to vanish.
            let fd = fs::openat(folder, name, FOLDER, Mode::empty()).map_err(failed("open", name))?;
            return set_opaque(fd.as_fd(), name);
        }
        // So does any other node, just by being there.
        Ok(_) => return Ok(()),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed("look at", name)(errno)),
    }
    fs::mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), 0).map_err(failed("make a whiteout for", name))
}

/// Marks a folder so that nothing of the same folder in lower layers is seen.
pub(super) fn set_opaque(folder: BorrowedFd<'_>, path: &[u8]) -> Result<(), Fault> {
    fs::fsetxattr(folder, c"trusted.overlay.opaque", b"y", XattrFlags::empty()).map_err(failed("mark as opaque", path))
}

/// Makes a folder, or takes the one that is there; opaque if it takes a whiteout's place.
pub(super) fn make_folder(folder: BorrowedFd<'_>, name: &[u8], meta: &Meta) -> Result<Removed, Fault> {
    let mut removed = Removed::Nothing;
    match fs::mkdirat(folder, name, Mode::from_raw_mode(0o700)) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let stat = fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("look at", name))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                removed = clear(folder, name)?;
                fs::mkdirat(folder, name, Mode::from_raw_mode(0o700)).map_err(failed("make", name))?;
            }
        }
        Err(errno) => return Err(failed("make", name)(errno)),
    }
    let fd = fs::openat(folder, name, FOLDER, Mode::empty()).map_err(failed("open", name))?;
    if removed == Removed::Whiteout {
        set_opaque(fd.as_fd(), name)?;
    }
    set_meta(fd.as_fd(), name, meta, false)?;
    Ok(removed)
}

/// Gives the root itself its metadata.
pub(super) fn set_root(tree: &Tree, meta: &Meta) -> Result<(), Fault> {
    set_meta(tree.root.as_fd(), b"/", meta, false)
}

/// Makes an empty file, in place of whatever has the name.
pub(super) fn make_file(folder: BorrowedFd<'_>, name: &[u8]) -> Result<(OwnedFd, Removed), Fault> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = || fs::openat(folder, name, flags, Mode::from_raw_mode(0o600));
    match create() {
        Ok(fd) => Ok((fd, Removed::Nothing)),
        Err(Errno::EXIST) => {
            let removed = clear(folder, name)?;
            Ok((create().map_err(failed("create", name))?, removed))
        }
        Err(errno) => Err(failed("create", name)(errno)),
    }
}

/// Owner first (chown takes setuid bits and capabilities away), then mode, attributes, time.
pub(super) fn set_meta(fd: BorrowedFd<'_>, name: &[u8], meta: &Meta, time: bool) -> Result<(), Fault> {
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    fs::fchown(fd, Some(uid), Some(gid)).map_err(failed("chown", name))?;
    fs::fchmod(fd, Mode::from_raw_mode(meta.mode)).map_err(failed("chmod", name))?;
    for (key, value) in &meta.xattrs {
        let Ok(key) = CString::new(key.as_slice()) else { continue };
        match fs::fsetxattr(fd, key.as_c_str(), value, XattrFlags::empty()) {
            Ok(()) => {}
            // File systems without user attributes: docker goes on, too. A lost capability is not for silence.
            Err(Errno::NOTSUP) if !key.as_bytes().starts_with(b"security.") => {}
            Err(errno) => return Err(failed("set an attribute of", name)(errno)),
        }
    }
    if time {
        fs::futimens(fd, &stamps(meta.mtime)).map_err(failed("set the time of", name))?;
    }
    Ok(())
}

/// Makes a symlink; whatever has the name must be gone.
pub(super) fn make_symlink(folder: BorrowedFd<'_>, name: &[u8], target: &[u8], meta: &Meta) -> Result<(), Fault> {
    fs::symlinkat(target, folder, name).map_err(failed("link", name))?;
    set_node_meta(folder, name, meta)
}

/// Makes a named pipe; whatever has the name must be gone.
pub(super) fn make_fifo(folder: BorrowedFd<'_>, name: &[u8], meta: &Meta) -> Result<(), Fault> {
    fs::mknodat(folder, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(failed("make", name))?;
    set_node_meta(folder, name, meta)?;
    // Nobody else writes here, so the name is still the pipe.
    fs::chmodat(folder, name, Mode::from_raw_mode(meta.mode), AtFlags::empty()).map_err(failed("chmod", name))
}

fn set_node_meta(folder: BorrowedFd<'_>, name: &[u8], meta: &Meta) -> Result<(), Fault> {
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(failed("chown", name))?;
    fs::utimensat(folder, name, &stamps(meta.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(failed("set the time of", name))
}

fn stamps((seconds, nanos): (i64, i64)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    Timestamps { last_access: time, last_modification: time }
}

/// Removes a folder and all below it with two descriptors, however deep it is: folders inside are first moved up.
pub(in super::super) fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let top = match fs::openat(parent, name, FOLDER, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return fs::unlinkat(parent, name, AtFlags::empty()),
        Err(errno) => return Err(errno),
    };
    let mut counter = 0u64;
    empty_into(&top, &top, &mut counter)?;
    loop {
        let folders = entries(&top)?;
        if folders.is_empty() {
            break;
        }
        for folder in folders {
            let fd = fs::openat(&top, folder.as_c_str(), FOLDER, Mode::empty())?;
            empty_into(&fd, &top, &mut counter)?;
            fs::unlinkat(&top, folder.as_c_str(), AtFlags::REMOVEDIR)?;
        }
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Unlinks all in `folder` but folders, which go to `top` under new names.
fn empty_into(folder: &OwnedFd, top: &OwnedFd, counter: &mut u64) -> Result<(), Errno> {
    for name in entries(folder)? {
        match fs::unlinkat(folder, name.as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => {
                // In the top folder itself the new name could be one that is taken: a rename onto a folder that is not
                // empty is refused, so go on to the next number.
                loop {
                    *counter += 1;
                    let new = format!(".windlass-{counter}");
                    match fs::renameat_with(folder, name.as_c_str(), top, new.as_str(), fs::RenameFlags::NOREPLACE) {
                        Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                        other => break other?,
                    }
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn entries(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
