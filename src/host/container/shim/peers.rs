//! Connections, and what their other ends have not taken yet.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::super::wire::Packet;
use super::Shim;

/// So many bytes may wait for a peer before the container's output is no longer read.
const ROOM: usize = 256 << 10;
/// A peer that takes nothing for so long, while something waits for it, is dropped: it must not stop the container.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(super) struct Peer {
    pub(super) number: u64,
    pub(super) socket: OwnedFd,
    /// It said that it is the supervisor.
    pub(super) supervisor: bool,
    /// It wants the process's output.
    pub(super) attached: bool,
    /// It may write to the process's input.
    pub(super) stdin: bool,
    pub(super) closed: bool,
    waiting: VecDeque<Packet>,
    bytes: usize,
    since: Instant,
}

impl Peer {
    pub(super) fn new(number: u64, socket: OwnedFd) -> Peer {
        Peer {
            number,
            socket,
            supervisor: false,
            attached: false,
            stdin: false,
            closed: false,
            waiting: VecDeque::new(),
            bytes: 0,
            since: Instant::now(),
        }
    }

    /// What to wait for; a peer that feeds the process's input is not read while that is full.
    pub(super) fn interest(&self, input_full: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, !(self.stdin && input_full));
        flags.set(PollFlags::POLLOUT, !self.waiting.is_empty());
        flags
    }

    /// Sends, now or when there is room.
    pub(super) fn send(&mut self, packet: Packet) {
        if self.waiting.is_empty() {
            match packet.send(self.socket.as_fd()) {
                Ok(()) => return,
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => self.since = Instant::now(),
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
        self.bytes += packet.body.len();
        self.waiting.push_back(packet);
    }

    fn flush(&mut self) {
        while let Some(packet) = self.waiting.front() {
            match packet.send(self.socket.as_fd()) {
                Ok(()) => {
                    self.bytes -= packet.body.len();
                    self.waiting.pop_front();
                    self.since = Instant::now();
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }
}

impl Shim {
    /// Whether the output may be read: every attached peer can take more.
    pub(super) fn peers_have_room(&self) -> bool {
        self.peers.iter().all(|peer| !peer.attached || peer.bytes < ROOM)
    }

    /// Whether somebody has not taken all yet; whoever takes nothing for long is dropped.
    pub(super) fn has_unsent(&self) -> bool {
        self.peers.iter().any(|peer| peer.attached && !peer.waiting.is_empty() && peer.since.elapsed() < PATIENCE)
    }

    pub(super) fn peer_ready(&mut self, number: u64, flags: PollFlags) {
        if flags.contains(PollFlags::POLLOUT)
            && let Some(peer) = self.peer(number)
        {
            peer.flush();
        }
        if !flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            return;
        }
        let Some(peer) = self.peer(number) else { return };
        match Packet::receive(peer.socket.as_fd()) {
            Ok(Some(packet)) => self.serve(number, packet),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => {
                if let Some(peer) = self.peer(number) {
                    peer.closed = true;
                }
            }
        }
    }

    pub(super) fn peer(&mut self, number: u64) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.number == number)
    }

    pub(super) fn drop_closed_peers(&mut self) {
        for peer in &mut self.peers {
            peer.closed |= peer.bytes >= ROOM && peer.since.elapsed() > PATIENCE;
        }
        let lost = self.peers.iter().any(|peer| peer.closed && peer.supervisor);
        self.peers.retain(|peer| !peer.closed);
        if lost && !self.ending {
            self.revive.lost();
        }
    }

    /// Sends `packet` to every peer that `choose` picks.
    pub(super) fn broadcast(&mut self, choose: impl Fn(&Peer) -> bool, make: impl Fn() -> io::Result<Packet>) {
        for peer in self.peers.iter_mut().filter(|peer| choose(peer)) {
            if let Ok(packet) = make() {
                peer.send(packet);
            }
        }
    }
}
