//! What stands at a path of this machine. No symlink is followed, at its end or on the way: one that is put there while we
//! look would have another file of the machine copied into the container.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, readlinkat};
use rustix::io::Errno;

/// What stands at a path.
pub(super) enum Found {
    /// A folder with its permission bits.
    Folder(u32),
    /// A file.
    File(Unread, Box<Stat>),
    /// A symlink and what it says.
    Link(CString),
    /// A FIFO, a socket, a device: nothing that can be mirrored.
    Special,
    /// Nothing.
    Nothing,
    /// The folder around it is none any more, or a symlink: what is to be done about the path is done about that.
    Elsewhere,
}

/// A file that is not opened yet: who watches the folder hears of each that is.
pub(super) struct Unread(OwnedFd);

impl Unread {
    /// Opens it for reading: the very same node, whatever its name is now.
    pub(super) fn open(&self) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(CWD, path.as_str(), flags, Mode::empty())?.into())
    }
}

/// Looks at an absolute path.
pub(super) fn look(path: &Path) -> io::Result<Found> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let seen = match retry(|| openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)) {
        Ok(seen) => seen,
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Found::Elsewhere),
        Err(errno) => return Err(errno.into()),
    };
    let stat = fstat(&seen)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Found::Folder(stat.st_mode & 0o7777),
        FileType::RegularFile => Found::File(Unread(seen), Box::new(stat)),
        FileType::Symlink => Found::Link(readlinkat(&seen, "", Vec::new())?),
        _ => Found::Special,
    })
}

/// EAGAIN: something on the way was renamed or mounted during the walk; the kernel asks to try again.
fn retry<T>(mut work: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..1000 {
        match work() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}
