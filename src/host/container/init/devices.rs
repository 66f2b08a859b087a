//! Device nodes beside the standard ones. Whether they may be used is the device controller's affair.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, Uid};

use super::super::inroot;
use super::problem::{Problem, Step, doing};
use crate::desired::ContainerSpec;

/// A node to make.
pub(crate) struct Node {
    /// Its path inside.
    pub target: PathBuf,
    /// Character or block device.
    pub kind: FileType,
    /// Its numbers.
    pub device: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Looks at the host's devices that `spec` names (all of /dev if it is privileged), while the host's /dev is in sight.
pub(crate) fn look(spec: &ContainerSpec) -> Step<Vec<Node>> {
    let mut nodes = Vec::new();
    if spec.security.privileged {
        collect(Path::new("/dev"), Path::new("/dev"), &mut nodes, true).map_err(doing("read the host's /dev"))?;
    }
    for device in &spec.devices {
        if let Some(node) = device.node {
            nodes.push(Node {
                target: PathBuf::from(&device.target),
                kind: if node.block { FileType::BlockDevice } else { FileType::CharacterDevice },
                device: rustix::fs::makedev(node.major, node.minor),
                mode: node.mode,
                uid: node.uid,
                gid: node.gid,
            });
            continue;
        }
        let at = format!("find the device {}", device.source.display());
        let before = nodes.len();
        collect(&device.source, Path::new(&device.target), &mut nodes, false).map_err(doing(&at))?;
        if nodes.len() == before {
            return Err(Problem::new(format!("{at}: it is no device")));
        }
    }
    Ok(nodes)
}

/// Adds `source`, or all devices below it if it is a folder. `all`: of the whole /dev, without what a container has of
/// its own there.
fn collect(source: &Path, target: &Path, nodes: &mut Vec<Node>, all: bool) -> io::Result<()> {
    let meta = if all { fs::symlink_metadata(source)? } else { fs::metadata(source)? };
    let kind = meta.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(source)? {
            let entry = entry?;
            let own = ["pts", "shm", "mqueue", "fd", ".lxc", ".lxd-mounts", ".udev", "console"];
            if all && source == Path::new("/dev") && own.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            collect(&entry.path(), &target.join(entry.file_name()), nodes, all)?;
        }
    } else if kind.is_char_device() || kind.is_block_device() {
        nodes.push(Node {
            target: target.to_path_buf(),
            kind: if kind.is_char_device() { FileType::CharacterDevice } else { FileType::BlockDevice },
            device: meta.rdev(),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        });
    }
    Ok(())
}

/// Makes the nodes inside the root.
pub(crate) fn make(root: &OwnedFd, nodes: &[Node]) -> Step {
    for node in nodes {
        make_one(root, node).map_err(doing(format!("make the device {}", node.target.display())))?;
    }
    Ok(())
}

fn make_one(root: &OwnedFd, node: &Node) -> io::Result<()> {
    let name = node.target.file_name().ok_or(rustix::io::Errno::INVAL)?;
    let parent = inroot::folder(root.as_fd(), node.target.parent().unwrap_or(Path::new("/")))?;
    match rustix::fs::mknodat(&parent, name, node.kind, Mode::from_raw_mode(node.mode), node.device) {
        // A standard node, or one that an earlier start left in the container's layer.
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let owner = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
    rustix::fs::chownat(&parent, name, owner.0, owner.1, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}
