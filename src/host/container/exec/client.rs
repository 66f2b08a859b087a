//! The caller's side.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::io::unix::AsyncFd;

use super::super::protocol::StartError;
use super::super::wire::Packet;
use super::super::{EXEC, executable, sys};
use super::{ExecSpec, Told};

/// The standard streams of a program that gets no terminal.
#[derive(Debug)]
pub struct Streams {
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

/// A program that runs in a container.
#[derive(Debug)]
pub struct Exec {
    control: AsyncFd<OwnedFd>,
    helper: OwnedFd,
    pid: i32,
    terminal: Option<OwnedFd>,
}

/// Starts `spec` in its container, from the protected `program` ([`executable::read_only`] costs nothing). `streams` are
/// needed unless it has a terminal.
///
/// # Errors
/// The stage that failed, with docker's exit code for it (125, 126, 127).
pub async fn start(program: BorrowedFd<'_>, spec: &ExecSpec, streams: Option<Streams>) -> Result<Exec, StartError> {
    let failed = |cause: io::Error| StartError::new("exec", cause);
    let (helper, socket) = spawn(program).map_err(failed)?;
    let control = sys::watch(socket).map_err(failed)?;
    let fds = streams.map_or_else(Vec::new, |streams| vec![streams.stdin, streams.stdout, streams.stderr]);
    let packet = Packet::message(spec, fds).map_err(failed)?;
    control.async_io(tokio::io::Interest::WRITABLE, |fd| packet.send(fd.as_fd())).await.map_err(failed)?;
    // With the packet go our copies of the streams: a pipe's reader must see its end.
    drop(packet);
    let mut exec = Exec { control, helper, pid: 0, terminal: None };
    loop {
        match exec.told().await? {
            (Told::Terminal, fds) => exec.terminal = fds.into_iter().next(),
            (Told::Started(pid), _) => {
                exec.pid = pid;
                return Ok(exec);
            }
            (Told::Failed(error), _) => return Err(error),
            (Told::Exited(_), _) => return Err(StartError::new("exec", "it ended before it began")),
        }
    }
}

fn spawn(program: BorrowedFd<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let (mine, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    rustix::io::ioctl_fionbio(&mine, true)?;
    let mut child = Command::new(executable::path(program))
        .arg(EXEC)
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let pidfd = sys::pidfd_open(child.id() as i32)?;
    let ended = sys::watch(sys::dup(&pidfd)?)?;
    tokio::spawn(async move {
        // Readable means ended; a zombie less.
        let _ = ended.readable().await;
        let _ = child.try_wait();
    });
    Ok((pidfd, mine))
}

impl Exec {
    /// The program's process id on the host.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The master of its terminal, once.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Waits for its end; 128 + n for signal n.
    ///
    /// # Errors
    /// When its helper was killed.
    pub async fn wait(&self) -> Result<i32, StartError> {
        loop {
            if let (Told::Exited(code), _) = self.told().await? {
                return Ok(code);
            }
        }
    }

    /// Gives it up and waits until its helper has ended, which for a bound program is after it has killed it.
    pub(super) async fn abandon(self) {
        let Exec { control, helper, .. } = self;
        drop(control);
        if let Ok(helper) = sys::watch(helper) {
            let _ = helper.readable().await;
        }
    }

    async fn told(&self) -> Result<(Told, Vec<OwnedFd>), StartError> {
        let failed = |cause: io::Error| StartError::new("exec", cause);
        let receive = self.control.async_io(tokio::io::Interest::READABLE, |fd| Packet::receive(fd.as_fd()));
        match receive.await.map_err(failed)? {
            Some(packet) => packet.parse().map_err(failed),
            None => Err(StartError::new("exec", "the process that runs it was killed")),
        }
    }
}
