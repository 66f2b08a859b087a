//! `post_start`, `pre_stop`, `pre_start`.

use crate::stack::Stack;
use crate::support::image;

#[test]
fn post_start_runs_after_each_start_in_order_with_user_folder_and_environment() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    user: ann
    environment: { BASE: base, BOTH: old }
    volumes: ["./:/out"]
    post_start:
      - command: [sh, -c, "echo first $$(id -u) $$(pwd) $$BASE $$BOTH >> /out/hooks"]
        user: root
        working_dir: /tmp
        environment: { BOTH: new }
      - command: sh -c 'echo second $$BOTH >> /out/hooks; grep CapEff /proc/self/status >> /out/hooks'
        privileged: true
        user: root
  late:
    image: test
    command: [sh, -c, "cat /out/hooks > /out/seen; exec sleep 1000"]
    volumes: ["./:/out"]
    depends_on: [web]
"#,
    );
    let hooks = stack.read("hooks");
    assert!(hooks.starts_with("first 0 /tmp base new\nsecond old\n"), "{hooks}");
    let effective = hooks.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    assert_ne!(effective, "00000000a80425fb", "all that this machine has, not docker's default set");
    stack.world.wait_for("the other's look", || stack.read("seen") == hooks);
    stack.run(&["up", "-d"]).ok();
    assert_eq!(stack.read("hooks"), hooks, "not without a start");
    stack.run(&["restart", "-t", "0", "web"]).ok();
    assert_eq!(stack.read("hooks").lines().filter(|line| line.starts_with("second")).count(), 2);
    stack.down();
}

#[test]
fn a_post_start_hook_that_fails_fails_the_up_and_keeps_dependents_down() {
    let stack = Stack::new(
        r#"
services:
  web:
    image: test
    volumes: ["./:/out"]
    post_start:
      - command: [sh, -c, "echo once >> /out/hooks"]
      - command: [sh, -c, "echo this is wrong; test -e /out/mended"]
  late: { image: test, depends_on: [web] }
"#,
    );
    stack.run(&["up", "-d"]).code(1).says("post_start[1]").says("ended with 1: this is wrong");
    assert_eq!(stack.run(&["ps", "-q", "late"]).ok().stdout, "");
    assert_ne!(stack.run(&["ps", "-q", "web"]).ok().stdout, "");
    stack.write("mended", "");
    stack.run(&["up", "-d"]).ok();
    assert_ne!(stack.run(&["ps", "-q", "late"]).ok().stdout, "");
    assert_eq!(stack.read("hooks"), "once\n", "the one that succeeded is not run again for the same start");
    stack.down();
}

#[test]
fn pre_stop_runs_before_stop_restart_recreate_and_down_and_not_after_an_end() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    restart: always
    stop_signal: SIGKILL
    environment: { VERSION: "${VERSION:-1}" }
    volumes: ["./:/out"]
    pre_stop:
      - command: [sh, -c, "echo $$VERSION >> /out/hooks"]
"#,
    );
    let runs = || stack.read("hooks").lines().count();
    stack.run(&["restart"]).ok();
    assert_eq!(runs(), 1);
    stack.run(&["stop"]).ok();
    assert_eq!(runs(), 2);
    stack.run(&["start"]).ok();
    let process = stack.pid("web");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL).unwrap();
    stack.world.wait_for("the next process", || {
        stack.run(&["ps", "-q", "web"]).stdout.len() > 1 && stack.inside("web", "true").code == 0
    });
    assert_eq!(runs(), 2, "not after an end of its own");
    stack.run(&["up", "-d", "--force-recreate"]).ok();
    assert_eq!(runs(), 3);
    stack.run(&["kill"]).ok();
    assert_eq!(runs(), 3);
    stack.run(&["start"]).ok();
    stack.run(&["down"]).ok();
    assert_eq!(runs(), 4);
    stack.world.assert_clean();
}

#[test]
fn a_pre_stop_hook_that_fails_is_told_and_stops_nothing_from_stopping() {
    let stack = Stack::up(
        "services:\n  web: {image: test, stop_signal: SIGKILL, pre_stop: [{command: [sh, -c, 'echo alas; exit 3']}]}\n",
    );
    stack.run(&["stop"]).ok().says("pre_stop[0]").says("ended with 3: alas");
    assert_eq!(stack.run(&["ps", "-q"]).ok().stdout, "");
    stack.down();
}

#[test]
fn pre_start_prepares_a_service_once_in_containers_of_its_own() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    scale: 2
    environment: { BASE: base }
    volumes: ["./:/out", "data:/shared"]
    command: [sh, -c, "cat /shared/prepared >> /out/seen; exec sleep 1000"]
    pre_start:
      - command: [sh, -c, "echo one $$BASE $$MORE >> /shared/prepared; echo one >> /out/steps"]
        environment: { MORE: more }
        user: root
      - command: [sh, -c, "echo two >> /shared/prepared; echo two >> /out/steps"]
      - command: [sh, -c, "echo $$(hostname) >> /out/each"]
        per_replica: true
