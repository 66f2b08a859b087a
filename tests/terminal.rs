//! What a person sees and types on a terminal: `exec -it`, `run -it`, `attach`, attached `up` with Ctrl-C, progress.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

use support::image::{load, project};
use support::world::World;

const SIZE: (u16, u16) = (24, 80);
const CTRL_C: &str = "\x03";

fn world() -> World {
    let world = World::new();
    load(&world);
    world
}

/// Short sleeps: a shell that gets the signal just as it starts a long one runs its trap only after that.
const TRAP: &str = "trap 'echo caught it; exit 7' INT; echo ready; while :; do sleep 0.01; done";

#[test]
fn exec_follows_the_size_and_hands_on_ctrl_c() {
    let world = world();
    let folder = project(&world, "p", "services:\n  web: {image: test, stop_signal: SIGKILL}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let wait =
        "stty size; while test \"$(stty size)\" = \"25 90\"; do sleep 0.01; done; stty size; read x; echo got $x";
    let mut terminal = world.on_terminal(&folder, &["exec", "-it", "web", "sh", "-c", wait], (25, 90));
    // The first thing that is shown: the size is there before the process.
    terminal.expect_first("25 90");
    assert!(terminal.is_raw());
    terminal.resize(33, 77);
    terminal.expect("33 77");
    terminal.send("typed\r");
    terminal.expect("got typed");
    assert_eq!(terminal.end().0, 0);
    assert!(!terminal.is_raw(), "the terminal is as it was");
    let mut terminal = world.on_terminal(&folder, &["exec", "web", "sh", "-c", TRAP], SIZE);
    terminal.expect("ready");
    terminal.send(CTRL_C);
    terminal.expect("caught it");
    assert_eq!(terminal.end().0, 7);
    world.windlass(&folder, &["ps"]).ok().says("Up");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn the_terminal_is_restored_when_the_container_is_killed() {
    let world = world();
    let folder = project(&world, "p", "services:\n  web: {image: test}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let mut terminal = world.on_terminal(&folder, &["exec", "web", "sh", "-c", "echo ready; exec sleep 1000"], SIZE);
    terminal.expect("ready");
    assert!(terminal.is_raw());
    world.windlass(&folder, &["kill"]).ok();
    assert_eq!(terminal.end().0, 137);
    assert!(!terminal.is_raw(), "the terminal is as it was");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn run_has_a_terminal_and_gives_the_commands_code() {
    let world = world();
    let folder = project(&world, "p", "services:\n  web: {image: test}\n");
    let script = "echo \"size $(stty size)\"; read x; echo got $x; exit 5";
    let mut terminal = world.on_terminal(&folder, &["run", "--rm", "-it", "web", "sh", "-c", script], (30, 90));
    terminal.expect("size ");
    // The size is there before the process.
    terminal.expect_first("30 90");
    terminal.send("typed\r");
    terminal.expect("got typed");
    assert_eq!(terminal.end().0, 5);
    assert!(!terminal.is_raw(), "the terminal is as it was");
    let mut terminal = world.on_terminal(&folder, &["run", "--rm", "web", "sh", "-c", TRAP], SIZE);
    terminal.expect("ready");
    terminal.send(CTRL_C);
    terminal.expect("caught it");
    assert_eq!(terminal.end().0, 7);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn attach_is_left_by_its_keys_and_the_container_goes_on() {
    let world = world();
    let text = "services:\n  web: {image: test, command: sh, tty: true, stdin_open: true, stop_signal: SIGKILL}\n";
    let folder = project(&world, "p", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    for (flags, keys) in
        [(&["attach", "web"][..], "\x10\x11"), (&["attach", "--detach-keys", "ctrl-x,y", "web"], "\x18y")]
    {
        let mut terminal = world.on_terminal(&folder, flags, SIZE);
        terminal.send("echo the-$(echo answer)\r");
        terminal.expect("the-answer");
        terminal.send(keys);
        terminal.end();
        assert!(!terminal.is_raw(), "the terminal is as it was");
        world.windlass(&folder, &["ps"]).ok().says("Up");
    }
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn ctrl_c_stops_an_attached_up_gracefully() {
    let world = world();
    let script = "trap 'echo going; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let folder = project(&world, "p", &format!("services:\n  web: {{image: test, command: [sh, -c, \"{script}\"]}}\n"));
    let mut terminal = world.on_terminal(&folder, &["up"], SIZE);
    terminal.expect("ready");
    terminal.send(CTRL_C);
    terminal.expect("Gracefully stopping");
    terminal.expect("press Ctrl-C again to kill");
    terminal.expect("going");
    assert_eq!(terminal.end().0, 130);
    assert!(!terminal.is_raw());
    world.windlass(&folder, &["ps", "-a"]).ok().says("Exited (3)");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_second_ctrl_c_kills() {
    let world = world();
    let script = "trap 'echo no' TERM; echo ready; while :; do sleep 0.01; done";
    let text = format!("services:\n  web: {{image: test, stop_grace_period: 1h, command: [sh, -c, \"{script}\"]}}\n");
    let folder = project(&world, "p", &text);
    let mut terminal = world.on_terminal(&folder, &["up"], SIZE);
    terminal.expect("ready");
    terminal.send(CTRL_C);
    terminal.expect("Gracefully stopping");
    terminal.expect("no");
    terminal.send(CTRL_C);
    terminal.expect("Killing");
    assert_eq!(terminal.end().0, 130);
    world.windlass(&folder, &["ps", "-a"]).ok().says("Exited (137)");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn the_board_of_an_attached_up_stays_once_above_the_logs() {
    let world = world();
    let script = "sleep 0.5; for i in 1 2 3; do echo line $$i; sleep 0.3; done";
    let folder = project(&world, "p", &format!("services:\n  web: {{image: test, command: [sh, -c, \"{script}\"]}}\n"));
    let mut terminal = world.on_terminal(&folder, &["up"], SIZE);
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    let (board, logs) = shown.split_once("line 1").unwrap();
    assert!(board.contains("[+] Running"), "{shown}");
    assert!(logs.contains("line 3") && !logs.contains("[+]"), "it is drawn again under the logs:\n{shown}");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

/// The numbers of lines that the cursor was moved up by.
fn climbs(shown: &str) -> Vec<usize> {
    shown
        .split("\x1b[")
        .skip(1)
        .filter_map(|rest| rest.split_once('A'))
        .filter_map(|(number, _)| number.parse().ok())
        .collect()
}

#[test]
fn progress_is_never_higher_than_the_screen() {
    let world = world();
    let folder = project(&world, "p", "services:\n  web: {image: test, stop_signal: SIGKILL}\n");
    let mut terminal = world.on_terminal(&folder, &["up", "-d", "--scale", "web=12"], (8, 60));
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    let climbs = climbs(&shown);
    assert!(!climbs.is_empty(), "it is drawn in place:\n{shown}");
    assert!(climbs.iter().all(|lines| *lines < 8), "a picture of more than 8 lines: {climbs:?}\n{shown}");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn off_a_terminal_progress_is_one_line_per_change() {
    let world = world();
    let folder = project(&world, "p", "services:\n  web: {image: test, stop_signal: SIGKILL}\n");
    let ran = world.windlass(&folder, &["up", "-d", "--scale", "web=3"]).ok();
    assert!(!ran.stderr.contains('\x1b'), "{}", ran.stderr);
    let lines: Vec<&str> = ran.stderr.lines().map(str::trim).collect();
    for change in ["Network p_default  Created", "Container p-web-1  Created", "Container p-web-3  Started"] {
        assert_eq!(lines.iter().filter(|line| **line == change).count(), 1, "{change} in:\n{}", ran.stderr);
    }
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}
