//! Random changes at full speed, with the kernel's queue so short that it runs over: at the end both trees are equal.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::script::{Random, change, differences, tree};
use super::support::world::World;
use super::{Watching, root, world};

const CHANGES: usize = 20_000;
const COMPOSE: &str = "services:
  web:
    image: test
    stop_signal: SIGKILL
    develop: {watch: [{path: src, action: sync, target: /app}]}
";

/// The limit of the kernel's queue, of the whole machine: it counts for who begins to watch while it is set. nextest runs
/// nothing else meanwhile (`.config/nextest.toml`), and a lock keeps two runs apart.
struct Queue {
    /// Sets the limit back when the pipe to it closes, however this test ends. It has the lock as well.
    guard: Child,
    pipe: Option<ChildStdin>,
}

impl Queue {
    fn limit(to: u32) -> Self {
        let lock = fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        lock.lock().unwrap();
        let script = "f=/proc/sys/fs/inotify/max_queued_events; before=$(cat $f) || exit; echo $1 >$f; echo set >&2; \
                      cat >/dev/null; echo $before >$f";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "queue", &to.to_string()])
            .stdin(Stdio::piped())
            .stdout(lock)
            .stderr(Stdio::piped());
        // Who kills this test kills its process group.
        let mut guard = command.process_group(0).spawn().unwrap();
        let pipe = guard.stdin.take();
        let mut said = [0; 3];
        std::io::Read::read_exact(guard.stderr.as_mut().unwrap(), &mut said).unwrap();
        Self { guard, pipe }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.guard.wait();
    }
}

#[track_caller]
fn become_equal(world: &World, folder: &Path, watching: &Watching) {
    let here = tree(&folder.join("src"));
    assert!(here.len() > 20, "{}", here.len());
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let wrong = differences(&here, &tree(&root(world, folder, "web").join("app")));
        if wrong.is_empty() {
            return;
        }
        let brief: Vec<_> = wrong.iter().take(20).collect();
        let count = wrong.len();
        assert!(Instant::now() < end, "{count} of {} differ: {brief:#?}\n{}", here.len(), watching.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn prepare(name: &str) -> (World, PathBuf, Watching, Queue) {
    let world = world();
    let folder = world.project(name, &[("compose.yaml", COMPOSE)]);
    fs::create_dir(folder.join("src")).unwrap();
    let queue = Queue::limit(50);
    let watching = Watching::start(&world, &folder, &["watch"]);
    (world, folder, watching, queue)
}

#[test]
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
