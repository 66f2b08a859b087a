//! restart, exec, and changes of the project's own files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::support::world::World;
use super::{Watching, arrives, ids, inside, root, world};

/// The first process of a service's only container.
fn pid(world: &World, folder: &Path, service: &str) -> PathBuf {
    root(world, folder, service)
}

/// A service that notes at its start what was copied before; more rules of it, and services, may follow.
const HEAD: &str = "services:
  web:
    image: test
    stop_signal: SIGKILL
    command: [sh, -c, 'cat /app/conf > /tmp/at-start; exec sleep 100000']
    develop:
      watch:
        - {path: conf, action: sync+restart, target: /app}
";

#[test]
fn restart_and_exec_come_after_the_files() {
    let world = world();
    let compose = HEAD.to_owned()
        + "        - {path: code, action: sync+exec, target: /code, exec: {command: [sh, -c, 'cat /code/* > /tmp/seen; echo $$WHO >> /tmp/seen'], environment: {WHO: me}}}
        - {path: again, action: restart}
  front: {image: test, stop_signal: SIGKILL, depends_on: {web: {condition: service_started, restart: true}}}
  other: {image: test, stop_signal: SIGKILL}
";
    let files = [("compose.yaml", compose.as_str()), ("conf/x", ""), ("code/x", ""), ("again/x", "")];
    let folder = world.project("follow", &files);
    let watching = Watching::start(&world, &folder, &["watch"]);
    let before = ["web", "front", "other"].map(|service| pid(&world, &folder, service));
    fs::write(folder.join("code/x"), "code\n").unwrap();
    arrives(&world, &root(&world, &folder, "web").join("tmp/seen"), "code\nme\n");
    watching.says("web  exec  1 file");
    fs::write(folder.join("conf/conf"), "new").unwrap();
    watching.says("web  sync+restart  ");
    watching.says("web  restart after sync  ");
    let after = ["web", "front", "other"].map(|service| pid(&world, &folder, service));
    assert!(before[0] != after[0] && before[1] != after[1], "web and who depends on it are restarted");
    assert_eq!(before[2], after[2], "nobody else is");
    fs::write(folder.join("again/x"), "again").unwrap();
    watching.says("web  restart  1 file");
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn only_what_is_included_is_copied_and_the_command_has_its_own_user_folder_and_rights() {
    let world = world();
    let compose = "services:
  web:
    image: test
    user: root
    stop_signal: SIGKILL
    volumes: ['./out:/out']
    develop:
      watch:
        - path: code
          action: sync+exec
          target: /code
          include: ['*.py', lib]
          exec:
            command: [sh, -c, '(echo $$(id -u) $$(pwd); grep CapBnd /proc/self/status) > /out/part; mv /out/part /out/ran']
            user: ann
            working_dir: /home
            privileged: true
";
    let files = [("compose.yaml", compose), ("code/lib/x", ""), ("out/x", "")];
    let folder = world.project("some", &files);
    fs::set_permissions(folder.join("out"), fs::Permissions::from_mode(0o777)).unwrap();
    let watching = Watching::start(&world, &folder, &["watch"]);
    for file in ["code/a.txt", "code/lib/any", "code/b.py"] {
        fs::write(folder.join(file), file).unwrap();
    }
    let root = root(&world, &folder, "web");
    arrives(&world, &root.join("code/b.py"), "code/b.py");
    arrives(&world, &root.join("code/lib/any"), "code/lib/any");
    world.wait_for("the command", || folder.join("out/ran").exists());
    assert!(!root.join("code/a.txt").exists(), "it was saved first, and is not included");
    let ran = fs::read_to_string(folder.join("out/ran")).unwrap();
    assert!(ran.starts_with("1234 /home\nCapBnd:\t") && !ran.contains("00000000a80425fb"), "{ran}");
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_follows_a_copy_follows_it_into_a_container_made_anew() {
    let world = world();
    let compose = HEAD.to_owned()
        + "        - {path: code, action: sync+exec, target: /code, exec: {command: [sh, -c, 'cat /code/x >> /tmp/seen']}}
";
    let folder = world.project("anew", &[("compose.yaml", compose.as_str()), ("conf/x", ""), ("code/x", "")]);
    let watching = Watching::start(&world, &folder, &["watch"]);
    let has = |path: &str, text: &str| inside(&world, &folder, "web", path).as_deref() == Some(text);
    fs::write(folder.join("code/x"), "1").unwrap();
    world.wait_for("the command", || has("tmp/seen", "1"));
    fs::write(folder.join("conf/conf"), "new").unwrap();
    watching.says("web  restart after sync  ");
    world.wait_for("the restart", || has("tmp/at-start", "new"));
    let before = ids(&world, &folder, "web");
    world.windlass(&folder, &["up", "-d", "--force-recreate"]).ok();
    assert_ne!(ids(&world, &folder, "web"), before);
    world.wait_for("the command in the new one", || has("tmp/seen", "1"));
    world.wait_for("the restart of the new one", || has("tmp/at-start", "new"));
    // One that is stopped meanwhile has it after its files.
    world.windlass(&folder, &["stop"]).ok();
    fs::write(folder.join("code/x"), "2").unwrap();
    world.windlass(&folder, &["start"]).ok();
    world.wait_for("the command when it runs again", || has("tmp/seen", "12"));
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_lay_on_a_tmpfs_comes_again_when_the_container_starts_anew() {
    let world = world();
    let compose = "services:
  web:
    image: test
    stop_signal: SIGKILL
    tmpfs: [/mem]
    volumes: ['./out:/out']
    develop:
      watch:
        - {path: src, action: sync, target: /mem/app}
        - {path: conf, action: sync+restart, target: /mem/conf}
        - {path: disk, action: sync, target: /disk}
        - {path: code, action: sync+exec, target: /mem/code, exec: {command: [sh, -c, 'cat /mem/code/x >> /out/ran']}}
";
    let files = ["src/a", "src/deep/c", "conf/x", "disk/x", "code/x", "out/x"].map(|file| (file, ""));
    let folder = world.project("memory", &[&[("compose.yaml", compose)], &files[..]].concat());
    let watching = Watching::start(&world, &folder, &["watch"]);
    let has = |path: &str, text: &str| {
        world.wait_for(path, || inside(&world, &folder, "web", path).as_deref() == Some(text));
    };
    // No folder is made here: that would have everything compared a second later.
    for (file, text) in [("src/deep/b", "deep"), ("disk/x", "kept"), ("code/x", "1")] {
        fs::write(folder.join(file), text).unwrap();
    }
    has("mem/app/deep/b", "deep");
    has("disk/x", "kept");
    has("out/ran", "1");
    // What the container itself has done to files that outlive its process is not undone.
    world.windlass(&folder, &["exec", "-T", "web", "sh", "-c", "echo mine > /disk/x"]).ok();
    world.windlass(&folder, &["restart"]).ok();
    has("mem/app/deep/b", "deep");
    has("out/ran", "11");
    assert!(!root(&world, &folder, "web").join("mem/app/a").exists(), "only what was copied before");
    // A restart that follows a copy loses it, and what is put back is not followed by another one.
    fs::write(folder.join("conf/x"), "new").unwrap();
    watching.says("web  restart after sync  ");
    has("mem/conf/x", "new");
    has("out/ran", "111");
    let process = pid(&world, &folder, "web");
    fs::write(folder.join("code/x"), "2").unwrap();
    has("out/ran", "1112");
    assert_eq!(pid(&world, &folder, "web"), process);
    assert_eq!(watching.log().matches("restart after sync").count(), 1, "{}", watching.log());
    assert_eq!(inside(&world, &folder, "web", "disk/x").as_deref(), Some("mine\n"));
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn the_last_rule_may_go_and_come_again() {
    let world = world();
    let service = "services:\n  web:\n    image: test\n    stop_signal: SIGKILL\n    env_file: web.env\n";
    let rules = "    develop: {watch: [{path: src, action: sync, target: /app}, {path: code, action: sync+exec, target: /code, exec: {command: 'true'}}]}\n";
    let with = format!("{service}{rules}");
    let files = [("compose.yaml", with.as_str()), ("web.env", "A=1\n"), ("src/x", ""), ("code/x", "")];
    let folder = world.project("last", &files);
    let watching = Watching::start(&world, &folder, &["watch", "--apply-config"]);
    // What its rules have begun ends without them.
    fs::write(folder.join("code/x"), "1").unwrap();
    fs::write(folder.join("src/x"), "1").unwrap();
    fs::write(folder.join("compose.yaml"), service).unwrap();
    watching.says("nothing is left under `develop.watch`");
    fs::write(folder.join("web.env"), "A=2\n").unwrap();
    watching.says("web.env: applied");
    fs::write(folder.join("compose.yaml"), &with).unwrap();
    world.wait_for("the rule that has come again", || {
        fs::write(folder.join("src/y"), "y").unwrap();
        inside(&world, &folder, "web", "app/y").as_deref() == Some("y")
    });
    assert!(!watching.log().contains("error:"), "{}", watching.log());
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_change_of_the_compose_file_is_shown_and_applied_where_asked_for() {
    let world = world();
    let text = |value: &str, target: &str| {
        format!(
            "services:\n  web:\n    image: test\n    stop_signal: SIGKILL\n    env_file: web.env\n    environment: {{FOO: {value}}}\n    develop: {{watch: [{{path: src, action: sync, target: {target}}}]}}\n"
        )
    };
    let folder =
        world.project("config", &[("compose.yaml", &text("one", "/app")), ("web.env", "BAR=1\n"), ("src/x", "")]);
    let watching = Watching::start(&world, &folder, &["watch"]);
    let before = ids(&world, &folder, "web");
    fs::write(folder.join("compose.yaml"), text("two", "/app")).unwrap();
    watching.says("environment.FOO changed");
    watching.says("--apply-config");
    assert_eq!(ids(&world, &folder, "web"), before);
    fs::write(folder.join("compose.yaml"), "services: [").unwrap();
    watching.says("compose.yaml:1");
    drop(watching);
    fs::write(folder.join("compose.yaml"), text("one", "/app")).unwrap();
    let watching = Watching::start(&world, &folder, &["watch", "--no-up", "--apply-config"]);
    fs::write(folder.join("web.env"), "BAR=2\n").unwrap();
    watching.says("web.env: applied");
    assert_ne!(ids(&world, &folder, "web"), before);
    // The rules are those of the file as it is now.
    fs::write(folder.join("compose.yaml"), text("one", "/elsewhere")).unwrap();
    watching.says("compose.yaml changed: nothing to do");
    world.wait_for("the new rule", || {
        fs::write(folder.join("src/x"), "x").unwrap();
        root(&world, &folder, "web").join("elsewhere/x").exists()
    });
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_cannot_be_watched_is_told() {
    let world = world();
    let folder = world.project("wrong", &[("compose.yaml", "services:\n  web: {image: test}\n")]);
    world.windlass(&folder, &["watch"]).code(1).says("develop.watch");
    let rebuild = "services:\n  web:\n    image: test\n    develop: {watch: [{path: ., action: rebuild}]}\n";
    fs::write(folder.join("compose.yaml"), rebuild).unwrap();
    world.windlass(&folder, &["watch"]).code(1).says("compose.yaml:4:").says("has no `build:`");
    for flags in [&["-d", "--watch"][..], &["-d", "--apply-config"], &["--apply-config"], &["--no-build", "--watch"]] {
        world.windlass(&folder, &[&["up"], flags].concat()).code(1).says("--watch");
    }
    let rebuild = "services:\n  web:\n    build: .\n    develop: {watch: [{path: ., action: rebuild}]}\n";
    fs::write(folder.join("compose.yaml"), rebuild).unwrap();
    world.windlass(&folder, &["up", "--frozen", "--watch"]).code(1).says("`--frozen` builds nothing");
    world
        .windlass(&folder, &["watch", "--locked"])
        .code(1)
        .says("`--locked` takes nothing that is built from other files");
    let text = "services:\n  web:\n    image: test\n    develop: {watch: [{path: src, action: sync, target: /app}]}\n";
    fs::write(folder.join("compose.yaml"), text).unwrap();
    fs::create_dir_all(folder.join("src/locked")).unwrap();
    fs::set_permissions(folder.join("src/locked"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root can read anything but for these two capabilities.
    let mut command = world.command("setpriv", &folder);
    let caps = "-dac_override,-dac_read_search";
    command.args(["--bounding-set", caps, "--inh-caps", caps, super::WINDLASS, "watch", "--no-up"]);
    let watching = Watching::launch(&world, command);
    watching.says("src/locked is left out");
    watching.says("nothing of project `wrong` is up");
    assert_eq!(watching.log().matches("src/locked").count(), 1, "{}", watching.log());
    drop(watching);
    world.assert_clean();
}

#[test]
fn an_attached_up_watches_too() {
    let world = world();
    let text = "services:\n  web:\n    image: test\n    stop_signal: SIGKILL\n    command: [sh, -c, 'echo begun; exec sleep 100000']\n    develop: {watch: [{path: src, action: sync, target: /app}]}\n";
    let folder = world.project("attached", &[("compose.yaml", text), ("src/x", "")]);
    let watching = Watching::start(&world, &folder, &["up", "--watch"]);
    watching.says("begun");
    fs::write(folder.join("src/x"), "saved").unwrap();
    arrives(&world, &root(&world, &folder, "web").join("app/x"), "saved");
    watching.says("web  sync  1 file");
    assert_eq!(watching.stop(), Some(130));
    world.windlass(&folder, &["ps", "-q"]).ok();
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn at_the_kernels_limit_it_says_which_folder_costs_most() {
    let world = world();
    let text = "services:\n  web:\n    image: test\n    develop: {watch: [{path: src, action: sync, target: /app}]}\n";
    let folder = world.project("limit", &[("compose.yaml", text), ("src/x", "")]);
    for n in 0..10 {
        fs::create_dir_all(folder.join(format!("src/node_modules/m{n}"))).unwrap();
    }
    // The limit of a user namespace of its own: that of the machine is everybody's.
    let mut command = world.command("unshare", &folder);
    let script = format!("echo 6 > /proc/sys/user/max_inotify_watches; exec {} watch --no-up", super::WINDLASS);
    command.args(["-Ur", "sh", "-c", &script]);
    let watching = Watching::launch(&world, command);
    watching.says("unwatched go on ");
    watching.says("src/node_modules: name it under `ignore`");
    watching.says("sysctl fs.inotify.max_user_watches=");
    drop(watching);
    world.assert_clean();
}
