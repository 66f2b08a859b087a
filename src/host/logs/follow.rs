//! Reading a log and what is written to it afterwards, without polling: the kernel tells of every write (inotify).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
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
        wait(self.fd(), limit).map_err(|errno| Error::file("watch", self.reader.dir(), errno.into()))
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

fn wait(fd: BorrowedFd<'_>, limit: Option<Duration>) -> nix::Result<bool> {
    let limit = limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
    match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], limit) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Several logs being followed as one. What is there comes in the order of time; what comes later, as it comes.
#[derive(Debug)]
pub struct FollowAll {
    epoll: Epoll,
    logs: Vec<Option<Source>>,
}

#[derive(Debug)]
struct Source {
    follow: Follow,
    head: Option<Entry>,
    /// It had nothing when it was asked, and the kernel has told of nothing since.
    quiet: bool,
}

impl FollowAll {
    /// Follows none, to begin with.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> Result<Self, Error> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|errno| failed(errno, Path::new("(all)")))?;
        Ok(Self { epoll, logs: Vec::new() })
    }

    /// Adds a log; returns the index that its entries carry.
    ///
    /// # Errors
    /// When the kernel refuses to watch it.
    pub fn add(&mut self, follow: Follow) -> Result<usize, Error> {
        let index = self.logs.len();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
        self.epoll.add(follow.fd(), event).map_err(|errno| failed(errno, follow.reader.dir()))?;
        self.logs.push(Some(Source { follow, head: None, quiet: false }));
        Ok(index)
    }

    /// The next entry with the index of its log; `None`: none is there now. A log that was removed is forgotten.
    ///
    /// # Errors
    /// When a log can't be read; it is forgotten, and the others go on.
    pub fn read(&mut self) -> Result<Option<(usize, Entry)>, Error> {
        if self.logs.iter().flatten().all(|log| log.head.is_none()) {
            self.listen();
        }
        for slot in &mut self.logs {
            if let Err(error) = slot.as_mut().map_or(Ok(()), Source::fill) {
                *slot = None;
                return Err(error);
            }
            if slot.as_ref().is_some_and(|log| log.head.is_none() && log.follow.has_ended()) {
                *slot = None;
            }
        }
        let heads = self.logs.iter_mut().enumerate().filter_map(|(index, log)| Some((index, &mut log.as_mut()?.head)));
        let first =
            heads.filter(|(_, head)| head.is_some()).min_by_key(|(_, head)| head.as_ref().map(|entry| entry.time));
        Ok(first.and_then(|(index, head)| Some((index, head.take()?))))
    }

    /// Whether all logs were removed.
    pub fn has_ended(&self) -> bool {
        self.logs.iter().all(Option::is_none)
    }

    /// Readable when something may have come to any of them.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Waits until something may have come, at most so long; `None`: as long as it takes.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&self, limit: Option<Duration>) -> Result<bool, Error> {
        wait(self.fd(), limit).map_err(|errno| failed(errno, Path::new("(all)")))
    }

    /// Asks the kernel which have news: those that have none are not looked at.
    fn listen(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        while let Ok(count) = self.epoll.wait(&mut events, EpollTimeout::ZERO) {
            for event in &events[..count] {
                let index = usize::try_from(event.data()).unwrap_or(usize::MAX);
                if let Some(log) = self.logs.get_mut(index).and_then(Option::as_mut) {
                    log.quiet = false;
                }
            }
            if count < events.len() {
                return;
            }
        }
    }
}

impl Source {
    fn fill(&mut self) -> Result<(), Error> {
        if self.head.is_none() && !self.quiet {
            self.head = self.follow.read()?;
            self.quiet = self.head.is_none();
        }
        Ok(())
    }
}

fn failed(errno: Errno, path: &Path) -> Error {
    Error::file("watch", path, errno.into())
}
