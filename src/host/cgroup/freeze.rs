//! Freezing and thawing, and waiting for the kernel to have done it.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::mounts::{Controller, Version};
use super::{Cgroup, Error, Place, Result, files};

/// A process in uninterruptible sleep freezes when it wakes; nobody waits longer than this for it.
const FREEZE_WAIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Stops all its processes where they are, and waits until all of them stand.
    ///
    /// # Errors
    /// [`Error::NotFrozen`] after 10 s: it is thawed again then.
    pub fn freeze(&self) -> Result<()> {
        let Some(place) = self.freezer() else { return Err(Error::NotMounted) };
        match place.version {
            Version::V2 => files::write(&place.dir.join("cgroup.freeze"), "1")?,
            Version::V1 => files::write(&place.dir.join("freezer.state"), "FROZEN")?,
        }
        let end = Instant::now() + FREEZE_WAIT;
        while !self.is_frozen()? {
            if Instant::now() >= end {
                self.thaw()?;
                return Err(Error::NotFrozen { path: place.dir.clone() });
            }
            await_event(place, "frozen 1", Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn thaw(&self) -> Result<()> {
        let Some(place) = self.freezer() else { return Ok(()) };
        match place.version {
            Version::V2 => files::write(&place.dir.join("cgroup.freeze"), "0"),
            Version::V1 => files::write(&place.dir.join("freezer.state"), "THAWED"),
        }
    }

    /// Whether all its processes stand.
    ///
    /// # Errors
    /// When the state can't be read.
    pub fn is_frozen(&self) -> Result<bool> {
        let Some(place) = self.freezer() else { return Ok(false) };
        Ok(match place.version {
            Version::V2 => {
                // `frozen` stays 0 in a group without processes, whatever was asked for.
                let events = files::read(&place.dir.join("cgroup.events"))?;
                let empty = files::value_of(&events, "populated") == Some(0);
                let asked = files::number(&place.dir.join("cgroup.freeze")) == Some(1);
                files::value_of(&events, "frozen") == Some(1) || (empty && asked)
            }
            // v1 says FREEZING while it is under way. Asking moves it on.
            Version::V1 => files::read(&place.dir.join("freezer.state"))?.trim() == "FROZEN",
        })
    }

    fn freezer(&self) -> Option<&Place> {
        let v2 = self.tracker().filter(|place| place.version == Version::V2);
        v2.or_else(|| self.place(Controller::Freezer))
    }
}

/// Waits until `cgroup.events` says `line`, as long as it does not change at most `step` for v1 and at most 50 times that
/// for v2, whose file wakes whoever polls it.
pub(super) fn await_event(place: &Place, line: &str, step: Duration) {
    if place.version == Version::V1 || await_v2(place, line, step * 50).is_none() {
        thread::sleep(step);
    }
}

/// `None` where the file could not be polled, or says so already and the caller still isn't content.
fn await_v2(place: &Place, line: &str, limit: Duration) -> Option<()> {
    let mut file = File::open(place.dir.join("cgroup.events")).ok()?;
    // The read arms the poll: a change after it is seen.
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    if text.lines().any(|known| known == line) {
        return None;
    }
    let timeout = PollTimeout::try_from(limit).ok()?;
    poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLPRI)], timeout).ok()?;
    Some(())
}
