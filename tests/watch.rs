//! `windlass watch`, end to end: files are saved here, and seen inside containers of the tests' own image.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking and shows what it saw; each binary uses its own part of what is shared"
)]

mod support;

#[path = "watch/hostile.rs"]
mod hostile;
#[path = "watch/images.rs"]
mod images;
#[path = "watch/rules.rs"]
mod rules;
#[path = "watch/script.rs"]
mod script;
#[path = "watch/stress.rs"]
mod stress;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::image::load;
use support::world::{WINDLASS, World};

/// A `windlass watch` that runs.
struct Watching {
    child: Child,
    log: PathBuf,
}

impl Watching {
    /// Starts it, and waits until it watches.
    fn start(world: &World, folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with_path(world, folder, arguments, None)
    }

    /// The same with a folder before the others of PATH.
    fn start_with_path(world: &World, folder: &Path, arguments: &[&str], path: Option<&Path>) -> Self {
        let mut command = world.command(WINDLASS, folder);
        command.args(arguments);
        if let Some(path) = path {
            command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", path.display()));
        }
        Self::launch(world, command)
    }

    /// Runs a command that ends as a `windlass watch`.
    fn launch(world: &World, mut command: Command) -> Self {
        let log = world.path().join("watch.log");
        let file = fs::File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null());
        let watching = Self { child: command.spawn().unwrap(), log };
        watching.says("watching");
        watching
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has said something.
    #[track_caller]
    fn says(&self, text: &str) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !self.log().contains(text) {
            assert!(std::time::Instant::now() < end, "it does not say {text:?}, but:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Ctrl-C; its exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- watch\n{}", self.log());
        }
    }
}

fn world() -> World {
    let world = World::new();
    load(&world);
    world
}

/// The ids of a service's containers, replica by replica.
fn ids(world: &World, folder: &Path, service: &str) -> Vec<String> {
    let ran = world.windlass(folder, &["ps", "-q", "--no-trunc", service]).ok();
    ran.stdout.lines().map(str::to_owned).collect()
}

/// The root folder of a running container, from outside.
fn root_of(world: &World, id: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(world.path().join("run/containers").join(id).join("process.json")).ok()?;
    let record: serde_json::Value = serde_json::from_str(text.lines().nth(1)?).ok()?;
    Some(PathBuf::from(format!("/proc/{}/root", record["pid"])))
}

/// The root of a service's only container.
fn root(world: &World, folder: &Path, service: &str) -> PathBuf {
    let ids = ids(world, folder, service);
    assert_eq!(ids.len(), 1, "{ids:?}");
    root_of(world, &ids[0]).unwrap()
}

/// What a file of a service's only container has, if it runs.
fn inside(world: &World, folder: &Path, service: &str, path: &str) -> Option<String> {
    let ids = ids(world, folder, service);
    fs::read_to_string(root_of(world, ids.first()?)?.join(path)).ok()
}

#[track_caller]
fn arrives(world: &World, path: &Path, text: &str) {
    world.wait_for(&format!("{text:?} in {}", path.display()), || fs::read_to_string(path).is_ok_and(|t| t == text));
}

