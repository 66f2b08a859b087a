//! Looking at folders and files. A symlink is looked at itself, never at what it names.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folders::Folders;
use crate::watch::known::{Kind, Print};

/// What stands at a path; `None`: nothing.
pub(super) fn look(path: &Path) -> Option<Print> {
    let found = std::fs::symlink_metadata(path).ok()?;
    let kind = match found.file_type() {
        kind if kind.is_dir() => Kind::Folder,
        kind if kind.is_file() => Kind::File,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::Special,
    };
    let seconds = Duration::from_secs(found.ctime().try_into().unwrap_or_default());
    Some(Print {
        kind,
        mode: found.mode(),
        // Those of a folder change with what is in it, and that is told by its own path.
        size: if kind == Kind::Folder { 0 } else { found.len() },
        node: (found.dev(), found.ino()),
        changed: if kind == Kind::Folder {
            Duration::ZERO
        } else {
            seconds + Duration::from_nanos(found.ctime_nsec().try_into().unwrap_or_default())
        },
    })
}

/// Watches a folder and all below it that `descends` says, and adds all that stands there. Each folder is watched before it
/// is read: what comes after that is told.
pub(super) fn enter(
    folder: &Path,
    descends: &dyn Fn(&Path) -> bool,
    folders: &mut Folders,
    found: &mut BTreeMap<PathBuf, Print>,
) {
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        folders.watch(&folder);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It has gone meanwhile, or is no folder any more.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => {
                folders.unreadable(&folder, &error.to_string());
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Some(print) = look(&path) else { continue };
            if print.kind == Kind::Folder && descends(&path) {
                todo.push(path.clone());
            }
            found.insert(path, print);
        }
    }
}

/// The text of an ignore file, if it is there.
pub fn read_ignore(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The files by which git says that it is at work on the repositories that these paths are in.
pub(super) fn git_locks<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut locks: Vec<PathBuf> = paths.filter_map(|path| path.ancestors().find_map(git_folder)).collect();
    locks.sort();
    locks.dedup();
    locks.into_iter().map(|folder| folder.join("index.lock")).collect()
}

/// Where git keeps the index of a folder that is the top of a working tree.
fn git_folder(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    // A linked working tree or a submodule names it in a file.
    let text = std::fs::read_to_string(&git).ok()?;
    Some(folder.join(text.strip_prefix("gitdir:")?.trim()))
}
