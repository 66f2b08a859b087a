//! The container's log as the shim uses it: never waiting for the disk while the process lives.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::bundle::Bundle;
use crate::host::logs::{Error, Forward, Opened, Stream, Writer, forward};

/// At the end of a process the log is waited for so long, so that who hears of the end finds the last lines; a disk that
/// takes longer is left to the thread.
const LAST: Duration = Duration::from_millis(200);

/// Where the output goes.
pub(super) struct Log {
    writer: Option<Writer>,
    /// At the end it is waited for so long.
    last: Duration,
    /// What the writer had no room for.
    pending: Option<(Stream, Vec<u8>)>,
}

impl Log {
    /// Reaches the receiver that gets the lines too, if there is one: before a clone, since without it nothing starts.
    pub(super) fn reach(bundle: &Bundle) -> Result<Option<Opened>, Error> {
        bundle.host.forward.as_deref().cloned().map(Forward::open).transpose()
    }

    /// Begins or goes on with the log of `bundle`; starts a thread, so never before a clone.
    pub(super) fn start(bundle: &Bundle, receiver: Option<Opened>) -> Result<Log, Error> {
        let folder = bundle.host.log.as_ref().filter(|_| bundle.spec.log.driver != "none");
        let last = if receiver.is_some() { LAST + 3 * forward::LAST } else { LAST };
        let writer = folder.map(|folder| Writer::start_with(folder, &bundle.spec.log, receiver)).transpose()?;
        Ok(Log { writer, last, pending: None })
    }

    /// Takes a chunk of output; only while [`Log::has_room`].
    pub(super) fn write(&mut self, stream: u8, bytes: &[u8]) {
        self.put(if stream == 2 { Stream::Stderr } else { Stream::Stdout }, bytes);
    }

    fn put(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(writer) = &self.writer {
            let taken = writer.write(stream, bytes);
            self.pending = (taken < bytes.len()).then(|| (stream, bytes[taken..].to_vec()));
        }
    }

    /// Whether a chunk can be taken; while not, the process's output is left in its pipes.
    pub(super) fn has_room(&self) -> bool {
        self.pending.is_none()
    }

    /// What becomes readable when there is room again.
    pub(super) fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.writer.as_ref().map(Writer::room_fd)
    }

    /// There is room again.
    pub(super) fn woken(&mut self) {
        if let Some((stream, bytes)) = self.pending.take() {
            self.put(stream, &bytes);
        }
    }

    /// Waits a moment for room, for the last output; `false` if there is none.
    pub(super) fn make_room(&mut self) -> bool {
        if let (Some(writer), false) = (&self.writer, self.has_room()) {
            // A receiver that is slow is waited for no longer than the end may take.
            writer.hurry();
            let (fd, limit) = (writer.room_fd(), PollTimeout::try_from(self.last).unwrap_or(PollTimeout::ZERO));
            let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], limit);
            self.woken();
        }
        self.has_room()
    }

    /// Writes what is there, as far as the disk allows it in time.
    pub(super) fn finish(self) {
        if let Some(writer) = self.writer {
            let _ = writer.finish(self.last);
        }
    }
}
