//! Killing every process of a group, those that fork while it happens among them.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::freeze::await_event;
use super::mounts::{Controller, Version};
use super::{Cgroup, Error, Place, Result, files};

/// How long the v1 loop goes on.
const KILL_WAIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Kills all its processes, frozen ones too. v2 does it in one write, which no fork escapes, and does not wait for
    /// them to be gone ([`Cgroup::remove`] does); v1 takes a loop.
    ///
    /// # Errors
    /// When the kernel refuses, or v1 processes outlive 10 s of it.
    pub fn kill(&self) -> Result<()> {
        let Some(place) = self.tracker() else { return Ok(()) };
        match place.version {
            Version::V2 => match files::try_write(&place.dir.join("cgroup.kill"), "1") {
                Err(error) if !files::gone(&error) => Err(Error::file("write", &place.dir.join("cgroup.kill"), error)),
                _ => Ok(()),
            },
            Version::V1 => self.kill_v1(place),
        }
    }

    /// Frozen, nothing can fork; killed and thawed, all die. The loop is for what came in before the freezing.
    fn kill_v1(&self, place: &Place) -> Result<()> {
        let end = Instant::now() + KILL_WAIT;
        loop {
            let freezer = self.place(Controller::Freezer).map(|place| place.dir.join("freezer.state"));
            if let Some(state) = &freezer {
                // Best effort: a process that can't be frozen now is killed all the same.
                let _ = files::try_write(state, "FROZEN");
            }
            let pids = self.pids()?;
            for pid in &pids {
                // A process that is gone already needs no signal.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            if let Some(state) = &freezer {
                let _ = files::try_write(state, "THAWED");
            }
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Error::Busy { path: place.dir.clone(), pids });
            }
            await_event(place, "populated 0", Duration::from_millis(2));
        }
    }
}
