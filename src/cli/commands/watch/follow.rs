//! What takes longer than a copy: rebuild, restart, commands, changes of the project's own files. One after the other, in
//! this order, for all changes of a burst at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::compose::model::{Hook, Project};
use crate::name::{ContainerId, ServiceName};
use crate::watch::{Action, Rule};

use super::super::super::backend::{Backend, Change, Edit, ExecWish, Loaded, Outcome, Recreate, Stdio, Until, UpWish};
use super::super::super::context::Context;
use super::super::super::error::CliError;
use super::super::super::progress::Tell;
use super::super::super::terminal::{Relay, relay};
use super::super::{build, exec};
use super::config;
use super::replicas::Arrived;
use super::{Options, Said, line};

/// A restart for each file of a burst would be one too many: so long nothing more must have come.
const QUIET: Duration = Duration::from_millis(100);
/// A burst that does not end is acted upon nevertheless.
const LONGEST: Duration = Duration::from_secs(2);

/// What is to be done once a burst is over.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Files that asked for it, by service.
    rebuild: BTreeMap<ServiceName, BTreeSet<PathBuf>>,
    restart: BTreeMap<ServiceName, (BTreeSet<PathBuf>, Action)>,
    exec: Vec<Exec>,
    services: BTreeSet<ServiceName>,
    files: BTreeSet<PathBuf>,
    since: Option<Instant>,
    last: Option<Instant>,
}

/// A command of a rule that is owed to containers.
#[derive(Clone, Debug)]
pub struct Exec {
    /// The rule itself: by the time it is done, the session may have others.
    rule: Rule,
    /// Files that asked for it.
    paths: BTreeSet<PathBuf>,
    /// Where they have arrived; `None`: what was there has been made anew, so wherever the service runs.
    containers: Option<BTreeSet<ContainerId>>,
}

/// What came of it.
#[derive(Default)]
pub struct Followed {
    /// The project as its files have it now, where they were changed and apply.
    pub loaded: Option<Box<Loaded>>,
    /// What waits until files have arrived in containers that were made anew.
    pub owed: Vec<Exec>,
}

impl Work {
    pub fn is_empty(&self) -> bool {
        self.since.is_none()
    }

    /// Files of a rule have changed here: what needs no copy, or starts what does not run and can't get one.
    pub fn changed(&mut self, rule: &Rule, paths: BTreeSet<PathBuf>, since: Instant) {
        let service = rule.service.clone();
        match rule.action {
            // It follows the files ([`Work::arrived`]).
            Action::Sync | Action::SyncExec => return,
            Action::Rebuild => self.rebuild.entry(service.clone()).or_default().extend(paths),
            Action::Restart | Action::SyncRestart => self.add_restart(rule, paths),
        }
        self.services.insert(service);
        self.heard(since);
    }

    /// Files have arrived in containers: also in those that were made anew or did not run when the files changed.
    pub fn arrived(&mut self, arrived: Arrived, since: Instant) {
        let Arrived { rule, paths, containers, restored } = arrived;
        match rule.action {
            Action::Sync | Action::Rebuild | Action::Restart => return,
            Action::SyncRestart if restored => return,
            Action::SyncRestart => self.add_restart(&rule, paths),
            Action::SyncExec => self.add_exec(Exec { rule: rule.clone(), paths, containers: Some(containers) }),
        }
        self.services.insert(rule.service);
        self.heard(since);
    }

    /// A command is still to be run.
    pub fn owe(&mut self, exec: Exec) {
        self.services.insert(exec.rule.service.clone());
        self.add_exec(exec);
        self.heard(Instant::now());
    }

    fn add_restart(&mut self, rule: &Rule, paths: BTreeSet<PathBuf>) {
        let (all, _) = self.restart.entry(rule.service.clone()).or_insert((BTreeSet::new(), rule.action));
        all.extend(paths);
    }

    fn add_exec(&mut self, new: Exec) {
        let rule = &new.rule;
        let same =
            |known: &Rule| (&known.service, &known.path, &known.target) == (&rule.service, &rule.path, &rule.target);
        let Some(exec) = self.exec.iter_mut().find(|exec| same(&exec.rule)) else { return self.exec.push(new) };
        exec.paths.extend(new.paths);
        exec.containers = exec.containers.take().zip(new.containers).map(|(mut all, more)| {
            all.extend(more);
            all
        });
    }

