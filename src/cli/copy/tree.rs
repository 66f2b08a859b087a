//! A tree of files: this machine's, or a container's, from which no path leads out.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;

use super::super::error::CliError;
use super::about;
use crate::host::container::{Root, inroot};

/// So many symlinks are followed at most, as by the kernel.
const LINKS: usize = 40;

/// A tree of files.
pub enum Tree {
    /// This machine's; relative paths start at the working folder.
    Machine,
    /// A container's, by its root.
    Container(Root),
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder,
    /// Anything else.
    File,
    /// Nothing.
    Nothing,
}

/// What is to be copied.
pub struct Source {
    /// It, as an `O_PATH` descriptor.
    pub fd: OwnedFd,
    /// Its name.
    pub name: PathBuf,
    /// It is a folder.
    pub is_folder: bool,
    /// Its content is meant, not itself (`folder/.`).
    pub contents: bool,
}

impl Tree {
    /// Opens a path; in a container symlinks stay inside it, and the kernel's magic links are refused.
    ///
    /// # Errors
    /// Of openat2(2).
    pub fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        match self {
            Self::Machine => {
                let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
                openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
            }
            Self::Container(root) => inroot::open(root.as_fd(), path, flags)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }

    /// What stands at a path, symlinks followed.
    ///
    /// # Errors
    /// When that can't be found out.
    pub fn look(&self, path: &Path) -> Result<Place, CliError> {
        match self.open(path, OFlags::PATH) {
            Ok(fd) if is_folder(&fd).map_err(about("look at", path))? => Ok(Place::Folder),
            Ok(_) => Ok(Place::File),
            Err(Errno::NOENT) => Ok(Place::Nothing),
            Err(errno) => Err(about("look at", path)(errno)),
        }
    }

    /// Where a file that is written to a path lands: a symlink there stays, and what it names in the container is written, be it
    /// there or not. One of this machine is replaced: a container may have made it, by what was copied from there before.
    ///
    /// # Errors
    /// When that can't be found out; too many symlinks.
    pub fn landing(&self, path: &Path) -> Result<PathBuf, CliError> {
        let mut path = path.to_owned();
        let Self::Container(root) = self else { return Ok(path) };
        for _ in 0..LINKS {
            if !inroot::is_link(root.as_fd(), &path).map_err(about("look at", &path))? {
                return Ok(path);
            }
            let link = self.open(&path, OFlags::PATH | OFlags::NOFOLLOW);
            let target = link.and_then(|link| readlinkat(&link, "", Vec::new()));
            let target = target.map_err(about("read the symlink", &path))?;
            // An absolute one starts at the root again; `..` in it is resolved by openat2, never out of the root.
            path = path.parent().unwrap_or(Path::new("/")).join(OsStr::from_bytes(target.as_bytes()));
        }
        Err(about("write", &path)(Errno::LOOP))
    }

    /// Opens what is to be copied; a symlink as such, unless `follow`, or a slash or dot stands behind it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn source(&self, text: &str, follow: bool) -> Result<Source, CliError> {
        let path = Path::new(text);
        let contents = text == "." || text.ends_with("/.");
        let through = follow || contents || text.ends_with('/');
        let flags = if through { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        let fd = self.open(path, flags).map_err(about("open", path))?;
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        let is_folder = is_folder(&fd).map_err(about("look at", path))?;
        if text.ends_with('/') && !is_folder {
            return Err(CliError::failed(format!("{text} is no folder")));
        }
        // The root itself has no name: its content is copied.
        let contents = contents || name.as_os_str().is_empty();
        Ok(Source { fd, name, is_folder, contents })
    }

    /// Opens a folder, and makes what is missing of it.
    ///
    /// # Errors
    /// When it can't be made, or is none.
    pub fn folder(&self, path: &Path) -> Result<OwnedFd, CliError> {
        match self.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            result => return result.map_err(about("open the folder", path)),
        }
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(about("open the folder", path)(Errno::NOENT));
        };
        let above = self.folder(above)?;
        match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(about("make the folder", path)(errno)),
        }
        self.open(path, OFlags::PATH | OFlags::DIRECTORY).map_err(about("open the folder", path))
    }
}

/// Whether a descriptor is a folder.
///
/// # Errors
/// Of fstat(2).
pub fn is_folder(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Directory)
}
