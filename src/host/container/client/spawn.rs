//! Starts a shim.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::super::shim::Place;
use super::super::{SHIM, executable, sys};

/// What a shim is started with.
#[derive(Clone, Copy, Debug)]
pub struct SpawnRequest<'a> {
    /// The protected program: [`executable::protected`], shared by all shims of a supervisor.
    pub program: BorrowedFd<'a>,
    /// The container's run folder; made if missing.
    pub run: &'a Path,
    /// The container's state folder.
    pub state: &'a Path,
    /// Its project, for the revival of a supervisor.
    pub project: &'a str,
    /// `--root`.
    pub world_root: &'a Path,
    /// `--run`.
    pub world_run: &'a Path,
}

/// Starts the shim as a child of this process; the other end of its standard input is the connection to it.
pub(super) fn spawn(request: &SpawnRequest<'_>) -> io::Result<OwnedFd> {
    let (mine, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let place = Place {
        run: request.run.to_path_buf(),
        state: request.state.to_path_buf(),
        project: request.project.to_owned(),
        world_root: request.world_root.to_path_buf(),
        world_run: request.world_run.to_path_buf(),
    };
    // posix_spawn: no copy of a large supervisor is made, which asking for another folder would bring back in a static
    // program. The child's own /proc/self leads to the same descriptor.
    let mut child = Command::new(executable::path(request.program.as_fd()))
        .arg(SHIM)
        .args(place.arguments())
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let pidfd = sys::watch(sys::pidfd_open(child.id() as i32)?)?;
    tokio::spawn(async move {
        // Readable means ended; a zombie less.
        let _ = pidfd.readable().await;
        let _ = child.try_wait();
    });
    Ok(mine)
}
