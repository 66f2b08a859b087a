//! Control groups: where processes live, what they may use, how all of them are killed.
//!
//! Nothing here decides "v1 or v2" once for all: [`Mounts`] tells per controller where it is mounted, so that pure v2,
//! pure v1 and the hybrid (v1 controllers beside a bare cgroup2) are the same code. In the hybrid a container has a v2
//! group for tracking, kill and freeze, and v1 groups for its limits.
//!
//! ```text
//!  with systemd      <top>/windlass.slice/windlass-<project>.scope/{supervisor, shims, <container id>[/<probe>]}
//!  without           <top>/windlass/<project>/{supervisor, shims, <container id>[/<probe>]}
//!   with cgroup_parent  <top>/<cgroup_parent>/windlass-<project>-<container id>
//!   and systemd         <top>/<cgroup_parent>/windlass-<project>-<container id>.scope/{holder, container}
//! ```
//!
//! A process is never moved into a container's group from outside: that waits for an RCU grace period (8 to 13 ms). It is
//! born in the v2 one (`CLONE_INTO_CGROUP`) and writes itself into the v1 `tasks` files; [`Entry`] has both.

pub mod device;
mod entry;
mod events;
mod files;
mod freeze;
mod group;
mod io;
mod kill;
mod layout;
mod limits;
mod mounts;
mod parent;
mod program;
mod scope;
mod stats;
mod systemd;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use device::{DeviceRule, Devices};
pub use entry::Entry;
pub use events::{Event, Events};
pub use group::{Cgroup, Place};
pub use layout::{Created, Layout, Leaf};
pub use mounts::{Controller, Mounts, Version};
pub use scope::Scope;
pub use stats::Stats;
pub use systemd::systemd_booted;

/// Why a control group could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cgroup file system is mounted.
    #[error("no cgroup file system is mounted: mount one (`mount -t cgroup2 none /sys/fs/cgroup`)")]
    NotMounted,
    /// A file of the cgroup or proc file system could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// `read`, `write`, `create`, …
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The kernel refused the value of a limit.
    #[error("cannot set {limit} to {value}: the kernel refuses it; choose another value")]
    Limit {
        /// As people write it in the file: `cpuset`, `mem_limit`, …
        limit: &'static str,
        /// The value.
        value: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A device that a limit or a rule names.
    #[error("{text} is not {expected}")]
    Device {
        /// As it was written.
        text: String,
        /// What it should have been.
        expected: &'static str,
        /// What the kernel said, if it was asked.
        source: Option<std::io::Error>,
    },
    /// The device program could not be loaded or attached.
    #[error("cannot {operation} the device rules of {}: the kernel needs CONFIG_CGROUP_BPF", path.display())]
    DeviceProgram {
        /// `load` or `attach`.
        operation: &'static str,
        /// The group.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Processes are still in a group that has to go.
    #[error("{} still has processes: {pids:?}", path.display())]
    Busy {
        /// The group.
        path: PathBuf,
        /// Those processes.
        pids: Vec<i32>,
    },
    /// Freezing takes too long, which a process in uninterruptible sleep can do.
    #[error("{} does not freeze: a process in it waits for a device", path.display())]
    NotFrozen {
        /// The group.
        path: PathBuf,
    },
    /// systemd could not be asked.
    #[error("cannot start the unit {unit} by systemd; is the D-Bus system bus running?")]
    Systemd {
        /// Name of the scope.
        unit: String,
        /// What D-Bus said.
        source: Box<zbus::Error>,
    },
    /// Nobody has joined the scope of a project or a container yet.
    #[error("the unit {unit} is not there: somebody must join it before anything else")]
    NoScope {
        /// Name of the scope.
        unit: String,
    },
    /// Where systemd runs the machine it is the only one to make groups outside of scopes.
    #[error("cgroup_parent {parent} is no name of a slice, and systemd runs this machine: write it as `NAME.slice`")]
    NoSlice {
        /// As it was written.
        parent: String,
    },
    /// systemd did not do it.
    #[error("systemd could not start the unit {unit}: its job ended as `{result}`; see `journalctl -u {unit}`")]
    Job {
        /// Name of the scope.
        unit: String,
        /// `failed`, `canceled`, `timeout`, …
        result: String,
    },
}

impl Error {
    /// Whether it may go by itself: systemd starts nothing in a slice that is being stopped, and its bus may be away.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Systemd { .. } | Self::Job { .. } | Self::NoScope { .. })
    }

    fn file(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { operation, path: path.to_owned(), source }
    }
}

/// The result of this module.
pub type Result<T> = std::result::Result<T, Error>;