#[test]
fn a_save_is_seen_in_every_replica_and_so_is_a_removal() {
    let world = world();
    let compose = "services:
  web:
    image: test
    user: ann
    stop_signal: SIGKILL
    scale: 2
    develop: {watch: [{path: src, action: sync, target: /app/code, ignore: ['*.tmp']}]}
";
    let folder = world.project("save", &[("compose.yaml", compose), ("src/old", "old")]);
    let watching = Watching::start(&world, &folder, &["watch"]);
    let roots: Vec<PathBuf> = ids(&world, &folder, "web").iter().map(|id| root_of(&world, id).unwrap()).collect();
    assert_eq!(roots.len(), 2);
    fs::write(folder.join("src/no.tmp"), "ignored").unwrap();
    fs::create_dir_all(folder.join("src/a/b")).unwrap();
    fs::write(folder.join("src/a/b/page"), "hello").unwrap();
    std::os::unix::fs::symlink("page", folder.join("src/a/b/link")).unwrap();
    for root in &roots {
        arrives(&world, &root.join("app/code/a/b/page"), "hello");
        world.wait_for("the link", || fs::read_link(root.join("app/code/a/b/link")).is_ok());
        let found = fs::metadata(root.join("app/code/a/b/page")).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (1234, 2345, 0o644));
        assert!(!root.join("app/code/old").exists(), "what has not changed is not copied");
        assert!(!root.join("app/code/no.tmp").exists());
    }
    watching.says("web  sync  ");
    fs::remove_dir_all(folder.join("src/a")).unwrap();
    for root in &roots {
        world.wait_for("the removal", || !root.join("app/code/a").exists());
    }
    assert_eq!(watching.stop(), Some(130));
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn initial_sync_brings_what_differs_and_a_new_container_gets_all() {
    let world = world();
    let compose = "services:
  web:
    image: test
    stop_signal: SIGKILL
    develop: {watch: [{path: src, action: sync, target: /app, initial_sync: true}, {path: one.txt, action: sync, target: /etc/one}]}
";
    let files = [("compose.yaml", compose), ("src/old", "old"), ("one.txt", "1")];
    let folder = world.project("initial", &files);
    let watching = Watching::start(&world, &folder, &["watch"]);
    arrives(&world, &root(&world, &folder, "web").join("app/old"), "old");
    assert!(!root(&world, &folder, "web").join("etc/one").exists());
    fs::write(folder.join("one.txt"), "2").unwrap();
    arrives(&world, &root(&world, &folder, "web").join("etc/one"), "2");
    fs::write(folder.join("src/new"), "new").unwrap();
    arrives(&world, &root(&world, &folder, "web").join("app/new"), "new");
    // Made anew, restarted, stopped meanwhile: it arrives whole.
    world.windlass(&folder, &["up", "-d", "--force-recreate"]).ok();
    for (name, text) in [("app/old", "old"), ("app/new", "new"), ("etc/one", "2")] {
        arrives(&world, &root(&world, &folder, "web").join(name), text);
    }
    world.windlass(&folder, &["stop"]).ok();
    fs::write(folder.join("src/new"), "newer").unwrap();
    fs::remove_file(folder.join("src/old")).unwrap();
    world.windlass(&folder, &["start"]).ok();
    arrives(&world, &root(&world, &folder, "web").join("app/new"), "newer");
    world.wait_for("the removal", || !root(&world, &folder, "web").join("app/old").exists());
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_is_saved_while_nothing_is_up_arrives_when_it_is() {
    let world = world();
    let compose = "services:
  web:
    image: test
    stop_signal: SIGKILL
    develop: {watch: [{path: src, action: sync, target: /app}]}
";
    let folder = world.project("later", &[("compose.yaml", compose), ("src/a", "old"), ("src/b", "old")]);
    let watching = Watching::start(&world, &folder, &["watch", "--no-up"]);
    watching.says("nothing of project `later` is up");
    fs::write(folder.join("src/a"), "one").unwrap();
    world.windlass(&folder, &["up", "-d"]).ok();
    world.wait_for("what came before", || inside(&world, &folder, "web", "app/a").as_deref() == Some("one"));
    assert_eq!(inside(&world, &folder, "web", "app/b"), None, "what has not changed is not copied");
    world.windlass(&folder, &["down"]).ok();
    fs::write(folder.join("src/b"), "two").unwrap();
    world.windlass(&folder, &["up", "-d"]).ok();
    for (name, text) in [("app/a", "one"), ("app/b", "two")] {
        world.wait_for(name, || inside(&world, &folder, "web", name).as_deref() == Some(text));
    }
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn nothing_reaches_a_bind_mount_whatever_leads_there() {
    let world = world();
    let compose = "services:
  web:
    image: test
    stop_signal: SIGKILL
    volumes: ['./outside:/mnt', './outside:/app/mounted', './one:/app/one', 'data:/app/data']
    command: [sh, -c, 'busybox ln -s /mnt /app/link; exec sleep 100000']
    develop: {watch: [{path: src, action: sync, target: /app}, {path: outside, action: sync, target: /other}]}
volumes: {data: {}}
";
    let files = [("compose.yaml", compose), ("outside/secret", "secret"), ("one", "bound"), ("src/x", "")];
    let folder = world.project("bound", &files);
    let watching = Watching::start(&world, &folder, &["watch"]);
    watching.says("a bind mount shows it");
    let inside = root(&world, &folder, "web");
    for name in ["link/secret", "mounted/secret", "data/file", "one"] {
        let path = folder.join("src").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    arrives(&world, &inside.join("app/data/file"), "mine");
    for name in ["/app/link", "/app/mounted", "/app/one"] {
        watching.says(name);
    }
    fs::remove_dir_all(folder.join("src/mounted")).unwrap();
    fs::remove_file(folder.join("src/one")).unwrap();
    fs::write(folder.join("src/last"), "last").unwrap();
    arrives(&world, &inside.join("app/last"), "last");
    assert_eq!(fs::read_to_string(folder.join("outside/secret")).unwrap(), "secret");
    assert_eq!(fs::read_dir(folder.join("outside")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(inside.join("app/one")).unwrap(), "bound", "the mount is still there");
    assert_eq!(fs::read_to_string(inside.join("app/mounted/secret")).unwrap(), "secret");
    drop(watching);
    world.windlass(&folder, &["down", "-v"]).ok();
    world.assert_clean();
}
