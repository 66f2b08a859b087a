//! The session: what is heard of files and of containers, and what is done about it. [`Session::next`] may be dropped at any
//! moment and called again; whatever goes on is kept here.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use crate::compose::model::Project;
use crate::diag::Diagnostics;
use crate::watch::disk::read_ignore;
use crate::watch::rule::{Rules, rules};
use crate::watch::{Action, Batch, Note, Scope, Started, Told, start};

use super::super::super::backend::{Backend, Event, Loaded, LockUse, Span, UpWish};
use super::super::super::context::Context;
use super::super::super::error::CliError;
use super::follow::{Followed, Work, follow};
use super::replicas::{Finished, Replicas};
use super::{Options, Said};

/// Between two looks for a project that is not up, while files wait for it.
const AGAIN: Duration = Duration::from_secs(1);

/// So long the last copy may take when the session ends.
const LAST: Duration = Duration::from_secs(2);

/// Watches the files of a project, and does what its rules say.
pub struct Session<'a, B> {
    cx: &'a Context<'a, B>,
    options: Options,
    project: Rc<Project>,
    rules: Arc<Vec<crate::watch::Rule>>,
    files: BTreeSet<std::path::PathBuf>,
    watch: crate::watch::Watch,
    folders: usize,
    replicas: Replicas,
    events: Option<UnboundedReceiver<Event>>,
    again: Option<Instant>,
    syncing: Option<JoinHandle<Finished>>,
    work: Work,
    following: Option<Pin<Box<dyn Future<Output = Followed> + 'a>>>,
    say: UnboundedSender<Said>,
    said: UnboundedReceiver<Said>,
    queue: VecDeque<Said>,
    told: BTreeSet<String>,
}

/// Several errors of one project's files as one; any other error alone.
fn together(errors: impl Iterator<Item = CliError>) -> CliError {
    let mut all: Option<Box<Diagnostics>> = None;
    for error in errors {
        match (error, &mut all) {
            (CliError::Diagnostics(found), Some(all)) => all.list.extend(found.list),
            (CliError::Diagnostics(found), None) => all = Some(found),
            (other, _) => return other,
        }
    }
    CliError::Diagnostics(all.unwrap_or_default())
}

/// The rules of the services that were named (none named: of all).
///
/// # Errors
/// Rules that can't be followed; no rule at all.
pub fn rules_of<B: Backend>(cx: &Context<'_, B>, project: &Project, wish: &UpWish) -> Result<Rules, CliError> {
    let found = rules_left(cx, project, wish)?;
    if found.rules.is_empty() && found.warnings.is_empty() {
        return Err(CliError::with_help(
            "none of the services has anything under `develop.watch`",
            "name the paths that matter and what is to be done: `develop: {watch: [{path: ., action: sync, target: /app}]}`",
        ));
    }
    Ok(found)
}

/// As [`rules_of`], but there may be none.
fn rules_left<B: Backend>(cx: &Context<'_, B>, project: &Project, wish: &UpWish) -> Result<Rules, CliError> {
    let named = wish.services.iter().cloned().collect();
    let found = rules(project, &named, &read_ignore).map_err(|errors| {
        together(errors.iter().map(|error| cx.backend.explain(&error.path, &error.message, error.help.as_deref())))
    })?;
    let (flag, why) = match wish.lock {
        LockUse::Frozen => ("--frozen", "builds nothing"),
        LockUse::Locked => ("--locked", "takes nothing that is built from other files than were locked"),
        LockUse::IfThere | LockUse::Ignore => return Ok(found),
    };
    match found.rules.iter().find(|rule| rule.action == Action::Rebuild) {
        Some(rule) => Err(CliError::usage(format!(
            "`{flag}` {why}, and service `{}` is to be rebuilt when {} changes: watch without `{flag}`, or name services \
             without `rebuild`",
            rule.service,
            rule.path.display()
        ))),
        None => Ok(found),
    }
}

impl<'a, B: Backend> Session<'a, B> {
    /// Begins to watch: what changes from now on is not missed, though nothing is done before [`Session::begin`].
    ///
    /// # Errors
    /// Rules that can't be followed; a kernel that lets nobody watch.
    pub fn new(cx: &'a Context<'a, B>, loaded: Loaded, options: Options) -> Result<Self, CliError> {
        let found = rules_of(cx, &loaded.project, &options.wish)?;
        let rules = Arc::new(found.rules);
        let (started, watch) = begin_watch(&rules, &loaded.files)?;
        let (say, said) = mpsc::unbounded_channel();
        let mut session = Self {
            cx,
            options,
            replicas: Replicas::new(rules.clone(), &started.paths, &started.links),
            project: Rc::new(loaded.project),
            rules,
            files: loaded.files,
            watch,
            folders: started.folders,
            events: None,
            again: None,
            syncing: None,
            work: Work::default(),
            following: None,
            say,
            said,
            queue: found.warnings.into_iter().map(Said::Warning).collect(),
            told: BTreeSet::new(),
        };
        started.notes.into_iter().for_each(|note| session.note(&note));
        Ok(session)
    }

