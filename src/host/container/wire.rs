//! Packets with descriptors over a unix SEQPACKET socket: the only way anything talks to a shim.
//!
//! A packet is one datagram: its first byte tells what it is. Small JSON travels in the packet; a large one in a memfd
//! that is the packet's first descriptor, so that no message is ever split and no reader ever keeps half of one.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest packet that is sent as it is.
const PACKET: usize = 32 << 10;
/// Largest JSON that is taken from a memfd.
const LARGEST: u64 = 64 << 20;
/// Most descriptors in one packet (SCM_MAX_FD of the kernel is 253).
const DESCRIPTORS: usize = 64;

/// The first byte of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// JSON in the packet.
    Json,
    /// JSON in the first descriptor.
    Memory,
    /// Bytes for, or from, this standard stream (0, 1, 2).
    Stream(u8),
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Kind::Json => b'J',
            Kind::Memory => b'M',
            Kind::Stream(number) => b'0' + number,
        }
    }

    fn parse(byte: u8) -> Option<Kind> {
        match byte {
            b'J' => Some(Kind::Json),
            b'M' => Some(Kind::Memory),
            b'0'..=b'2' => Some(Kind::Stream(byte - b'0')),
            _ => None,
        }
    }
}

/// One packet as it was received or is to be sent.
#[derive(Debug)]
pub(crate) struct Packet {
    /// What it is.
    pub kind: Kind,
    /// What follows the first byte.
    pub body: Vec<u8>,
    /// Descriptors that came along.
    pub fds: Vec<OwnedFd>,
}

impl Packet {
    /// A message with descriptors.
    ///
    /// # Errors
    /// When a large message finds no memory.
    pub(crate) fn message(message: &impl Serialize, mut fds: Vec<OwnedFd>) -> io::Result<Packet> {
        let body = serde_json::to_vec(message)?;
        if body.len() < PACKET {
            return Ok(Packet { kind: Kind::Json, body, fds });
        }
        let memory = rustix::fs::memfd_create("windlass-message", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(&body)?;
        file.rewind()?;
        fds.insert(0, file.into());
        Ok(Packet { kind: Kind::Memory, body: Vec::new(), fds })
    }

    /// Bytes of a standard stream; the caller keeps them below [`Packet::STREAM`].
    pub(crate) fn stream(number: u8, bytes: &[u8]) -> Packet {
        Packet { kind: Kind::Stream(number), body: bytes.to_vec(), fds: Vec::new() }
    }

    /// Most bytes of a stream in one packet.
    pub(crate) const STREAM: usize = 16 << 10;

    /// The message of a JSON packet, and the descriptors beside it.
    ///
    /// # Errors
    /// When it is none, or not of type `T`.
    pub(crate) fn parse<T: DeserializeOwned>(mut self) -> io::Result<(T, Vec<OwnedFd>)> {
        let body = match self.kind {
            Kind::Json => self.body,
            Kind::Memory if !self.fds.is_empty() => read_memory(self.fds.remove(0))?,
            _ => return Err(invalid("a packet is not a message")),
        };
        Ok((serde_json::from_slice(&body)?, self.fds))
    }

    /// Sends the packet; `WouldBlock` where the socket does not block and is full.
    ///
    /// # Errors
    /// Of sendmsg(2).
    pub(crate) fn send(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let head = [self.kind.byte()];
        let parts = [IoSlice::new(&head), IoSlice::new(&self.body)];
        let raw: Vec<_> = self.fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
        loop {
            match sendmsg::<()>(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None) {
                Err(nix::Error::EINTR) => {}
                other => return other.map(drop).map_err(io::Error::from),
            }
        }
    }

    /// Receives one packet; `None` at the end of the connection.
    ///
    /// # Errors
    /// Of recvmsg(2), `WouldBlock` among them, and for a packet that is none of ours.
    pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
        let mut buffer = vec![0; PACKET + 1];
        let mut control = nix::cmsg_space!([std::os::fd::RawFd; DESCRIPTORS]);
        let (length, flags, fds) = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let message = loop {
                let flags = MsgFlags::MSG_CMSG_CLOEXEC;
                match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                    Err(nix::Error::EINTR) => {}
                    other => break other.map_err(io::Error::from)?,
                }
            };
            let mut fds = Vec::new();
            for control in message.cmsgs().map_err(io::Error::from)? {
                if let ControlMessageOwned::ScmRights(raw) = control {
                    // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
                    fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                }
            }
            (message.bytes, message.flags, fds)
        };
        if length == 0 {
            return Ok(None);
        }
        if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
            return Err(invalid("a packet was cut short"));
        }
        let kind = Kind::parse(buffer[0]).ok_or_else(|| invalid("a packet of an unknown kind"))?;
        Ok(Some(Packet { kind, body: buffer[1..length].to_vec(), fds }))
    }
}

fn read_memory(memory: OwnedFd) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    File::from(memory).take(LARGEST).read_to_end(&mut body)?;
    Ok(body)
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The user id of who is at the other end of `socket`.
///
/// # Errors
/// Of getsockopt(2).
pub(crate) fn peer_uid(socket: impl AsFd) -> io::Result<u32> {
    Ok(nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials)?.uid())
}
