//! Images that are odd and good.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Bench, rows};

/// Those that say themselves what they are, when they are run: name, code, what they say.
const SAY: &[(&str, i32, &[&str])] = &[
    ("layers", 0, &["PASS 44"]),
    ("zstd", 0, &["PASS 44"]),
    ("plain-tar", 0, &["PASS 44"]),
    ("docker-v2", 0, &["PASS 44"]),
    ("index", 0, &["linux/amd64"]),
    ("docker-list", 0, &["amd64"]),
    ("arm64-only", 1, &["linux/arm64", "is not there for linux/amd64"]),
    ("many-layers", 0, &["121\n119"]),
    ("big", 0, &["104857600", "4632b00663a64ae3579d55ca5c1f2ce6e366aafa84bf309d944f32c5c7020ae7"]),
    ("twice", 0, &["x"]),
    ("scratch-user", 0, &["Hello from Docker!"]),
    ("user-name", 0, &["uid=1234(app) gid=2345(app) groups=2000(extra),2001(more),2345(app)\n/home/app\n/\n"]),
    ("user-numeric", 0, &["uid=4321 gid=8765 groups=8765\n/\n"]),
    ("user-uid", 0, &["uid=1234(app) gid=2345(app) groups=2000(extra),2001(more),2345(app)\n"]),
    ("user-group", 0, &["uid=1234(app) gid=100(users) groups=100(users)\n"]),
    ("user-missing", 125, &["there is no user `nobody-here`"]),
    ("workdir", 0, &["/made/on/start\n0:755"]),
    (
        "env",
        0,
        &[
            "EMPTY=\n",
            "SPACES=a  b \n",
            "EQUALS=a=b=c\n",
            "QUOTES='\"$HOME\n",
            "UTF8=\u{2603}\n",
            "NL=a\nb\n",
            "one two words",
        ],
    ),
    ("no-command", 1, &["no command is given", "compose.yaml:"]),
    ("exit", 42, &[]),
    ("crash", 139, &[]),
];

/// Those that a test of their own looks at.
const OWN: &[&str] = &[
    "volume",
    "healthy",
    "unhealthy",
    "health-hang",
    "stopsignal",
    "stubborn",
    "chatty",
    "zombies",
    "server",
    "labels",
];

#[test]
fn fixtures_do_what_they_say() {
    let Some(bench) = Bench::new("fixtures_do_what_they_say", "fixtures") else { return };
    for (name, code, says) in SAY {
        let mut ran = bench.run(name, &[]).code(*code);
        for text in *says {
            ran = ran.says(text);
        }
    }
    bench.service("exit", "    environment: {CODE: '7'}\n");
    bench.windlass(&["run", "--rm", "-T", "x"]).code(7);
    bench.run("no-command", &["echo", "a command"]).ok().says("a command");
    bench.end();
}

#[test]
fn layers_are_shared_whatever_their_packing_and_keep_their_attributes() {
    let Some(bench) = Bench::new("layers_are_shared_whatever_their_packing", "fixtures") else { return };
    let count = || std::fs::read_dir(bench.world.path().join("root/images/layers")).unwrap().count();
    bench.run("layers", &[]).ok();
    let first = count();
    for same in ["zstd", "plain-tar", "docker-v2"] {
        bench.run(same, &[]).ok();
    }
    assert_eq!(count(), first, "the encoding of a layer is not its content");
    bench.service("layers", "    command: [sleep, '1000']\n    stop_signal: SIGKILL\n");
    bench.windlass(&["up", "-d"]).ok();
    let root = PathBuf::from(format!("/proc/{}/root", bench.main_pid()));
    let attribute = |path: &str, name: &str| {
        let mut value = vec![0; 256];
        let length = rustix::fs::getxattr(root.join(path), name, &mut value[..]).unwrap();
        value.truncate(length);
        value
    };
    assert_eq!(attribute("x/user", "user.windlass"), b"value \x00\xff end");
    let mut capability = vec![0x01, 0x00, 0x00, 0x02, 0x00, 0x24];
    capability.resize(20, 0);
    assert_eq!(attribute("x/caps", "security.capability"), capability);
    bench.end();
}

