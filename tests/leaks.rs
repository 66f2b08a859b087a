//! Round after round of `up` and `down` leaves nothing behind, neither on the machine nor in a supervisor that stays.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;

use support::image::{load, project};
use support::world::World;

const ROUNDS: usize = 200;
/// Rounds after which all that is made once is made: caches, arenas, folders that stay.
const WARM: usize = 20;
/// So much more memory of its own may a supervisor need after the rounds (it was 0.2 MiB when this was written): a leak
/// of one line of text a container would be more.
const GROWTH: u64 = 1 << 20;

const FILE: &str = r#"
services:
  stays: { image: test, stop_signal: SIGKILL }
  a: { image: test, stop_signal: SIGKILL, ports: ["127.0.0.1:8080:80"] }
  b: { image: test, stop_signal: SIGKILL, depends_on: [a], volumes: ["data:/data"] }
  c: { image: test, stop_signal: SIGKILL, depends_on: [b] }
volumes: { data: {} }
"#;

/// What a round may not change.
#[derive(Debug, PartialEq, Eq)]
struct Looks {
    /// Links, rules, mounts, cgroups, processes, files of state.
    traces: BTreeSet<String>,
    /// Open descriptors of the supervisor.
    descriptors: usize,
}

fn supervisor(world: &World) -> i32 {
    let is = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).any(|word| word == b"__supervisor")
    };
    let found: Vec<i32> = world.processes().into_iter().filter(is).collect();
    assert_eq!(found.len(), 1, "one supervisor");
    found[0]
}

fn looks(world: &World, pid: i32) -> Looks {
    Looks { traces: world.traces(), descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() }
}

/// Bytes of memory that are the process's own.
fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn rounds_of_up_and_down_leak_nothing() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "rounds", FILE);
    world.windlass(&folder, &["up", "-d", "stays"]).ok();
    let pid = supervisor(&world);
    let round = || {
        world.windlass(&folder, &["--progress", "quiet", "up", "-d"]).ok();
        world.windlass(&folder, &["--progress", "quiet", "down", "a", "b", "c"]).ok();
    };
    (0..WARM).for_each(|_| round());
    let before = looks(&world, pid);
    let own = memory(pid);
    (WARM..ROUNDS).for_each(|_| round());
    world.wait_for("the last round to be over", || looks(&world, pid) == before);
    let grown = memory(pid).saturating_sub(own);
    assert!(grown < GROWTH, "the supervisor grew by {} kiB in {} rounds", grown / 1024, ROUNDS - WARM);
    world.windlass(&folder, &["down", "-v"]).ok();
    world.assert_clean();
}
