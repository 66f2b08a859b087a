//! What is watched, what stands there, and what an event means for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{CreateKind, Flag, ModifyKind, RenameMode};
use notify::{Event, EventKind};

use super::folders::Folders;
use super::walk::{self, look};
use super::{Batch, Note, Scope, Started};
use crate::watch::coalesce::{Coalescer, Notice};
use crate::watch::known::{Kind, Known, Print};

/// The watched part of the file system.
pub(super) struct Tree {
    scope: Scope,
    roots: Vec<PathBuf>,
    folders: Folders,
    known: Known,
    coalescer: Coalescer,
    git: Vec<PathBuf>,
    overflowed: bool,
    /// When all known files are looked at once more.
    doubt: Option<Instant>,
}

/// So long after names have changed all is quiet, and what was done by a name that nobody saw is looked for.
const DOUBT: Duration = Duration::from_secs(1);

impl Tree {
    pub(super) fn new(scope: Scope, folders: Folders) -> Self {
        let roots: BTreeSet<PathBuf> = scope.rules.iter().map(|rule| rule.path.clone()).collect();
        let roots: Vec<PathBuf> = roots.into_iter().collect();
        let git = walk::git_locks(roots.iter());
        let (known, coalescer) = (Known::default(), Coalescer::default());
        Self { scope, roots, folders, known, coalescer, git, overflowed: false, doubt: None }
    }

    /// Sets all watches and looks at everything for the first time.
    pub(super) fn begin(&mut self) -> Started {
        let found = self.look_everywhere();
        let taken = |path: &&PathBuf| self.is_taken(path);
        let is_link = |path: &&PathBuf| found[*path].kind == Kind::Link;
        let started = Started {
            paths: found.keys().filter(taken).cloned().collect(),
            links: found.keys().filter(is_link).cloned().collect(),
            folders: self.folders.count(),
            notes: Vec::new(),
        };
        found.iter().for_each(|(path, print)| self.known.put(path, *print));
        Started { notes: self.notes(), ..started }
    }

    /// What people should know since the last time.
    pub(super) fn notes(&mut self) -> Vec<Note> {
        self.folders.notes(&self.roots)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.coalescer.due().into_iter().chain(self.doubt).min()
    }

    /// Whether something was heard that is not told yet.
    pub(super) fn has_news(&self) -> bool {
        self.coalescer.due().is_some()
    }

    fn is_taken(&self, path: &Path) -> bool {
        self.scope.files.contains(path) || self.scope.rules.iter().any(|rule| rule.takes(path).is_some())
    }

    fn look_everywhere(&mut self) -> BTreeMap<PathBuf, Print> {
        let files: Vec<PathBuf> = self.scope.files.iter().chain(&self.git).cloned().collect();
        for file in &files {
            self.anchor(file);
        }
        self.hold_for_git();
        let mut found = BTreeMap::new();
        for root in self.roots.clone() {
            self.anchor(&root);
            self.enter(&root, &mut found);
        }
        found.extend(self.scope.files.iter().filter_map(|file| Some((file.clone(), look(file)?))));
        found
    }

    /// Watches the folder that a path is in, or comes into being in: the nearest one that is there.
    fn anchor(&mut self, path: &Path) {
        // Folders may come and go while we climb.
        for _ in 0..10 {
            let Some(nearest) = path.ancestors().skip(1).find(|folder| self.folders.watch(folder)) else { return };
            let next = path.ancestors().take_while(|folder| *folder != nearest).last();
            let is_nearer = next.is_some_and(|next| next != path && look(next).is_some_and(|p| p.kind == Kind::Folder));
            if !is_nearer {
                return;
            }
        }
    }

    /// Watches a path and all below it, and adds what stands there.
    fn enter(&mut self, path: &Path, found: &mut BTreeMap<PathBuf, Print>) {
        let Some(print) = look(path) else { return };
        found.insert(path.to_owned(), print);
        let rules = &self.scope.rules;
        let descends = |folder: &Path| rules.iter().any(|rule| rule.descends(folder));
        if print.kind == Kind::Folder && descends(path) {
            walk::enter(path, &descends, &mut self.folders, found);
        }
    }

    fn hold_for_git(&mut self) {
        self.coalescer.hold(self.git.iter().any(|lock| look(lock).is_some()));
    }

