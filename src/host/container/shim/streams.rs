//! The process's standard streams: the shim's ends of its pipes, or the master of its terminal.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags};

use super::super::init;
use super::super::wire::Packet;
use super::{Shim, Source};
use crate::desired::ContainerSpec;

/// So much input may wait for the process; then the attached peers are not read, and their input waits in the sockets.
const INPUT: usize = 64 << 10;

/// The shim's ends.
#[derive(Default)]
pub(super) struct Streams {
    /// Write end of standard input.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// In place of the three others.
    pub(super) terminal: Option<OwnedFd>,
    waiting: Vec<u8>,
    close_when_written: bool,
}

impl Streams {
    /// Makes the pipes that `spec` asks for; both ends.
    pub(super) fn make(spec: &ContainerSpec) -> io::Result<(Streams, init::Streams)> {
        let mut mine = Streams::default();
        let mut theirs = init::Streams { stdin: None, stdout: None, stderr: None };
        if spec.tty {
            return Ok((mine, theirs));
        }
        let end = |(read, write): (OwnedFd, OwnedFd), mine_is_read: bool| -> io::Result<(OwnedFd, OwnedFd)> {
            let (mine, theirs) = if mine_is_read { (read, write) } else { (write, read) };
            rustix::io::ioctl_fionbio(&mine, true)?;
            Ok((mine, theirs))
        };
        let (read, write) = end(super::start::pipe()?, true)?;
        (mine.stdout, theirs.stdout) = (Some(read), Some(write));
        let (read, write) = end(super::start::pipe()?, true)?;
        (mine.stderr, theirs.stderr) = (Some(read), Some(write));
        if spec.stdin_open {
            let (write, read) = end(super::start::pipe()?, false)?;
            (mine.stdin, theirs.stdin) = (Some(write), Some(read));
        }
        Ok((mine, theirs))
    }

    /// Takes the terminal's master.
    pub(super) fn set_terminal(&mut self, master: OwnedFd) {
        let _ = rustix::io::ioctl_fionbio(&master, true);
        self.terminal = Some(master);
    }

    pub(super) fn poll_set<'a>(&'a self, sources: &mut Vec<Source>, set: &mut Vec<PollFd<'a>>, may_read: bool) {
        let outputs = [(1, self.terminal.as_ref().or(self.stdout.as_ref())), (2, self.stderr.as_ref())];
        for (number, fd) in outputs {
            if let (Some(fd), true) = (fd, may_read) {
                sources.push(Source::Output(number));
                set.push(PollFd::new(fd.as_fd(), PollFlags::POLLIN));
            }
        }
        if let (Some(fd), false) = (self.input(), self.waiting.is_empty()) {
            sources.push(Source::Input);
            set.push(PollFd::new(fd.as_fd(), PollFlags::POLLOUT));
        }
    }

    fn input(&self) -> Option<&OwnedFd> {
        self.terminal.as_ref().or(self.stdin.as_ref())
    }

    /// Bytes for the process.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.write();
    }

    /// No more bytes: pipes are closed once all is written; a terminal gets its end-of-file character.
    pub(super) fn end_input(&mut self) {
        if self.terminal.is_some() {
            self.feed(&[4]);
        } else {
            self.close_when_written = true;
            self.write();
        }
    }

    pub(super) fn write(&mut self) {
        while !self.waiting.is_empty() {
            let Some(fd) = self.terminal.as_ref().or(self.stdin.as_ref()) else {
                self.waiting.clear();
                break;
            };
            match rustix::io::write(fd, &self.waiting) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => {
                    // The process has closed its end.
                    self.waiting.clear();
                    self.stdin = None;
                }
            }
        }
        if self.close_when_written {
            self.stdin = None;
        }
    }

    /// Whether no more input should be taken now.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= INPUT
    }

    /// Reads what is there of `stream`; `None` when it is at its end for good, an empty result when nothing waits.
    fn read(&mut self, stream: u8) -> Option<Vec<u8>> {
        let fd = match stream {
            1 => self.terminal.as_ref().or(self.stdout.as_ref()),
            _ => self.stderr.as_ref(),
        }?;
        let mut buffer = vec![0; Packet::STREAM];
        loop {
            match rustix::io::read(fd, buffer.as_mut_slice()) {
                Ok(0) => return None,
                Ok(length) => {
                    buffer.truncate(length);
                    return Some(buffer);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Some(Vec::new()),
                // A terminal that nobody has open any more answers EIO.
                Err(_) => return None,
            }
        }
    }

    fn close(&mut self, stream: u8) {
        match stream {
            1 => {
                self.stdout = None;
                self.terminal = None;
            }
            _ => self.stderr = None,
        }
    }
}

impl Shim {
    /// Reads one chunk of output; `true` while there may be more at once.
    pub(super) fn read_output(&mut self, stream: u8) -> bool {
        let Some(process) = self.process.as_mut() else { return false };
        match process.streams.read(stream) {
            None => {
                process.streams.close(stream);
                false
            }
            Some(bytes) if bytes.is_empty() => false,
            Some(bytes) => {
                process.log.write(stream, &bytes);
                self.broadcast(|peer| peer.attached, || Ok(Packet::stream(stream, &bytes)));
                true
            }
        }
    }

    /// Reads all that is there, for the last time.
    pub(super) fn drain_output(&mut self) {
        for stream in [1, 2] {
            while self.process.as_mut().is_some_and(|process| process.log.make_room()) && self.read_output(stream) {}
        }
    }

    pub(super) fn write_input(&mut self) {
        if let Some(process) = self.process.as_mut() {
            process.streams.write();
        }
    }
}
