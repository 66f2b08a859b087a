//! Refuses mounts that would give a container a false /proc (CVE-2019-16884, CVE-2023-27561, CVE-2025-52881).

use std::path::Path;

use super::problem::{Problem, Step};
use crate::desired::{MountSource, MountSpec};

/// Files below /proc that tools like lxcfs replace and that no set-up of ours reads or writes.
const ALLOWED: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "net/dev",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// Refuses a mount on /proc, except of the host's own /proc, and below it, except on harmless files.
pub(crate) fn check(mount: &MountSpec) -> Step {
    let Ok(below) = Path::new(&mount.target).strip_prefix("/proc") else { return Ok(()) };
    let is_host_proc = matches!(&mount.source, MountSource::Bind { path, .. } if path == Path::new("/proc"));
    let allowed =
        if below.as_os_str().is_empty() { is_host_proc } else { ALLOWED.iter().any(|name| below == Path::new(name)) };
    if allowed {
        Ok(())
    } else {
        Err(Problem::new(format!("a mount on {} is not allowed: it would hide /proc", mount.target)))
    }
}
