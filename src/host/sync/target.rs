//! The container's side: folders are opened one after the other, each checked, and everything is made by names in them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod, fchown, fstat, futimens,
    mkdirat, openat, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::Mirror;
use super::mounts::Mounts;
use super::source::{Found, Unread};
use crate::host::container::inroot;
use crate::host::replace::{is_mount_point, replace};

mod remove;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Written,
    Removed,
    None,
}

/// Why a path was left as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// On this machine.
    #[error("can't read {}: {cause}", .path.display())]
    Source {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// A bind mount, or a file system that the kernel makes up.
    #[error("{} lies on a mount that is not the container's own: it is left alone", .0.display())]
    Foreign(PathBuf),
    /// A file or folder that is mounted by itself.
    #[error("something is mounted on {}: it is left alone", .0.display())]
    Mounted(PathBuf),
    /// What is mirrored is one file, and a folder of the image is in its place.
    #[error(
        "{} is a folder, and {} is none: it is left alone; let `target` name the file",
        .target.display(), .file.display()
    )]
    Folder { target: PathBuf, file: PathBuf },
    /// Anything else.
    #[error("can't {doing} {}: {cause}", .path.display())]
    Failed {
        doing: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// The place that a mirror has inside a container.
pub(super) struct Target<'a> {
    root: BorrowedFd<'a>,
    mirror: &'a Mirror<'a>,
    owner: (Uid, Gid),
    mounts: &'a Mounts,
    /// Symlinks that were made here.
    made: RefCell<BTreeSet<PathBuf>>,
    /// Folders that are open, by their paths relative to the target.
    open: RefCell<BTreeMap<PathBuf, Rc<Folder>>>,
}

/// A folder inside the container.
struct Folder {
    fd: OwnedFd,
}

impl<'a> Target<'a> {
    /// `made` are symlinks that were made before by the same work.
    pub(super) fn new(
        root: BorrowedFd<'a>,
        mirror: &'a Mirror<'a>,
        owner: (Uid, Gid),
        mounts: &'a Mounts,
        made: BTreeSet<PathBuf>,
    ) -> Self {
        Self { root, mirror, owner, mounts, made: made.into(), open: RefCell::default() }
    }

    /// The symlinks that were made.
    pub(super) fn into_links(self) -> BTreeSet<PathBuf> {
        self.made.into_inner()
    }

    /// Whether a symlink that stands at a path was put there by a mirror, not by the image.
    fn is_ours(&self, path: &Path) -> bool {
        self.mirror.links.contains(path) || self.made.borrow().contains(path)
    }

    /// Makes `path` what was found at it on the other side.
    pub(super) fn make(&self, path: &Path, found: Found) -> Result<Change, Refusal> {
        match found {
            Found::Folder(mode) => self.folder(path, mode),
            Found::File(file, stat) => self.file(path, &file, &stat),
            Found::Link(to) => self.link(path, &to),
            Found::Nothing => self.remove(path),
            Found::Special | Found::Elsewhere => Ok(Change::None),
        }
    }

