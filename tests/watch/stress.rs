//! Random changes at full speed, with the kernel's queue so short that it runs over: at the end both trees are equal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::support::world::World;
use super::{Watching, root, world};

const CHANGES: usize = 20_000;
const COMPOSE: &str = "services:
  web:
    image: test
    stop_signal: SIGKILL
    develop: {watch: [{path: src, action: sync, target: /app}]}
";

/// The limit of the kernel's queue, of the whole machine: it counts for who begins to watch while it is set.
/// Two that set it at once would take each other's for the machine's own, so there is a lock.
struct Queue {
    before: String,
    _lock: fs::File,
}

impl Queue {
    const PATH: &str = "/proc/sys/fs/inotify/max_queued_events";

    fn limit(to: &str) -> Self {
        let lock = fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        lock.lock().unwrap();
        let before = fs::read_to_string(Self::PATH).unwrap();
        fs::write(Self::PATH, to).unwrap();
        Self { before, _lock: lock }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = fs::write(Self::PATH, &self.before);
    }
}

/// A generator of numbers that is the same each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn folder(&mut self, top: &Path) -> PathBuf {
        let mut path = top.to_owned();
        for _ in 0..self.below(4) {
            path.push(format!("d{}", self.below(4)));
        }
        path
    }

    fn path(&mut self, top: &Path) -> PathBuf {
        let folder = self.folder(top);
        let name = if self.below(6) == 0 { format!("d{}", self.below(4)) } else { format!("f{}", self.below(12)) };
        folder.join(name)
    }
}

/// One change; most of those that can't be done do nothing, as in life.
fn change(random: &mut Random, top: &Path, number: usize) {
    let path = random.path(top);
    let text = format!("{number} {}", "x".repeat(random.below(3000) as usize));
    let _ = match random.below(12) {
        0..=2 => fs::create_dir_all(path.parent().unwrap()).and_then(|()| fs::write(&path, text)),
        3 => fs::write(&path, text),
        4 => {
            let temporary = path.with_file_name(format!(".save-{number}"));
            let saved = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &path));
            let _ = fs::remove_file(&temporary);
            saved
        }
        5 => fs::remove_file(&path),
        6 => fs::rename(&path, random.path(top)),
        7 => fs::set_permissions(&path, fs::Permissions::from_mode(0o600 + random.below(64) as u32)),
        8 => {
            // Whatever it was, it is a link now; to a folder of the tree, as often as not.
            let _ = fs::remove_file(&path);
            let target = if random.below(2) == 0 { format!("d{}", random.below(4)) } else { "nowhere".into() };
            symlink(target, &path)
        }
        9 if number.is_multiple_of(7) => fs::remove_dir_all(&path),
        9 => fs::create_dir(&path),
        10 => fs::hard_link(&path, random.path(top)),
        _ => fs::rename(random.folder(top), random.folder(top)),
    };
}

#[derive(Debug, PartialEq, Eq)]
enum Node {
    Folder(u32),
    File(u32, u32, u32, Vec<u8>),
    Link(PathBuf),
}

/// All that is below a folder, but for names that are in use while a file is copied.
fn tree(top: &Path) -> BTreeMap<PathBuf, Node> {
    let mut nodes = BTreeMap::new();
    let mut todo = vec![top.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            let mode = found.mode() & 0o7777;
            let node = if found.is_dir() {
                todo.push(path.clone());
                Node::Folder(mode)
            } else if found.is_symlink() {
                Node::Link(fs::read_link(&path).unwrap_or_default())
            } else {
                Node::File(mode, found.uid(), found.gid(), fs::read(&path).unwrap_or_default())
            };
            nodes.insert(path.strip_prefix(top).unwrap().to_owned(), node);
        }
    }
    nodes
}

#[track_caller]
fn become_equal(world: &World, folder: &Path, watching: &Watching) {
    let here = tree(&folder.join("src"));
    assert!(here.len() > 20, "{}", here.len());
    let there = || tree(&root(world, folder, "web").join("app"));
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while there() != here {
        if std::time::Instant::now() > end {
            let there = there();
            let differ = |path: &&PathBuf| here.get(*path) != there.get(*path);
            let all: std::collections::BTreeSet<&PathBuf> = here.keys().chain(there.keys()).collect();
            let wrong: Vec<_> = all.into_iter().filter(differ).collect();
            panic!("{} of {} differ: {wrong:?}\n{}", wrong.len(), here.len(), watching.log());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn prepare(name: &str) -> (World, PathBuf, Watching, Queue) {
    let world = world();
    let folder = world.project(name, &[("compose.yaml", COMPOSE)]);
    fs::create_dir(folder.join("src")).unwrap();
    let queue = Queue::limit("50");
    let watching = Watching::start(&world, &folder, &["watch"]);
    (world, folder, watching, queue)
}

#[test]
#[ignore = "one file of a thousand can still differ at the end: a change is lost somewhere, which is to be found"]
fn after_twenty_thousand_random_changes_both_trees_are_equal() {
    let (world, folder, watching, _queue) = prepare("stress");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..CHANGES {
        change(&mut random, &folder.join("src"), number);
    }
    become_equal(&world, &folder, &watching);
    assert!(watching.log().contains("max_queued_events = "), "the queue did not run over:\n{}", watching.log());
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
#[ignore = "one file of a thousand can still differ at the end: a change is lost somewhere, which is to be found"]
fn the_same_while_the_container_restarts_every_second() {
    let (world, folder, watching, _queue) = prepare("stress-restart");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                world.windlass(&folder, &["restart", "-t", "0"]).ok();
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for number in 0..CHANGES {
            change(&mut random, &folder.join("src"), number);
            // So that several restarts fall into it.
            if number.is_multiple_of(2000) {
                std::thread::sleep(Duration::from_millis(500));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    become_equal(&world, &folder, &watching);
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}
