//! What the supervisor asks of the relay: one JSON packet each, with the sockets that go with it.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::name::ContainerId;

/// So many descriptors go with one packet; the kernel takes 253.
pub(crate) const SOCKETS: usize = 200;
/// The longest packet: 200 sockets with two targets each, and a list of a thousand containers.
const PACKET: usize = 128 << 10;

/// A request. The protocol only grows: an older relay serves a newer supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Relay what comes to the sockets that go with it, each to the targets at its place.
    Add {
        /// Whose ports these are.
        container: ContainerId,
        /// For each socket, in the order in which they are tried.
        targets: Vec<Vec<SocketAddr>>,
    },
    /// Relay nothing more for a container.
    Drop {
        /// That container.
        container: ContainerId,
    },
    /// Relay nothing for any other container than these.
    Retain {
        /// Those containers.
        containers: Vec<ContainerId>,
    },
}

/// Sends a request and waits for the answer. The socket must have a time limit.
pub(crate) fn ask(socket: BorrowedFd<'_>, request: &Request, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(request)?;
    let raw: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&text)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    let mut answer = [0; 8];
    match nix::sys::socket::recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Waits for a request; `None` when the other side has gone.
pub(crate) async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<Option<(Request, Vec<OwnedFd>)>> {
    socket.async_io(Interest::READABLE, |socket| receive_now(socket.as_fd())).await
}

/// Tells that a request has been taken.
pub(crate) async fn answer(socket: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let send = |socket: &OwnedFd| nix::sys::socket::send(socket.as_raw_fd(), b"ok", MsgFlags::MSG_NOSIGNAL);
    socket.async_io(Interest::WRITABLE, |socket| Ok(send(socket).map(|_| ())?)).await
}

fn receive_now(socket: BorrowedFd<'_>) -> io::Result<Option<(Request, Vec<OwnedFd>)>> {
    let mut packet = vec![0; PACKET];
    let mut control = cmsg_space!([RawFd; SOCKETS]);
    let mut parts = [IoSliceMut::new(&mut packet)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut sockets = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            // SAFETY: the kernel has just put these descriptors into this process.
            sockets.extend(raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    let length = received.bytes;
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&packet[..length])?, sockets)))
}

/// A socket that came from elsewhere may block.
pub(crate) fn set_nonblocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Has the run time wait for a descriptor.
pub(crate) fn registered(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays the same and open until the AsyncFd, which owns it from here on, is dropped.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}
