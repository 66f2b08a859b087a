//! What can't be brought up: told at its place, before anything is made.

use super::*;

#[test]
fn bad_input_is_told_where_it_stands_and_loses_nothing() {
    let world = world();
    let folder = world.project("bad", &[]);
    fs::create_dir_all(&folder).unwrap();
    world.windlass(&folder, &["up"]).code(1).says("compose.yaml");
    for (text, says) in [
        ("services:\n  web: {image: test, prots: [80]}\n", "did you mean `ports`"),
        ("services:\n  web: {image: test, depends_on: [dv]}\n  db: {image: test}\n", "compose.yaml:2:"),
        ("services:\n  web: {image: test, volumes: ['data:/x']}\n", "data"),
        ("services: [", "compose.yaml:1"),
        ("services:\n  web: {image: test, command: [no-such-program]}\n", "no-such-program"),
        ("services:\n  web: {image: test, user: nobody-here}\n", "nobody-here"),
        ("services:\n  web: {image: test, secrets: [s]}\nsecrets: {s: {file: ./missing}}\n", "missing"),
        (
            "services:\n  web: {image: test, volumes: [{type: bind, source: ./missing, target: /x, bind: {propagation: rslave}}]}\n",
            "missing",
        ),
    ] {
        fs::write(folder.join("compose.yaml"), text).unwrap();
        world.windlass(&folder, &["up", "-d"]).code(1).says(says);
        world.windlass(&folder, &["-p", "bad", "down", "-v"]);
    }
    world.assert_clean();
}

#[test]
fn a_port_that_is_taken_is_told_with_who_has_it() {
    let mut world = world();
    let folder = project(&world, "port", "services:\n  web: {image: test, ports: ['127.0.0.1:8080:80']}\n");
    let mut server = world.command("busybox", world.path());
    server.args(["httpd", "-f", "-p", "127.0.0.1:8080"]);
    world.start(&mut server);
    world.wait_for("the port to be taken", || world.sh("ss -Hltn | grep -q :8080").code == 0);
    world.windlass(&folder, &["up", "-d"]).code(1).says("8080").says("busybox");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_can_not_be_had_is_told_at_its_place() {
    let world = world();
    let folder = project(
        &world,
        "bad",
        "services:\n  a:\n    image: nosuch\n    pull_policy: never\n  b:\n    image: BAD NAME\n  c:\n    build: .\n    depends_on: {d: {condition: service_healthy}}\n  d:\n    build: .\n",
    );
    let ran = world.windlass(&folder, &["--dry-run", "up", "-d"]).code(1);
    for said in [
        "service `a`: image nosuch is not on this machine",
        "compose.yaml:3:12",
        "service `b`: `BAD NAME` is no image reference",
        "compose.yaml:6:12",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    let ran = world.windlass(&folder, &["plan", "c"]).ok();
    assert!(ran.stdout.contains("build image       bad-c"), "{}", ran.stdout);
    assert!(ran.stdout.contains("create container  bad-c-1"), "{}", ran.stdout);
    world.assert_clean();
}

#[test]
fn what_no_image_is_needed_for_is_told_before_one_is_looked_for() {
    let world = world();
    let text = "services:\n  a:\n    image: registry.invalid/nosuch\n    cap_add: [FLY]\n    stop_signal: SIGNO\n  b:\n    image: test\n    security_opt: [odd]\n";
    let folder = project(&world, "early", text);
    for verb in [&["up", "-d"][..], &["plan"]] {
        let ran = world.windlass(&folder, verb).code(1);
        for said in ["compose.yaml:4:15", "compose.yaml:5:18", "compose.yaml:8:20"] {
            assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        }
        assert!(!ran.stderr.contains("registry.invalid"), "{}", ran.stderr);
    }
    world.assert_clean();
}

#[test]
fn what_this_machine_lacks_is_told_at_once_and_before_anything_is_made() {
    let world = world();
    let text = "services:\n  a:\n    image: test\n    cpuset: '4000'\n    devices: [/dev/nosuch]\n    secrets: [s]\n    volumes: [{type: bind, source: /nosuch, target: /d, bind: {propagation: rslave}}]\nsecrets: {s: {file: ./nosuch}}\n";
    let folder = project(&world, "lacking", text);
    let ran = world.windlass(&folder, &["up", "-d"]).code(1);
    for said in [
        "compose.yaml:4:13",
        "compose.yaml:5:15",
        "there is no device `/dev/nosuch`",
        "there is no `/nosuch`",
        "make the file",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    world.assert_clean();
}

#[test]
fn values_that_docker_compose_only_prints_are_warned_of_by_config_and_refused_by_plan() {
    let world = world();
    for (value, told, hint) in [
        ("ports: [{target: 80, published: 'host:8080'}]", "host:8080", "leave `published` out"),
        ("volumes: ['v:/v']", "v:/v", "drive of Windows"),
        ("volumes: ['v:/v:ro']", "ro", "drive of Windows"),
        ("volumes: ['data:x']", "x", "begins with `/`"),
    ] {
        let folder = project(
            &world,
            "odd",
            &format!("services:\n  web: {{image: test, {value}}}\nvolumes: {{v: {{}}, data: {{}}}}\n"),
        );
        let printed = world.windlass(&folder, &["config"]).ok().says("warning[W0610]").says(hint);
        assert!(printed.stderr.contains(&format!("`{told}`, which `plan` and `up` refuse")), "{}", printed.stderr);
        let refused = world.windlass(&folder, &["plan"]).code(1).says("compose.yaml:2:").says(told);
        assert!(!refused.stderr.contains("W0610"), "it is told once: {}", refused.stderr);
    }
    // The hint stands in the error too.
    let folder = project(&world, "odd", "services:\n  web: {image: test, volumes: ['v:/v:ro']}\nvolumes: {v: {}}\n");
    world.windlass(&folder, &["plan"]).code(1).says("drive of Windows").says("{type: volume, source: v, target: /v}");
    // What a variable will say, and what the image may have, is nobody's to know.
    let folder = project(
        &world,
        "odd",
        "services:\n  web: {image: test, user: 'a b', ports: [{target: 80, published: '$P'}]}\n",
    );
    let printed = world.windlass(&folder, &["config", "--no-interpolate"]).ok();
    assert!(!printed.stderr.contains("W0610"), "{}", printed.stderr);
    world.assert_clean();
}
