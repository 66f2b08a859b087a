//! The embedded name server while things come and go.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::image::{load, project};
use crate::support::world::World;

const TEXT: &str = "services:\n  a: {image: test}\n  db: {image: test, stop_signal: SIGKILL}\n";

#[test]
fn names_are_answered_right_whoever_holds_the_project_meanwhile() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "held", TEXT);
    world.windlass(&folder, &["up", "-d"]).ok();
    let script =
        "while ! test -e /stop; do nslookup db 127.0.0.11 > /one 2>&1 || cat /one >> /wrong; echo . >> /asked; done";
    world.windlass(&folder, &["exec", "-d", "a", "sh", "-c", script]).ok();
    let inside = |command: &str| world.windlass(&folder, &["exec", "-T", "a", "sh", "-c", command]);
    let asked = || inside("cat /asked | wc -l").stdout.trim().parse::<u32>().unwrap_or(0);
    world.wait_for("a first question", || asked() > 0);
    for _ in 0..5 {
        let is_supervisor = |pid: &i32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.windows(12).any(|part| part == b"__supervisor"))
        };
        let before = asked();
        for pid in world.processes().into_iter().filter(is_supervisor) {
            // One that was on its way out is gone already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        world.wait_for("answers of the next one", || asked() > before + 5);
    }
    inside("touch /stop").ok();
    assert_eq!(inside("cat /wrong").stdout, "", "nobody else was asked");
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn the_name_of_what_does_not_run_is_nobodys() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "away", TEXT);
    world.windlass(&folder, &["up", "-d"]).ok();
    let look_up = || world.windlass(&folder, &["exec", "-T", "a", "nslookup", "db", "127.0.0.11"]);
    look_up().ok();
    for verb in [&["stop", "db"][..], &["restart", "a", "-t", "0"]] {
        world.windlass(&folder, verb).ok();
        let answer = look_up();
        assert!(answer.stdout.contains("NXDOMAIN") && answer.code != 0, "{verb:?}: {}", answer.stdout);
    }
    world.windlass(&folder, &["start", "db"]).ok();
    look_up().ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn ports_of_a_service_on_internal_networks_only_are_told_and_left_out() {
    let world = World::new();
    load(&world);
    let text = "services: {a: {image: test, ports: ['8080:80']}}\nnetworks: {default: {internal: true}}\n";
    let folder = project(&world, "shut", text);
    world.windlass(&folder, &["up", "-d"]).ok().says("has no effect");
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}
