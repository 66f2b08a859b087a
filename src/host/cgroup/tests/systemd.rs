//! Under systemd: `tests/vm/run` runs it in a machine of its own.

use std::collections::BTreeSet;
use std::process::Command;

use super::super::{Devices, Layout, Leaf};
use super::kernel::{end, shell};
use crate::desired::Resources;

fn is_active(unit: &str) -> bool {
    Command::new("systemctl").args(["is-active", "-q", unit]).status().is_ok_and(|status| status.success())
}

#[test]
#[ignore = "needs systemd as the init of the machine, and moves the test process into a scope"]
fn a_project_has_a_scope_as_long_as_anything_is_in_it() {
    let project = format!("test-{}", std::process::id());
    let layout = Layout::open(&project).expect("cgroups");
    let unit = layout.unit().expect("systemd runs").to_owned();
    layout.join_self(Leaf::Supervisor).expect("a scope");
    assert!(is_active(&unit));
    let own = std::fs::read_to_string("/proc/self/cgroup").expect("a file");
    assert!(own.contains(&format!("/windlass.slice/{unit}/supervisor")), "{own}");

    let resources = Resources {
        memory: Some(64 << 20),
        memory_swap: Some(96 << 20),
        memory_reservation: Some(16 << 20),
        cpu_quota: Some(50_000),
        cpu_shares: Some(512),
        cpuset: Some("0".into()),
        pids: Some(50),
        ..Resources::default()
    };
    let created = layout.container("one", &resources, &Devices::Rules(Vec::new())).expect("a group");
    assert_eq!(created.warnings, [] as [&str; 0]);
    let main = shell(&created.cgroup, "exec sleep 100");
    // Another process, of a later supervisor for example, finds all of it.
    let again = Layout::open(&project).expect("cgroups");
    again.join_self(Leaf::Shims).expect("the scope is there");
    assert_eq!(again.existing("one").expect("it"), created.cgroup);
    assert_eq!(created.cgroup.stats().memory_limit, Some(64 << 20));
    assert!(Command::new("systemctl").arg("daemon-reload").status().expect("it runs").success());
    assert_eq!(created.cgroup.stats().memory_limit, Some(64 << 20));

    created.cgroup.kill().expect("killed");
    end(main);
    assert_eq!(again.sweep(&BTreeSet::new()).expect("swept"), ["one"]);
    again.leave_self().expect("left");
    again.remove().expect("removed");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while is_active(&unit) {
        assert!(std::time::Instant::now() < deadline, "the scope stays");
    }
}
