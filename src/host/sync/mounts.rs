//! Which mounts of a container may be written: its own root, its volumes, its memory; never a file system of this machine
//! that is mounted inside (a bind mount), whatever symlink leads there, and none that the kernel makes up.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};

use super::Volume;
use crate::host::container::inroot;

/// File systems whose files have effects, no content.
const MADE_UP: [&str; 10] =
    ["proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "debugfs", "tracefs", "bpf"];

/// The mounts of a container that may be written, by their ids.
pub(super) struct Mounts {
    writable: BTreeSet<u64>,
    memory: BTreeSet<u64>,
}

impl Mounts {
    /// Reads them. A file system that is mounted on this machine too is the machine's own, unless it is a volume.
    pub(super) fn read(pid: i32, root: BorrowedFd<'_>, volumes: &[Volume]) -> io::Result<Self> {
        let inside = parse(&fs::read_to_string(format!("/proc/{pid}/mountinfo"))?);
        let here: BTreeSet<String> =
            parse(&fs::read_to_string("/proc/self/mountinfo")?).into_values().map(|mount| mount.device).collect();
        let own = |mount: &Mount| !here.contains(&mount.device) && !MADE_UP.contains(&mount.kind.as_str());
        let memory = inside.iter().filter(|(_, mount)| mount.kind == "tmpfs").map(|(id, _)| *id).collect();
        let mut writable: BTreeSet<u64> = inside.iter().filter(|(_, mount)| own(mount)).map(|(id, _)| *id).collect();
        for volume in volumes {
            writable.extend(mount_of(root, volume)?);
        }
        Ok(Self { writable, memory })
    }

    /// For a folder in place of a container's root: its own mount.
    #[cfg(test)]
    pub(super) fn only(folder: BorrowedFd<'_>) -> io::Result<Self> {
        let writable = inroot::mount_at(folder, OsStr::new(""))?.into_iter().collect();
        Ok(Self { writable, memory: BTreeSet::new() })
    }

    pub(super) fn may_write(&self, mount: u64) -> bool {
        self.writable.contains(&mount)
    }

    /// Whether what lies on it goes when the container's process ends.
    pub(super) fn is_memory(&self, mount: u64) -> bool {
        self.memory.contains(&mount)
    }
}

/// The mount of a volume inside the container, if what stands at its target is really the volume.
fn mount_of(root: BorrowedFd<'_>, volume: &Volume) -> io::Result<Option<u64>> {
    let Ok(inside) = inroot::open(root, &volume.target, OFlags::PATH) else { return Ok(None) };
    let data = rustix::fs::open(&volume.data, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let Ok(data) = data else { return Ok(None) };
    let Ok(data) = inroot::open(data.as_fd(), &volume.subpath, OFlags::PATH) else { return Ok(None) };
    let (a, b) = (rustix::fs::fstat(&inside)?, rustix::fs::fstat(&data)?);
    if (a.st_dev, a.st_ino) != (b.st_dev, b.st_ino) {
        return Ok(None);
    }
    inroot::mount_at(inside.as_fd(), OsStr::new(""))
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// Major and minor number of the file system.
    device: String,
    kind: String,
}

/// The mounts of a mountinfo file (proc_pid_mountinfo(5)) by their ids.
fn parse(text: &str) -> BTreeMap<u64, Mount> {
    let line = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let (id, device) = (fields.next()?.parse().ok()?, fields.nth(1)?);
        Some((id, Mount { device: device.to_owned(), kind: filesystem.split(' ').next()?.to_owned() }))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo() {
        let text = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\nnonsense\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[&36], Mount { device: "98:0".into(), kind: "ext3".into() });
    }
}
