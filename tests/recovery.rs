//! Whatever is killed, hung or cut short, and when: the next verb finds it and puts it right, and the containers notice only
//! what they must.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

#[path = "recovery/adopted.rs"]
mod adopted;
#[path = "recovery/records.rs"]
mod records;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::image::{load, project};
use support::world::{WINDLASS, World};

/// A world with the test image, and a project in it.
fn stack(name: &str, compose: &str) -> (World, PathBuf) {
    let world = World::new();
    load(&world);
    let folder = project(&world, name, compose);
    (world, folder)
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// The processes of a world whose command line has this word.
fn processes(world: &World, word: &str) -> Vec<i32> {
    let has = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|part| part == word.as_bytes())
    };
    world.processes().into_iter().filter(has).collect()
}

fn supervisor(world: &World) -> i32 {
    let found = processes(world, "__supervisor");
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

/// Waits for the supervisor that comes after another one. The processes that lead to it have its command line for a moment:
/// it is the one that says it holds the project.
fn next_supervisor(world: &World, old: i32) -> i32 {
    let mut next = 0;
    world.wait_for("a new supervisor", || {
        let log =
            world.sh("grep -ho 'holding the project pid=[0-9]*' root/projects/*/supervisor.log | tail -n 1").stdout;
        next = log.trim().rsplit('=').next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
        next != old && processes(world, "__supervisor") == [next]
    });
    next
}

/// The body of a record of the container whose name ends so.
fn record(world: &World, container: &str, name: &str) -> Option<serde_json::Value> {
    let all = fs::read_dir(world.path().join("root/containers")).ok()?.flatten();
    for entry in all {
        let body = |path: &Path| -> Option<serde_json::Value> {
            serde_json::from_str(fs::read_to_string(path).ok()?.lines().nth(1)?).ok()
        };
        let Some(made) = body(&entry.path().join("spec.json")) else { continue };
        if made["spec"]["name"].as_str().unwrap().ends_with(container) {
            return body(&world.path().join("run/containers").join(entry.file_name()).join(name));
        }
    }
    None
}

/// The process id of a container's first process, if it lives.
fn main_process(world: &World, container: &str) -> Option<i32> {
    let pid = i32::try_from(record(world, container, "process.json")?["pid"].as_i64()?).unwrap();
    is_alive(pid).then_some(pid)
}

fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// Starts windlass and does not wait for it; its output goes to a file.
fn begin(world: &World, folder: &Path, arguments: &[&str], output: &str) -> Child {
    let file = fs::File::create(world.path().join(output)).unwrap();
    let mut command: Command = world.command(WINDLASS, folder);
    command.args(arguments).stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null());
    command.spawn().unwrap()
}

fn said(world: &World, output: &str) -> String {
    fs::read_to_string(world.path().join(output)).unwrap()
}

const SLOW: &str = r#"
services:
  db:
    image: test
    volumes: ["./:/here"]
    healthcheck: { test: [CMD, test, -e, /here/ready], interval: 1s, retries: 1000 }
  web: { image: test, depends_on: { db: { condition: service_healthy } } }
"#;

