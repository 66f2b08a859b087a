//! What is watched, what stands there, and what an event means for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{CreateKind, Flag, ModifyKind, RenameMode};
use notify::{Event, EventKind};

use super::folders::Folders;
use super::walk::{self, look, look_through};
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
    /// Names that have come and may be folders: what is in them has come too.
    came: BTreeSet<PathBuf>,
    overflowed: bool,
    doubt: Option<Doubt>,
}

/// So long all is quiet, and what nobody told of is looked for.
const QUIET: Duration = Duration::from_secs(1);
/// Where it is never quiet, it is looked for nevertheless.
const LONGEST: Duration = Duration::from_secs(10);

/// Something may have changed without a word.
struct Doubt {
    first: Instant,
    last: Instant,
    kind: Unheard,
}

/// What may have changed without a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unheard {
    /// Known files: one may be given a second name, be written to by that, and lose it again before anybody has looked; the
    /// kernel tells of the second name only.
    Files,
    /// Anything. The kernel knows folders, not their paths: what happens in one that was moved is told by its former path
    /// until we have heard of the move, notify drops the watches of a path whose folder is another one by then, and the
    /// kernel follows a symlink that comes into a path while a watch is set on it.
    Anything,
}

impl Doubt {
    /// When it is looked into. While changes are held back, so is this.
    fn due(&self, held: bool) -> Instant {
        let at_last = self.first + LONGEST;
        if held { at_last } else { at_last.min(self.last + QUIET) }
    }
}

impl Tree {
    pub(super) fn new(scope: Scope, folders: Folders) -> Self {
        let roots: BTreeSet<PathBuf> = scope.rules.iter().map(|rule| rule.path.clone()).collect();
        let roots: Vec<PathBuf> = roots.into_iter().collect();
        let git = walk::git_locks(roots.iter());
        let (known, coalescer) = (Known::default(), Coalescer::default());
        let (came, overflowed, doubt) = (BTreeSet::new(), false, None);
        Self { scope, roots, folders, known, coalescer, git, came, overflowed, doubt }
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
        let doubt = self.doubt.as_ref().map(|doubt| doubt.due(self.coalescer.is_held()));
        self.coalescer.due().into_iter().chain(doubt).min()
    }

    /// Whether something was heard that is not told yet.
    pub(super) fn has_news(&self) -> bool {
        self.coalescer.due().is_some()
    }

    fn is_taken(&self, path: &Path) -> bool {
        self.scope.files.contains(path) || self.scope.rules.iter().any(|rule| rule.takes(path).is_some())
    }

    fn doubt(&mut self, kind: Unheard, now: Instant) {
        let (first, kind) = self.doubt.as_ref().map_or((now, kind), |doubt| (doubt.first, doubt.kind.max(kind)));
        self.doubt = Some(Doubt { first, last: now, kind });
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
        found.extend(self.scope.files.iter().filter_map(|file| Some((file.clone(), look_through(file)?))));
        found
    }

