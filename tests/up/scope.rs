//! What a flag or a verb reaches: which containers, and which it must leave.

use std::time::{Duration, Instant};

use crate::support::image::project;
use crate::world;

#[test]
fn the_timeout_of_down_and_up_holds_for_all_that_they_stop() {
    let world = world();
    let text = "services:\n  a: {image: test, command: [sh, -c, \"trap '' TERM; touch /ready; while :; do sleep 1; done\"], stop_grace_period: 1m}\n";
    let folder = project(&world, "graced", text);
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    let ignores = |container: &str| {
        world.wait_for("the trap", || windlass(&["exec", "-T", container, "test", "-e", "/ready"]).code == 0)
    };
    let soon = |arguments: &[&str]| {
        let begun = Instant::now();
        windlass(arguments).ok();
        assert!(begun.elapsed() < Duration::from_secs(30), "{arguments:?} waited for the grace time of the file");
    };
    windlass(&["up", "-d"]).ok();
    ignores("a");
    soon(&["up", "-d", "-t", "0", "--scale", "a=0"]);
    windlass(&["run", "-d", "a"]).ok();
    soon(&["down", "-t", "0"]);
    world.assert_clean();
}

#[test]
fn what_a_service_has_whose_profile_is_off_is_no_orphan() {
    let world = world();
    let text = "services:\n  a: {image: test}\n  debug: {image: test, profiles: [debug]}\n";
    let folder = project(&world, "profiled", text);
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    windlass(&["--profile", "debug", "up", "-d"]).ok();
    let told = windlass(&["up", "-d", "--remove-orphans"]).ok();
    assert!(!told.stderr.contains("debug") && !told.stderr.contains("orphans"), "{}", told.stderr);
    assert_ne!(windlass(&["ps", "-q", "debug"]).stdout, "", "it is still there");
    windlass(&["down", "--remove-orphans"]).ok();
    world.assert_clean();
}

#[test]
fn a_container_is_found_by_its_host_name() {
    let world = world();
    let text = "services:\n  a: {image: test, hostname: Phost}\n  b: {image: test}\n";
    let folder = project(&world, "named", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let address = |name: &str| {
        let found = world.windlass(&folder, &["exec", "-T", "b", "nslookup", "-type=a", name]).ok().stdout;
        found.lines().rfind(|line| line.starts_with("Address")).unwrap().to_owned()
    };
    assert_eq!(address("phost"), address("a"));
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}
