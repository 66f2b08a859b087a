//! The verbs, end to end, on containers made of the tests' own image: what a person types, and what comes of it.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

#[path = "up/as_docker.rs"]
mod as_docker;
#[path = "up/at_hand.rs"]
mod at_hand;
#[path = "up/following.rs"]
mod following;
#[path = "up/refused.rs"]
mod refused;
#[path = "up/scope.rs"]
mod scope;
#[path = "up/stopped.rs"]
mod stopped;
#[path = "up/told.rs"]
mod told;

use std::fs;
use std::path::Path;

use support::image::{load, project};
use support::world::World;

fn world() -> World {
    let world = World::new();
    load(&world);
    world
}

#[test]
fn a_stack_comes_up_answers_and_goes_down_without_a_trace() {
    let world = world();
    let folder = project(
        &world,
        "shop",
        r#"
services:
  web:
    image: test
    command: [sh, -c, "echo hello from web; mkdir -p /www; echo page > /www/index.html; exec httpd -f -p 80 -h /www"]
    ports: ["127.0.0.1:8080:80", "8081:80"]
    depends_on: { db: { condition: service_healthy } }
  db:
    image: test
    command: [sh, -c, "nc -ll -p 5432 -e cat"]
    healthcheck: { test: [CMD-SHELL, "echo hi | nc -w 1 127.0.0.1 5432"], interval: 1s }
    volumes: [data:/data]
volumes: { data: {} }
"#,
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    world.sh("curl -fsS --retry 20 --retry-all-errors --retry-delay 1 http://127.0.0.1:8080/").ok().says("page");
    world.sh("curl -fsS http://127.0.0.1:8081/").ok().says("page");
    world.sh("curl -fsS 'http://[::1]:8081/'").ok().says("page");
    world.windlass(&folder, &["ps"]).ok().says("shop-web-1").says("(healthy)").says("127.0.0.1:8080->80/tcp");
    world.wait_for("its output", || world.windlass(&folder, &["logs", "web"]).stdout.contains("hello from web"));
    world.windlass(&folder, &["exec", "-T", "web", "wget", "-qO-", "http://web/"]).ok().says("page");
    world.windlass(&folder, &["exec", "-T", "web", "sh", "-c", "echo hi | nc -w 1 db 5432"]).ok();
    world.windlass(&folder, &["exec", "-T", "db", "cat", "/data/content"]).ok().says("from the image");
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok().says("nothing to do");
    world.windlass(&folder, &["down", "-v"]).ok();
    world.assert_clean();
}

#[test]
fn the_demo_comes_up_and_its_removal_leaves_nothing() {
    let world = world();
    let files =
        || world.sh("find root run -type f -not -name '*.lock' -not -name lock -not -name world.json | sort").stdout;
    let before = files();
    let told = world.windlass(world.path(), &["demo"]).ok();
    let address = told.stdout.lines().find(|line| line.contains("http://")).unwrap().trim().to_owned();
    world.sh(&format!("curl -fsS {address}")).ok().says("<!doctype html>");
    world.windlass(world.path(), &["demo", "--down"]).ok();
    // Not a moment later: who goes on in a script finds the machine as it was.
    assert_eq!(before, files());
    world.assert_clean();
}

#[test]
fn only_what_changed_is_made_anew_and_the_plan_says_why() {
    let world = world();
    let text =
        |value: &str| format!("services:\n  a: {{image: test, environment: {{FOO: {value}}}}}\n  b: {{image: test}}\n");
    let folder = project(&world, "change", &text("one"));
    world.windlass(&folder, &["up", "-d"]).ok();
    let ids = |world: &World| world.windlass(&folder, &["ps", "-q", "--no-trunc"]).ok().stdout;
    let id = |world: &World, service: &str| world.windlass(&folder, &["ps", "-q", service]).ok().stdout;
    let (before, b) = (ids(&world), id(&world, "b"));
    world.windlass(&folder, &["up", "-d"]).ok();
    assert_eq!(ids(&world), before, "an unchanged stack is left alone");
    fs::write(folder.join("compose.yaml"), text("two")).unwrap();
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).code(2).says("environment.FOO changed");
    assert_eq!(ids(&world), before, "a plan changes nothing");
    world.windlass(&folder, &["up", "-d"]).ok();
    assert_ne!(ids(&world), before);
    assert_eq!(id(&world, "b"), b, "what did not change is left alone");
    world.windlass(&folder, &["exec", "-T", "a", "env"]).ok().says("FOO=two");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_killed_process_is_started_again_and_keeps_its_address() {
    let world = world();
    let folder = project(&world, "heal", "services:\n  web: {image: test, restart: always}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let pid = |world: &World| world.windlass(&folder, &["top"]).ok().stdout;
    let hosts = |world: &World| world.windlass(&folder, &["exec", "-T", "web", "cat", "/etc/hosts"]).stdout;
    let (before, address) = (pid(&world), hosts(&world));
    let state = world.path().join("run/containers");
    let process = main_pid(&state);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL).unwrap();
    world.wait_for("a new process", || pid(&world) != before && pid(&world).contains("sleep"));
    assert_eq!(hosts(&world), address);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

/// The process id of the only container's first process.
fn main_pid(containers: &Path) -> i32 {
    let folder = fs::read_dir(containers).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(folder.join("process.json")).unwrap();
    let body: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    i32::try_from(body["pid"].as_i64().unwrap()).unwrap()
}

#[test]
fn a_killed_supervisor_comes_back_and_the_containers_do_not_notice() {
    let world = world();
    let folder = project(&world, "crash", "services:\n  web: {image: test, restart: always}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let supervisor = |world: &World| -> Vec<i32> {
        world
            .processes()
            .into_iter()
            .filter(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.windows(12).any(|w| w == b"__supervisor")
            })
            .collect()
    };
    let old = supervisor(&world);
    assert_eq!(old.len(), 1);
    let process = main_pid(&world.path().join("run/containers"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(old[0]), nix::sys::signal::Signal::SIGKILL).unwrap();
    world.wait_for("a new supervisor", || {
        let now = supervisor(&world);
        now.len() == 1 && now != old
    });
    assert_eq!(main_pid(&world.path().join("run/containers")), process);
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn scale_stop_start_restart_pause_and_rm() {
    let world = world();
    let folder = project(&world, "verbs", "services:\n  web: {image: test, stop_signal: SIGKILL}\n");
    world.windlass(&folder, &["up", "-d", "--scale", "web=3"]).ok();
    let count = |world: &World, arguments: &[&str]| {
        world.windlass(&folder, &[&["ps", "-q"], arguments].concat()).ok().stdout.lines().count()
    };
    assert_eq!(count(&world, &[]), 3);
    world.windlass(&folder, &["scale", "web=1"]).ok();
    assert_eq!(count(&world, &["-a"]), 1);
    world.windlass(&folder, &["pause"]).ok();
    world.windlass(&folder, &["ps"]).ok().says("(Paused)");
    world
        .windlass(&folder, &["exec", "-T", "web", "true"])
        .code(1)
        .says("container verbs-web-1 is paused, unpause it first");
    world.windlass(&folder, &["unpause"]).ok();
    world.windlass(&folder, &["stop"]).ok();
    assert_eq!((count(&world, &[]), count(&world, &["-a"])), (0, 1));
    world.windlass(&folder, &["start"]).ok();
    assert_eq!(count(&world, &[]), 1);
    world.windlass(&folder, &["restart"]).ok();
    assert_eq!(count(&world, &[]), 1);
    world.windlass(&folder, &["pause"]).ok();
    world.windlass(&folder, &["pause"]).code(1).says("service `web` is paused already");
    world.windlass(&folder, &["unpause", "web"]).ok();
    world.windlass(&folder, &["unpause"]).code(1).says("service `web` is not paused");
    world
        .windlass(&folder, &["kill"])
        .ok()
        .says("Container verbs-web-1  Killing")
        .says("Container verbs-web-1  Killed");
    world.windlass(&folder, &["rm", "-f"]).ok();
    world.windlass(&folder, &["start"]).code(1).says("service `web` has no container");
    assert_eq!(count(&world, &["-a"]), 0);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_volume_is_removed_only_where_no_container_has_it() {
    let world = world();
    let text = "services:\n  web: {image: test, stop_signal: SIGKILL, volumes: [data:/data]}\nvolumes: {data: {}}\n";
    let folder = project(&world, "keep", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["volume", "rm", "keep_data"]).code(1).says("in use by keep-web-1");
    world.windlass(&folder, &["stop"]).ok();
    world.windlass(&folder, &["volume", "rm", "-f", "keep_data"]).code(1).says("in use by keep-web-1");
    world.windlass(&folder, &["start"]).ok();
    world.windlass(&folder, &["exec", "-T", "web", "cat", "/data/content"]).ok().says("from the image");
    world.windlass(&folder, &["down"]).ok();
    assert_eq!(world.windlass(&folder, &["volume", "rm", "keep_data"]).ok().stdout, "keep_data\n");
    let again = world.windlass(&folder, &["volume", "rm", "keep_data"]).code(1).says("no such volume: keep_data");
    assert_eq!(again.stdout, "");
    world.windlass(&folder, &["volume", "rm", "-f", "keep_data"]).ok();
    world.assert_clean();
}

#[test]
fn a_verb_for_one_service_does_not_fail_for_another() {
    let world = world();
    let text = r#"
services:
  good: {image: test, stop_signal: SIGKILL}
  dep: {image: test, command: ["false"]}
  wt: {image: test, depends_on: {dep: {condition: service_completed_successfully}}}
  sick: {image: test, stop_signal: SIGKILL, healthcheck: {test: ["CMD", "false"], interval: 1s, retries: 1}}
"#;
    let folder = project(&world, "f1", text);
    world.windlass(&folder, &["up", "-d"]).code(1).says("f1-wt-1 can't be started");
    world.windlass(&folder, &["up", "-d", "--wait", "sick"]).code(1).says("f1-sick-1 is unhealthy");
    world.windlass(&folder, &["start", "--wait", "sick"]).code(1).says("f1-sick-1 is unhealthy");
    world.windlass(&folder, &["up", "-d", "good"]).ok();
    world.windlass(&folder, &["up", "-d", "--wait", "good"]).ok();
    world.windlass(&folder, &["start", "--wait", "good"]).ok();
    world.windlass(&folder, &["pause", "good"]).ok();
    world.windlass(&folder, &["attach", "good"]).code(1).says("f1-good-1 is paused, unpause it first");
    world.windlass(&folder, &["unpause", "good"]).ok();
    world.windlass(&folder, &["restart", "good"]).ok();
    world.windlass(&folder, &["scale", "good=2"]).ok();
    world.windlass(&folder, &["run", "--rm", "-T", "good", "echo", "hi"]).ok().says("hi");
    world.windlass(&folder, &["stop", "good"]).ok();
    world.windlass(&folder, &["start", "good"]).ok();
    world.windlass(&folder, &["up", "-d", "wt"]).code(1).says("f1-wt-1 can't be started");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_run_that_fails_takes_its_container_back() {
    let world = world();
    let text = r#"
services:
  dep: {image: test, command: ["false"]}
  c: {image: test, depends_on: {dep: {condition: service_completed_successfully}}}
"#;
    let folder = project(&world, "back", text);
    let left = |world: &World| world.windlass(&folder, &["ps", "-a", "--format", "{{.Name}}"]).ok().stdout;
    world.windlass(&folder, &["run", "--rm", "-T", "c", "true"]).code(125).says("dependency dep exited with 1");
    assert_eq!(left(&world), "back-dep-1\n");
    world.windlass(&folder, &["run", "-d", "c", "true"]).code(1).says("dependency dep exited with 1");
    assert_eq!(left(&world), "back-dep-1\n");
    world.windlass(&folder, &["run", "--rm", "-T", "--no-deps", "c", "echo", "hi"]).ok().says("hi");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn stop_and_down_make_nothing() {
    let world = world();
    let text = r#"
services:
  good: {image: test, stop_signal: SIGKILL}
  bad:
    image: test
    stop_signal: SIGKILL
    volumes: [{type: volume, source: data, target: /data, volume: {subpath: "${PART-nosuch}"}}]
volumes: {data: {}}
"#;
    let folder = project(&world, "less", text);
    let makes_nothing = |arguments: &[&str]| {
        let ran = world.windlass(&folder, arguments).ok();
        assert!(!ran.stderr.contains("Creat") && !ran.stdout.contains("Creat"), "{}\n{}", ran.stdout, ran.stderr);
    };
    let failed = world.windlass(&folder, &["up", "-d"]).code(1).says("nosuch").says("Container less-bad-1  Creating");
    assert!(!failed.stderr.contains("Container   "), "a line without a name: {}", failed.stderr);
    makes_nothing(&["stop", "good"]);
    makes_nothing(&["rm", "-f", "good"]);
    makes_nothing(&["stop"]);
    makes_nothing(&["kill"]);
    makes_nothing(&["down", "-v"]);
    assert_eq!(world.windlass(&folder, &["volume", "ls", "-q"]).ok().stdout, "");
    world.assert_clean();
    fs::write(folder.join(".env"), "PART=\n").unwrap();
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["down", "-v"]).ok();
    world.assert_clean();
}

#[test]
fn the_logs_of_what_down_removes_go_with_it() {
    let world = world();
    let service = |name: &str| format!("  {name}: {{image: test, command: [sh, -c, \"echo x; exec sleep 99\"]}}\n");
    let folder = project(&world, "z", &["services:\n", &service("a"), &service("o")].concat());
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["run", "--rm", "-T", "a", "echo", "once"]).ok();
    fs::write(folder.join("compose.yaml"), format!("services:\n{}", service("a"))).unwrap();
    let logs = |world: &World| world.sh("ls root/projects/z/logs").ok().stdout;
    assert!(logs(&world).contains("a-1\n"));
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    assert_eq!(logs(&world), "o-1\n");
    world.windlass(&folder, &["down", "-t", "0", "--remove-orphans"]).ok();
    world.assert_clean();
}

#[test]
fn events_name_the_image_of_what_is_gone() {
    let mut world = world();
    let folder = project(&world, "ev", "services:\n  job: {image: test, stop_signal: SIGKILL}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let file = fs::File::create(folder.join("events")).unwrap();
    let mut events = world.command(env!("CARGO_BIN_EXE_windlass"), &folder);
    world.start(events.arg("events").stdout(file));
    let told = || fs::read_to_string(folder.join("events")).unwrap();
    world.wait_for("the first event", || {
        world.windlass(&folder, &["restart"]).ok();
        told().contains("container start")
    });
    // It may have begun to listen in the middle of one: this one it hears as a whole.
    world.windlass(&folder, &["restart"]).ok();
    world.windlass(&folder, &["scale", "job=2"]).ok();
    world.windlass(&folder, &["scale", "job=1"]).ok();
    world.windlass(&folder, &["down"]).ok();
    world.wait_for("the last event", || told().matches("container destroy").count() == 2);
    let actions: Vec<String> = told().lines().filter_map(|line| line.split(' ').nth(3).map(str::to_owned)).collect();
    let restart = actions.windows(5).any(|some| some == ["kill", "die", "stop", "start", "restart"]);
    assert!(restart, "as docker orders them: {actions:?}");
    for line in told().lines() {
        assert!(line.contains("image=test"), "{line}");
    }
    world.assert_clean();
}

#[test]
fn events_tell_signals_labels_and_how_long_a_container_ran() {
    let mut world = world();
    let text = "services:\n  web:\n    image: test\n    labels: {org.example: x}\n    \
                command: [sh, -c, 'trap : HUP; while :; do sleep 0.01; done']\n";
    let folder = project(&world, "ev", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let file = fs::File::create(folder.join("events")).unwrap();
    let mut events = world.command(env!("CARGO_BIN_EXE_windlass"), &folder);
    world.start(events.args(["events", "--json"]).stdout(file));
    let told = || -> Vec<serde_json::Value> {
        let text = fs::read_to_string(folder.join("events")).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    world.wait_for("the first event", || {
        world.windlass(&folder, &["kill", "-s", "HUP"]).ok();
        !told().is_empty()
    });
    let hup = told().remove(0);
    assert_eq!((&hup["action"], &hup["service"]), (&"kill".into(), &"web".into()));
    let wanted = serde_json::json!({"image": "test", "name": "ev-web-1", "org.example": "x", "signal": "1"});
    assert_eq!(hup["attributes"], wanted);
    world.windlass(&folder, &["kill"]).ok();
    world.wait_for("the end", || told().iter().any(|event| event["action"] == "die"));
    let all = told();
    let [.., kill, die] = &all[..] else { panic!("{all:?}") };
    assert_eq!((&kill["action"], &kill["attributes"]["signal"]), (&"kill".into(), &"9".into()));
    assert_eq!((&die["action"], &die["attributes"]["exitCode"]), (&"die".into(), &"137".into()));
    assert!(die["attributes"]["execDuration"].as_str().is_some_and(|text| text.parse::<u32>().is_ok()), "{die}");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn run_gives_the_commands_output_and_code() {
    let world = world();
    let folder = project(&world, "oneoff", "services:\n  web: {image: test, environment: {FOO: bar}}\n");
    world.windlass(&folder, &["run", "--rm", "-T", "web", "sh", "-c", "echo $FOO; exit 7"]).code(7).says("bar");
    // Once, and then it is gone: a declared container that is missing would be made again.
    let once = ["run", "--rm", "-T", "-v", "./:/here", "web", "sh", "-c", "echo ran >> /here/times"];
    world.windlass(&folder, &once).ok();
    assert_eq!(world.windlass(&folder, &["ps", "-a", "-q"]).ok().stdout, "", "it is gone when `run --rm` returns");
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).code(2).says("oneoff-web-1");
    assert_eq!(fs::read_to_string(folder.join("times")).unwrap(), "ran\n");
    world.windlass(&folder, &["run", "--rm", "-T", "web", "no-such-program"]).code(127);
    world.windlass(&folder, &["run", "--rm", "-T", "web", "/etc/passwd"]).code(126);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_a_container_sees_is_what_the_file_says() {
    let world = world();
    let folder = world.project(
        "inside",
        &[
            ("secret.txt", "hidden"),
            (
                "compose.yaml",
                r#"
services:
  web:
    image: test
    hostname: inside
    user: ann
    group_add: ["4000"]
    working_dir: /work
    read_only: true
    tmpfs: ["/scratch:size=1m"]
    shm_size: 8m
    ulimits: { nofile: { soft: 100, hard: 200 } }
    sysctls: { net.core.somaxconn: "77" }
    cap_drop: [ALL]
    cap_add: [NET_BIND_SERVICE]
    extra_hosts: ["other:10.9.8.7"]
    mem_limit: 64m
    secrets: [{ source: password, uid: "1234", mode: 0400 }]
    configs: [{ source: settings, target: /etc/settings }]
    volumes: ["./:/project:ro"]
secrets: { password: { file: secret.txt } }
configs: { settings: { content: "a = 1\n" } }
"#,
            ),
        ],
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    let inside = |script: &str| world.windlass(&folder, &["exec", "-T", "web", "sh", "-c", script]);
    inside("hostname").ok().says("inside");
    inside("id").ok().says("uid=1234(ann) gid=2345(staff)").says("2000(extra)").says("4000");
    inside("pwd").ok().says("/work");
    inside("echo $HOME").ok().says("/home");
    inside("touch /x").code(1).says("Read-only");
    inside("touch /scratch/x && df -k /scratch | tail -1").ok().says("1024");
    inside("df -k /dev/shm | tail -1").ok().says("8192");
    inside("ulimit -n; ulimit -Hn").ok().says("100\n200");
    inside("cat /proc/sys/net/core/somaxconn").ok().says("77");
    inside("grep CapBnd /proc/self/status").ok().says("0000000000000400");
    inside("grep Seccomp: /proc/self/status").ok().says("2");
    inside("cat /etc/hosts").ok().says("10.9.8.7\tother");
    inside("stat -c '%a %u' /run/secrets/password; cat /run/secrets/password").ok().says("400 1234\nhidden");
    inside("cat /etc/settings").ok().says("a = 1");
    inside("cat /project/secret.txt; touch /project/x").code(1).says("hidden");
    inside("cat /proc/1/status | grep NSpid").ok();
    let shown = world.windlass(&folder, &["config"]).ok();
    assert!(!shown.stdout.contains("hidden"), "the secret's value is not shown");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_one_shot_that_others_wait_for() {
    let world = world();
    let folder = project(
        &world,
        "oneshot",
        r#"
services:
  migrate: { image: test, command: [sh, -c, "echo done > /shared/flag"], volumes: ["shared:/shared"] }
  web:
    image: test
    command: [sh, -c, "cat /shared/flag; exec sleep 100000"]
    volumes: ["shared:/shared"]
    depends_on: { migrate: { condition: service_completed_successfully } }
  broken: { image: test, command: ["false"], profiles: [broken] }
  never: { image: test, profiles: [broken], depends_on: { broken: { condition: service_completed_successfully } } }
volumes: { shared: {} }
"#,
    );
    world.windlass(&folder, &["up", "-d", "--wait"]).ok();
    world.wait_for("its output", || world.windlass(&folder, &["logs", "web"]).stdout.contains("done"));
    world.windlass(&folder, &["--profile", "broken", "up", "-d"]).code(1).says("broken");
    world.windlass(&folder, &["--profile", "broken", "down", "-v"]).ok();
    world.assert_clean();
}
