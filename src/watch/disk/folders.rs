//! notify, one watch a folder. Its own recursive watches would watch what is ignored too, and there are only so many.
//!
//! notify (8.2) takes a watch away by its path when it reads that something of this name was removed or renamed, together
//! with all that are below it; by then another folder may have the name. So whoever hears of a new folder sets the watches
//! of all that is in it again, known or not: that is free where they are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Inbox, Note, WatchError};
use crate::watch::limit::most_costly;

/// The folders that are watched.
pub(super) struct Folders {
    watcher: RecommendedWatcher,
    inbox: Sender<Inbox>,
    watched: BTreeSet<PathBuf>,
    unwatched: Vec<PathBuf>,
    told: BTreeSet<PathBuf>,
    notes: Vec<Note>,
}

impl Folders {
    pub(super) fn new(inbox: Sender<Inbox>) -> Result<Self, WatchError> {
        let watcher = watcher(inbox.clone())?;
        let (watched, unwatched) = (BTreeSet::new(), Vec::new());
        Ok(Self { watcher, inbox, watched, unwatched, told: BTreeSet::new(), notes: Vec::new() })
    }

    /// Forgets all watches. After a loss notify may take a folder for one that had its name before, and would take its watch
    /// away with the other's end.
    pub(super) fn begin_anew(&mut self) {
        match watcher(self.inbox.clone()) {
            Ok(watcher) => self.watcher = watcher,
            // The old one goes on.
            Err(error) => self.failed(error.to_string()),
        }
        self.watched.clear();
    }

    /// Watches one folder, whether it was watched or not. `false`: it is not there, or can't be watched.
    pub(super) fn watch(&mut self, folder: &Path) -> bool {
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(folder.to_owned());
                return true;
            }
            Err(error) => match error.kind {
                ErrorKind::MaxFilesWatch => self.unwatched.push(folder.to_owned()),
                ErrorKind::PathNotFound => {}
                // It, or a folder above it, is none any more: gone, a file, a symlink to itself.
                ErrorKind::Io(cause) if cause.raw_os_error().is_some_and(|code| GONE.contains(&code)) => {}
                ErrorKind::Io(cause) => self.unreadable(folder, &cause.to_string()),
                other => self.notes.push(Note::Failed(format!("{other:?}"))),
            },
        }
        self.watched.remove(folder);
        false
    }

    /// A folder that can't be read is named once.
    pub(super) fn unreadable(&mut self, folder: &Path, why: &str) {
        if self.told.insert(folder.to_owned()) {
            self.notes.push(Note::Unreadable { path: folder.to_owned(), why: why.to_owned() });
        }
    }

    pub(super) fn is_watched(&self, folder: &Path) -> bool {
        self.watched.contains(folder)
    }

    pub(super) fn count(&self) -> usize {
        self.watched.len()
    }

    /// A folder has gone; its watches have gone with it. `false`: it was none that is watched.
    pub(super) fn forget(&mut self, folder: &Path) -> bool {
        let known = self.watched.remove(folder);
        if known {
            self.watched.retain(|path| !path.starts_with(folder));
        }
        known
    }

    pub(super) fn failed(&mut self, text: String) {
        self.notes.push(Note::Failed(text));
    }

    pub(super) fn overflow(&mut self) {
        self.notes.push(Note::Overflow { limit: setting("max_queued_events") });
    }

    /// What is to be told since the last time.
    pub(super) fn notes(&mut self, roots: &[PathBuf]) -> Vec<Note> {
        let mut notes = std::mem::take(&mut self.notes);
        let unwatched = std::mem::take(&mut self.unwatched);
        if !unwatched.is_empty() {
            let costly = most_costly(roots, self.watched.iter().chain(&unwatched));
            notes.push(Note::Full { limit: setting("max_user_watches"), unwatched, costly });
        }
        notes
    }
}

fn watcher(inbox: Sender<Inbox>) -> Result<RecommendedWatcher, WatchError> {
    let handler = move |event: notify::Result<notify::Event>| {
        if event.as_ref().is_ok_and(|event| is_reading(event.kind)) {
            return;
        }
        // Nobody watches any more.
        let _ = inbox.send(Inbox::Event(event));
    };
    notify::recommended_watcher(handler).map_err(|error| match &error.kind {
        ErrorKind::Io(cause) if cause.raw_os_error() == Some(NO_MORE_FILES) => {
            WatchError::NoInstance { limit: setting("max_user_instances") }
        }
        _ => WatchError::Notify(error),
    })
}

/// EMFILE, which inotify_init1(2) gives where the user has too many instances.
const NO_MORE_FILES: i32 = 24;

/// ENOENT, ENOTDIR, ELOOP.
const GONE: [i32; 3] = [2, 20, 40];

/// Opening and reading changes nothing; we do it ourselves all the time.
fn is_reading(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
}

/// A limit of inotify on this machine.
fn setting(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"));
    text.map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
}
