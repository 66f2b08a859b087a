//! Random changes at full speed, and events that are lost in between: what is told is enough to keep a mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use notify::event::Flag;
use notify::{Event, EventKind};

use super::super::folders::Folders;
use super::super::tree::Tree;
use super::super::{Inbox, Scope};
use script::{Node, Random, change, differences, node, tree};

#[path = "../../../../tests/watch/script.rs"]
mod script;

/// A mirror as a container is one: of each path that is told, what stands there when its turn comes.
struct Mirror {
    top: PathBuf,
    nodes: BTreeMap<PathBuf, Node>,
    told: BTreeSet<PathBuf>,
}

impl Mirror {
    fn take(&mut self, path: &Path) {
        let Some(relative) = path.strip_prefix(&self.top).ok().filter(|path| !path.as_os_str().is_empty()) else {
            return;
        };
        let above = || relative.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
        let is_other = |path: &Path| matches!(node(&self.top.join(path)), Some(Node::File(..) | Node::Link(_)));
        if above().any(is_other) {
            return;
        }
        let found = node(path);
        let is_folder = |node: Option<&Node>| matches!(node, Some(Node::Folder(_)));
        if !is_folder(found.as_ref()) || !is_folder(self.nodes.get(relative)) {
            self.nodes.retain(|path, _| !path.starts_with(relative));
        }
        let Some(found) = found else { return };
        for above in above() {
            if !is_folder(self.nodes.get(above)) {
                self.nodes.insert(above.to_owned(), Node::Folder(0o755));
            }
        }
        self.nodes.insert(relative.to_owned(), found);
    }
}

/// The kernel's queue, of which stretches are lost now and then.
struct Queue {
    inbox: mpsc::Receiver<Inbox>,
    random: Random,
    lost: u64,
}

impl Queue {
    /// The next event, if one comes before the time is over.
    fn next(&mut self, time: Duration) -> Option<notify::Result<Event>> {
        loop {
            let event = match self.inbox.recv_timeout(time) {
                Ok(Inbox::Event(event)) => event,
                Ok(Inbox::Stop) => continue,
                Err(_) if self.lost > 0 => return self.overflow(),
                Err(_) => return None,
            };
            if self.lost == 0 && self.random.below(2000) == 0 {
                self.lost = 1 + self.random.below(2000);
            }
            match self.lost {
                0 => return Some(event),
                1 => return self.overflow(),
                _ => self.lost -= 1,
            }
        }
    }

    fn overflow(&mut self) -> Option<notify::Result<Event>> {
        self.lost = 0;
        Some(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)))
    }
}

/// What differs after so many changes.
fn differ(seed: u64, changes: usize) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let top = fs::canonicalize(folder.path()).expect("there").join("src");
    fs::create_dir(&top).expect("made");
    let (sender, inbox) = mpsc::channel();
    let mut queue = Queue { inbox, random: Random(seed ^ 0x5555), lost: 0 };
    let scope = Scope { rules: super::rules_of(&top), ..Scope::default() };
    let mut watched = Tree::new(scope, Folders::new(sender).expect("watching"));
    watched.begin();
    let mut mirror = Mirror { top: top.clone(), nodes: BTreeMap::new(), told: BTreeSet::new() };
    let script = std::thread::spawn({
        let (mut random, top) = (Random(seed), top.clone());
        move || (0..changes).for_each(|number| change(&mut random, &top, number))
    });
    let end = Instant::now() + Duration::from_secs(60);
    while !script.is_finished() || watched.due().is_some() {
        let due = watched.due().map_or(SHORT, |due| due.saturating_duration_since(Instant::now()).min(SHORT));
        let mut next = queue.next(due);
        while let Some(event) = next.take() {
            watched.hear(event);
            next = watched.has_news().then(|| queue.next(Duration::ZERO)).flatten();
        }
        if let Some(batch) = watched.take(Instant::now()) {
            // The time that copying takes.
            std::thread::sleep(Duration::from_millis(queue.random.below(20)));
            mirror.told.extend(batch.paths.iter().cloned());
            let paths = if batch.everything { mirror.told.clone() } else { batch.paths };
            paths.iter().for_each(|path| mirror.take(path));
        }
        assert!(Instant::now() < end, "it does not come to rest");
    }
    differences(&tree(&top), &mirror.nodes)
}

const SHORT: Duration = Duration::from_millis(50);

#[test]
fn what_is_told_is_enough_to_keep_a_mirror() {
    for seed in [1, 2, 3] {
        let wrong = differ(seed * 0x9e37_79b9, 4000);
        assert!(wrong.is_empty(), "seed {seed}, {} differ (here / there): {wrong:#?}", wrong.len());
    }
}
