//! A process that does nothing and lives as long as a shim: whoever has something to keep that needs a process, and must not
//! be kept by the shim itself, has this one.
//!
//! Its standard input is a pipe whose other end the shim keeps, so it ends with the shim whatever becomes of anybody else.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, ExitCode, Stdio};

use super::{HOLD, executable, sys};

/// Starts it; its process id.
pub(super) fn spawn(program: BorrowedFd<'_>, end: PipeReader) -> io::Result<u32> {
    let mut child = Command::new(executable::path(program.as_fd()))
        .arg(HOLD)
        .env_clear()
        .stdin(Stdio::from(end))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let pid = child.id();
    let pidfd = sys::watch(sys::pidfd_open(pid as i32)?)?;
    tokio::spawn(async move {
        // Readable means ended; a zombie less.
        let _ = pidfd.readable().await;
        let _ = child.try_wait();
    });
    Ok(pid)
}

/// The process.
pub(super) fn main() -> ExitCode {
    // Its own session: the end of the supervisor's is not its end.
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    // Nobody writes: it ends when the other end is closed.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    ExitCode::SUCCESS
}
