//! The container's terminal: a pty of its own /dev/pts, and /dev/console.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use rustix::pty::OpenptFlags;

use super::super::{inroot, tree};
use super::problem::{Problem, Step, doing};

/// The two ends of a terminal.
pub(crate) struct Terminal {
    /// For the shim.
    pub master: OwnedFd,
    /// For the process.
    pub slave: OwnedFd,
}

/// Opens a new terminal of the devpts mount `pts`.
///
/// The slave comes from the master (TIOCGPTPEER), never from a path that could have been replaced (CVE-2025-52565).
pub(crate) fn open(pts: &OwnedFd) -> Step<Terminal> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = inroot::open_exact(pts.as_fd(), Path::new("ptmx"), flags).map_err(doing("open ptmx"))?;
    rustix::pty::unlockpt(&master).map_err(doing("unlock the terminal"))?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .map_err(doing("open the terminal"))?;
    let stat = rustix::fs::fstat(&slave).map_err(doing("look at the terminal"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice || rustix::fs::major(stat.st_rdev) != 136 {
        return Err(Problem::new("the terminal is not one"));
    }
    Ok(Terminal { master, slave })
}

/// Gives a terminal so many rows and columns.
pub(crate) fn resize(terminal: &OwnedFd, (rows, columns): (u16, u16)) -> rustix::io::Result<()> {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}

/// The /dev/pts of a container that runs: only if it is one.
pub(crate) fn pts_of(root: &OwnedFd) -> Step<OwnedFd> {
    const DEVPTS: libc::c_long = 0x1cd1;
    let pts = inroot::open(root.as_fd(), Path::new("/dev/pts"), OFlags::PATH | OFlags::DIRECTORY)
        .map_err(doing("open the container's /dev/pts"))?;
    let kind = rustix::fs::fstatfs(&pts).map_err(doing("check the container's /dev/pts"))?.f_type;
    if kind == DEVPTS { Ok(pts) } else { Err(Problem::new("the container's /dev/pts is not one: it has no terminals")) }
}

/// Mounts the terminal on /dev/console of the container's /dev.
pub(crate) fn mount(dev: &OwnedFd, terminal: &Terminal) -> Step {
    let point = inroot::mount_point(dev.as_fd(), Path::new("console"), false).map_err(doing("make /dev/console"))?;
    let tree = tree::copy(&terminal.slave, false).map_err(doing("take the terminal"))?;
    tree::attach(&tree, &point).map_err(doing("mount /dev/console"))
}