    /// A file of the project itself has changed.
    pub fn add_file(&mut self, file: PathBuf, since: Instant) {
        self.files.insert(file);
        self.heard(since);
    }

    fn heard(&mut self, since: Instant) {
        self.since.get_or_insert(since);
        self.last = Some(Instant::now());
    }

    /// When it is to be done.
    pub fn due(&self) -> Option<Instant> {
        Some((self.last? + QUIET).min(self.since? + LONGEST))
    }

    /// The services whose files must have arrived first.
    pub fn services(&self) -> BTreeSet<ServiceName> {
        self.services.clone()
    }
}

/// What all of it needs.
struct Follow<'a, B> {
    cx: &'a Context<'a, B>,
    project: Rc<Project>,
    options: Options,
    since: Instant,
    say: UnboundedSender<Said>,
}

/// Does it all, and says what was done; what fails is said, and the rest goes on.
pub async fn follow<B: Backend>(
    cx: &Context<'_, B>,
    project: Rc<Project>,
    mut work: Work,
    options: Options,
    say: UnboundedSender<Said>,
) -> Followed {
    let since = work.since.unwrap_or_else(Instant::now);
    let follow = Follow { cx, project, options, since, say };
    let anew = follow.rebuild(&work.rebuild).await;
    // What is made anew needs no restart.
    work.restart.retain(|service, _| !anew.contains(service));
    follow.restart(&work.restart).await;
    let mut followed = Followed::default();
    for exec in work.exec {
        if anew.contains(&exec.rule.service) {
            followed.owed.push(Exec { containers: None, ..exec });
        } else {
            follow.exec(&exec).await;
        }
    }
    if !work.files.is_empty() {
        let changed = config::changed(cx, &work.files, &follow.options, &follow.say).await;
        followed.loaded = follow.told(changed).flatten().map(Box::new);
    }
    followed
}