volumes: { data: {} }
"#,
    );
    stack.world.wait_for("both", || stack.read("seen").lines().count() == 4);
    assert_eq!(stack.read("seen"), "one base more\ntwo\none base more\ntwo\n");
    assert_eq!(stack.read("steps"), "one\ntwo\n");
    assert_eq!(stack.read("each").lines().count(), 2);
    stack.run(&["up", "-d"]).ok();
    stack.run(&["restart", "-t", "0"]).ok();
    assert_eq!(stack.read("steps"), "one\ntwo\n", "once, whatever is started again");
    stack.run(&["plan", "--detailed-exitcode"]).ok().says("nothing to do");
    stack.run(&["up", "-d", "--force-recreate", "-t", "0"]).ok();
    assert_eq!(stack.read("steps"), "one\ntwo\none\ntwo\n", "a service that is made anew is prepared anew");
    stack.down();
}

#[test]
fn a_pre_start_step_that_fails_keeps_the_service_and_its_dependents_down() {
    let stack = Stack::new(
        r#"
services:
  web:
    image: test
    volumes: ["./:/out"]
    pre_start:
      - command: [sh, -c, "echo first >> /out/steps"]
      - command: [sh, -c, "echo second >> /out/steps; test -e /out/mended"]
  late: { image: test, depends_on: [web] }
"#,
    );
    stack.run(&["up", "-d"]).code(1).says("pre_start[1]");
    assert_eq!(stack.run(&["ps", "-q"]).ok().stdout, "");
    stack.write("mended", "");
    stack.run(&["up", "-d"]).ok();
    assert_eq!(stack.read("steps"), "first\nsecond\nsecond\n", "the step that succeeded is not run again");
    assert_eq!(stack.run(&["ps", "-q"]).ok().stdout.lines().count(), 2);
    stack.down();
}

#[test]
fn pre_stop_comes_before_every_stop_however_short_and_not_before_a_kill() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    stop_signal: SIGKILL
    volumes: ["./:/out"]
    pre_stop: [{ command: [sh, -c, "echo bye >> /out/hooks"] }]
"#,
    );
    stack.run(&["stop", "-t", "0"]).ok();
    assert_eq!(stack.read("hooks"), "bye\n");
    stack.run(&["start"]).ok();
    stack.run(&["kill"]).ok();
    assert_eq!(stack.read("hooks"), "bye\n", "nobody was asked to stop");
    stack.down();
}

/// Which capabilities a process may ever have: a line of /proc.
const BOUNDS: &str = "grep CapBnd /proc/self/status";

/// docker's default set, as [`BOUNDS`] shows it.
const DEFAULT: &str = "CapBnd:\t00000000a80425fb";

#[test]
fn pre_stop_has_its_own_user_folder_and_rights() {
    let stack = Stack::up(&format!(
        r#"
services:
  web:
    image: test
    user: root
    stop_signal: SIGKILL
    volumes: ["./:/out"]
    pre_stop:
      - command: [sh, -c, "(echo $$(id -u) $$(pwd); {BOUNDS}) >> /out/hooks; chmod 666 /out/hooks"]
      - {{ command: [sh, -c, "(echo $$(id -u) $$(pwd); {BOUNDS}) >> /out/hooks"], user: ann, working_dir: /home, privileged: true }}
"#
    ));
    stack.run(&["stop"]).ok();
    let hooks = stack.read("hooks");
    let lines: Vec<&str> = hooks.lines().collect();
    assert_eq!((lines[0], lines[1], lines[2]), ("0 /", DEFAULT, "1234 /home"), "{hooks}");
    assert_ne!(lines[3], DEFAULT, "all that this machine has");
    stack.down();
}

#[test]
fn pre_start_has_its_own_image_folder_and_rights() {
    let stack = Stack::new(&format!(
        r#"
services:
  web:
    image: test
    volumes: ["./:/out"]
    pre_start:
      - command: [sh, -c, "(echo $$WHOSE $$(pwd); {BOUNDS}) >> /out/steps"]
      - {{ command: [sh, -c, "(echo $$WHOSE $$(pwd); {BOUNDS}) >> /out/steps"], image: "other:1", working_dir: /tmp, privileged: true }}
"#
    ));
    let config =
        serde_json::json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin", "WHOSE=other"], "WorkingDir": "/home" });
    image::load_as(&stack.world, "other:1", &config);
    stack.run(&["up", "-d"]).ok();
    let steps = stack.read("steps");
    let lines: Vec<&str> = steps.lines().collect();
    assert_eq!((lines[0], lines[1], lines[2]), ("/", DEFAULT, "other /tmp"), "{steps}");
    assert_ne!(lines[3], DEFAULT, "all that this machine has");
    stack.down();
}