    /// Whether a path lies, or would lie, on a file system that goes with the container's process.
    pub(super) fn is_in_memory(&self, path: &Path) -> bool {
        for above in self.inside(path).ancestors().skip(1) {
            match inroot::open(self.root, above, OFlags::PATH | OFlags::DIRECTORY) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return false,
                Ok(fd) => {
                    let mount = inroot::mount_at(fd.as_fd(), OsStr::new("")).ok().flatten();
                    return mount.is_some_and(|mount| self.mounts.is_memory(mount));
                }
            }
        }
        false
    }

    /// A path of the mirror as it is called inside the container.
    fn inside(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() { self.mirror.target.to_owned() } else { self.mirror.target.join(path) }
    }

    fn failed<E: Into<io::Error>>(&self, doing: &'static str, path: &Path) -> impl Fn(E) -> Refusal {
        let path = self.inside(path);
        move |cause| Refusal::Failed { doing, path: path.clone(), cause: cause.into() }
    }

    /// The folder that `path` is in, and its name there. `None`: there is no such folder, and none is to be made.
    fn place<'p>(&'p self, path: &'p Path, make: bool) -> Result<Option<(Rc<Folder>, &'p OsStr)>, Refusal> {
        if let (Some(above), Some(name)) = (path.parent(), path.file_name()) {
            return Ok(self.open(above, make)?.map(|folder| (folder, name)));
        }
        // The mirror is one file.
        let target = self.mirror.target;
        let (Some(above), Some(name)) = (target.parent(), target.file_name()) else { return Ok(None) };
        Ok(self.base(above, make, path)?.map(|folder| (folder, name)))
    }

    /// The folder `path` of the mirror, open; with `make`, made where it is missing.
    fn open(&self, path: &Path, make: bool) -> Result<Option<Rc<Folder>>, Refusal> {
        if let Some(folder) = self.open.borrow().get(path) {
            return Ok(Some(folder.clone()));
        }
        let folder = match (path.parent(), path.file_name()) {
            (Some(above), Some(name)) => match self.open(above, make)? {
                Some(above) => self.step(&above, name, path, make)?,
                None => None,
            },
            _ => self.base(self.mirror.target, make, path)?,
        };
        if let Some(folder) = &folder {
            self.open.borrow_mut().insert(path.to_owned(), folder.clone());
        }
        Ok(folder)
    }

    /// A folder by its path inside the container, the image's own symlinks followed inside it.
    fn base(&self, inside: &Path, make: bool, path: &Path) -> Result<Option<Rc<Folder>>, Refusal> {
        let opened = match inroot::open(self.root, inside, OFlags::PATH | OFlags::DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                self.check_above(inside, path)?;
                inroot::folder_of(self.root, inside, self.owner)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other,
        };
        self.checked(opened.map_err(self.failed("open the folder of", path))?, path).map(Some)
    }

    /// Nothing is made on a foreign mount either: the nearest folder that is there tells.
    fn check_above(&self, inside: &Path, path: &Path) -> Result<(), Refusal> {
        for above in inside.ancestors().skip(1) {
            match inroot::open(self.root, above, OFlags::PATH | OFlags::DIRECTORY) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed("open the folder of", path)(error)),
                Ok(fd) => return self.checked(fd, path).map(|_| ()),
            }
        }
        Ok(())
    }

    fn checked(&self, fd: OwnedFd, path: &Path) -> Result<Rc<Folder>, Refusal> {
        let mount = inroot::mount_at(fd.as_fd(), OsStr::new("")).map_err(self.failed("look at", path))?;
        if !mount.is_some_and(|mount| self.mounts.may_write(mount)) {
            return Err(Refusal::Foreign(self.inside(path)));
        }
        Ok(Rc::new(Folder { fd }))
    }

    /// From a folder to one in it.
    fn step(&self, above: &Folder, name: &OsStr, path: &Path, make: bool) -> Result<Option<Rc<Folder>>, Refusal> {
        match openat(&above.fd, name, PATH_OF_FOLDER, Mode::empty()) {
            Ok(fd) => return self.checked(fd, path).map(Some),
            Err(Errno::NOENT) if make => {}
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => match self.kind(above, name, path)? {
                Some(FileType::Symlink) if !self.is_ours(path) => {
                    return self.base(&self.inside(path), make, path);
                }
                _ if !make => return Ok(None),
                _ => unlinkat(&above.fd, name, AtFlags::empty()).map_err(self.failed("replace", path))?,
            },
            Err(errno) => return Err(self.failed("open the folder", path)(errno)),
        }
        self.new_folder(above, name, path, 0o755)?;
        let fd =
            openat(&above.fd, name, PATH_OF_FOLDER, Mode::empty()).map_err(self.failed("open the folder", path))?;
        self.checked(fd, path).map(Some)
    }

    fn kind(&self, folder: &Folder, name: &OsStr, path: &Path) -> Result<Option<FileType>, Refusal> {
        match statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("look at", path)(errno)),
        }
    }

    fn new_folder(&self, above: &Folder, name: &OsStr, path: &Path, mode: u32) -> Result<(), Refusal> {
        let (uid, gid) = self.owner;
        let made = mkdirat(&above.fd, name, Mode::from_raw_mode(0o700))
            .and_then(|()| chownat(&above.fd, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW));
        match made {
            Ok(()) => self.set_mode(above, name, path, mode).map(|_| ()),
            // The container has made it meanwhile.
            Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(self.failed("make the folder", path)(errno)),
        }
    }

    /// Sets the permission bits of a folder; whether they were others.
    fn set_mode(&self, above: &Folder, name: &OsStr, path: &Path, mode: u32) -> Result<bool, Refusal> {
        let failed = self.failed("set the mode of", path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&above.fd, name, flags, Mode::empty()).map_err(&failed)?;
        if fstat(&fd).map_err(&failed)?.st_mode & 0o7777 == mode {
            return Ok(false);
        }
        fchmod(&fd, Mode::from_raw_mode(mode)).map_err(&failed)?;
        Ok(true)
    }

    fn folder(&self, path: &Path, mode: u32) -> Result<Change, Refusal> {
        if path.as_os_str().is_empty() {
            // The target itself: that it is there is enough, its mode is the image's own.
            self.open(path, true)?;
            return Ok(Change::None);
        }
        let Some((above, name)) = self.place(path, true)? else { return Ok(Change::None) };
        match self.kind(&above, name, path)? {
            Some(FileType::Directory) => {
                self.open(path, true)?;
                let changed = self.set_mode(&above, name, path, mode)?;
                return Ok(if changed { Change::Written } else { Change::None });
            }
            Some(FileType::Symlink) if !self.is_ours(path) => {
                self.open(path, true)?;
                return Ok(Change::None);
            }
            Some(_) => {
                self.refuse_mounted(&above, name, path)?;
                unlinkat(&above.fd, name, AtFlags::empty()).map_err(self.failed("replace", path))?;
            }
            None => {}
        }
        self.forget(path);
        self.new_folder(&above, name, path, mode)?;
        Ok(Change::Written)
    }

    fn file(&self, path: &Path, file: &Unread, stat: &Stat) -> Result<Change, Refusal> {
        let Some((above, name)) = self.place(path, true)? else { return Ok(Change::None) };
        if self.mirror.only_different && self.is_same(&above, name, stat) {
            return Ok(Change::None);
        }
        let mut from = file.open().map_err(|cause| self.unreadable(path, cause))?;
        self.clear(&above, name, path)?;
        replace(above.fd.as_fd(), name, |temporary| self.fill(&above, temporary, &mut from, stat))
            .map_err(|error: io::Error| self.refusal("write", path, error))?;
        Ok(Change::Written)
    }

    fn unreadable(&self, path: &Path, cause: io::Error) -> Refusal {
        Refusal::Source { path: super::full(self.mirror, path), cause }
    }

    fn fill(&self, above: &Folder, name: &OsStr, from: &mut File, stat: &Stat) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&above.fd, name, flags, Mode::from_raw_mode(0o600))?);
        io::copy(from, &mut file)?;
        let (uid, gid) = self.owner;
        fchown(&file, Some(uid), Some(gid))?;
        // After the owner: a change of owner takes set-user-id away.
        fchmod(&file, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: nanos(stat) };
        futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
        Ok(())
    }

    /// Whether a file is there already as it is on the other side, as far as that can be told without reading both.
    fn is_same(&self, above: &Folder, name: &OsStr, stat: &Stat) -> bool {
        let Ok(there) = statat(&above.fd, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
        let (uid, gid) = self.owner;
        (there.st_mode, there.st_size, there.st_mtime, nanos(&there))
            == (stat.st_mode, stat.st_size, stat.st_mtime, nanos(stat))
            && (there.st_uid, there.st_gid) == (uid.as_raw(), gid.as_raw())
    }

    fn link(&self, path: &Path, to: &CString) -> Result<Change, Refusal> {
        let Some((above, name)) = self.place(path, true)? else { return Ok(Change::None) };
        self.made.borrow_mut().insert(path.to_owned());
        if readlinkat(&above.fd, name, Vec::new()).is_ok_and(|there| there == *to) {
            return Ok(Change::None);
        }
        self.clear(&above, name, path)?;
        self.forget(path);
        let (uid, gid) = self.owner;
        replace(above.fd.as_fd(), name, |temporary| -> io::Result<()> {
            symlinkat(to, &above.fd, temporary)?;
            chownat(&above.fd, temporary, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(())
        })
        .map_err(|error| self.refusal("write", path, error))?;
        Ok(Change::Written)
    }

    /// Takes a folder away that stands where something else is to be: no rename does that. Never the target itself: it is
    /// the image's, and nothing in it was ever here.
    fn clear(&self, above: &Folder, name: &OsStr, path: &Path) -> Result<(), Refusal> {
        if self.kind(above, name, path)? != Some(FileType::Directory) {
            return Ok(());
        }
        if path.as_os_str().is_empty() {
            return Err(Refusal::Folder { target: self.inside(path), file: self.mirror.source.to_owned() });
        }
        self.refuse_mounted(above, name, path)?;
        self.remove_tree(above, name, path)
    }

    fn refuse_mounted(&self, above: &Folder, name: &OsStr, path: &Path) -> Result<(), Refusal> {
        match is_mount_point(above.fd.as_fd(), name) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Refusal::Mounted(self.inside(path))),
            Err(errno) => Err(self.failed("look at", path)(errno)),
        }
    }

    fn refusal(&self, doing: &'static str, path: &Path, error: io::Error) -> Refusal {
        if Errno::from_io_error(&error) == Some(Errno::BUSY) {
            return Refusal::Mounted(self.inside(path));
        }
        self.failed(doing, path)(error)
    }

    /// Folders at and below a path are no longer what they were.
    fn forget(&self, path: &Path) {
        self.open.borrow_mut().retain(|open, _| !open.starts_with(path));
    }
}

const PATH_OF_FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn nanos(stat: &Stat) -> i64 {
    i64::try_from(stat.st_mtime_nsec).unwrap_or_default()
}
