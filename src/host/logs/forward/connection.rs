//! A socket to a receiver. No call here waits longer than it is told, nor beyond the end of the log.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::Target;
use super::queue::Backlog;

/// A receiver that does not answer for so long is not there.
const CONNECT: Duration = Duration::from_secs(5);

/// One that takes nothing for so long is gone.
const STALL: Duration = Duration::from_secs(10);

/// A socket that is connected.
#[derive(Debug)]
pub(super) struct Connection {
    fd: OwnedFd,
    stream: bool,
}

/// Why a message did not go out.
#[derive(Debug)]
pub(super) enum Failure {
    /// For its own sake: it is too long.
    Message,
    /// The receiver is gone.
    Connection(io::Error),
}

impl Connection {
    /// Connects to the first that answers.
    pub fn open(targets: &[Target], queue: &Backlog) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for target in targets {
            match Self::to(target, queue) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn to(target: &Target, queue: &Backlog) -> io::Result<Self> {
        let (kind, family) = match target {
            Target::Udp(address) => (SocketType::DGRAM, AddressFamily::of(address)),
            Target::Tcp(address) => (SocketType::STREAM, AddressFamily::of(address)),
            Target::Unix(_) => (SocketType::STREAM, AddressFamily::UNIX),
            Target::Unixgram(_) => (SocketType::DGRAM, AddressFamily::UNIX),
        };
        let fd = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        let begun = match target {
            Target::Udp(address) | Target::Tcp(address) => rustix::net::connect(&fd, address),
            Target::Unix(path) | Target::Unixgram(path) => {
                rustix::net::connect(&fd, &SocketAddrUnix::new(path.as_path())?)
            }
        };
        match begun {
            Ok(()) => {}
            Err(Errno::INPROGRESS) if queue.ready(fd.as_fd(), PollFlags::POLLOUT, CONNECT) => {
                rustix::net::sockopt::socket_error(&fd)??;
            }
            Err(Errno::INPROGRESS) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        }
        if matches!(target, Target::Tcp(_)) {
            // A receiver whose machine is gone is noticed also while there is nothing to say.
            rustix::net::sockopt::set_socket_keepalive(&fd, true)?;
        }
        Ok(Self { fd, stream: kind == SocketType::STREAM })
    }

    /// Sends a message, whole.
    pub fn send(&self, message: &[u8], queue: &Backlog) -> Result<(), Failure> {
        if self.stream {
            self.hear().map_err(Failure::Connection)?;
        }
        let (mut rest, mut refused) = (message, false);
        while !rest.is_empty() {
            match rustix::net::send(&self.fd, rest, SendFlags::NOSIGNAL) {
                Ok(count) if self.stream => rest = &rest[count..],
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if queue.ready(self.fd.as_fd(), PollFlags::POLLOUT, STALL) => {}
                Err(Errno::AGAIN) => return Err(Failure::Connection(io::ErrorKind::TimedOut.into())),
                Err(Errno::MSGSIZE | Errno::NOBUFS) if !self.stream => return Err(Failure::Message),
                // A datagram before this one found nobody; this one was not sent yet.
                Err(Errno::CONNREFUSED) if !refused => refused = true,
                Err(error) => return Err(Failure::Connection(error.into())),
            }
        }
        Ok(())
    }

    /// Reads what the receiver says, which is nothing to us; its end is that of the connection. Without this the first
    /// message after its end would be lost: the kernel takes it.
    fn hear(&self) -> io::Result<()> {
        let mut buffer = [0; 512];
        loop {
            match rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(io::Error::other("the receiver has closed the connection")),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The family of an address.
trait Of {
    fn of(address: &std::net::SocketAddr) -> AddressFamily;
}

impl Of for AddressFamily {
    fn of(address: &std::net::SocketAddr) -> AddressFamily {
        if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
    }
}