    /// The containers are there: from now on changes go to them.
    ///
    /// # Errors
    /// When they can't be looked at.
    pub fn begin(&mut self) -> Result<(), CliError> {
        self.connect()?;
        let services: BTreeSet<&str> = self.rules.iter().map(|rule| rule.service.as_str()).collect();
        let services = services.into_iter().collect::<Vec<_>>().join(", ");
        self.queue.push_back(Said::Line(format!("watching {} folders for {services}; Ctrl-C ends it", self.folders)));
        if self.events.is_none() {
            let text = format!("nothing of project `{}` is up: changes wait for it", self.project.name);
            self.queue.push_back(Said::Warning(text));
            self.look_again();
        }
        Ok(())
    }

    /// Listens to what happens to the containers, if there are any, and looks at them.
    fn connect(&mut self) -> Result<(), CliError> {
        let found = self.cx.backend.observe(&self.project.name)?;
        let is_up = found.containers.values().any(|container| container.is_running());
        if self.events.is_none() && is_up {
            self.events = Some(self.cx.backend.events(&self.project.name, Span::WhileUp)?);
        }
        self.look()
    }

    /// Looks at the containers: some may be new.
    fn look(&mut self) -> Result<(), CliError> {
        let found = self.cx.backend.observe(&self.project.name)?;
        let mut ids = BTreeSet::new();
        for (id, container) in &found.containers {
            if container.spec.oneoff || !self.replicas.concerns(&container.spec.service) {
                continue;
            }
            ids.insert(id.clone());
            let Some(started) = &container.started else { continue };
            if !self.replicas.knows(id) {
                let replica = self.cx.backend.replica(id, &container.spec)?;
                self.replicas.add(id.clone(), container.spec.service.clone(), replica);
            }
            self.replicas.started(id, started);
        }
        self.replicas.keep(&ids);
        Ok(())
    }

    /// What is to be told next; waits for it, and does what is to be done meanwhile.
    pub async fn next(&mut self) -> Said {
        loop {
            if let Some(said) = self.queue.pop_front() {
                return said;
            }
            if let Err(error) = self.step().await {
                return Said::Error(error);
            }
        }
    }

    /// Waits for the copy that goes on, so that no half-made file stays in a container.
    pub async fn end(&mut self) {
        if let Some(task) = self.syncing.take() {
            // A disk that hangs does not keep anybody from leaving.
            let _ = tokio::time::timeout(LAST, task).await;
        }
    }

    /// Whether something is being done that ends and starts containers.
    pub fn is_busy(&self) -> bool {
        self.following.is_some() || !self.work.is_empty()
    }

    async fn step(&mut self) -> Result<(), CliError> {
        self.begin_sync();
        let ready = self.following.is_none() && self.syncing.is_none() && !self.replicas.lacks(&self.work.services());
        let due = self.work.due().filter(|_| ready);
        tokio::select! {
            told = self.watch.next() => self.hear(told),
            event = receive(&mut self.events) => self.container(event),
            finished = join(&mut self.syncing) => {
                self.syncing = None;
                self.synced(finished)
            }
            Some(said) = self.said.recv() => {
                self.queue.push_back(said);
                Ok(())
            }
            followed = run(&mut self.following) => {
                self.following = None;
                self.followed(followed)
            }
            () = until(due) => {
                self.begin_following();
                Ok(())
            }
            // What could not be written is tried again, at the beginning of the next step.
            () = until(self.replicas.due()) => Ok(()),
            () = until(self.again) => {
                self.again = None;
                self.connect()?;
                self.look_again();
                Ok(())
            }
        }
    }

    /// While a project that is not up is to get files, it is looked for now and then; else nothing is done.
    fn look_again(&mut self) {
        if self.events.is_none() && self.again.is_none() && self.replicas.waits() {
            self.again = Some(Instant::now() + AGAIN);
        }
    }

    fn begin_sync(&mut self) {
        if self.syncing.is_none()
            && let Some(job) = self.replicas.job()
        {
            self.syncing = Some(tokio::task::spawn_blocking(move || job.run()));
        }
    }

