//! On the real cgroup file systems of the machine, whatever it mounts: groups of a project of their own name.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::super::{Cgroup, Devices, Entry, Event, Events, Layout, Leaf, Mounts, Version, mounts::Controller};
use crate::desired::Resources;

/// A project that is gone with the test, also where it fails.
struct World {
    name: String,
    layout: Layout,
}

impl World {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        // Without systemd's scope: a test process must not leave the group that it was started in.
        Self { layout: layout(&name), name }
    }

    fn container(&self, id: &str, resources: &Resources) -> Cgroup {
        self.layout.container(id, resources, &Devices::Rules(Vec::new())).expect("a group").cgroup
    }
}

fn layout(name: &str) -> Layout {
    Layout::new(Mounts::detect().expect("cgroups are mounted"), name, false)
}

impl Drop for World {
    fn drop(&mut self) {
        let swept = self.layout.sweep(&BTreeSet::new()).and_then(|_| self.layout.remove());
        assert!(swept.is_ok() || std::thread::panicking(), "{swept:?}");
    }
}

/// Starts a shell in a group, as a container's init gets there: v1 by itself. Into v2 it moves by itself too, as std has no
/// `CLONE_INTO_CGROUP`.
pub(super) fn shell(cgroup: &Cgroup, script: &str) -> Child {
    let (mut entry, cgroup) = (Some(cgroup.entry().expect("an entry")), cgroup.clone());
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: a single write to an open descriptor, and small files; the test process allocates in no other thread's lock
    // that matters here, as nextest gives each test a process.
    unsafe {
        command.pre_exec(move || {
            entry.take().map_or(Ok(()), Entry::join_v1)?;
            match cgroup.v2() {
                Some(dir) => std::fs::write(dir.join("cgroup.procs"), "0"),
                None => Ok(()),
            }
        });
    }
    command.spawn().expect("sh starts")
}

fn output(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().expect("its end").stdout).into_owned()
}

pub(super) fn end(mut child: Child) {
    child.wait().expect("its end");
}

#[test]
fn a_container_is_made_entered_killed_and_removed() {
    let world = World::new();
    let cgroup = world.container("one", &Resources::default());
    let child = shell(&cgroup, "sleep 100 & sleep 100");
    while cgroup.pids().expect("pids").len() < 3 {
        std::thread::yield_now();
    }
    assert_eq!(world.layout.list().expect("a list"), BTreeSet::from(["one".to_owned()]));
    assert_eq!(world.layout.existing("one").expect("it").places(), cgroup.places());
    cgroup.kill().expect("killed");
    end(child);
    cgroup.remove().expect("removed");
    assert!(cgroup.is_missing());
    assert!(cgroup.pids().expect("none").is_empty());
    assert!(world.layout.list().expect("a list").is_empty());
}

#[test]
fn removal_is_refused_while_something_lives_and_a_sweep_kills_it() {
    let world = World::new();
    let cgroup = world.container("one", &Resources::default());
    world.container("two", &Resources::default());
    let child = shell(&cgroup, "exec sleep 100");
    let kept = world.layout.sweep(&BTreeSet::from(["one".into(), "other".into()])).expect("swept");
    assert_eq!(kept, ["two"]);
    let reaper = std::thread::spawn(move || end(child));
    assert_eq!(world.layout.sweep(&BTreeSet::new()).expect("swept"), ["one"]);
    reaper.join().expect("reaped");
    assert!(cgroup.is_missing());
}

#[test]
fn frozen_processes_stand_and_can_be_killed() {
    let world = World::new();
    let cgroup = world.container("one", &Resources::default());
    let child = shell(&cgroup, "while :; do :; done");
    assert!(!cgroup.is_frozen().expect("a state"));
    cgroup.freeze().expect("frozen");
    assert!(cgroup.is_frozen().expect("a state"));
    cgroup.thaw().expect("thawed");
    assert!(!cgroup.is_frozen().expect("a state"));
    cgroup.freeze().expect("frozen");
    cgroup.kill().expect("killed");
    end(child);
    cgroup.remove().expect("removed");
}

