//! What happens in a group, told by the kernel: emptied, frozen, out of memory.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::mounts::{Controller, Version};
use super::{Cgroup, Error, Result, files};

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// There are processes in it (`true`), or the last one went.
    Populated(bool),
    /// All its processes stand (`true`), or may go on.
    Frozen(bool),
    /// The kernel ran out of memory for it, and kills; so many since it was made, this one among them.
    OutOfMemory(u64),
}

/// A watch over a group: wait for its descriptor to be readable, then [`Events::read`].
///
/// Where there is no v2, only [`Event::OutOfMemory`] comes: v1 tells nothing else without a helper program.
#[derive(Debug)]
pub struct Events {
    epoll: Epoll,
    inotify: Option<Inotify>,
    oom: Option<EventFd>,
    cgroup: Cgroup,
    populated: Option<u64>,
    frozen: Option<u64>,
    oom_kills: u64,
}

impl Cgroup {
    /// Watches it from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn events(&self) -> Result<Events> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let mut events = Events {
            epoll,
            inotify: None,
            oom: None,
            cgroup: self.clone(),
            populated: None,
            frozen: None,
            oom_kills: self.oom_kills(),
        };
        events.watch_v2()?;
        events.watch_v1()?;
        (events.populated, events.frozen) = events.state();
        Ok(events)
    }
}

impl Events {
    /// Readable when something happened. It works in epoll, poll and tokio's `AsyncFd`.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// What happened since the last call; never waits. What came and went in between is not told.
    pub fn read(&mut self) -> Vec<Event> {
        let told = self.drain();
        let mut happened = Vec::new();
        let (populated, frozen) = self.state();
        if populated != std::mem::replace(&mut self.populated, populated) {
            happened.extend(populated.map(|value| Event::Populated(value != 0)));
        }
        if frozen != std::mem::replace(&mut self.frozen, frozen) {
            happened.extend(frozen.map(|value| Event::Frozen(value != 0)));
        }
        // v1 tells before it kills, when the count is behind; it also tells when the group is removed.
        let due = u64::from(told && !self.cgroup.is_missing());
        let kills = self.cgroup.oom_kills().max(self.oom_kills + due);
        if kills > self.oom_kills {
            self.oom_kills = kills;
            happened.push(Event::OutOfMemory(kills));
        }
        happened
    }

    /// Takes all news; whether v1 told of a want of memory.
    fn drain(&self) -> bool {
        if let Some(inotify) = &self.inotify {
            while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        // Not blocking: EAGAIN says that nothing is there.
        self.oom.as_ref().is_some_and(|oom| oom.read().is_ok())
    }

    fn state(&self) -> (Option<u64>, Option<u64>) {
        let mut text = String::new();
        let file = self.cgroup.v2().map(|dir| File::open(dir.join("cgroup.events")));
        if let Some(Ok(mut file)) = file
            && file.read_to_string(&mut text).is_ok()
        {
            return (files::value_of(&text, "populated"), files::value_of(&text, "frozen"));
        }
        // A group that is gone has no process in it.
        (self.populated.map(|_| 0), self.frozen)
    }

    fn watch_v2(&mut self) -> Result<()> {
        let Some(dir) = self.cgroup.v2().map(ToOwned::to_owned) else { return Ok(()) };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(failed)?;
        for file in ["cgroup.events", "memory.events"] {
            let path = dir.join(file);
            match inotify.add_watch(&path, AddWatchFlags::IN_MODIFY) {
                Ok(_) => {}
                // The memory controller is a v1 one, or none.
                Err(Errno::ENOENT) if file == "memory.events" => {}
                Err(errno) => return Err(Error::file("watch", &path, errno.into())),
            }
        }
        self.add(inotify.as_fd())?;
        self.inotify = Some(inotify);
        Ok(())
    }

    fn watch_v1(&mut self) -> Result<()> {
        let place = self.cgroup.place(Controller::Memory).filter(|place| place.version == Version::V1);
        let Some(dir) = place.map(|place| place.dir.clone()) else { return Ok(()) };
        let oom = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        let path = dir.join("memory.oom_control");
        let control = File::open(&path).map_err(|source| Error::file("open", &path, source))?;
        let line = format!("{} {}", oom.as_fd().as_raw_fd(), control.as_raw_fd());
        files::write(&dir.join("cgroup.event_control"), &line)?;
        self.add(oom.as_fd())?;
        self.oom = Some(oom);
        Ok(())
    }

    fn add(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(failed)
    }

    /// Waits for something to happen, at most so long; `false`: nothing did.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&self, limit: std::time::Duration) -> Result<bool> {
        let limit = EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::MAX);
        let mut ready = [EpollEvent::empty(); 2];
        match self.epoll.wait(&mut ready, limit) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(failed(errno)),
        }
    }
}

fn failed(errno: Errno) -> Error {
    Error::file("watch", std::path::Path::new("the control group's events"), errno.into())
}
