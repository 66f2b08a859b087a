//! How a new process gets into a group: descriptors that are opened before the clone.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::mounts::Version;
use super::{Cgroup, Error, Result};

/// Open ways into a group, all close-on-exec (CVE-2024-21626: an inherited descriptor of a cgroup folder leads out of the
/// container).
#[derive(Debug)]
pub struct Entry {
    v2: Option<OwnedFd>,
    v1: Vec<OwnedFd>,
}

impl Cgroup {
    /// Opens it for a new process.
    ///
    /// # Errors
    /// When a file of it can't be opened.
    pub fn entry(&self) -> Result<Entry> {
        let mut entry = Entry { v2: None, v1: Vec::new() };
        for place in self.places() {
            match place.version {
                Version::V2 => {
                    let open = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(&place.dir);
                    entry.v2 = Some(open.map_err(|source| Error::file("open", &place.dir, source))?.into());
                }
                Version::V1 => {
                    let tasks = place.dir.join("tasks");
                    let open: io::Result<File> = OpenOptions::new().write(true).open(&tasks);
                    entry.v1.push(open.map_err(|source| Error::file("open", &tasks, source))?.into());
                }
            }
        }
        Ok(entry)
    }
}

impl Entry {
    /// For `clone_args.cgroup` with `CLONE_INTO_CGROUP`; `None` where there is no v2.
    pub fn v2(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling thread into the v1 groups: to be called by the new process itself, while it has one thread and
    /// before it unshares its cgroup namespace. Nothing is allocated, so it may run after a clone.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn join_v1(mut self) -> io::Result<()> {
        // First of all: a folder of the host's, which nobody is to find open in a process that is inside already.
        drop(self.v2.take());
        for tasks in &self.v1 {
            write_zero(tasks.as_fd())?;
        }
        Ok(())
    }
}

fn write_zero(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the buffer is one byte of static memory, the descriptor is borrowed and open.
    let written = unsafe { libc::write(file.as_raw_fd(), b"0".as_ptr().cast(), 1) };
    if written == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
