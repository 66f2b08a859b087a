//! Under systemd: `tests/vm/run` runs it in a machine of its own.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::{Devices, Layout, Leaf};
use super::kernel::{end, shell};
use crate::desired::Resources;

fn is_active(unit: &str) -> bool {
    Command::new("systemctl").args(["is-active", "-q", unit]).status().is_ok_and(|status| status.success())
}

/// Waits for something that systemd does by itself.
fn await_that(what: &str, mut question: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !question() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn holder() -> Child {
    Command::new("sleep").arg("100").stdin(Stdio::null()).spawn().expect("it starts")
}

#[test]
#[ignore = "needs systemd as the init of the machine, and moves the test process into a scope"]
fn a_container_has_a_scope_in_the_users_slice_as_long_as_its_holder_lives() {
    let project = format!("test-{}", std::process::id());
    let (slice, above) = (format!("t{0}-x.slice", std::process::id()), format!("t{}.slice", std::process::id()));
    let layout = Layout::open(&project).expect("cgroups");
    layout.join_self(Leaf::Supervisor).expect("a scope");
    let id = "0123456789ab";
    let resources =
        Resources { parent: Some(slice.clone()), memory: Some(64 << 20), pids: Some(7), ..Resources::default() };
    let devices = Devices::Rules(Vec::new());
    let early = layout.container(id, &resources, &devices).expect_err("there is no scope");
    assert!(early.to_string().contains(&format!("windlass-{project}-{id}.scope")), "{early}");

    let scope = layout.scope(id, Some(&slice)).expect("a slice").expect("a scope");
    assert!(!scope.is_held());
    let mut first = holder();
    scope.start(first.id()).expect("started");
    assert!(scope.is_held());
    let unit = format!("windlass-{project}-{id}.scope");
    assert!(is_active(&unit) && is_active(&slice) && is_active(&above));
    let created = layout.container(id, &resources, &devices).expect("a group");
    assert_eq!(created.warnings, [] as [&str; 0]);
    let main = shell(&created.cgroup, "exec sleep 100");
    let stats = created.cgroup.stats();
    assert_eq!((stats.memory_limit, stats.pids_limit), (Some(64 << 20), Some(7)));
    assert!(Command::new("systemctl").arg("daemon-reload").status().expect("it runs").success());
    // A later supervisor finds it; its process ends, and the scope is there for the next.
    let again = Layout::open(&project).expect("cgroups");
    assert_eq!(again.list().expect("a list"), BTreeSet::from([id.to_owned()]));
    let found = again.existing(id).expect("it");
    assert_eq!(found, created.cgroup);
    assert_eq!(found.stats().pids_limit, Some(7));
    found.kill().expect("killed");
    end(main);
    assert!(scope.is_held());
    let created = again.container(id, &resources, &devices).expect("a group again");
    assert_eq!(created.cgroup.stats().pids_limit, Some(7));

    // The next holder comes while the old scope is on its way out.
    first.kill().expect("killed");
    end(first);
    let mut second = holder();
    scope.start(second.id()).expect("started anew");
    // What is not systemd's (v1 groups of the freezer) is left of the old one until the next start, or the end.
    again.existing(id).expect("a look").remove().expect("removed");
    assert!(scope.is_held() && again.list().expect("a list").is_empty());
    second.kill().expect("killed");
    end(second);
    for unit in [&unit, &slice, &above] {
        await_that(&format!("{unit} stays"), || !is_active(unit));
    }
    again.leave_self().expect("left");
    again.remove().expect("removed");
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
    await_that("the scope stays", || !is_active(&unit));
}