    /// Watches the folder that a path is in, or comes into being in: the nearest one that is there.
    fn anchor(&mut self, path: &Path) {
        // Folders may come and go while we climb.
        for _ in 0..10 {
            let Some(nearest) = path.ancestors().skip(1).find(|folder| self.folders.watch(folder)) else { return };
            let next = path.ancestors().take_while(|folder| *folder != nearest).last();
            let is_nearer =
                next.is_some_and(|next| next != path && look_through(next).is_some_and(|p| p.kind == Kind::Folder));
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

    /// What stands at a path. Those of the project's files are the user's, through whatever links they go.
    fn look(&self, path: &Path) -> Option<Print> {
        if self.scope.files.contains(path) { look_through(path) } else { look(path) }
    }

    fn hold_for_git(&mut self) {
        self.coalescer.hold(self.git.iter().any(|lock| look_through(lock).is_some()));
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
        if comes && self.folders.is_watched(&path) || goes && self.folders.forget(&path) {
            self.doubt(Unheard::Anything, now);
        }
        if comes || goes {
            let above: Vec<PathBuf> = self.tops().filter(|top| top.starts_with(&path)).cloned().collect();
            for top in above {
                self.anchor(&top);
                self.doubt(Unheard::Anything, now);
                self.coalescer.hear(top.clone(), notice, now);
                if comes {
                    self.came.insert(top);
                }
            }
        }
        let descends = self.scope.rules.iter().any(|rule| rule.descends(&path));
        if comes && descends {
            self.came.insert(path.clone());
        }
        if descends || self.is_taken(&path) {
            self.coalescer.hear(path, notice, now);
        }
    }

    /// Everything that is watched by its own name.
    fn tops(&self) -> impl Iterator<Item = &PathBuf> {
        self.roots.iter().chain(&self.scope.files)
    }

    /// The batch, if one is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Batch> {
        let held = self.coalescer.is_held();
        let due = self.coalescer.take(now);
        let doubt = self.doubt.take_if(|doubt| doubt.due(held) <= now);
        if due.is_none() && doubt.is_none() {
            return None;
        }
        let since = due.as_ref().map_or(now, |due| due.since);
        let mut batch = Batch { paths: BTreeSet::new(), links: BTreeSet::new(), everything: false, since };
        let mut changed: BTreeSet<PathBuf> = BTreeSet::new();
        if let Some(due) = due {
            changed.extend(due.paths);
            changed.extend(self.enter_what_came(now));
        }
        match doubt.map(|doubt| doubt.kind) {
            Some(Unheard::Files) => changed.extend(self.unheard()),
            Some(Unheard::Anything) => {
                batch.everything = true;
                changed.extend(self.renew(None));
            }
            None => {}
        }
        if std::mem::take(&mut self.overflowed) {
            batch.everything = true;
            changed.extend(self.renew(Some(since_1970())));
        }
        for path in changed {
            self.settle(&path, now, &mut batch);
        }
        batch.paths.retain(|path| self.is_taken(path));
        (batch.everything || !batch.paths.is_empty()).then_some(batch)
    }

    /// Watches the folders that have come, and returns all that is in them. Once a batch: of a folder that comes with many
    /// others in it, each is told.
    fn enter_what_came(&mut self, now: Instant) -> impl Iterator<Item = PathBuf> + use<> {
        let mut found = BTreeMap::new();
        for path in std::mem::take(&mut self.came) {
            if !found.contains_key(&path) && look(&path).is_some_and(|print| print.kind == Kind::Folder) {
                self.enter(&path, &mut found);
                self.doubt(Unheard::Anything, now);
            }
        }
        found.into_keys()
    }

    /// Known paths that are other than they were.
    fn unheard(&self) -> BTreeSet<PathBuf> {
        self.known.paths().filter(|path| self.look(path).as_ref() != self.known.get(path)).cloned().collect()
    }

    /// Sets all watches anew, looks at everything again, and returns what is other than it was, and with the time now what may
    /// be.
    fn renew(&mut self, now: Option<Duration>) -> BTreeSet<PathBuf> {
        self.doubt = None;
        self.came.clear();
        self.folders.begin_anew();
        let found = self.look_everywhere();
        let mut changed = self.known.differences(&found, now);
        // A file of the project that only may have changed is not worth a look at the whole project.
        let files = &self.scope.files;
        changed.retain(|path| !files.contains(path) || self.known.get(path) != found.get(path));
        changed
    }

    /// Looks at one path: what else is concerned, and what is known from now on.
    fn settle(&mut self, path: &Path, now: Instant, batch: &mut Batch) {
        let before = self.known.get(path).copied();
        let found = self.look(path);
        if before.is_none_or(|before| found.is_none_or(|found| found.node != before.node)) {
            self.doubt(Unheard::Files, now);
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
            Kind::Folder => self.settle_folder(path, now, batch),
            Kind::Special => {}
        }
    }

    /// A folder that is not watched yet has come without a word.
    fn settle_folder(&mut self, path: &Path, now: Instant, batch: &mut Batch) {
        if self.folders.is_watched(path) || !self.scope.rules.iter().any(|rule| rule.descends(path)) {
            return;
        }
        self.doubt(Unheard::Anything, now);
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

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO)
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