#[test]
fn a_probe_in_a_child_group_is_killed_alone() {
    let world = World::new();
    let cgroup = world.container("one", &Resources::default());
    let main = shell(&cgroup, "exec sleep 100");
    let probe = cgroup.child("probe-1").expect("a child");
    let other = shell(&probe, "exec sleep 100");
    assert_eq!(probe.pids().expect("pids").len(), 1);
    assert_eq!(cgroup.pids().expect("pids").len(), 2);
    probe.kill().expect("killed");
    end(other);
    probe.remove().expect("removed beside the running container");
    assert!(probe.is_missing() && !cgroup.is_missing());
    assert_eq!(cgroup.pids().expect("pids"), [i32::try_from(main.id()).expect("a pid")]);
    cgroup.kill().expect("killed");
    end(main);
    cgroup.remove().expect("removed with its child");
}

#[test]
fn limits_are_set_and_seen() {
    let world = World::new();
    let resources = Resources {
        memory: Some(64 << 20),
        memory_swap: Some(64 << 20),
        memory_reservation: Some(32 << 20),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        cpu_shares: Some(512),
        cpuset: Some("0".into()),
        pids: Some(20),
        ..Resources::default()
    };
    let cgroup = world.container("one", &resources);
    let stats = cgroup.stats();
    assert_eq!((stats.memory_limit, stats.pids_limit), (Some(64 << 20), Some(20)));
    let place = cgroup.place(Controller::Cpu).expect("cpu");
    let (quota, expected) = match place.version {
        Version::V1 => ("cpu.cfs_quota_us", "50000"),
        Version::V2 => ("cpu.max", "50000 100000"),
    };
    assert_eq!(std::fs::read_to_string(place.dir.join(quota)).expect("a file").trim(), expected);
    let forks = output(shell(&cgroup, "for i in $(seq 30); do sleep 1 & done 2>/dev/null; wait; echo over"));
    assert!(!forks.contains("over") || cgroup.stats().pids <= 20);
    assert!(cgroup.stats().cpu > 0);
}

#[test]
fn what_the_kernel_lacks_is_a_warning_and_what_it_refuses_an_error() {
    let world = World::new();
    let lacking = Resources { io_weight: Some(500), ..Resources::default() };
    let created = world.layout.container("one", &lacking, &Devices::All).expect("a group");
    let io = created.cgroup.place(Controller::Io);
    let has =
        io.is_some_and(|io| ["blkio.bfq.weight", "io.bfq.weight", "io.weight"].iter().any(|w| io.dir.join(w).exists()));
    assert_eq!(created.warnings.is_empty(), has, "{:?}", created.warnings);
    let refused = Resources { cpuset: Some("4000".into()), ..Resources::default() };
    let error = world.layout.container("two", &refused, &Devices::All).expect_err("no such processor");
    assert!(error.to_string().contains("cpuset to 4000"), "{error}");
    let cause = std::error::Error::source(&error).expect("the kernel's answer").to_string();
    assert!(cause.contains("os error") && !cause.contains("Uncategorized"), "{cause}");
    assert!(world.layout.existing("two").expect("it").is_missing());
}

#[test]
fn memory_that_runs_out_is_told_and_counted() {
    let world = World::new();
    let resources = Resources { memory: Some(16 << 20), memory_swap: Some(16 << 20), ..Resources::default() };
    let cgroup = world.container("one", &resources);
    let mut events = cgroup.events().expect("a watch");
    let child = shell(&cgroup, "head -c 100M /dev/zero | tail; :");
    let mut seen = Vec::new();
    while !seen.iter().any(|event| matches!(event, Event::OutOfMemory(_))) {
        assert!(events.wait(Duration::from_secs(20)).expect("waits"), "nothing happened: {seen:?}");
        seen.extend(events.read());
    }
    end(child);
    assert!(cgroup.oom_kills() > 0);
}

#[test]
fn the_first_and_the_last_process_are_told_where_there_is_v2() {
    let world = World::new();
    let cgroup = world.container("one", &Resources::default());
    if cgroup.v2().is_none() {
        return;
    }
    let mut events = cgroup.events().expect("a watch");
    let await_event = |events: &mut Events, wanted: Event| {
        while !events.read().contains(&wanted) {
            assert!(events.wait(Duration::from_secs(20)).expect("waits"), "no {wanted:?}");
        }
    };
    let main = shell(&cgroup, "exec sleep 100");
    await_event(&mut events, Event::Populated(true));
    cgroup.freeze().expect("frozen");
    await_event(&mut events, Event::Frozen(true));
    cgroup.kill().expect("killed");
    await_event(&mut events, Event::Populated(false));
    end(main);
}