impl<B: Backend> Follow<'_, B> {
    fn say(&self, said: Said) {
        // Whoever listened has gone, and with him the need to say anything.
        let _ = self.say.send(said);
    }

    /// Says an error.
    fn told<T>(&self, result: Result<T, CliError>) -> Option<T> {
        result.map_err(|error| self.say(Said::Error(error))).ok()
    }

    fn done(&self, service: &ServiceName, action: &str, count: usize) {
        self.say(Said::Line(line(service, action, count, self.since.elapsed())));
    }

    /// Returns those of the services whose containers have been made anew: an image may come out as it was.
    async fn rebuild(&self, services: &BTreeMap<ServiceName, BTreeSet<PathBuf>>) -> BTreeSet<ServiceName> {
        if services.is_empty() {
            return BTreeSet::new();
        }
        let before = self.containers();
        self.build(services).await;
        let after = self.containers();
        let is_same = |service: &ServiceName| before.get(service) == after.get(service);
        services.keys().filter(|service| !is_same(service)).cloned().collect()
    }

    /// The containers that there are.
    fn containers(&self) -> BTreeMap<ServiceName, BTreeSet<ContainerId>> {
        let mut found: BTreeMap<ServiceName, BTreeSet<ContainerId>> = BTreeMap::new();
        if let Some(observed) = self.told(self.cx.backend.observe(&self.project.name)) {
            for (id, container) in observed.containers {
                found.entry(container.spec.service).or_default().insert(id);
            }
        }
        found
    }

    async fn build(&self, services: &BTreeMap<ServiceName, BTreeSet<PathBuf>>) {
        let mut built = Vec::new();
        for service in services.keys() {
            match build::again(self.cx, &self.project, service, self.options.quiet).await {
                Ok(()) => built.push(service.clone()),
                Err(error) => {
                    self.say(Said::Error(error));
                    self.say(Said::Line(format!("{service}  rebuild failed: what runs goes on as it is")));
                }
            }
        }
        if built.is_empty() || self.told(self.renew(&built).await).is_none() {
            return;
        }
        for service in &built {
            self.done(service, Action::Rebuild.word(), services[service].len());
        }
        if self.options.prune {
            self.told(self.cx.backend.image_prune(false));
        }
    }

    /// Plans and applies as `up` does, for some services alone; who depends on them follows by the plan's own rules.
    async fn renew(&self, services: &[ServiceName]) -> Result<(), CliError> {
        let project = &self.project.name;
        let observed = self.cx.backend.observe(project)?;
        let count = |service: &ServiceName| {
            let replicas = observed.containers.values().filter(|one| one.spec.service == *service && !one.spec.oneoff);
            (service.clone(), u32::try_from(replicas.count()).unwrap_or(u32::MAX))
        };
        let wish = UpWish {
            services: services.to_vec(),
            no_deps: true,
            // As many as there are: somebody may have scaled them.
            scale: services.iter().map(count).filter(|(_, count)| *count > 0).collect(),
            recreate: Recreate::Different,
            ..self.options.wish.clone()
        };
        let desired = self.cx.backend.compile(&self.project, &wish, &Tell::nobody()).await?;
        self.apply(Change::Declare(Box::new(desired))).await
    }

    async fn apply(&self, change: Change) -> Result<(), CliError> {
        let outcome = self.cx.backend.apply(&self.project.name, change, Until::Done, &Tell::nobody()).await?;
        outcome_of(&outcome, &self.say)
    }

    async fn restart(&self, services: &BTreeMap<ServiceName, (BTreeSet<PathBuf>, Action)>) {
        if services.is_empty() {
            return;
        }
        let edit = Edit::Restart { services: services.keys().cloned().collect(), timeout: None, no_deps: false };
        if self.told(self.apply(Change::Edit(edit)).await).is_none() {
            return;
        }
        for (service, (paths, action)) in services {
            let what = if *action == Action::SyncRestart { "restart after sync" } else { "restart" };
            self.done(service, what, paths.len());
        }
    }

    /// Runs the command of a rule in every replica that it is owed to.
    async fn exec(&self, exec: &Exec) {
        let rule = &exec.rule;
        let Some(hook) = &rule.exec else { return };
        let Some(observed) = self.told(self.cx.backend.observe(&self.project.name)) else { return };
        let owed = |id: &ContainerId| exec.containers.as_ref().is_none_or(|containers| containers.contains(id));
        let replicas: Vec<_> = observed
            .containers
            .iter()
            .filter(|(id, one)| one.spec.service == rule.service && !one.spec.oneoff && one.is_running() && owed(id))
            .collect();
        if replicas.is_empty() {
            return;
        }
        let mut all = true;
        for (id, container) in replicas {
            let run = async {
                let session = self.cx.backend.exec(id, wish(hook)).await.map_err(exec::start_failed)?;
                let end = relay(session, Relay { input: false, detach_keys: Vec::new() }).await?;
                Ok(exec::status(end).0)
            };
            match self.told(run.await) {
                Some(0) => {}
                Some(code) => {
                    all = false;
                    let command = hook.command.join(" ");
                    self.say(Said::Warning(format!("{}: `{command}` ended with {code}", container.spec.name)));
                }
                None => all = false,
            }
        }
        if all {
            self.done(&rule.service, "exec", exec.paths.len());
        }
    }
}

/// The failures of a change, as an error.
pub fn outcome_of(outcome: &Outcome, say: &UnboundedSender<Said>) -> Result<(), CliError> {
    for warning in &outcome.warnings {
        let _ = say.send(Said::Warning(warning.clone()));
    }
    match outcome.failures.first() {
        None => Ok(()),
        Some(failure) if failure.container.as_str().is_empty() => Err(CliError::failed(failure.reason.clone())),
        Some(failure) => Err(CliError::failed(format!("{}: {}", failure.container, failure.reason))),
    }
}

/// What a hook asks for.
fn wish(hook: &Hook) -> ExecWish {
    let variable = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => Some(format!("{key}={value}")),
        None => exec::variable(key),
    };
    ExecWish {
        argv: hook.command.clone(),
        env: hook.environment.iter().filter_map(variable).collect(),
        user: hook.user.clone(),
        workdir: hook.working_dir.clone(),
        privileged: hook.privileged,
        stdio: Stdio::NoInput,
    }
}