    /// Takes what notify says.
    pub(super) fn hear(&mut self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.folders.failed(error.to_string()),
        };
        let now = Instant::now();
        if event.flag() == Some(Flag::Rescan) {
            if !self.overflowed {
                self.folders.overflow();
            }
            self.overflowed = true;
            if let Some(root) = self.roots.first().or(self.scope.files.first()) {
                self.coalescer.hear(root.clone(), Notice::Begun, now);
            }
            return;
        }
        let Some(notice) = notice(event.kind) else { return };
        let comes = matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)));
        let goes = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)));
        for path in event.paths {
            self.hear_of(path, notice, (comes, goes), now);
        }
    }

    fn hear_of(&mut self, path: PathBuf, notice: Notice, (comes, goes): (bool, bool), now: Instant) {
        if self.git.contains(&path) {
            return self.hold_for_git();
        }
        if goes {
            self.folders.forget(&path);
        }
        if comes || goes {
            let above: Vec<PathBuf> = self.tops().filter(|top| top.starts_with(&path)).cloned().collect();
            for top in above {
                self.anchor(&top);
                self.coalescer.hear(top.clone(), notice, now);
                if comes && top != path {
                    self.hear_all(&top, now);
                }
            }
        }
        let descends = self.scope.rules.iter().any(|rule| rule.descends(&path));
        if comes && descends {
            self.hear_all(&path, now);
        }
        if descends || self.is_taken(&path) {
            self.coalescer.hear(path, notice, now);
        }
    }

    /// Everything that is watched by its own name.
    fn tops(&self) -> impl Iterator<Item = &PathBuf> {
        self.roots.iter().chain(&self.scope.files)
    }

    /// A folder has come: so has all that is in it.
    fn hear_all(&mut self, folder: &Path, now: Instant) {
        if look(folder).is_none_or(|print| print.kind != Kind::Folder) {
            return;
        }
        let mut found = BTreeMap::new();
        self.enter(folder, &mut found);
        for path in found.into_keys().filter(|path| path != folder) {
            self.coalescer.hear(path, Notice::Touched, now);
        }
    }

    /// The batch, if one is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Batch> {
        let (since, mut changed) = match self.coalescer.take(now) {
            Some(due) => (due.since, due.paths.into_iter().collect()),
            None if self.doubt.is_some_and(|doubt| doubt <= now) => (now, self.unheard()),
            None => return None,
        };
        if std::mem::take(&mut self.overflowed) {
            changed.extend(self.rescan());
        }
        let mut batch = Batch { paths: BTreeSet::new(), links: BTreeSet::new(), since };
        for path in changed {
            self.settle(&path, now, &mut batch);
        }
        batch.paths.retain(|path| self.is_taken(path));
        (!batch.paths.is_empty()).then_some(batch)
    }

    /// Known paths that have changed without a word: a file may be given a second name, be written to by that, and lose it
    /// again before anybody has looked; the kernel tells of the second name only.
    fn unheard(&mut self) -> BTreeSet<PathBuf> {
        self.doubt = None;
        self.known.paths().filter(|path| look(path).as_ref() != self.known.get(path)).cloned().collect()
    }

    /// Looks at everything again, and returns what is other than it was.
    fn rescan(&mut self) -> BTreeSet<PathBuf> {
        self.folders.begin_anew();
        let found = self.look_everywhere();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let mut changed = self.known.differences(&found, now);
        // A file of the project that only may have changed is not worth a look at the whole project.
        let files = &self.scope.files;
        changed.retain(|path| !files.contains(path) || self.known.get(path) != found.get(path));
        changed
    }

    /// Looks at one path: what else is concerned, and what is known from now on.
    fn settle(&mut self, path: &Path, now: Instant, batch: &mut Batch) {
        let before = self.known.get(path).copied();
        let found = look(path);
        if before.is_none_or(|before| found.is_none_or(|found| found.node != before.node)) {
            self.doubt = Some(now + DOUBT);
        }
        // What was there before may have been written to by this name.
        batch.paths.extend(self.known.other_names(path));
        let Some(print) = found else {
            // A folder that has gone takes all that was in it along.
            for below in self.known.below(path) {
                self.known.forget(&below);
                batch.paths.insert(below);
            }
            self.known.forget(path);
            batch.paths.insert(path.to_owned());
            return;
        };
        if before.is_some_and(|before| before.kind == Kind::Folder && before.node != print.node) {
            // Another one has taken its place, and what was in it has gone along with it.
            for below in self.known.below(path) {
                if look(&below).is_none() {
                    self.known.forget(&below);
                }
                batch.paths.insert(below);
            }
        }
        self.known.put(path, print);
        batch.paths.insert(path.to_owned());
        match print.kind {
            Kind::Link => {
                batch.links.insert(path.to_owned());
            }
            Kind::File => batch.paths.extend(self.known.other_names(path)),
            Kind::Folder => self.settle_folder(path, batch),
            Kind::Special => {}
        }
    }

    /// A folder that is not watched yet has come without a word.
    fn settle_folder(&mut self, path: &Path, batch: &mut Batch) {
        if self.folders.is_watched(path) {
            return;
        }
        let mut found = BTreeMap::new();
        self.enter(path, &mut found);
        for (path, print) in found {
            if print.kind == Kind::Link {
                batch.links.insert(path.clone());
            }
            self.known.put(&path, print);
            batch.paths.insert(path);
        }
    }
}

/// What a kind of event says about its path; `None`: nothing.
fn notice(kind: EventKind) -> Option<Notice> {
    Some(match kind {
        // Each of the two was told by itself before.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return None,
        EventKind::Create(CreateKind::Folder) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Notice::Settled,
        EventKind::Access(_) => Notice::Settled,
        EventKind::Modify(ModifyKind::Metadata(_)) => Notice::Touched,
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => Notice::Begun,
        EventKind::Any | EventKind::Other => return None,
    })
}
