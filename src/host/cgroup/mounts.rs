//! Which controller is mounted where, from /proc/self/mountinfo.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};
use serde::{Deserialize, Serialize};

use super::{Error, Result, files};
use crate::host::mountinfo;

/// A controller that windlass uses. `blkio` of v1 and `io` of v2 are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Its account, a controller of its own in v1.
    CpuAcct,
    /// Processors and memory nodes.
    Cpuset,
    /// Device nodes; v1 only.
    Devices,
    /// Freezing; v1 only.
    Freezer,
    /// Block devices.
    Io,
    /// Memory.
    Memory,
    /// Number of processes.
    Pids,
}

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One of many, with one or two controllers.
    V1,
    /// The only one.
    V2,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted: the highest group that this process can see.
    pub top: PathBuf,
    /// Its version.
    pub version: Version,
    /// The controllers that it offers, of those that windlass uses.
    pub controllers: BTreeSet<Controller>,
    /// Where systemd keeps its units, if it runs the machine: v2, and the v1 one of its name, which has no controller.
    pub units: bool,
}

/// All mounted hierarchies, v2 first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Them.
    pub hierarchies: Vec<Hierarchy>,
}

impl Controller {
    fn from_kernel(name: &str) -> Option<Self> {
        Some(match name {
            "cpu" => Self::Cpu,
            "cpuacct" => Self::CpuAcct,
            "cpuset" => Self::Cpuset,
            "devices" => Self::Devices,
            "freezer" => Self::Freezer,
            "blkio" | "io" => Self::Io,
            "memory" => Self::Memory,
            "pids" => Self::Pids,
            _ => return None,
        })
    }

    /// Its name in `cgroup.subtree_control`; `None` for those that v2 does without.
    pub(super) fn v2_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Io => "io",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::CpuAcct | Self::Devices | Self::Freezer => return None,
        })
    }
}

impl Mounts {
    /// Looks at this process's mount table.
    ///
    /// A mount that something else covers (`ip netns exec` mounts a new /sys) is left out: its path shows another file
    /// system.
    ///
    /// # Errors
    /// When the table can't be read, or holds no cgroup file system.
    pub fn detect() -> Result<Self> {
        let mut mounts = Self::parse(&files::read(Path::new("/proc/self/mountinfo"))?);
        mounts.hierarchies.retain(|hierarchy| {
            let kind = statfs(&hierarchy.top).map(|stat| stat.filesystem_type());
            matches!(
                (hierarchy.version, kind),
                (Version::V1, Ok(CGROUP_SUPER_MAGIC)) | (Version::V2, Ok(CGROUP2_SUPER_MAGIC))
            )
        });
        for hierarchy in mounts.hierarchies.iter_mut().filter(|hierarchy| hierarchy.version == Version::V2) {
            let offered = files::read(&hierarchy.top.join("cgroup.controllers"))?;
            hierarchy.controllers = offered.split_whitespace().filter_map(Controller::from_kernel).collect();
        }
        if mounts.hierarchies.is_empty() { Err(Error::NotMounted) } else { Ok(mounts) }
    }

    /// Reads the text of a mount table. Of several mounts of one hierarchy the one that shows most of it counts: the one
    /// whose root is the shortest. The root itself (`/`, or below it in a bind mount, or in a cgroup namespace) needs no
    /// other care: what is mounted is the top of what this process may use.
    pub(super) fn parse(mountinfo: &str) -> Self {
        let mut found: Vec<(String, String, Hierarchy)> = Vec::new();
        for line in mountinfo.lines() {
            let Some((device, root, hierarchy)) = parse_line(line) else { continue };
            match found.iter_mut().find(|(known, _, _)| *known == device) {
                Some(known) if root.len() < known.1.len() => *known = (device, root, hierarchy),
                Some(_) => {}
                None => found.push((device, root, hierarchy)),
            }
        }
        let mut hierarchies: Vec<Hierarchy> = found.into_iter().map(|(_, _, hierarchy)| hierarchy).collect();
        hierarchies.sort_by_key(|hierarchy| hierarchy.version == Version::V1);
        Self { hierarchies }
    }

    /// The v2 hierarchy, if there is one.
    pub fn v2(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2)
    }
}

/// One line: the device number, which tells hierarchies apart, the root within it, and the rest.
fn parse_line(line: &str) -> Option<(String, String, Hierarchy)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let (device, root, top) = (before.next()?, before.next()?, before.next()?);
    let mut after = after.split(' ');
    let kind = after.next()?;
    let options = after.nth(1)?;
    let (version, controllers) = match kind {
        "cgroup2" => (Version::V2, BTreeSet::new()),
        "cgroup" => (Version::V1, options.split(',').filter_map(Controller::from_kernel).collect()),
        _ => return None,
    };
    let units = version == Version::V2 || options.split(',').any(|option| option == "name=systemd");
    let hierarchy = Hierarchy { top: mountinfo::path(top), version, controllers, units };
    Some((device.to_owned(), root.to_owned(), hierarchy))
}
