//! /sys/fs/cgroup as a container sees it: its own groups as the root, in the layout that the machine has.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::Mode;
use rustix::mount::MountAttrFlags;

use super::super::{inroot, tree};
use super::problem::{Problem, Step, doing};
use super::standard;

const TOP: &str = "/sys/fs/cgroup";

/// One hierarchy of /proc/self/cgroup.
#[derive(Debug, PartialEq, Eq)]
enum Hierarchy {
    /// v2.
    Unified,
    /// v1: its controllers, or `name=…`.
    Controllers(String),
}

/// Mounts the cgroups. Without a cgroup namespace of its own it gets the host's view, read-only unless privileged.
///
/// Read-only for everybody else, and the roots are the container's own groups, so release_agent (CVE-2022-0492) and the
/// host's hierarchy (CVE-2023-25809) are out of reach.
pub(crate) fn mount(root: &OwnedFd, own: bool, read_only: MountAttrFlags) -> Step {
    if !own {
        return mount_host(root, read_only);
    }
    let text = fs::read_to_string("/proc/self/cgroup").map_err(doing("read /proc/self/cgroup"))?;
    let hierarchies = parse(&text);
    if hierarchies == [Hierarchy::Unified] {
        standard::on(root, TOP, "cgroup2", &[("nsdelegate", None)], tree::SAFE | read_only).map(drop)?;
        return Ok(());
    }
    let top = standard::on(root, TOP, "tmpfs", &[("mode", Some("755"))], tree::SAFE)?;
    for hierarchy in &hierarchies {
        mount_one(&top, hierarchy, read_only)?;
    }
    if !read_only.is_empty() {
        tree::make_read_only(top.as_fd(), false).map_err(doing("make the cgroups read-only"))?;
    }
    Ok(())
}

fn mount_one(top: &OwnedFd, hierarchy: &Hierarchy, read_only: MountAttrFlags) -> Step {
    let (folder, kind, names) = match hierarchy {
        Hierarchy::Unified => ("unified", "cgroup2", Vec::new()),
        Hierarchy::Controllers(text) => {
            (text.strip_prefix("name=").unwrap_or(text), "cgroup", text.split(',').collect::<Vec<_>>())
        }
    };
    let options: Vec<_> = names
        .iter()
        .map(|name| match name.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (*name, None),
        })
        .collect();
    let make = Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(top, folder, make).map_err(doing(format!("make {TOP}/{folder}")))?;
    let point = inroot::open(top.as_fd(), Path::new(folder), rustix::fs::OFlags::PATH)
        .map_err(doing(format!("open {TOP}/{folder}")))?;
    let tree = tree::filesystem(kind, &options, tree::SAFE | read_only)
        .map_err(doing(format!("make the cgroup hierarchy {folder}")))?;
    tree::attach(&tree, &point).map_err(doing(format!("mount {TOP}/{folder}")))?;
    // Programs look for `cpu` where the machine has `cpu,cpuacct`.
    if names.len() > 1 {
        for name in names {
            rustix::fs::symlinkat(folder, top, name).map_err(doing(format!("make {TOP}/{name}")))?;
        }
    }
    Ok(())
}

fn mount_host(root: &OwnedFd, read_only: MountAttrFlags) -> Step {
    let host = rustix::fs::open(TOP, rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, Mode::empty())
        .map_err(doing("open the host's cgroups"))?;
    let tree = tree::copy(&host, true).map_err(doing("take the host's cgroups"))?;
    tree::set(tree.as_fd(), true, u64::from(read_only.bits()), libc::MS_PRIVATE)
        .map_err(doing("detach the host's cgroups"))?;
    let point =
        inroot::folder(root.as_fd(), Path::new(TOP)).map_err(|cause| Problem::new(format!("{TOP}: {cause}")))?;
    tree::attach(&tree, &point).map_err(doing("mount the host's cgroups"))
}

fn parse(text: &str) -> Vec<Hierarchy> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers) = (fields.next()?, fields.next()?);
            Some(match controllers {
                "" => Hierarchy::Unified,
                names => Hierarchy::Controllers(names.to_owned()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_from_proc() {
        assert_eq!(parse("0::/a\n"), [Hierarchy::Unified]);
        assert_eq!(
            parse("3:cpu,cpuacct:/x\n1:name=systemd:/x\n0::/x\n"),
            [
                Hierarchy::Controllers("cpu,cpuacct".into()),
                Hierarchy::Controllers("name=systemd".into()),
                Hierarchy::Unified
            ]
        );
    }
}