#[test]
fn a_new_volume_takes_over_content_owners_and_modes() {
    let Some(bench) = Bench::new("a_new_volume_takes_over_content_owners_and_modes", "fixtures") else { return };
    bench.service("volume", "    stop_signal: SIGKILL\n    volumes: ['named:/vol']\nvolumes: {named: {}}\n");
    bench.windlass(&["up", "-d"]).ok();
    let look =
        "stat -c '%a %u:%g %n' /vol /vol/seed /vol/sub /vol/sub/x /vol/new /fresh; cat /vol/seed; readlink /vol/link";
    let seen = bench.windlass(&["exec", "-T", "x", "sh", "-c", look]).ok().stdout;
    for line in
        ["2750 1000:1001 /vol\n", "600 1000:1001 /vol/seed\n", "711 5:0 /vol/sub\n", "755 0:0 /fresh\n", "seedseed\n"]
    {
        assert!(seen.contains(line), "{line:?} is not in:\n{seen}");
    }
    bench.windlass(&["exec", "-T", "x", "sh", "-c", "echo changed > /vol/seed; echo more > /vol/new/file"]).ok();
    bench.windlass(&["up", "-d", "--force-recreate"]).ok();
    bench.windlass(&["exec", "-T", "x", "cat", "/vol/seed", "/vol/new/file"]).ok().says("changed\nmore");
    bench.end();
}

#[test]
fn health_checks_of_the_image_count() {
    let Some(bench) = Bench::new("health_checks_of_the_image_count", "fixtures") else { return };
    bench.service("healthy", "    stop_signal: SIGKILL\n");
    bench.windlass(&["up", "-d", "--wait"]).ok();
    bench.windlass(&["ps"]).ok().says("(healthy)");
    bench.end();
    for (name, label) in [("unhealthy", "(unhealthy)"), ("health-hang", "(unhealthy)")] {
        bench.service(name, "    stop_signal: SIGKILL\n");
        bench.windlass(&["up", "-d", "--wait"]).code(1).says("x");
        bench.windlass(&["ps"]).ok().says(label);
        let probes = bench.windlass(&["top"]).ok().stdout.matches("sleep 1000").count();
        assert!(probes <= 2, "{name}: probes that hang are killed, but {probes} are left");
        bench.end();
    }
}

#[test]
fn stop_signals_are_the_images_and_the_stubborn_are_killed() {
    let Some(bench) = Bench::new("stop_signals_are_the_images", "fixtures") else { return };
    let ready = || bench.windlass(&["logs", "x"]).stdout.contains("ready");
    bench.service("stopsignal", "");
    bench.windlass(&["up", "-d"]).ok();
    bench.world.wait_for("it to be ready", ready);
    bench.windlass(&["kill", "-s", "TERM"]).ok();
    bench.world.wait_for("its answer to TERM", || bench.windlass(&["logs", "x"]).stdout.contains("got TERM"));
    bench.windlass(&["stop", "-t", "50"]).ok();
    bench.windlass(&["ps", "-a"]).ok().says("Exited (7)");
    bench.windlass(&["logs", "x"]).ok().says("got USR1");
    bench.end();
    bench.service("stubborn", "");
    bench.windlass(&["up", "-d"]).ok();
    bench.world.wait_for("it to be ready", ready);
    let begin = Instant::now();
    bench.windlass(&["stop", "-t", "1"]).ok();
    assert!(begin.elapsed() >= Duration::from_secs(1), "the grace time was given");
    bench.windlass(&["ps", "-a"]).ok().says("Exited (137)");
    bench.windlass(&["logs", "x"]).ok().says("ignoring TERM");
    bench.end();
}