#[test]
fn what_has_ended_gives_its_port_back_and_gets_it_again() {
    let text = r#"
services:
  job:
    image: test
    command: [sh, -c, "echo ran; test -e /here/stay && exec httpd -f -p 80; exit 3"]
    volumes: ["./:/here"]
    ports: ["127.0.0.1:8080:80"]
"#;
    let (world, folder) = stack("ended", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let taken = || world.sh("ss -Hltn | grep -q 127.0.0.1:8080").code == 0;
    world.wait_for("the port to be given back", || !taken());
    world.wait_for("the shim to end", || processes(&world, "__shim").is_empty());
    world.wait_for("its link to go", || world.sh("ip -o link | grep ' wl-.*@'").stdout.is_empty());
    world.windlass(&folder, &["ps", "-a"]).ok().says("Exited (3)");
    world.windlass(&folder, &["logs", "job"]).ok().says("ran");
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).code(2).says("exited 3, asked to start");
    fs::write(folder.join("stay"), "").unwrap();
    world.windlass(&folder, &["up", "-d"]).ok();
    world.wait_for("an answer", || world.sh("curl -sS http://127.0.0.1:8080/").code == 0);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_network_that_others_live_in_stays_when_its_owner_has_ended() {
    let text = r#"
services:
  owner: { image: test, command: [sleep, "1"] }
  guest: { image: test, network_mode: "service:owner", stop_signal: SIGKILL }
"#;
    let (world, folder) = stack("guest", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    world.wait_for("the owner's end", || world.windlass(&folder, &["ps", "-a"]).stdout.contains("Exited (0)"));
    world.windlass(&folder, &["plan", "--detailed-exitcode"]);
    world.windlass(&folder, &["exec", "-T", "guest", "ip", "-o", "link"]).ok().says("eth0");
    world.windlass(&folder, &["stop", "guest"]).ok();
    world.wait_for("both shims to end", || processes(&world, "__shim").is_empty());
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_second_up_waits_and_is_told_for_whom() {
    let (world, folder) = stack("second", SLOW);
    let mut first = begin(&world, &folder, &["up", "-d"], "first.out");
    world.wait_for("the first to wait", || main_process(&world, "db-1").is_some());
    let mut second = begin(&world, &folder, &["up", "-d"], "second.out");
    let holder = format!("waiting for process {}", first.id());
    world.wait_for("the second to say so", || said(&world, "second.out").contains(&holder));
    assert!(said(&world, "second.out").contains("up -d, since "), "{}", said(&world, "second.out"));
    fs::write(folder.join("ready"), "").unwrap();
    assert!(first.wait().unwrap().success(), "{}", said(&world, "first.out"));
    assert!(second.wait().unwrap().success(), "{}", said(&world, "second.out"));
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn an_up_that_is_killed_or_interrupted_is_carried_on_by_the_next() {
    let (world, folder) = stack("cut", SLOW);
    for (signalled, code) in [(Signal::SIGKILL, None), (Signal::SIGINT, Some(130))] {
        let _ = fs::remove_file(folder.join("ready"));
        let mut first = begin(&world, &folder, &["up", "-d"], "first.out");
        world.wait_for("the database", || main_process(&world, "db-1").is_some());
        signal(i32::try_from(first.id()).unwrap(), signalled);
        assert_eq!(first.wait().unwrap().code(), code, "{}", said(&world, "first.out"));
        fs::write(folder.join("ready"), "").unwrap();
        world.windlass(&folder, &["up", "-d", "--wait"]).ok();
        assert!(main_process(&world, "web-1").is_some());
        world.windlass(&folder, &["down", "-t", "0"]).ok();
    }
    world.assert_clean();
}

#[test]
fn another_build_of_the_program_replaces_the_supervisor_and_nothing_else() {
    let (world, folder) = stack("build", "services:\n  web: {image: test, restart: always, stop_signal: SIGKILL}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let (old, process) = (supervisor(&world), main_process(&world, "web-1").unwrap());
    let other = world.path().join("windlass");
    fs::copy(WINDLASS, &other).unwrap();
    support::image::append(&other, "\n");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let output = world.command(&other, &folder).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["up", "-d"]);
    let new = supervisor(&world);
    assert_ne!(new, old);
    assert_eq!(main_process(&world, "web-1"), Some(process), "the container did not notice");
    // The new one is the one that comes back.
    signal(new, Signal::SIGKILL);
    let revived = next_supervisor(&world, new);
    run(&["ps"]);
    run(&["up", "-d"]);
    assert_eq!(supervisor(&world), revived, "it is of the same build");
    assert_eq!(main_process(&world, "web-1"), Some(process));
    run(&["down"]);
    world.assert_clean();
}

#[test]
fn a_supervisor_that_hangs_is_replaced_and_the_containers_do_not_notice() {
    let (world, folder) = stack("hung", "services:\n  web: {image: test, stop_signal: SIGKILL}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let (old, process) = (supervisor(&world), main_process(&world, "web-1").unwrap());
    signal(old, Signal::SIGSTOP);
    world.windlass(&folder, &["ps"]).ok().says("web-1");
    world.windlass(&folder, &["up", "-d"]).ok();
    assert_ne!(supervisor(&world), old);
    assert_eq!(main_process(&world, "web-1"), Some(process));
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn an_up_goes_on_with_the_next_supervisor_where_one_hangs_or_is_killed() {
    for lost in [Signal::SIGSTOP, Signal::SIGKILL] {
        let (world, folder) = stack("stuck", SLOW);
        let mut up = begin(&world, &folder, &["up", "-d", "--wait"], "up.out");
        world.wait_for("the database", || main_process(&world, "db-1").is_some());
        let (old, database) = (supervisor(&world), main_process(&world, "db-1"));
        signal(old, lost);
        next_supervisor(&world, old);
        assert!(up.try_wait().unwrap().is_none(), "{}", said(&world, "up.out"));
        fs::write(folder.join("ready"), "").unwrap();
        assert!(up.wait().unwrap().success(), "{}", said(&world, "up.out"));
        assert!(said(&world, "up.out").contains("Container stuck-web-1  Started"), "{}", said(&world, "up.out"));
        assert_eq!(main_process(&world, "db-1"), database);
        world.windlass(&folder, &["down", "-t", "0"]).ok();
        world.assert_clean();
    }
}

#[test]
fn a_verb_that_loses_its_supervisor_is_done_once() {
    let text = "services:\n  web:\n    image: test\n    stop_grace_period: 1m\n    volumes: [\"./:/here\"]\n    \
                command: [sh, -c, \"echo begun >> /here/starts; \
                trap 'echo asked >> /here/stops; while ! test -e /here/go; do sleep 0.1; done; exit' TERM; \
                touch /here/up; while :; do sleep 0.1; done\"]\n";
    let (world, folder) = stack("once", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    for (verb, starts) in [("restart", 2), ("down", 2)] {
        let _ = fs::remove_file(folder.join("go"));
        world.wait_for("the trap", || folder.join("up").exists());
        let mut asked = begin(&world, &folder, &[verb], "verb.out");
        world.wait_for("its signal", || folder.join("stops").exists());
        let old = supervisor(&world);
        signal(old, Signal::SIGKILL);
        next_supervisor(&world, old);
        for file in ["stops", "up"] {
            fs::remove_file(folder.join(file)).unwrap();
        }
        fs::write(folder.join("go"), "").unwrap();
        assert!(asked.wait().unwrap().success(), "{verb}: {}", said(&world, "verb.out"));
        let begun = fs::read_to_string(folder.join("starts")).unwrap().lines().count();
        assert_eq!(begun, starts, "{verb}: {}", said(&world, "verb.out"));
    }
    world.assert_clean();
}

#[test]
fn after_a_kill_of_everything_the_next_verb_recovers() {
    let text = r#"
services:
  web: { image: test, command: [httpd, -f, -p, "80"], ports: ["127.0.0.1:8080:80"], restart: always }
  job: { image: test }
"#;
    let (world, folder) = stack("all", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let before = [main_process(&world, "web-1").unwrap(), main_process(&world, "job-1").unwrap()];
    // The shims first would bring the supervisor back, and the supervisor would mourn the shims: both are stopped before.
    let all: Vec<i32> = ["__supervisor", "__shim"].iter().flat_map(|word| processes(&world, word)).collect();
    assert_eq!(all.len(), 3);
    all.iter().for_each(|pid| signal(*pid, Signal::SIGSTOP));
    all.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
    world.wait_for("their end", || all.iter().all(|pid| !is_alive(*pid)));
    world.windlass(&folder, &["ps", "-a"]).ok().says("web-1");
    world.windlass(&folder, &["up", "-d"]).ok();
    world.wait_for("an answer", || world.sh("curl -sS http://127.0.0.1:8080/").code == 0);
    assert!(before.iter().all(|pid| !is_alive(*pid)), "nothing goes on that nobody waits for");
    assert!(main_process(&world, "job-1").is_some());
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_shim_that_is_killed_ends_its_container_and_the_policy_decides() {
    let text = "services:\n  web: {image: test, restart: always}\n  job: {image: test}\n";
    let (world, folder) = stack("shim", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let before = [main_process(&world, "web-1").unwrap(), main_process(&world, "job-1").unwrap()];
    processes(&world, "__shim").iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
    world.wait_for("a new process", || main_process(&world, "web-1").is_some_and(|pid| pid != before[0]));
    world.wait_for("the end of the other", || !is_alive(before[1]));
    world.windlass(&folder, &["ps", "-a"]).ok().says("Exited (255)");
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn health_and_restart_counts_outlive_the_supervisor_and_its_probes_do_not() {
    let text = r#"
services:
  web:
    image: test
    command: [sh, -c, "test -e /here/once || { touch /here/once; exit 1; }; exec sleep 100000"]
    volumes: ["./:/here"]
    restart: always
    healthcheck: { test: "test -e /here/well && exit 0; setsid sleep 4242 & sleep 4242", timeout: 100s, interval: 1s }
"#;
    let (world, folder) = stack("counts", text);
    fs::write(folder.join("well"), "").unwrap();
    world.windlass(&folder, &["up", "-d", "--wait"]).ok();
    let restarts = || record(&world, "web-1", "counters.json").unwrap()["restarts"].as_u64();
    assert_eq!(restarts(), Some(1));
    fs::remove_file(folder.join("well")).unwrap();
    let probes = || world.windlass(&folder, &["top"]).stdout.matches("sleep 4242").count();
    world.wait_for("a probe that hangs", || probes() >= 2);
    let inside = main_process(&world, "web-1");
    let mut old = supervisor(&world);
    for _ in 0..2 {
        signal(old, Signal::SIGKILL);
        old = next_supervisor(&world, old);
    }
    world.windlass(&folder, &["ps"]).ok().says("(healthy)");
    world.wait_for("the old probes to go, and one of the new supervisor's", || probes() == 2);
    assert_eq!((restarts(), main_process(&world, "web-1")), (Some(1), inside));
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn secrets_lie_apart_and_are_there_for_the_next_supervisor() {
    let text = r#"
services:
  web: { image: test, restart: always, secrets: [one], configs: [two] }
secrets: { one: { environment: THE_SECRET } }
configs: { two: { content: "inline-7d1" } }
"#;
    let (world, folder) = stack("secret", text);
    let up = |arguments: &[&str]| {
        let output = world.command(WINDLASS, &folder).args(arguments).env("THE_SECRET", "hush-9f3").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    for arguments in [&["plan"][..], &["plan", "--format", "json"], &["up", "-d"], &["ps", "--format", "json"]] {
        assert!(!up(arguments).contains("hush-9f3"), "{arguments:?} shows it");
    }
    let holders = world.sh("grep -rlE 'hush-9f3|inline-7d1' root run").stdout;
    assert!(!holders.is_empty() && holders.lines().all(|path| path.contains("/secrets/")), "{holders}");
    for path in holders.lines() {
        assert_eq!(fs::metadata(world.path().join(path)).unwrap().permissions().mode() & 0o777, 0o600, "{path}");
    }
    let (old, process) = (supervisor(&world), main_process(&world, "web-1").unwrap());
    signal(old, Signal::SIGKILL);
    next_supervisor(&world, old);
    signal(process, Signal::SIGKILL);
    world.wait_for("a new process", || main_process(&world, "web-1").is_some_and(|pid| pid != process));
    let inside = ["exec", "-T", "web", "cat", "/run/secrets/one", "/two"];
    world.wait_for("both inside", || world.windlass(&folder, &inside).stdout == "hush-9f3inline-7d1");
    up(&["up", "-d", "--force-recreate", "-t", "0"]);
    assert_eq!(world.windlass(&folder, &inside).ok().stdout, "hush-9f3inline-7d1");
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn what_was_told_of_the_files_is_told_once_and_the_log_level_reaches_the_supervisor() {
    let text = |more: &str| format!("version: '3'\nservices:\n  web: {{image: test{more}}}\n");
    let (world, folder) = stack("told", &text(""));
    let says = |arguments: &[&str]| world.windlass(&folder, arguments).ok().stderr.contains("compose.yaml:1:");
    assert!(says(&["up", "-d"]));
    assert!(!says(&["up", "-d"]) && !says(&["ps"]));
    fs::write(folder.join("compose.yaml"), format!("# changed\n{}", text(", stop_signal: SIGKILL"))).unwrap();
    world.windlass(&folder, &["up", "-d", "-t", "0"]).ok().says("compose.yaml:2:");
    let log = || fs::read_to_string(world.path().join("root/projects/told/supervisor.log")).unwrap();
    assert!(!log().contains("DEBUG") && !log().contains("TRACE"));
    let output = world.command(WINDLASS, &folder).args(["up", "-d"]).env("WINDLASS_LOG", "trace").output().unwrap();
    assert!(output.status.success());
    signal(supervisor(&world), Signal::SIGKILL);
    world.wait_for("a supervisor that tells more", || log().contains("TRACE") || log().contains("DEBUG"));
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_dependency_that_fails_is_named_with_its_last_words() {
    let text = r#"
services:
  db:
    image: test
    command: [sh, -c, "echo cannot open the store; exec sleep 100000"]
    healthcheck: { test: "echo refused; false", interval: 1s, retries: 1 }
    stop_signal: SIGKILL
  web: { image: test, depends_on: { db: { condition: service_healthy } } }
  job: { image: test, command: [sh, -c, "echo no such table; exit 4"], profiles: [job] }
  after: { image: test, profiles: [job], depends_on: { job: { condition: service_completed_successfully } } }
"#;
    let (world, folder) = stack("blame", text);
    let ran = world.windlass(&folder, &["up", "-d"]).code(1);
    ran.says("dependency db is unhealthy").says("cannot open the store").says("refused");
    let ran = world.windlass(&folder, &["up", "-d", "after"]).code(1);
    ran.says("dependency job exited with 4").says("no such table");
    world.windlass(&folder, &["--profile", "job", "down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_damaged_record_is_put_aside_and_named() {
    let (world, folder) = stack("torn", "services:\n  web: {image: test, stop_signal: SIGKILL}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let id = fs::read_dir(world.path().join("root/containers")).unwrap().next().unwrap().unwrap().file_name();
    let path = world.path().join("run/containers").join(&id).join("counters.json");
    fs::write(&path, "nonsense").unwrap();
    world.windlass(&folder, &["plan"]).ok().says("counters.json.bad").says("nothing to do");
    // What a newer windlass wrote is no rubbish.
    let path = world.path().join("root/containers").join(&id).join("spec.json");
    let ours = fs::read_to_string(&path).unwrap();
    fs::write(&path, ours.replacen("\"schema\":1", "\"schema\":99", 1)).unwrap();
    world.windlass(&folder, &["plan"]).code(1).says("a newer windlass wrote it");
    fs::write(&path, ours).unwrap();
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn who_listens_hears_on_when_the_supervisor_is_killed() {
    let command = "command: [sh, -c, 'while [ ! -e /go/now ]; do sleep 0.02; done; exit 3']";
    let text = format!("services:\n  web: {{image: test, {command}, volumes: ['./go:/go']}}\n");
    let (mut world, folder) = stack("ears", &text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let events = fs::File::create(folder.join("events")).unwrap();
    let mut listener = world.command(WINDLASS, &folder);
    world.start(listener.arg("events").stdout(events));
    let mut run = world.command(WINDLASS, &folder).args(["run", "--rm", "-T", "web"]).spawn().unwrap();
    world.wait_for("both to run", || {
        let shown = world.windlass(&folder, &["ps", "-a", "--format", "{{.State}}"]).stdout;
        shown.lines().filter(|state| *state == "running").count() == 2
    });
    let old = supervisor(&world);
    signal(old, Signal::SIGKILL);
    next_supervisor(&world, old);
    fs::write(folder.join("go/now"), "").unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(3), "the code of what is run");
    let told = || fs::read_to_string(folder.join("events")).unwrap();
    world.wait_for("the end to be told", || {
        told().lines().any(|line| line.contains("ears-web-1") && line.contains(" die ") && line.contains("exitCode=3"))
    });
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}
