//! What stood at the watched paths when they were last looked at: for what nobody told of, after the kernel's queue ran
//! over, in a folder that came or went as a whole, under another name of the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A time that lies so little before now does not tell a later change apart: clocks of file systems tick coarsely.
const RACY: Duration = Duration::from_secs(10);

/// What kind of thing a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symlink.
    Link,
    /// A FIFO, a socket, a device.
    Special,
}

/// What tells a changed file from one that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// Its kind.
    pub kind: Kind,
    /// Its permission bits.
    pub mode: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Device and inode.
    pub node: (u64, u64),
    /// When it changed last (ctime, which nobody can set), since 1970.
    pub changed: Duration,
}

/// The prints of all watched paths.
#[derive(Clone, Debug, Default)]
pub struct Known {
    prints: BTreeMap<PathBuf, Print>,
    /// The names of each file: a second one comes without a word about the first.
    shared: BTreeMap<(u64, u64), BTreeSet<PathBuf>>,
}

impl Known {
    /// Keeps what stands at a path now.
    pub fn put(&mut self, path: &Path, print: Print) {
        if self.prints.get(path).is_some_and(|old| old.node != print.node) {
            self.forget(path);
        }
        if print.kind == Kind::File {
            self.shared.entry(print.node).or_default().insert(path.to_owned());
        }
        self.prints.insert(path.to_owned(), print);
    }

    /// Nothing stands there any more.
    pub fn forget(&mut self, path: &Path) -> Option<Print> {
        let old = self.prints.remove(path)?;
        if let Some(names) = self.shared.get_mut(&old.node) {
            names.remove(path);
            if names.is_empty() {
                self.shared.remove(&old.node);
            }
        }
        Some(old)
    }

    /// What stood there.
    pub fn get(&self, path: &Path) -> Option<&Print> {
        self.prints.get(path)
    }

    /// All known paths.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.prints.keys()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.prints.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.prints.is_empty()
    }

    /// The known paths below a folder.
    pub fn below(&self, folder: &Path) -> Vec<PathBuf> {
        let after = (Bound::Excluded(folder.to_owned()), Bound::Unbounded);
        // A path with a `!` in place of the slash is sorted in between: not all that follow are below.
        let near = self.prints.range(after).take_while(|(path, _)| starts_alike(path, folder));
        near.map(|(path, _)| path).filter(|path| path.starts_with(folder)).cloned().collect()
    }

    /// The other known names of the file at a path: who writes to one writes to all, and is told of the one only.
    pub fn other_names(&self, path: &Path) -> Vec<PathBuf> {
        let Some(print) = self.prints.get(path) else { return Vec::new() };
        let names = self.shared.get(&print.node).into_iter().flatten();
        names.filter(|other| *other != path).cloned().collect()
    }

    /// What is other than it was: come, gone or changed. `found` is all that there is now. With `now` (since 1970) also what
    /// changed so lately that it can't be told.
    pub fn differences(&self, found: &BTreeMap<PathBuf, Print>, now: Option<Duration>) -> BTreeSet<PathBuf> {
        let gone = self.prints.keys().filter(|path| !found.contains_key(*path));
        let is_racy = |print: &Print| now.is_some_and(|now| now.saturating_sub(print.changed) < RACY);
        let other = found.iter().filter(|(path, print)| self.prints.get(*path) != Some(*print) || is_racy(print));
        gone.chain(other.map(|(path, _)| path)).cloned().collect()
    }
}

/// Whether a path begins with the bytes of a folder's.
fn starts_alike(path: &Path, folder: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(folder.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(node: u64, changed: u64) -> Print {
        let changed = Duration::from_secs(changed);
        Print { kind: Kind::File, mode: 0o644, size: 1, node: (1, node), changed }
    }

    fn known(paths: &[(&str, Print)]) -> Known {
        let mut known = Known::default();
        paths.iter().for_each(|(path, print)| known.put(Path::new(path), *print));
        known
    }

    fn set(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn what_is_below_a_folder() {
        let one = print(1, 0);
        let known = known(&[("/a", one), ("/a!b", one), ("/a/b", one), ("/a/b/c", one), ("/ab", one), ("/b", one)]);
        assert_eq!(known.below(Path::new("/a")), [PathBuf::from("/a/b"), PathBuf::from("/a/b/c")]);
        assert_eq!(known.below(Path::new("/b")), Vec::<PathBuf>::new());
    }

    #[test]
    fn hard_links_are_other_names_of_one_file() {
        let mut known = known(&[("/a", print(7, 0)), ("/b", print(7, 0)), ("/c", print(8, 0))]);
        assert_eq!(known.other_names(Path::new("/a")), [PathBuf::from("/b")]);
        assert!(known.other_names(Path::new("/c")).is_empty());
        known.put(Path::new("/b"), print(9, 0));
        assert!(known.other_names(Path::new("/a")).is_empty());
        for path in ["/a", "/b", "/c"] {
            known.forget(Path::new(path));
        }
        assert!(known.shared.is_empty());
    }

    #[test]
    fn differences_are_what_came_went_changed_or_cannot_be_told() {
        let before = known(&[("/same", print(1, 10)), ("/gone", print(2, 10)), ("/other", print(3, 10))]);
        let mut now = BTreeMap::new();
        now.insert(PathBuf::from("/same"), print(1, 10));
        now.insert(PathBuf::from("/other"), print(3, 11));
        now.insert(PathBuf::from("/new"), print(4, 12));
        let differences = |seconds: Option<u64>| before.differences(&now, seconds.map(Duration::from_secs));
        assert_eq!(differences(None), set(&["/gone", "/new", "/other"]));
        assert_eq!(differences(Some(100)), set(&["/gone", "/new", "/other"]));
        assert_eq!(differences(Some(15)), set(&["/gone", "/new", "/other", "/same"]));
    }
}
