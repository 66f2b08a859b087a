//! Containers that an OCI runtime drives (`runtime:`), from the outside: the same as windlass's own, but for who makes them.
//!
//! With runc, or what `WINDLASS_TEST_RUNTIME` names: crun refuses a machine that has both versions of cgroups, so it has its
//! turn in tests/vm.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

#[path = "attributes/stack.rs"]
mod stack;

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stack::{Stack, refused};

/// The runtime that is tried.
fn runtime() -> String {
    std::env::var("WINDLASS_TEST_RUNTIME").unwrap_or_else(|_| "runc".to_owned())
}

/// A project of this file, with the runtime that is tried in place of runc.
fn make(compose: &str) -> Stack {
    Stack::new(&compose.replace("runtime: runc", &format!("runtime: {}", runtime())))
}

/// As [`make`], and it is up.
#[track_caller]
fn up(compose: &str) -> Stack {
    let stack = make(compose);
    stack.run(&["up", "-d"]).ok();
    stack
}

/// What the runtime keeps is in the container's run folder.
fn run_folder(stack: &Stack, service: &str) -> PathBuf {
    let id = stack.run(&["ps", "-aq", "--no-trunc", service]).ok().stdout;
    stack.world.path().join("run/containers").join(id.trim())
}

/// The service's process, if one is recorded at this moment.
fn process(stack: &Stack, service: &str) -> Option<i64> {
    let text = fs::read_to_string(run_folder(stack, service).join("process.json")).ok()?;
    serde_json::from_str::<serde_json::Value>(text.lines().nth(1)?).ok()?["pid"].as_i64()
}

fn is_driven(stack: &Stack, service: &str) -> bool {
    fs::read_dir(run_folder(stack, service).join("oci/state")).is_ok_and(|mut list| list.next().is_some())
}

