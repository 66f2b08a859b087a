//! The socket over which a runtime hands out the terminal that it has made inside the container.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, listen,
    recvmsg, socket,
};
use rustix::fs::{Mode, OFlags};

/// A listening socket; its file goes with it.
pub(crate) struct Console {
    listener: OwnedFd,
    /// Holds the way by which the runtime finds the socket.
    _folder: OwnedFd,
    path: PathBuf,
    file: PathBuf,
}

impl Console {
    /// Listens in `folder` under this name.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub(crate) fn listen(folder: &Path, name: &str) -> io::Result<Console> {
        let file = folder.join(name);
        let held = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let listener =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
        // A socket's path has 108 bytes only: by the folder's descriptor it is short, for the runtime too.
        let path = PathBuf::from(format!("/proc/{}/fd/{}/{name}", std::process::id(), held.as_raw_fd()));
        let _ = fs::remove_file(&file);
        bind(listener.as_raw_fd(), &UnixAddr::new(&path)?)?;
        listen(&listener, Backlog::new(1)?)?;
        Ok(Console { listener, _folder: held, path, file })
    }

    /// What the runtime is told (`--console-socket`).
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal's master; `None`: nobody has brought it yet.
    ///
    /// # Errors
    /// When what came is no terminal.
    pub(crate) fn take(&self) -> io::Result<Option<OwnedFd>> {
        let raw = match accept4(self.listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
            other => other?,
        };
        // SAFETY: accept4 made this descriptor for us.
        let connection = unsafe { OwnedFd::from_raw_fd(raw) };
        let master = receive(&connection)?;
        // A pty's master is all that is ever read or written here.
        rustix::pty::ptsname(&master, Vec::new())?;
        Ok(Some(master))
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// The one descriptor that comes over a connection.
fn receive(connection: &OwnedFd) -> io::Result<OwnedFd> {
    let mut text = [0; 4096];
    let mut control = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut parts = [io::IoSliceMut::new(&mut text)];
    let message = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(connection.as_raw_fd(), &mut parts, Some(&mut control), flags) {
            Err(nix::Error::EINTR) => {}
            other => break other?,
        }
    };
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control
            && let Some(raw) = raw.first()
        {
            // SAFETY: the kernel has just made this descriptor for us; the buffer has room for one only.
            return Ok(unsafe { OwnedFd::from_raw_fd(*raw) });
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the runtime handed out no terminal"))
}
