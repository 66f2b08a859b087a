//! Enters the v1 cgroups; the v2 one is entered by clone3 itself.

use std::fs;

use super::super::bundle::CgroupEntry;
use super::super::sys;
use super::problem::{Step, doing};

/// Writes `0` (this task) into each v1 `tasks` file: unlike `cgroup.procs` that takes no lock over all threads and waits
/// for no RCU grace period (13 ms). Then, if `own`, makes the cgroup namespace, whose root is what has just been entered.
pub(crate) fn join(entry: &CgroupEntry, own: bool) -> Step {
    for tasks in &entry.v1_tasks {
        fs::write(tasks, "0").map_err(doing(format!("enter the cgroup by {}", tasks.display())))?;
    }
    if own {
        sys::unshare(libc::CLONE_NEWCGROUP).map_err(doing("make a cgroup namespace"))?;
    }
    Ok(())
}
