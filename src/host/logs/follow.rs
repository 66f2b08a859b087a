//! Reading a log and what is written to it afterwards, without polling: the kernel tells of every write (inotify).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{Entry, Error, Options, Reader};

/// A log being followed, across rotations and re-creations of its container, until its folder is removed (`down`).
///
/// [`Follow::read`] gives what is there; when it gives `None`, wait for [`Follow::fd`] to be readable, by
/// [`Follow::wait`], poll or tokio's `AsyncFd`.
#[derive(Debug)]
pub struct Follow {
    reader: Reader,
    inotify: Inotify,
    at_end: bool,
    ended: bool,
}

impl Follow {
    /// Begins to follow the log in a folder, which is made if it is not there yet.
    ///
    /// # Errors
    /// When it can't be watched or read.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let failed = |source: std::io::Error| Error::file("watch", dir, source);
        std::fs::create_dir_all(dir).map_err(failed)?;
        let inotify =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| failed(errno.into()))?;
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF;
        // Before the first read: what comes in between is told.
        inotify.add_watch(dir, events | AddWatchFlags::IN_ONLYDIR).map_err(|errno| failed(errno.into()))?;
        Ok(Self { reader: Reader::open(dir, options)?, inotify, at_end: false, ended: false })
    }

    /// The next entry; `None`: none is there now.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn read(&mut self) -> Result<Option<Entry>, Error> {
        if std::mem::take(&mut self.at_end) {
            self.drain();
        }
        let entry = self.reader.read()?;
        self.at_end = entry.is_none();
        Ok(entry)
    }

    /// Whether the folder was removed: nothing more will come once [`Follow::read`] gives `None`.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Readable when something may have come.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Waits until something may have come, at most so long; `None`: as long as it takes.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&self, limit: Option<Duration>) -> Result<bool, Error> {
        let limit = limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
        match poll(&mut [PollFd::new(self.fd(), PollFlags::POLLIN)], limit) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(Error::file("watch", self.reader.dir(), errno.into())),
        }
    }

    /// Takes all events before the log is looked at: what is written afterwards makes a new one.
    fn drain(&mut self) {
        while let Ok(events) = self.inotify.read_events() {
            let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_IGNORED;
            self.ended |= events.iter().any(|event| event.mask.intersects(gone));
            if events.is_empty() {
                return;
            }
        }
    }
}
