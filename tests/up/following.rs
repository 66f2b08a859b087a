//! Attached `up` and followed logs: when they end.

use std::io::{Read, Write};
use std::process::Stdio;

use super::*;
use crate::support::world::{Ran, WINDLASS};

#[test]
fn an_attached_up_and_followed_logs_end_with_the_last_container() {
    let world = world();
    let text = r#"
services:
  count: {image: test, command: [sh, -c, "for i in 1 2 3; do echo line $$i; done; exit 3"]}
  again: {image: test, command: [sh, -c, "echo more >> /out/times; test $$(wc -l < /out/times) -ge 2"], volumes: ["./:/out"], restart: on-failure}
"#;
    let folder = project(&world, "ends", text);
    let ran = world.windlass(&folder, &["up"]).ok();
    assert!(ran.stdout.contains("line 3") && ran.stdout.contains("exited with code 3"), "{}", ran.stdout);
    assert_eq!(fs::read_to_string(folder.join("times")).unwrap(), "more\nmore\n", "it has waited for the restart");
    world.windlass(&folder, &["up", "--abort-on-container-failure", "again"]).ok();
    world.windlass(&folder, &["up", "--abort-on-container-failure"]).code(3).says("line 3");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn followed_logs_end_when_the_project_is_stopped() {
    let world = world();
    let folder = project(
        &world,
        "tail",
        "services:\n  web: {image: test, command: [sh, -c, \"trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done\"]}\n",
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    let mut following = world.on_terminal(&folder, &["logs", "-f"], (24, 80));
    following.expect("ready");
    world.windlass(&folder, &["stop"]).ok();
    following.expect("bye");
    let (code, told) = following.end();
    assert_eq!(code, 0);
    assert!(told.contains("exited with code 0"), "{told}");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn followed_logs_of_what_has_ended_wait_until_it_is_started_again() {
    let world = world();
    let text = "services:\n  web: {image: test, stop_signal: KILL, command: [sh, -c, 'echo ready; sleep 1000']}\n  \
                job: {image: test, command: [echo, done]}\n";
    let folder = project(&world, "again", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["stop"]).ok();
    let mut following = world.on_terminal(&folder, &["logs", "-f", "--tail", "0"], (24, 80));
    // It listens: what is started now is heard.
    world.wait_for("the follower", || {
        world.windlass(&folder, &["restart", "-t", "0", "web"]).ok();
        following.shows("ready")
    });
    world.windlass(&folder, &["restart", "-t", "0", "web"]).ok();
    following.expect("exited with code 137 (restarting)");
    following.expect("ready");
    world.windlass(&folder, &["up", "-d", "--force-recreate", "-t", "0", "web"]).ok();
    following.expect("has been recreated");
    following.expect("ready");
    world.windlass(&folder, &["scale", "web=2"]).ok();
    following.expect("web-2");
    world.windlass(&folder, &["stop", "-t", "0"]).ok();
    following.expect("exited with code 137");
    following.expect("exited with code 137");
    // The job, which had ended before, has not ended since.
    world.windlass(&folder, &["start", "job"]).ok();
    following.expect("exited with code 0");
    assert_eq!(following.end().0, 0);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn followed_logs_end_when_the_project_is_taken_down() {
    let world = world();
    let folder = project(
        &world,
        "gone",
        "services:\n  web: {image: test, init: true, command: [sh, -c, 'echo ready; sleep 1000']}\n",
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    let mut following = world.on_terminal(&folder, &["logs", "-f"], (24, 80));
    following.expect("ready");
    world.windlass(&folder, &["down"]).ok();
    assert_eq!(following.end().0, 0);
    world.assert_clean();
}

#[test]
fn what_up_itself_stops_or_runs_before_is_no_first_end() {
    let world = world();
    let text = "services:\n  c: {image: test, init: true, command: [sh, -c, 'sleep 1; exit 7'], pre_start: [{command: ['true']}]}\n";
    let folder = project(&world, "first", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    // What is stopped to be made anew ends with 143, and what prepares the next with 0.
    world.windlass(&folder, &["up", "--abort-on-container-exit", "--force-recreate"]).code(7);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn events_are_told_before_a_project_is_up_and_after_it_was_taken_down() {
    let world = world();
    let folder = project(&world, "ears", "services:\n  web: {image: test, init: true}\n");
    let file = folder.join("events");
    let mut listener = world.command(WINDLASS, &folder);
    let output = fs::File::create(&file).unwrap();
    let mut listener = listener.arg("events").stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let told = || {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().map(|line| line.split(' ').nth(3).unwrap_or(line).to_owned()).collect::<Vec<_>>()
    };
    // It listens once it watches the folder in which its supervisor will appear.
    world.wait_for("the listener", || world.path().join("run/projects").exists());
    let life = ["create", "start", "kill", "die", "stop", "destroy"];
    for lives in [1, 2] {
        world.windlass(&folder, &["up", "-d"]).ok();
        world.windlass(&folder, &["up", "-d", "--force-recreate"]).ok();
        world.windlass(&folder, &["down"]).ok();
        world.wait_for("all of it", || told().len() >= lives * 2 * life.len());
        assert_eq!(told(), life.repeat(lives * 2));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(listener.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(listener.wait().unwrap().code(), Some(130));
    world.assert_clean();
}

#[test]
fn followed_logs_of_a_project_that_is_not_there_end_and_leave_nothing() {
    let world = world();
    let folder = project(&world, "p", "services:\n  web: {image: test}\n");
    let ran = world.windlass(&folder, &["-p", "typo", "logs", "-f"]).ok();
    assert_eq!(ran.stdout, "");
    assert!(world.sh("find . -name typo").ok().stdout.is_empty());
    world.assert_clean();
}

#[test]
fn an_attached_up_shows_nothing_of_a_service_that_is_not_to_be_attached() {
    let world = world();
    let text = "services:\n  loud: {image: test, command: [echo, from-loud], depends_on: [silent]}\n  silent: {image: test, command: [echo, from-silent], attach: false}\n";
    let folder = project(&world, "some", text);
    let ran = world.windlass(&folder, &["up"]).ok().says("from-loud").says("Attaching to loud-1");
    assert!(!ran.stdout.contains("from-silent") && !ran.stderr.contains("from-silent"), "{}", ran.stdout);
    world.windlass(&folder, &["logs"]).ok().says("from-silent");
    world.windlass(&folder, &["up", "--force-recreate", "--attach", "silent"]).ok().says("from-silent");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn an_attached_run_that_is_taken_down_ends_with_the_containers_code() {
    let world = world();
    let folder = project(&world, "taken", "services:\n  a: {image: test}\n");
    let mut command = world.command(WINDLASS, &folder);
    command.args(["run", "--rm", "a", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = command.spawn().unwrap();
    // What comes back has gone through the container: it runs, and we hear it.
    run.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    run.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    Ran::new("windlass run --rm a cat".into(), &run.wait_with_output().unwrap()).code(137);
    world.assert_clean();
}

#[test]
fn wait_fails_for_what_ends_again_and_again() {
    let world = world();
    let folder = project(&world, "loops", "services:\n  web: {image: test, command: ['false'], restart: always}\n");
    world.windlass(&folder, &["up", "-d", "--wait"]).code(1).says("loops-web-1 exited with 1, 8 times in a row");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn logs_that_nobody_takes_are_not_read_into_memory() {
    let world = world();
    let text = "services:\n  web:\n    image: test\n    volumes: [\"./:/here\"]\n    logging: { options: { max-size: 100m } }\n    \
                command: [sh, -c, \"yes 012345678901234567890123456789 | head -c 60000000; touch /here/done; sleep 1000\"]\n";
    let folder = project(&world, "flood", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    world.wait_for("all of it", || folder.join("done").exists());
    for follow in [&["logs"][..], &["logs", "-f"]] {
        let mut command = world.command(WINDLASS, &folder);
        let mut reader = command.args(follow).stdout(Stdio::piped()).spawn().unwrap();
        let proc = format!("/proc/{}", reader.id());
        let sleeps = || {
            let mut tasks = fs::read_dir(format!("{proc}/task")).unwrap().flatten();
            tasks.all(|task| fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| stat.contains(") S ")))
        };
        // It waits for its reader: seen often enough that it is not between two lines.
        world.wait_for("it to wait", || (0..50).all(|_| sleeps()));
        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap();
        assert!(kilobytes < 40_000, "{follow:?}: {memory}");
        drop(reader.stdout.take());
        reader.wait().unwrap();
    }
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}
