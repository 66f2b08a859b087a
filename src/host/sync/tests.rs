//! Mirrors between folders of this machine, one of them taken for a container's root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rustix::fs::{Mode, OFlags};

use super::*;

struct World {
    folder: tempfile::TempDir,
    links: BTreeSet<PathBuf>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["host", "root", "outside"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        fs::write(folder.path().join("outside/secret"), "secret").expect("written");
        Self { folder, links: BTreeSet::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("above")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| format!("{name}: {error}"))
    }

    fn is_there(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// Mirrors `host` to /app.
    fn mirror(&self, paths: &[&str]) -> Outcome {
        self.mirror_to("/app", paths, false)
    }

    fn mirror_to(&self, target: &str, paths: &[&str], only_different: bool) -> Outcome {
        self.mirror_from("host", target, paths, only_different)
    }

    fn mirror_from(&self, source: &str, target: &str, paths: &[&str], only_different: bool) -> Outcome {
        let root = rustix::fs::open(self.path("root"), OFlags::PATH, Mode::empty()).expect("opened");
        let mounts = Mounts::only(root.as_fd()).expect("mounts");
        let source = fs::canonicalize(self.folder.path()).expect("there").join(source);
        let paths: BTreeSet<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let mirror = Mirror {
            source: &source,
            target: Path::new(target),
            paths: &paths,
            links: &self.links,
            keeps: &|path| path.file_name().is_some_and(|name| name == "kept"),
            only_different,
            only_in_memory: false,
        };
        let target =
            Target::new(root.as_fd(), &mirror, (Uid::from_raw(1234), Gid::from_raw(2345)), &mounts, BTreeSet::new());
        let mut outcome = Outcome::default();
        mirror_for(Duration::MAX, &target, &mirror, &mut paths.iter(), &mut outcome);
        outcome
    }
}

fn owner_and_mode(path: &Path) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(path).expect("there");
    (found.uid(), found.gid(), found.mode() & 0o7777)
}

#[test]
fn files_arrive_with_owner_mode_and_time() {
    let world = World::new();
    world.write("host/a/b.sh", "run");
    fs::set_permissions(world.path("host/a/b.sh"), fs::Permissions::from_mode(0o751)).expect("set");
    let outcome = world.mirror(&["a/b.sh"]);
    assert_eq!(outcome.written, ["a/b.sh".into()].into());
    assert_eq!(world.read("root/app/a/b.sh"), "run");
    assert_eq!(owner_and_mode(&world.path("root/app/a/b.sh")), (1234, 2345, 0o751));
    assert_eq!(owner_and_mode(&world.path("root/app/a")), (1234, 2345, 0o755));
    let time = |name: &str| fs::metadata(world.path(name)).expect("there").modified().expect("time");
    assert_eq!(time("root/app/a/b.sh"), time("host/a/b.sh"));
    let left: Vec<_> = fs::read_dir(world.path("root/app/a")).expect("read").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["b.sh"], "no temporary name is left");
}

#[test]
fn what_is_the_same_is_left_alone_where_asked_for() {
    let world = World::new();
    world.write("host/a", "one");
    world.mirror(&["a"]);
    let node = || fs::metadata(world.path("root/app/a")).expect("there").ino();
    let before = node();
    assert_eq!(world.mirror_to("/app", &["a"], true), Outcome::default());
    assert_eq!(node(), before);
    fs::set_permissions(world.path("host/a"), fs::Permissions::from_mode(0o600)).expect("set");
    assert_eq!(world.mirror_to("/app", &["a"], true).written.len(), 1, "a mode alone is a difference");
    assert_eq!(owner_and_mode(&world.path("root/app/a")).2, 0o600);
}

#[test]
fn symlinks_are_copied_as_such_and_kinds_may_change() {
    let mut world = World::new();
    world.links.insert("x".into());
    world.write("host/d/f", "1");
    symlink("d", world.path("host/x")).expect("linked");
    world.mirror(&["d", "d/f", "x"]);
    assert_eq!(fs::read_link(world.path("root/app/x")).expect("a link"), Path::new("d"));
    // A folder takes the place of the link, which is not followed.
    fs::remove_file(world.path("host/x")).expect("removed");
    world.write("host/x/f", "2");
    world.mirror(&["x", "x/f"]);
    assert_eq!((world.read("root/app/x/f"), world.read("root/app/d/f")), ("2".into(), "1".into()));
    // A link the place of the folder, and a file that of the link.
    fs::remove_dir_all(world.path("host/x")).expect("removed");
    symlink("nowhere", world.path("host/x")).expect("linked");
    world.mirror(&["x", "x/f"]);
    assert_eq!(fs::read_link(world.path("root/app/x")).expect("a link"), Path::new("nowhere"));
    fs::remove_file(world.path("host/x")).expect("removed");
    world.write("host/x", "file");
    world.mirror(&["x"]);
    assert_eq!(world.read("root/app/x"), "file");
}