    fn synced(&mut self, finished: Result<Finished, tokio::task::JoinError>) -> Result<(), CliError> {
        let finished = finished.map_err(|error| CliError::failed(format!("the thread that copies files: {error}")))?;
        let taken = self.replicas.take(finished);
        self.queue.extend(taken.lines.into_iter().map(Said::Line));
        let since = taken.since.unwrap_or_else(Instant::now);
        taken.arrived.into_iter().for_each(|arrived| self.work.arrived(arrived, since));
        for warning in taken.warnings {
            if self.told.insert(warning.clone()) {
                self.queue.push_back(Said::Warning(warning));
            }
        }
        Ok(())
    }

    fn hear(&mut self, told: Option<Told>) -> Result<(), CliError> {
        match told {
            None => return Err(CliError::failed("the thread that watches files has ended")),
            Some(Told::Note(note)) => self.note(&note),
            Some(Told::Batch(batch)) => {
                self.batch(&batch);
                if self.events.is_none() {
                    self.connect()?;
                    self.look_again();
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, note: &Note) {
        self.queue.push_back(Said::Warning(note.to_string()));
    }

    fn batch(&mut self, batch: &Batch) {
        self.replicas.changed(batch);
        for rule in self.rules.iter().filter(|rule| !matches!(rule.action, Action::Sync | Action::SyncExec)) {
            let paths: BTreeSet<_> = batch.paths.iter().filter(|path| rule.takes(path).is_some()).cloned().collect();
            if !paths.is_empty() {
                self.work.changed(rule, paths, batch.since);
            }
        }
        for file in self.files.intersection(&batch.paths) {
            self.work.add_file(file.clone(), batch.since);
        }
    }

    fn container(&mut self, event: Option<Event>) -> Result<(), CliError> {
        match event {
            Some(event) if self.replicas.concerns(&event.service) => self.look(),
            Some(_) => Ok(()),
            None => {
                // Its supervisor has ended: with the project, or to be followed by another one.
                self.events = None;
                self.again = Some(Instant::now() + AGAIN);
                Ok(())
            }
        }
    }

    fn begin_following(&mut self) {
        let work = std::mem::take(&mut self.work);
        let (cx, project) = (self.cx, self.project.clone());
        self.following = Some(Box::pin(follow(cx, project, work, self.options.clone(), self.say.clone())));
    }

    fn followed(&mut self, followed: Followed) -> Result<(), CliError> {
        if let Some(loaded) = followed.loaded {
            self.change_rules(*loaded)?;
        }
        followed.owed.into_iter().for_each(|exec| self.work.owe(exec));
        self.connect()
    }

    /// The project's files have changed, and with them perhaps the rules.
    fn change_rules(&mut self, loaded: Loaded) -> Result<(), CliError> {
        let found = rules_left(self.cx, &loaded.project, &self.options.wish)?;
        let rules = Arc::new(found.rules);
        let (started, watch) = begin_watch(&rules, &loaded.files)?;
        // What the one before has heard and not told yet.
        for told in std::mem::replace(&mut self.watch, watch).end() {
            self.hear(Some(told))?;
        }
        let mut replicas = Replicas::new(rules.clone(), &started.paths, &started.links);
        replicas.succeed(&self.replicas);
        (self.replicas, self.rules, self.files) = (replicas, rules, loaded.files);
        self.project = Rc::new(loaded.project);
        if self.rules.is_empty() {
            let text = "nothing is left under `develop.watch`: only the project's own files are watched";
            self.queue.push_back(Said::Line(text.to_owned()));
        }
        self.queue.extend(found.warnings.into_iter().map(Said::Warning));
        started.notes.iter().for_each(|note| self.note(note));
        Ok(())
    }
}

fn begin_watch(
    rules: &[crate::watch::Rule],
    files: &BTreeSet<std::path::PathBuf>,
) -> Result<(Started, crate::watch::Watch), CliError> {
    let files = files.iter().filter(|file| file.is_absolute()).cloned().collect();
    start(Scope { rules: rules.to_vec(), files }).map_err(|error| match error {
        crate::watch::WatchError::NoInstance { .. } => {
            CliError::with_help(error.to_string(), "raise it with `sysctl fs.inotify.max_user_instances=512`")
        }
        error => CliError::failed(error.to_string()),
    })
}

/// The next of a stream; nothing, ever, where there is none.
async fn receive<T>(stream: &mut Option<UnboundedReceiver<T>>) -> Option<T> {
    match stream {
        Some(stream) => stream.recv().await,
        None => std::future::pending().await,
    }
}

async fn join<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

async fn run<T>(work: &mut Option<Pin<Box<dyn Future<Output = T> + '_>>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
