//! Netlink requests, sent in batches and answered at once.
//!
//! The kernel works on a request while `send` runs: when it returns, every answer already lies in the socket. So the
//! calls here are plain and blocking, and are made from blocking threads. A socket keeps the network namespace in
//! which it was opened, whoever uses it.

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};

/// Large enough for a table of thousands of ports in one transaction, which cannot be cut in pieces.
const SEND_BUFFER: usize = 8 << 20;
/// The kernel never puts more than this into one part of a dump.
const RECEIVE: usize = 64 << 10;

/// The lower bits of a socket's port are the process id, the upper ones count.
const PORT_BITS: u32 = 22;
const PORTS: u32 = 1 << (32 - PORT_BITS);

fn own_port() -> u32 {
    std::process::id() & ((1 << PORT_BITS) - 1)
}

/// Whether the change that an event tells of was made by this process.
pub(crate) fn is_own(port: u32) -> bool {
    port & ((1 << PORT_BITS) - 1) == own_port()
}

/// A netlink socket.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A message that travels over netlink.
pub(crate) trait Message: NetlinkSerializable + NetlinkDeserializable + Debug {}
impl<M: NetlinkSerializable + NetlinkDeserializable + Debug> Message for M {}

/// A message that is only read.
pub(crate) trait Answer: NetlinkDeserializable + Debug {}
impl<A: NetlinkDeserializable + Debug> Answer for A {}

impl Netlink {
    /// A socket for links, addresses and routes, in the network namespace of the caller.
    pub fn route() -> io::Result<Self> {
        let mut netlink = Self::with(Socket::new(NETLINK_ROUTE)?);
        netlink.bind()?;
        // An error carries the whole request back otherwise, and a long batch would overflow the queue.
        netlink.socket.set_cap_ack(true)?;
        Ok(netlink)
    }

    /// The same for lists that the kernel is to cut down to what is asked for, by the header and the attributes of a request.
    pub fn strict_route() -> io::Result<Self> {
        let netlink = Self::route()?;
        netlink.socket.set_netlink_get_strict_chk(true)?;
        Ok(netlink)
    }

    /// A socket for nftables and conntrack, in the network namespace of the caller.
    pub fn netfilter() -> io::Result<Self> {
        let mut netlink = Self::with(Socket::new(NETLINK_NETFILTER)?);
        netlink.bind()?;
        netlink.socket.set_cap_ack(true)?;
        Ok(netlink)
    }

