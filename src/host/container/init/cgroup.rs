//! Enters the v1 cgroups; the v2 one is entered by clone3 itself.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::problem::{Step, doing};
use super::super::bundle::CgroupEntry;

/// Opens the `tasks` files, which a process that has entered a container can no longer see.
pub(crate) fn open(entry: &CgroupEntry) -> Step<Vec<File>> {
    let open = |path: &Path| File::options().write(true).open(path);
    entry
        .v1_tasks
        .iter()
        .map(|path| open(path).map_err(doing(format!("open {}", path.display()))))
        .collect()
}

/// Writes `0` (this task) into each: unlike `cgroup.procs` that takes no lock over all threads and waits for no RCU grace
/// period (13 ms). To be done before a cgroup namespace is made, whose root is what has been entered.
pub(crate) fn join(tasks: Vec<File>) -> Step {
    for mut file in tasks {
        file.write_all(b"0").map_err(doing("enter the cgroup"))?;
    }
    Ok(())
}