#[test]
fn a_chatty_containers_output_is_kept_whole() {
    let Some(bench) = Bench::new("a_chatty_containers_output_is_kept_whole", "fixtures") else { return };
    bench.service("chatty", "");
    bench.windlass(&["up", "-d"]).ok();
    bench.windlass(&["wait", "x"]).ok();
    let shown = bench.world.command(super::support::world::WINDLASS, &bench.folder);
    let mut shown = shown;
    let output = shown.args(["logs", "--no-log-prefix", "--no-color", "x"]).output().unwrap();
    let all = [output.stdout, output.stderr].concat();
    let lines: Vec<&[u8]> = all.split(|b| *b == b'\n').collect();
    for number in 1..=5000 {
        assert!(lines.contains(&format!("out {number}").as_bytes()), "out {number} is missing");
    }
    assert_eq!(lines.iter().filter(|l| l.starts_with(b"err ")).count(), 100);
    assert!(lines.iter().any(|l| l.len() == 200_000 && l.iter().all(|b| *b == b'L')), "the long line is not whole");
    let odd = b"tab\there \x1b[31mred\x1b[0m \xff\xfe not utf-8";
    assert!(lines.contains(&&odd[..]), "bytes that are no UTF-8 are changed");
    assert!(lines.contains(&&b"no newline at the end"[..]));
    bench.end();
}

#[test]
fn orphans_are_reaped_with_init() {
    let Some(bench) = Bench::new("orphans_are_reaped_with_init", "fixtures") else { return };
    bench.service("zombies", "    init: true\n    stop_signal: SIGKILL\n");
    bench.windlass(&["up", "-d"]).ok();
    bench.world.wait_for("it to be ready", || bench.windlass(&["logs", "x"]).stdout.contains("ready"));
    // The orphans live for 0.2 s; then nothing may be left of them.
    let processes = "grep -l . /proc/[0-9]*/stat | wc -l; grep -h 'State:.*Z' /proc/[0-9]*/status | wc -l";
    bench.world.wait_for("the orphans to be gone", || {
        let seen = bench.windlass(&["exec", "-T", "x", "sh", "-c", processes]).ok().stdout;
        seen.lines().nth(1) == Some("0") && !bench.windlass(&["top"]).ok().stdout.contains("sleep 0.")
    });
    bench.end();
}

#[test]
fn a_server_answers_and_labels_are_taken_over() {
    let Some(bench) = Bench::new("a_server_answers_and_labels_are_taken_over", "fixtures") else { return };
    bench.service("server", "    hostname: here\n    ports: ['127.0.0.1:8080:9000']\n    environment: {PORT: '9000'}\n    stop_signal: SIGKILL\n");
    bench.windlass(&["up", "-d"]).ok();
    let get = |path: &str| {
        let curl = format!("curl -fsS --retry 30 --retry-all-errors --retry-delay 1 http://127.0.0.1:8080/{path}");
        bench.world.sh(&curl).ok().stdout
    };
    assert_eq!(get("hostname"), "here\n");
    assert!(get("env").contains("PORT=9000\n"));
    assert!(get("id").starts_with("uid=0(root) gid=0(root)"));
    bench.end();
    bench.service("labels", "    labels: {own: own}\n");
    bench.windlass(&["up", "-d"]).ok();
    let listed = bench.windlass(&["ps", "-a", "--format", "json"]).ok().stdout;
    let labels =
        serde_json::from_str::<serde_json::Value>(listed.lines().next().unwrap()).unwrap()["Labels"].to_string();
    for label in ["a=1", "com.example.empty=", "com.example.json=", "own=own"] {
        assert!(labels.contains(label), "{label} is not in {labels}");
    }
    bench.end();
}

#[test]
fn every_fixture_is_tried() {
    let Some(rows) = rows("Fixtures") else { return };
    let tried = SAY.iter().map(|(name, ..)| *name).chain(OWN.iter().copied());
    assert_eq!(rows, tried.map(str::to_owned).collect());
}
