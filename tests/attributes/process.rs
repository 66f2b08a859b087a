//! What is run, as whom, how often, and how it ends.

use crate::stack::Stack;

#[test]
fn labels_annotations_and_files_of_them() {
    let stack = Stack::new(
        "services:\n  web:\n    image: test\n    label_file: [./labels]\n    labels: {own: here, both: own}\n    deploy: {labels: {of.the.service: x}}\n    annotations: {org.example: note}\n    attach: false\n",
    );
    stack.write("labels", "from=file\nboth=file\n");
    stack.run(&["up", "-d"]).ok();
    let shown = stack.run(&["ps", "--format", "json"]).ok().stdout;
    for says in ["from=file", "own=here", "both=own"] {
        assert!(shown.contains(says), "{says}: {shown}");
    }
    assert!(!shown.contains("of.the.service"), "labels of the service are no labels of its containers");
    stack.down();
}

#[test]
fn replicas_by_scale_deploy_and_mode() {
    let stack = Stack::up(
        r#"
services:
  scaled: { image: test, scale: 2 }
  deployed: { image: test, deploy: { replicas: 3 } }
  everywhere: { image: test, deploy: { mode: global } }
  none: { image: test, scale: 0 }
"#,
    );
    let count = |service: &str| stack.run(&["ps", "-q", service]).ok().stdout.lines().count();
    assert_eq!((count("scaled"), count("deployed"), count("everywhere")), (2, 3, 1));
    assert_eq!(stack.run(&["ps", "-aq"]).ok().stdout.lines().count(), 6);
    stack.down();
}

#[test]
fn restart_policies_of_both_kinds() {
    let stack = Stack::up(
        r#"
services:
  limited: { image: test, command: [sh, -c, "echo x >> /out/limited; exit 1"], volumes: ["./:/out"], restart: "on-failure:2" }
  deployed:
    image: test
    command: [sh, -c, "echo x >> /out/deployed; exit 1"]
    volumes: ["./:/out"]
    restart: "no"
    deploy: { restart_policy: { condition: on-failure, max_attempts: 1 } }
  never: { image: test, command: [sh, -c, "echo x >> /out/never; exit 1"], volumes: ["./:/out"] }
"#,
    );
    stack.world.wait_for("all attempts", || {
        stack.read("limited").lines().count() == 3 && stack.read("deployed").lines().count() == 2
    });
    assert_eq!(stack.read("never"), "x\n");
    stack.down();
}

#[test]
fn an_end_by_the_signal_and_within_the_time_that_the_file_says() {
    let stack = Stack::up(
        r#"
services:
  signal:
    image: test
    stop_signal: SIGUSR1
    command: [sh, -c, "trap 'echo usr1 > /out/signal; exit 0' USR1; echo > /out/ready; while :; do sleep 0.1; done"]
    volumes: ["./:/out"]
  stubborn:
    image: test
    stop_grace_period: 100ms
    command: [sh, -c, "trap '' TERM; echo > /out/deaf; while :; do sleep 0.1; done"]
    volumes: ["./:/out"]
"#,
    );
    stack.world.wait_for("both", || stack.folder.join("ready").exists() && stack.folder.join("deaf").exists());
    let begun = std::time::Instant::now();
    stack.run(&["stop"]).ok();
    assert!(begun.elapsed().as_secs() < 8, "without a time in the file it would be ten seconds");
    assert_eq!(stack.read("signal"), "usr1\n");
    stack.run(&["ps", "-a"]).ok().says("Exited (137)").says("Exited (0)");
    stack.down();
}

#[test]
fn an_image_that_must_not_be_pulled_is_told_also_where_it_is_there_for_another_platform() {
    for line in ["image: test, platform: linux/s390x", "image: missing"] {
        let stack = Stack::new(&format!("services:\n  web: {{{line}, pull_policy: never}}\n"));
        stack.world.mirror("127.0.0.1:9");
        let name = if line.contains("missing") { "missing" } else { "test" };
        stack.run(&["up", "-d"]).code(1).says(name);
        stack.world.assert_clean();
    }
}

#[test]
fn an_init_a_terminal_and_the_working_folder() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    init: true
    tty: true
    stdin_open: true
    working_dir: /made/for/it
    entrypoint: [sh, -c]
    command: ["exec sleep 1000"]
    security_opt: ["no-new-privileges:true", "seccomp=unconfined", "systempaths=unconfined"]
    uts: host
    ipc: host
    pid: host
"#,
    );
    let tree = stack.line("web", "pwd; tty < /proc/self/fd/0 || true; grep NoNewPrivs /proc/self/status");
    assert!(tree.starts_with("/made/for/it"), "{tree}");
    assert!(tree.contains("NoNewPrivs:\t1"), "{tree}");
    for kind in ["uts", "ipc", "pid"] {
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
        assert_eq!(stack.line("web", &format!("readlink /proc/self/ns/{kind}")), outside, "{kind}");
    }
    stack.down();
}

#[test]
fn an_ipc_namespace_without_shared_memory() {
    let stack = Stack::up("services:\n  web: {image: test, ipc: none}\n  other: {image: test}\n");
    assert_eq!(stack.line("web", "test -e /dev/shm || echo none"), "none");
    assert_eq!(stack.line("other", "test -d /dev/shm && grep -c ' /dev/shm ' /proc/mounts"), "1");
    let own = stack.line("web", "readlink /proc/self/ns/ipc");
    assert_ne!(own, std::fs::read_link("/proc/self/ns/ipc").unwrap().display().to_string());
    assert_ne!(own, stack.line("other", "readlink /proc/self/ns/ipc"));
    stack.write(
        "compose.yaml",
        "services:\n  web: {image: test, ipc: none}\n  other: {image: test, ipc: 'service:web'}\n",
    );
    stack.run(&["up", "-d"]).code(1).says("compose.yaml:3:");
    stack.down();
}