#[test]
fn what_has_gone_goes_but_for_what_is_not_mirrored() {
    let world = World::new();
    for name in ["a", "d/one", "d/e/two", "g/h"] {
        world.write(&format!("host/{name}"), name);
    }
    world.mirror(&["a", "d/one", "d/e/two", "g/h"]);
    world.write("root/app/d/e/made-inside", "");
    world.write("root/app/g/kept/x", "mine");
    fs::remove_file(world.path("host/a")).expect("removed");
    fs::remove_dir_all(world.path("host/d")).expect("removed");
    fs::remove_dir_all(world.path("host/g")).expect("removed");
    let outcome = world.mirror(&["a", "d", "d/one", "d/e/two", "g", "never-there/x"]);
    assert_eq!(outcome.removed, ["a".into(), "d".into(), "g".into()].into());
    assert!(!world.is_there("root/app/a") && !world.is_there("root/app/d") && !world.is_there("root/app/g/h"));
    assert_eq!(world.read("root/app/g/kept/x"), "mine");
}

#[test]
fn one_file_takes_no_folder_away() {
    let world = World::new();
    world.write("root/etc/conf/of-the-image", "kept");
    world.write("host/conf", "new");
    let mirror = || world.mirror_from("host/conf", "/etc/conf", &[""], false);
    let Outcome { refused, .. } = mirror();
    let [(_, why)] = refused.as_slice() else { panic!("{refused:?}") };
    assert!(why.contains("/etc/conf is a folder") && why.contains("host/conf is none"), "{why}");
    // Nor does a link in the place of the file, and nor does its removal.
    fs::remove_file(world.path("host/conf")).expect("removed");
    assert_eq!(mirror(), Outcome::default());
    symlink("elsewhere", world.path("host/conf")).expect("linked");
    assert_eq!(mirror().refused.len(), 1);
    assert_eq!(world.read("root/etc/conf/of-the-image"), "kept");
}

#[test]
fn links_of_the_image_are_followed_inside_the_root_only() {
    let world = World::new();
    world.write("host/f", "new");
    // The target itself, and a parent of it, lead to this machine; in the container they lead into itself.
    symlink(world.path("outside"), world.path("root/app")).expect("linked");
    symlink("/../../../../..", world.path("root/up")).expect("linked");
    world.mirror(&["f"]);
    world.mirror_to("/up/deep", &["f"], false);
    assert_eq!(fs::read_dir(world.path("outside")).expect("read").count(), 1, "nothing was written outside");
    let inside = format!("root{}/f", world.path("outside").display());
    assert_eq!(world.read(&inside), "new");
    assert_eq!(world.read("root/deep/f"), "new");
    // The last component: the link goes, what it names stays.
    symlink(world.path("outside/secret"), world.path("root/deep/g")).expect("linked");
    world.write("host/g", "mine");
    world.mirror_to("/deep", &["g"], false);
    assert_eq!((world.read("outside/secret"), world.read("root/deep/g")), ("secret".into(), "mine".into()));
    fs::remove_file(world.path("host/g")).expect("removed");
    symlink(world.path("outside"), world.path("root/deep/h")).expect("linked");
    world.mirror_to("/deep", &["g", "h/secret", "h"], false);
    assert_eq!(world.read("outside/secret"), "secret");
    assert!(!world.is_there("root/deep/g") && !world.is_there("root/deep/h"));
}

#[test]
fn the_source_is_never_followed_out_of_the_mirror() {
    let world = World::new();
    symlink(world.path("outside"), world.path("host/d")).expect("linked");
    let outcome = world.mirror(&["d/secret"]);
    assert_eq!(outcome, Outcome::default(), "what lies behind a link is nothing of ours");
    assert!(!world.is_there("root/app"));
}

#[test]
fn a_path_that_is_swapped_for_a_link_all_the_time_leads_nowhere() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let world = World::new();
    fs::create_dir_all(world.path("root/app/d")).expect("made");
    for n in 0..50 {
        world.write(&format!("host/d/f{n}"), "new");
    }
    let paths: Vec<String> = (0..50).map(|n| format!("d/f{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (folder, aside) = (world.path("root/app/d"), world.path("root/app/aside"));
            while !over.load(Ordering::Relaxed) {
                let _ = fs::rename(&folder, &aside);
                let _ = symlink(world.path("outside"), &folder);
                let _ = fs::remove_file(&folder);
                let _ = fs::rename(&aside, &folder);
            }
        });
        for _ in 0..40 {
            world.mirror(&paths);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(world.path("outside")).expect("read").count(), 1, "nothing was written outside");
    assert_eq!(world.read("outside/secret"), "secret");
}

#[test]
fn other_nodes_are_replaced_and_never_opened() {
    let world = World::new();
    fs::create_dir(world.path("root/app")).expect("made");
    nix::unistd::mkfifo(&world.path("root/app/f"), nix::sys::stat::Mode::S_IRUSR).expect("made");
    world.write("host/f", "new");
    world.mirror(&["f"]);
    assert_eq!(world.read("root/app/f"), "new");
    nix::unistd::mkfifo(&world.path("host/fifo"), nix::sys::stat::Mode::S_IRUSR).expect("made");
    assert_eq!(world.mirror(&["fifo"]), Outcome::default());
}
