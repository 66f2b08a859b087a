//! Copying from and to containers that do not run.

use std::fs;

use crate::support::image::project;
use crate::world;

#[test]
fn files_go_in_and_out_of_a_container_that_was_not_started_and_of_one_that_has_ended() {
    let world = world();
    let text = "services:\n  web:\n    image: test\n    command: [sh, -c, 'cat /etc/page /data/page; echo ran > /log; id -u > /data/ran']\n    \
                volumes: ['data:/data', './here:/here', './locked:/locked:ro']\n    tmpfs: [/gone]\nvolumes: {data: {}}\n";
    let folder = project(&world, "still", text);
    for name in ["here", "locked"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::write(folder.join("page"), "copied\n").unwrap();
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    windlass(&["create"]).ok();
    for target in ["web:/etc/page", "web:/data/page", "web:/here/page"] {
        windlass(&["cp", "page", target]).ok();
    }
    assert_eq!(fs::read_to_string(folder.join("here/page")).unwrap(), "copied\n", "a bind leads to this machine");
    windlass(&["cp", "page", "web:/locked/page"]).code(1).says("Read-only file system");
    assert_eq!(fs::read_dir(folder.join("locked")).unwrap().count(), 0);
    windlass(&["cp", "page", "web:/nowhere/page"]).code(1).says("/nowhere");
    assert_eq!(world.sh("grep -c still /proc/self/mountinfo").stdout.trim(), "0", "nothing stays mounted here");

    let ran = windlass(&["up"]).ok();
    assert_eq!(ran.stdout.matches("copied").count(), 2, "{}", ran.stdout);
    for (source, wanted) in [("web:/log", "ran\n"), ("web:/data/ran", "0\n"), ("web:/etc/page", "copied\n")] {
        windlass(&["cp", source, "back"]).ok();
        assert_eq!(fs::read_to_string(folder.join("back")).unwrap(), wanted, "{source}");
    }
    // A link that leads out of the root stays inside it.
    windlass(&["run", "--rm", "-v", "data:/data", "web", "busybox", "ln", "-s", "/", "/data/out"]).ok();
    windlass(&["cp", "page", "web:/data/out/escaped"]).ok();
    world.sh("test -e /escaped").code(1);
    windlass(&["cp", "web:/escaped", "back"]).ok();
    windlass(&["up", "-d", "--force-recreate"]).ok();
    windlass(&["down", "-v"]).ok();
    world.assert_clean();
}

#[test]
fn secrets_configs_and_the_files_of_names_are_in_a_container_that_has_ended() {
    let world = world();
    let text = "services:\n  web:\n    image: test\n    command: ['true']\n    hostname: still-here\n    secrets: [s, e]\n    \
                configs: [{source: c, target: /cfg/c.txt, mode: 0440}]\n\
                secrets: {s: {file: ./s.txt}, e: {environment: FROM_ENV}}\nconfigs: {c: {content: \"conf\"}}\n";
    let folder = project(&world, "still", text);
    fs::write(folder.join("s.txt"), "secret").unwrap();
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    let program = env!("CARGO_BIN_EXE_windlass");
    world.sh_in(&folder, &format!("FROM_ENV=inline {program} up")).ok();
    let out = |source: &str| {
        windlass(&["cp", source, "back"]).ok();
        fs::read_to_string(folder.join("back")).unwrap()
    };
    assert_eq!(out("web:/run/secrets/s"), "secret");
    assert_eq!(out("web:/run/secrets/e"), "inline");
    assert_eq!(out("web:/cfg/c.txt"), "conf");
    assert_eq!(out("web:/etc/hostname"), "still-here\n");
    assert!(out("web:/etc/hosts").contains("still-here"));
    // What the user has taken away hides nothing else.
    fs::remove_file(folder.join("s.txt")).unwrap();
    assert_eq!((out("web:/cfg/c.txt"), out("web:/run/secrets/s")), ("conf".to_owned(), String::new()));
    windlass(&["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_is_copied_into_a_container_keeps_its_owner_as_with_docker() {
    let world = world();
    let folder = project(&world, "own", "services: {web: {image: test}}\n");
    fs::write(folder.join("page"), "x").unwrap();
    world.sh_in(&folder, "chown 5:6 page && chmod 4755 page && tar -cf page.tar page").ok();
    world.windlass(&folder, &["up", "-d"]).ok();
    let program = env!("CARGO_BIN_EXE_windlass");
    world.windlass(&folder, &["cp", "page", "web:/plain"]).ok();
    world.windlass(&folder, &["cp", "-a", "page", "web:/all"]).ok();
    world.windlass(&folder, &["exec", "-T", "web", "mkdir", "/in"]).ok();
    world.sh_in(&folder, &format!("{program} cp - web:/in < page.tar")).ok();
    let seen = world.windlass(&folder, &["exec", "-T", "web", "stat", "-c", "%u:%g %a", "/plain", "/all", "/in/page"]);
    assert_eq!(seen.stdout, "5:6 755\n5:6 4755\n5:6 755\n", "{}", seen.stderr);
    // Out of a container all is the caller's.
    world.windlass(&folder, &["cp", "web:/plain", "back"]).ok();
    world.sh_in(&folder, "stat -c %u:%g back").ok().says("0:0");
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn an_export_has_all_files_of_a_container_and_nothing_of_its_mounts() {
    let world = world();
    let text = "services:\n  web:\n    image: test\n    command: [sh, -c, 'echo own > /own; echo v > /v/in; sleep 1000']\n    \
                stop_signal: KILL\n    volumes: ['data:/v', './here:/here']\n    tmpfs: [/mem]\n    secrets: [s]\n\
                volumes: {data: {}}\nsecrets: {s: {file: ./s.txt}}\n";
    let folder = project(&world, "out", text);
    fs::create_dir(folder.join("here")).unwrap();
    fs::write(folder.join("here/file"), "x").unwrap();
    fs::write(folder.join("s.txt"), "secret").unwrap();
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    windlass(&["up", "-d"]).ok();
    world.wait_for("the file", || windlass(&["exec", "-T", "web", "test", "-e", "/v/in"]).code == 0);
    let program = env!("CARGO_BIN_EXE_windlass");
    for state in ["running", "stopped"] {
        windlass(&["export", "-o", "all.tar", "web"]).ok();
        world.sh_in(&folder, &format!("{program} export web > piped.tar && cmp all.tar piped.tar")).ok();
        let names = world.sh_in(&folder, "tar -tf all.tar").ok().stdout;
        let has = |name: &str| names.lines().any(|line| line == name);
        for there in ["own", "bin/", "v/", "here/", "mem/", "etc/hosts", "run/secrets/s"] {
            assert!(has(there), "{state}: {there}: {names}");
        }
        for missing in ["v/in", "here/file", "proc/1/"] {
            assert!(!has(missing), "{state}: {missing}");
        }
        let content = world.sh_in(&folder, "tar -xOf all.tar own etc/hosts run/secrets/s").ok().stdout;
        assert_eq!(content, "own\n", "{state}: the places of mounts are empty");
        windlass(&["stop", "-t", "0"]).ok();
    }
    windlass(&["export", "--index", "2", "web"]).code(1).says("no container number 2");
    windlass(&["down", "-v"]).ok();
    world.assert_clean();
}

#[test]
fn pause_and_unpause_go_by_what_runs_while_an_up_without_a_client_waits() {
    let world = world();
    let text = "services:\n  a: {image: test, stop_signal: SIGKILL, healthcheck: {test: [CMD, test, -e, /ok], interval: 100ms, retries: 10000}}\n  \
                b: {image: test, stop_signal: SIGKILL, depends_on: {a: {condition: service_healthy}}}\n";
    let folder = project(&world, "left", text);
    let mut up = world.command(crate::support::world::WINDLASS, &folder);
    let mut up = up.args(["up", "-d"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    let shows = |text: &str| windlass(&["ps", "-a"]).ok().stdout.contains(text);
    world.wait_for("the one that is waited for", || shows("health: starting"));
    up.kill().unwrap();
    up.wait().unwrap();
    windlass(&["pause"]).ok();
    assert!(shows("(Paused)"));
    windlass(&["unpause"]).ok();
    assert!(!shows("(Paused)"));
    windlass(&["pause", "b"]).code(1).says("`b` does not run");
    // What the `up` asked for goes on.
    windlass(&["exec", "a", "touch", "/ok"]).ok();
    world.wait_for("the one that waited", || windlass(&["ps", "--services"]).ok().stdout == "a\nb\n");
    windlass(&["down"]).ok();
    world.assert_clean();
}
