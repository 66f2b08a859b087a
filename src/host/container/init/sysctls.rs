//! Kernel parameters of the container's namespaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::super::{inroot, sysctl, tree};
use super::problem::{Problem, Step, doing};
use crate::desired::{Namespaces, NetMode};

/// What docker sets in every network namespace of its own, so that ports below 1024 and ping need no capability.
pub(crate) const DEFAULTS: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// A procfs of our own that is mounted nowhere: nothing a container does can redirect a write to it (CVE-2025-52881).
pub(crate) fn own_proc() -> Step<OwnedFd> {
    tree::filesystem("proc", &[], tree::SAFE).map_err(doing("open a /proc of our own"))
}

/// Sets the defaults, then `wanted`.
pub(crate) fn set(proc: &OwnedFd, wanted: &BTreeMap<String, String>, namespaces: &Namespaces) -> Step {
    if matches!(namespaces.net, NetMode::Bridge | NetMode::None) {
        for (key, value) in DEFAULTS {
            if !wanted.contains_key(key) {
                // An old kernel may lack one; nobody asked for it.
                let _ = set_one(proc, key, value);
            }
        }
    }
    for (key, value) in wanted {
        if let Some(reason) = sysctl::refusal(key, namespaces) {
            return Err(Problem::new(format!("{key}: {reason}")));
        }
        set_one(proc, key, value)?;
    }
    Ok(())
}

fn set_one(proc: &OwnedFd, key: &str, value: &str) -> Step {
    // sysctl(8): with a slash first, slashes separate and dots belong to names (`net/ipv4/conf/eth0.1/…`).
    let path = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
    let path = PathBuf::from("sys").join(path);
    let at = |what: &str| format!("{what} {key}");
    let file = inroot::open_exact(proc.as_fd(), &path, OFlags::WRONLY).map_err(doing(at("open")))?;
    let kind = rustix::fs::fstatfs(&file).map_err(doing(at("check")))?.f_type;
    if kind != libc::PROC_SUPER_MAGIC {
        return Err(Problem::new(format!("{key} is not in /proc")));
    }
    File::from(file).write_all(value.as_bytes()).map_err(doing(format!("set {key} to {value}")))
}
