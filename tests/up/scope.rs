//! What a flag or a verb reaches: which containers, and which it must leave.

use std::time::{Duration, Instant};

use crate::support::image::project;
use crate::support::world::WINDLASS;
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

#[test]
fn verbs_act_on_what_their_files_declare_though_other_files_were_brought_up_since() {
    let world = world();
    let text = "services:\n  a: {image: test}\n  b:\n    image: test\n    restart: always\n    \
                command: [sh, -c, 'rm -f /die; echo begun; while ! test -e /die; do sleep 0.1; done']\n";
    let folder = project(&world, "two", text);
    std::fs::write(folder.join("other.yml"), "services:\n  c: {image: test}\n").unwrap();
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    let state = |name: &str| {
        let all = windlass(&["-p", "two", "ps", "-a", "--format", "{{.Service}} {{.State}}"]).ok().stdout;
        all.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap_or("gone").to_owned()
    };
    windlass(&["up", "-d"]).ok();
    windlass(&["-f", "other.yml", "up", "-d"]).ok().says("--remove-orphans");
    assert_eq!(["a", "b", "c"].map(state), ["running"; 3]);
    // What a restart policy promised holds, though nothing that was brought up last has the service.
    windlass(&["exec", "-T", "b", "touch", "/die"]).ok();
    world.wait_for("its next start", || windlass(&["logs", "b"]).stdout.matches("begun").count() == 2);
    windlass(&["pause"]).ok();
    assert_eq!(["a", "b", "c"].map(state), ["paused", "paused", "running"]);
    windlass(&["unpause"]).ok();
    windlass(&["restart", "-t", "0"]).ok();
    windlass(&["kill", "a"]).ok();
    assert_eq!(["a", "b", "c"].map(state), ["exited", "running", "running"]);
    windlass(&["start", "a"]).ok();
    windlass(&["stop", "-t", "0"]).ok();
    assert_eq!(["a", "b", "c"].map(state), ["exited", "exited", "running"]);
    windlass(&["rm", "-f", "b"]).ok();
    // To bring the other files up again starts nothing of these.
    windlass(&["-f", "other.yml", "up", "-d"]).ok();
    assert_eq!(["a", "b", "c"].map(state), ["exited", "gone", "running"]);
    windlass(&["down", "-t", "0"]).ok();
    assert_eq!(["a", "c"].map(state), ["gone", "running"]);
    windlass(&["-f", "other.yml", "down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn ctrl_c_of_an_attached_up_stops_what_its_files_declare() {
    let world = world();
    let folder = project(&world, "ours", "services:\n  a: {image: test}\n");
    std::fs::write(folder.join("other.yml"), "services:\n  c: {image: test, init: true}\n").unwrap();
    world.windlass(&folder, &["up", "-d"]).ok();
    let output = folder.join("output");
    let mut up = world.command(WINDLASS, &folder);
    let file = std::fs::File::create(&output).unwrap();
    let mut up = up.args(["-f", "other.yml", "up"]).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let services = || world.windlass(&folder, &["-p", "ours", "ps", "--format", "{{.Service}}"]).ok().stdout;
    world.wait_for("c", || services().contains('c'));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(up.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130), "{}", std::fs::read_to_string(&output).unwrap());
    assert_eq!(services().trim(), "a");
    world.windlass(&folder, &["-p", "ours", "down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn down_v_leaves_a_volume_that_another_project_uses() {
    let world = world();
    let text = "services:\n  a: {image: test, volumes: [\"sh:/s\"]}\nvolumes: {sh: {name: shared}}\n";
    let (one, two) = (project(&world, "one", text), project(&world, "two", text));
    world.windlass(&one, &["up", "-d"]).ok();
    world.windlass(&one, &["exec", "-T", "a", "sh", "-c", "echo kept > /s/x"]).ok();
    world.windlass(&two, &["up", "-d"]).ok().says("was made for project one");
    for state in ["running", "stopped"] {
        world.windlass(&one, &["down", "-t", "0", "-v"]).ok().says("still used by two-a-1");
        world.windlass(&two, &["start"]).ok();
        assert_eq!(world.windlass(&two, &["exec", "-T", "a", "cat", "/s/x"]).ok().stdout, "kept\n", "{state}");
        world.windlass(&two, &["stop", "-t", "0"]).ok();
        world.windlass(&one, &["up", "-d"]).ok();
    }
    world.windlass(&two, &["down", "-t", "0"]).ok();
    world.windlass(&one, &["down", "-t", "0", "-v"]).ok();
    world.assert_clean();
}

#[test]
fn files_that_come_by_pipes_are_read_once() {
    let world = world();
    let folder = project(&world, "piped", "services: {a: {image: test, command: [echo, \"got $${A}\"]}}\n");
    let text = "cat compose.yaml | sed 's/\\$\\$/$/'";
    for script in [
        format!("{text} | A=1 {WINDLASS} -p piped -f - up"),
        format!("A=1 {WINDLASS} -p piped -f <({text}) up"),
        format!("{WINDLASS} -p piped -f <({text}) --env-file <(echo A=1) up"),
    ] {
        let mut command = world.command("bash", &folder);
        let output = command.args(["-c", &format!("set -o pipefail; {script}")]).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && stdout.contains("got 1"), "{script}: {stdout}{stderr}");
        world.windlass(&folder, &["down"]).ok();
    }
    world.assert_clean();
}

#[test]
fn a_container_of_another_project_lends_its_namespaces() {
    let world = world();
    let lender = "services:\n  a:\n    image: test\n    container_name: uniq\n    ipc: shareable\n    \
                  command: [sh, -c, \"echo lent > /dev/shm/x; mkdir /www; echo found > /www/index.html; exec httpd -f -p 80 -h /www\"]\n";
    let one = project(&world, "lends", lender);
    let text = "services:\n  b:\n    image: test\n    network_mode: container:uniq\n    ipc: container:uniq\n    pid: container:uniq\n";
    let two = project(&world, "joins", text);
    world.windlass(&two, &["up", "-d"]).code(1).says("uniq");
    world.windlass(&one, &["up", "-d"]).ok();
    world.windlass(&two, &["up", "-d"]).ok();
    let inside = |command: &str| world.windlass(&two, &["exec", "-T", "b", "sh", "-c", command]);
    world.wait_for("the page", || inside("wget -qO- http://127.0.0.1/").stdout == "found\n");
    assert_eq!(inside("cat /dev/shm/x; ps | grep -c '[h]ttpd'").stdout, "lent\n1\n");
    world.windlass(&two, &["down", "-t", "0"]).ok();
    world.windlass(&one, &["exec", "-T", "a", "wget", "-qO-", "http://127.0.0.1/"]).ok();
    world.windlass(&one, &["down", "-t", "0"]).ok();
    world.assert_clean();
}