#[test]
fn devices_are_closed_but_for_the_standard_ones() {
    let world = World::new();
    let script = "head -c1 /dev/zero >/dev/null && echo zero; mknod /tmp/wl-k-$$ c 1 11 && echo node; \
                  cat /tmp/wl-k-$$ </dev/null >/dev/null 2>&1; head -c1 /tmp/wl-k-$$ >/dev/null && echo kmsg; rm -f /tmp/wl-k-$$";
    let closed = output(shell(&world.container("one", &Resources::default()), script));
    assert_eq!(closed.split_whitespace().collect::<Vec<_>>(), ["zero", "node"]);
}

#[test]
fn a_group_that_is_left_from_an_earlier_run_is_made_anew() {
    let world = World::new();
    let limited = world.container("one", &Resources { pids: Some(7), ..Resources::default() });
    assert_eq!(limited.stats().pids_limit, Some(7));
    assert_eq!(world.container("one", &Resources::default()).stats().pids_limit, None);
}

#[test]
fn a_shim_moves_itself_into_its_leaf_in_every_hierarchy() {
    let world = World::new();
    let layout = world.layout.clone();
    let mut command = Command::new("cat");
    command.arg("/proc/self/cgroup").stdout(Stdio::piped());
    // SAFETY: small files are read and written; the test process has no other busy thread.
    unsafe { command.pre_exec(move || layout.join_self(Leaf::Shims).map_err(std::io::Error::other)) };
    let groups = output(command.spawn().expect("cat starts"));
    assert!(groups.lines().all(|line| line.ends_with("/shims")), "{groups}");
    assert!(world.layout.list().expect("a list").is_empty(), "a leaf is no container");
}

#[test]
fn a_container_may_be_in_a_group_of_the_users() {
    let world = World::new();
    let theirs = format!("users-{}", std::process::id());
    let tops: Vec<_> = Mounts::detect().expect("mounted").hierarchies.into_iter().map(|one| one.top).collect();
    // One group is the user's own, the one below it is made on the way.
    tops.iter().for_each(|top| std::fs::create_dir(top.join(&theirs)).expect("a group"));
    let id = "0123456789ab";
    let resources = |parent: &str| Resources { parent: Some(parent.to_owned()), pids: Some(7), ..Resources::default() };
    let cgroup = world.container(id, &resources(&format!("/{theirs}/deep")));
    let child = shell(&cgroup, "exec cat /proc/self/cgroup");
    let said = output(child);
    let inside: Vec<&str> = said.lines().filter(|line| line.contains(&format!("/{theirs}/deep/windlass-"))).collect();
    assert!(inside.iter().any(|line| line.contains(&format!("-{id}"))), "{said}");
    assert_eq!(
        cgroup
            .place(Controller::Pids)
            .map(|place| std::fs::read_to_string(place.dir.join("pids.max")))
            .expect("a place")
            .expect("read"),
        "7\n"
    );
    // Another process that knows nothing of it finds it.
    let other = layout(&world.name);
    assert_eq!(other.list().expect("list"), BTreeSet::from([id.to_owned()]));
    let found = other.existing(id).expect("look");
    assert_eq!(found.places().len(), cgroup.places().len());
    found.remove().expect("remove");
    assert!(other.list().expect("list").is_empty());
    for top in &tops {
        assert!(!top.join(&theirs).join("deep").exists(), "it goes with the last container");
        std::fs::remove_dir(top.join(&theirs)).expect("what is the user's stays");
    }
}

#[test]
fn projects_come_and_go_beside_each_other() {
    let rounds = || {
        for _ in 0..15 {
            let world = World::new();
            let cgroup =
                world.container("one", &Resources { cpuset: Some("0".into()), pids: Some(9), ..Resources::default() });
            assert_eq!(cgroup.stats().pids_limit, Some(9));
        }
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(rounds)).collect();
    for thread in threads {
        thread.join().expect("no project was disturbed by the end of another");
    }
}
