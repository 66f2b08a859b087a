//! The control socket: only root, or whoever owns the world, may speak on it.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in the project's run folder.
const NAME: &str = "control.sock";

/// Connects to the supervisor of a run folder.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::ConnectionRefused`] where there is none.
pub fn connect(folder: &Path) -> io::Result<UnixStream> {
    through(folder, UnixStream::connect)
}

/// Takes the socket of a run folder; one that a dead supervisor left is removed. The caller holds the supervisor's lock.
///
/// # Errors
/// When it can't be made.
pub fn listen(folder: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(folder.join(NAME)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = through(folder, UnixListener::bind)?;
    fs::set_permissions(folder.join(NAME), fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A socket's path holds 108 bytes at the most (unix(7)), and a run folder may be anywhere: go through its descriptor.
fn through<T>(folder: &Path, operation: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let folder = fs::File::open(folder)?;
    operation(PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd())))
}

/// Whether the other side is root or the user of this process. The file's mode says so too; this holds where the folder
/// was opened up by hand.
///
/// # Errors
/// When the kernel does not tell.
pub fn is_trusted(stream: &UnixStream) -> io::Result<bool> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}