    /// A port of our own choice, so that the events that our changes cause can be told from others' (see `is_own`).
    fn bind(&mut self) -> io::Result<()> {
        let mut result = Err(io::ErrorKind::AddrInUse.into());
        for number in 1..PORTS {
            result = self.socket.bind(&SocketAddr::new(own_port() | number << PORT_BITS, 0));
            if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
                break;
            }
        }
        result
    }

    /// A duplicate of a socket that lives in another network namespace.
    pub fn duplicate(of: BorrowedFd<'_>) -> io::Result<Self> {
        let owned = of.try_clone_to_owned()?;
        // SAFETY: the descriptor was duplicated just now and is owned by nobody else.
        let socket = unsafe { Socket::from_raw_fd(owned.into_raw_fd()) };
        Ok(Self::with(socket))
    }

    fn with(socket: Socket) -> Self {
        // Needs CAP_NET_ADMIN in the first user namespace; without it the ordinary limit does for all but huge tables.
        let _ = setsockopt(&socket.as_fd(), sockopt::SndBufForce, &SEND_BUFFER);
        Self { socket, sequence: 0 }
    }

    /// Sends requests in one go, each with its flags, and waits for all of their answers.
    ///
    /// # Errors
    /// The first refusal, with the number of the request. Later requests of a batch for NETLINK_ROUTE are tried all the same.
    pub fn batch<M: Message>(&mut self, requests: Vec<(M, u16)>) -> Result<(), (usize, io::Error)> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for (request, flags) in requests {
            self.append(&mut bytes, request, NLM_F_REQUEST | flags);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.send(&bytes).map_err(|error| (0, error))?;
        self.answers::<M>(first)
    }

    /// Sends one request and waits for its answer.
    pub fn request<M: Message>(&mut self, request: M, flags: u16) -> io::Result<()> {
        self.batch(vec![(request, NLM_F_ACK | flags)]).map_err(|(_, error)| error)
    }

    /// Reads a whole list.
    pub fn dump<M: Message>(&mut self, request: M) -> io::Result<Vec<M>> {
        self.ask(request, NLM_F_DUMP)
    }

    /// Sends one request and collects what comes back.
    pub fn ask<M: Message>(&mut self, request: M, flags: u16) -> io::Result<Vec<M>> {
        self.ask_for(request, flags)
    }

    /// As [`Netlink::ask`], with answers of another type: one that reads less of them.
    pub fn ask_for<M: Message, A: Answer>(&mut self, request: M, flags: u16) -> io::Result<Vec<A>> {
        let mut bytes = Vec::new();
        self.append(&mut bytes, request, NLM_F_REQUEST | flags);
        self.send(&bytes)?;
        let mut found = Vec::new();
        loop {
            let part = self.receive(0)?;
            for message in split::<A>(&part)? {
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(found),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::InnerMessage(inner) => found.push(inner),
                    _ => {}
                }
            }
            if flags & NLM_F_DUMP == 0 && flags & NLM_F_ACK == 0 {
                return Ok(found);
            }
        }
    }

    /// Joins a multicast group; what comes from it is read by [`Netlink::poll`].
    pub fn join(&mut self, group: u32) -> io::Result<()> {
        self.socket.set_non_blocking(true)?;
        self.socket.add_membership(group)
    }

    /// What has come in, if anything has, each with the port of the socket that caused it.
    pub fn poll<M: Answer>(&mut self) -> io::Result<Option<Vec<(u32, M)>>> {
        let part = match self.receive(libc::MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            other => other?,
        };
        let inner = |message: NetlinkMessage<M>| match message.payload {
            NetlinkPayload::InnerMessage(inner) => Some((message.header.port_number, inner)),
            _ => None,
        };
        Ok(Some(split::<M>(&part)?.into_iter().filter_map(inner).collect()))
    }

    fn append<M: Message>(&mut self, bytes: &mut Vec<u8>, request: M, flags: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::new(Default::default(), NetlinkPayload::InnerMessage(request));
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len(), 0);
        message.serialize(&mut bytes[start..]);
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&self, flags: i32) -> io::Result<Vec<u8>> {
        loop {
            let mut part = Vec::with_capacity(RECEIVE);
            match self.socket.recv(&mut part, flags) {
                Ok(_) => return Ok(part),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn answers<M: Message>(&self, first: u32) -> Result<(), (usize, io::Error)> {
        let mut refusal: Option<(usize, io::Error)> = None;
        loop {
            let part = match self.receive(libc::MSG_DONTWAIT) {
                Ok(part) => part,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return refusal.map_or(Ok(()), Err),
                Err(error) => return Err((0, error)),
            };
            for message in split::<M>(&part).map_err(|error| (0, error))? {
                let number = message.header.sequence_number.wrapping_sub(first) as usize;
                if let NetlinkPayload::Error(error) = message.payload
                    && error.code.is_some()
                    && refusal.as_ref().is_none_or(|(earlier, _)| number < *earlier)
                {
                    refusal = Some((number, error.to_io()));
                }
            }
        }
    }
}

fn split<M: Answer>(mut bytes: &[u8]) -> io::Result<Vec<NetlinkMessage<M>>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let message = NetlinkMessage::<M>::deserialize(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let length = (message.header.length as usize).next_multiple_of(4);
        messages.push(message);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok(messages)
}