#[test]
fn it_answers_is_found_by_name_and_runs_as_it_is_told() {
    let stack = up(r#"
services:
  web:
    image: test
    runtime: runc
    command: [sh, -c, "echo hello > /data/index.html; exec httpd -f -p 80 -h /data"]
    ports: ["127.0.0.1:8080:80"]
    volumes: [data:/data]
    environment: { COLOUR: green }
    hostname: box
    working_dir: /made/for/it
    healthcheck: { test: [CMD, wget, -qO-, "http://127.0.0.1/"], interval: 1s }
  other:
    image: test
    runtime: runc
    read_only: true
    user: "1000:1001"
    tmpfs: [/scratch]
    depends_on: { web: { condition: service_healthy } }
volumes: { data: {} }
"#);
    assert!(is_driven(&stack, "web") && is_driven(&stack, "other"));
    assert_eq!(stack.world.sh("curl -fsS http://127.0.0.1:8080/").ok().stdout, "hello\n");
    assert_eq!(stack.line("other", "wget -qO- http://web/"), "hello");
    assert_eq!(stack.line("web", "echo $COLOUR $(hostname) $(pwd)"), "green box /made/for/it");
    assert_eq!(stack.line("other", "id -u; id -g").replace('\n', " "), "1000 1001");
    stack.inside("other", "touch /x").code(1).says("Read-only file system");
    assert_eq!(stack.line("other", "touch /scratch/x && echo written"), "written");
    stack.run(&["ps"]).ok().says("(healthy)");
    stack.run(&["plan", "--detailed-exitcode"]).ok().says("nothing to do");
    stack.down();
}

#[test]
fn it_is_told_annotations() {
    let stack = up(
        "services:\n  web: { image: test, runtime: runc, annotations: { org.example.note: kept, org.example.list: '1' } }\n  bare: { image: test, runtime: runc }\n",
    );
    let told = |service: &str| {
        let text = fs::read_to_string(run_folder(&stack, service).join("oci/config.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["annotations"].clone()
    };
    assert_eq!(told("web"), serde_json::json!({ "org.example.note": "kept", "org.example.list": "1" }));
    assert!(told("bare").as_object().is_none_or(serde_json::Map::is_empty), "{}", told("bare"));
    stack.down();
}

#[test]
fn exec_logs_top_stats_cp_and_pause() {
    let stack = up(
        "services:\n  web: { image: test, runtime: runc, command: [sh, -c, 'echo out; echo err >&2; exec sleep 1000'] }\n",
    );
    stack.inside("web", "exit 7").code(7);
    stack.inside("web", "kill -9 $$").code(137);
    stack.run(&["exec", "-T", "web", "no-such-program"]).code(127).says("no-such-program");
    stack.run(&["exec", "-T", "-w", "/none", "web", "true"]).code(127);
    assert_eq!(
        stack.run(&["exec", "-T", "-e", "A=b", "-u", "12:34", "web", "sh", "-c", "echo $A $(id -u)"]).ok().stdout,
        "b 12\n"
    );
    let logs = stack.run(&["logs", "--no-log-prefix"]).ok();
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out\nerr\n", ""));
    stack.run(&["top"]).ok().says("sleep 1000");
    stack.run(&["stats", "--no-stream"]).ok().says("app-web-1");
    stack.write("file", "copied\n");
    stack.run(&["cp", "file", "web:/file"]).ok();
    assert_eq!(stack.line("web", "cat /file"), "copied");
    stack.run(&["cp", "web:/file", "back"]).ok();
    assert_eq!(stack.read("back"), "copied\n");
    stack.run(&["pause"]).ok();
    stack.run(&["ps", "-a"]).ok().says("Paused");
    stack.inside("web", "true").code(1).says("paused, unpause it first");
    stack.run(&["unpause"]).ok();
    stack.inside("web", "true").ok();
    stack.run(&["pause"]).ok();
    stack.down();
}

#[test]
fn terminals_of_the_container_and_of_exec() {
    let stack = up(
        "services:\n  web: { image: test, runtime: runc, tty: true, stdin_open: true, command: [sh, -c, 'tty; read a; echo got $$a; sleep 1000'] }\n",
    );
    stack.world.wait_for("its terminal", || stack.run(&["logs"]).stdout.contains("/dev/pts/0"));
    let mut attached = stack.world.on_terminal(&stack.folder, &["attach", "web"], (24, 80));
    attached.send("word\r");
    attached.expect("got word");
    attached.send("\x10\x11");
    assert_eq!(attached.end().0, 0);
    let mut terminal = stack.world.on_terminal(&stack.folder, &["exec", "web", "sh"], (33, 99));
    terminal.send("stty size; tty; exit 5\r");
    terminal.expect("33 99");
    terminal.expect("/dev/pts/");
    assert_eq!(terminal.end().0, 5);
    stack.down();
}

#[test]
fn ends_signals_and_restarts() {
    let stack = up(r#"
services:
  kept: { image: test, runtime: runc, command: [sh, -c, "echo x >> /out/kept; exec sleep 1000"], volumes: ["./:/out"], restart: always }
  polite: { image: test, runtime: runc, command: [sh, -c, "trap 'echo bye > /out/polite; exit 3' USR1; while :; do sleep 0.1; done"], volumes: ["./:/out"], stop_signal: SIGUSR1 }
  deaf: { image: test, runtime: runc, command: [sh, -c, "trap '' TERM; while :; do sleep 0.1; done"], stop_grace_period: 1s }
  short: { image: test, runtime: runc, command: [sh, -c, "exit 4"] }
"#);
    stack.world.wait_for("its end", || stack.run(&["ps", "-a", "short"]).stdout.contains("Exited (4)"));
    let before = stack.pid("kept");
    kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
    stack.world.wait_for("the restart", || stack.read("kept") == "x\nx\n");
    let again = || process(&stack, "kept").is_some_and(|pid| pid != i64::from(before));
    stack.world.wait_for("a new process", again);
    stack.run(&["kill", "-s", "USR1", "polite"]).ok();
    stack.world.wait_for("its end", || stack.run(&["ps", "-a", "polite"]).stdout.contains("Exited (3)"));
    stack.run(&["start", "polite"]).ok();
    stack.write("polite", "");
    stack.run(&["stop", "polite", "deaf"]).ok();
    assert_eq!(stack.read("polite"), "bye\n");
    stack.run(&["ps", "-a", "deaf"]).ok().says("Exited (137)");
    stack.run(&["restart", "kept"]).ok();
    stack.run(&["run", "--rm", "-T", "kept", "sh", "-c", "exit 9"]).code(9);
    stack.run(&["up", "-d", "--force-recreate"]).ok();
    stack.down();
}

#[test]
fn limits_privileges_and_what_is_hidden() {
    let stack = make(
        r#"
services:
  web:
    image: test
    runtime: runc
    command: [sleep, "1000"]
    init: true
    mem_limit: 64m
    pids_limit: 77
    cpus: 0.5
    ulimits: { nofile: { soft: 100, hard: 200 } }
    cap_drop: [ALL]
    cap_add: [CHOWN]
    security_opt: [no-new-privileges]
    sysctls: { net.core.somaxconn: "77" }
    shm_size: 3m
    devices: [/dev/null:/dev/nothing]
    domainname: example
    secrets: [{ source: word, mode: 0400 }]
    extra_hosts: ["elsewhere:192.0.2.1"]
secrets: { word: { environment: WORD } }
"#,
    );
    stack.write(".env", "WORD=hush\n");
    stack.run(&["up", "-d"]).ok();
    let status = stack.line("web", "cat /proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    assert_eq!((field("CapEff:"), field("CapBnd:")), ("0000000000000001".into(), "0000000000000001".into()));
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".into(), "2".into()));
    assert_eq!(stack.line("web", "cat /proc/1/comm"), "windlass-init");
    assert_eq!(stack.line("web", "ulimit -Sn; ulimit -Hn").replace('\n', " "), "100 200");
    assert_eq!(stack.line("web", "cat /proc/sys/net/core/somaxconn"), "77");
    assert_eq!(stack.line("web", "df -k /dev/shm | tail -1 | awk '{print $2}'"), "3072");
    assert_eq!(stack.line("web", "test -c /dev/nothing && echo device"), "device");
    assert_eq!(stack.line("web", "cat /run/secrets/word; stat -c %a /run/secrets/word"), "hush400");
    assert!(stack.line("web", "cat /etc/hosts").contains("192.0.2.1\telsewhere"));
    assert_eq!(stack.line("web", "cat /proc/sys/kernel/domainname"), "example");
    assert_eq!(stack.line("web", "wc -c < /proc/interrupts; ls /sys/firmware"), "0");
    stack.inside("web", "echo 1 > /proc/sys/kernel/panic").code(1);
    let group = stack.world.sh(&format!("cat /proc/{}/cgroup", stack.pid("web"))).ok().stdout;
    let id = run_folder(&stack, "web").file_name().unwrap().to_string_lossy().into_owned();
    for line in group.lines() {
        assert!(line.ends_with(&id), "a group that is not the container's: {line}");
    }
    stack.down();
}

#[test]
fn a_killed_supervisor_and_a_killed_shim_are_found() {
    let stack = up(
        "services:\n  web: { image: test, runtime: runc, command: [httpd, -f, -p, '80'], ports: ['127.0.0.1:8080:80'], restart: always }\n",
    );
    let by_word = |word: &str| {
        let has = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().contains(word);
        stack.world.processes().into_iter().find(has).map(Pid::from_raw)
    };
    let before = stack.pid("web");
    let supervisor = by_word("__supervisor").unwrap();
    kill(supervisor, Signal::SIGKILL).unwrap();
    stack.world.wait_for("another supervisor", || by_word("__supervisor").is_some_and(|pid| pid != supervisor));
    stack.run(&["plan", "--detailed-exitcode"]).ok().says("nothing to do");
    assert_eq!(stack.pid("web"), before);
    stack.inside("web", "exit 3").code(3);
    kill(by_word("__shim").unwrap(), Signal::SIGKILL).unwrap();
    let answers = || stack.world.sh("curl -sS http://127.0.0.1:8080/").code == 0;
    let again = || process(&stack, "web").is_some_and(|pid| pid != i64::from(before));
    stack.world.wait_for("the restart", || again() && answers());
    stack.down();
}

#[test]
fn containers_share_namespaces_with_windlasss_own() {
    let stack = up(r#"
services:
  own: { image: test, command: [httpd, -f, -p, "80"], hostname: first, ipc: shareable }
  driven: { image: test, runtime: runc, command: [sleep, "1000"], network_mode: "service:own", pid: "service:own", ipc: "service:own" }
  above: { image: test, runtime: runc, command: [sleep, "1000"], network_mode: host, uts: host }
"#);
    stack.inside("driven", "wget -qO- http://127.0.0.1/ 2>&1 | grep -q 404").ok();
    assert!(stack.line("driven", "cat /proc/1/cmdline | tr '\\0' ' '").starts_with("httpd"));
    stack.inside("own", "echo shared > /dev/shm/x").ok();
    assert_eq!(stack.line("driven", "cat /dev/shm/x"), "shared");
    stack.down();
}

#[test]
fn what_a_runtime_cannot_do_is_told() {
    refused(
        "services:\n  web:\n    image: test\n    runtime: youki-that-nobody-has\n",
        &["compose.yaml:4:14", "`youki-that-nobody-has` is not installed", "apt-get install"],
    );
    refused("services:\n  web:\n    image: test\n    runtime: /no/such/runtime\n", &["there is no program"]);
    let missing = format!("services:\n  web: {{ image: test, runtime: {}, command: [no-such] }}\n", runtime());
    refused(&missing, &["no-such", &runtime()]);
    // A program that is no runtime.
    refused("services:\n  web: { image: test, runtime: /bin/false }\n", &["/bin/false"]);
}

/// gVisor: the container's processes have a kernel of their own, and nothing of it can be entered from outside.
#[test]
fn a_service_runs_under_gvisor_by_one_line() {
    let stack = up(r#"
services:
  web:
    image: test
    runtime: runsc
    command: [sh, -c, "echo from inside; exec nc -ll -p 80 -e cat /etc/hostname"]
    ports: ["127.0.0.1:8080:80"]
    healthcheck: { test: [CMD, test, -s, /etc/hostname], interval: 1s }
    hostname: box
    restart: always
  other: { image: test, command: [sleep, "1000"], depends_on: { web: { condition: service_healthy } } }
"#);
    // Its server only writes: Debian 12's gVisor answers a read that would wait with EAGAIN now and then.
    let answer = || stack.world.sh("busybox nc 127.0.0.1 8080 </dev/null").stdout;
    assert_eq!(answer(), "box\n");
    assert_eq!(stack.line("other", "nc web 80 </dev/null"), "box");
    stack.inside("web", "nslookup other 127.0.0.11").ok().says("172.");
    stack.inside("web", "exit 7").code(7);
    stack.inside("web", "dmesg").ok().says("gVisor");
    stack.run(&["logs"]).ok().says("from inside");
    stack.run(&["cp", "compose.yaml", "web:/"]).code(1).says("a kernel of their own");
    let before = stack.pid("web");
    stack.run(&["restart", "-t", "1", "web"]).ok();
    assert_ne!(stack.pid("web"), before);
    stack.world.wait_for("an answer", || answer() == "box\n");
    stack.down();
}
