//! A random script of changes below a folder, and what there is in the end. Also for the unit tests of `watch::disk`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A generator of numbers that is the same each time (xorshift).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
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
pub fn change(random: &mut Random, top: &Path, number: usize) {
    let path = random.path(top);
    let text = format!("{number} {}", "x".repeat(random.below(3000) as usize));
    let _ = match random.below(12) {
        0..=2 => fs::create_dir_all(path.parent().expect("below the top")).and_then(|()| fs::write(&path, text)),
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

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Its mode.
    Folder(u32),
    /// Mode, owner, group, content.
    File(u32, u32, u32, Vec<u8>),
    /// What it says.
    Link(PathBuf),
}

/// What is other in one tree than in the other, a line each.
pub fn differences(here: &BTreeMap<PathBuf, Node>, there: &BTreeMap<PathBuf, Node>) -> Vec<String> {
    let brief = |node: Option<&Node>| match node {
        Some(Node::File(mode, uid, gid, text)) => {
            let change = String::from_utf8_lossy(text).split(' ').next().unwrap_or_default().to_owned();
            format!("a file, mode {mode:o}, of {uid}:{gid}, change {change}, {} bytes", text.len())
        }
        Some(node) => format!("{node:?}"),
        None => "nothing".to_owned(),
    };
    let all: BTreeSet<&PathBuf> = here.keys().chain(there.keys()).collect();
    let wrong = all.into_iter().filter(|path| here.get(*path) != there.get(*path));
    wrong.map(|path| format!("{}: {} / {}", path.display(), brief(here.get(path)), brief(there.get(path)))).collect()
}

/// All that is below a folder, but for names that are in use while a file is copied.
pub fn tree(top: &Path) -> BTreeMap<PathBuf, Node> {
    let mut nodes = BTreeMap::new();
    let mut todo = vec![top.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            if found.is_dir() {
                todo.push(path.clone());
            }
            let Some(node) = node(&path) else { continue };
            nodes.insert(path.strip_prefix(top).expect("below it").to_owned(), node);
        }
    }
    nodes
}

/// What stands at a path, the last symlink not followed.
pub fn node(path: &Path) -> Option<Node> {
    let found = fs::symlink_metadata(path).ok()?;
    let mode = found.mode() & 0o7777;
    Some(if found.is_dir() {
        Node::Folder(mode)
    } else if found.is_symlink() {
        Node::Link(fs::read_link(path).unwrap_or_default())
    } else {
        Node::File(mode, found.uid(), found.gid(), fs::read(path).unwrap_or_default())
    })
}
