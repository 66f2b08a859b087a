//! The rest of windlass, for real: compose files, the image store, the machine's records, the project's supervisor.

mod apply;
mod compile;
mod context;
mod digests;
mod environment;
mod evidence;
mod happenings;
mod lacking;
mod load;
mod locking;
mod logs;
mod machine;
mod oneoff;
mod provider;
mod pull;
mod remotes;
mod session;
mod store;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::super::error::{CliError, ExitStatus};
use super::super::output::Output;
use super::super::progress::Tell;
use super::super::settings::{ProjectFiles, Settings};
use super::{
    Backend, Change, ConfigOutput, ConfigWish, Environment, Event, ExecWish, Lines, Loaded, LockCheck, LockUse,
    LockWish, LogQuery, LoginResult, Named, Outcome, Planned, Pruned, PullWish, Relocked, Session, Side, Span,
    StoredImage, StoredVolume, Until, UpWish,
};
use crate::compose;
use crate::compose::model::Project;
use crate::desired::compile::CompileError;
use crate::desired::{ContainerSpec, Desired, Stamp, VolumeSpec};
use crate::host::clock;
use crate::host::container::Root;
use crate::host::image::{ImageDetails, Store};
use crate::host::ledger::project as ledger;
use crate::host::machine::{observe, with_causes};
use crate::host::net::Net;
use crate::host::paths::Paths;
use crate::host::sync::Replica;
use crate::host::volume;
use crate::name::{ContainerId, ProjectName, ServiceName};
use crate::observed::Observed;

/// Windlass itself.
pub struct Real {
    paths: Paths,
    parallel: Option<usize>,
    compatibility: bool,
    ignore_orphans: bool,
    /// The lock file, where it is not beside the compose file.
    lock_file: Option<PathBuf>,
    /// What was loaded last: later errors point into its files.
    loaded: RefCell<Option<Rc<compose::Loaded>>>,
    /// The project's name, once the files were looked at for it.
    named: OnceCell<Named>,
    /// What was compiled last, to compile it anew when somebody else was faster.
    wished: RefCell<Option<Rc<(Project, UpWish)>>>,
    /// How that was loaded.
    options: RefCell<compose::LoadOptions>,
    /// What it was found to hold to the lock file by.
    held: Cell<Option<LockUse>>,
    cache: observe::Cache,
    /// Who fetches compose files that lie elsewhere.
    remotes: Rc<remotes::Fetcher>,
}

impl Real {
    /// Opens nothing yet: a verb that only reads files needs no state folder.
    ///
    /// # Errors
    /// None so far.
    pub fn open(settings: &Settings) -> Result<Self, CliError> {
        Ok(Self {
            paths: settings.paths.clone(),
            parallel: settings.parallel,
            compatibility: settings.project.compatibility,
            ignore_orphans: settings.project.ignore_orphans,
            lock_file: settings.lock_file.clone(),
            loaded: RefCell::new(None),
            named: OnceCell::new(),
            wished: RefCell::new(None),
            options: RefCell::default(),
            held: Cell::default(),
            cache: observe::Cache::default(),
            remotes: Rc::default(),
        })
    }

    fn observed(&self, project: &ProjectName) -> Result<Observed, CliError> {
        observe::containers(&self.paths, project, None, &self.cache).map_err(|e| failed(&e))
    }

    /// The desired state that was last applied; `None` for a project that was never up.
    fn held(&self, project: &ProjectName) -> Result<Option<Arc<Desired>>, CliError> {
        self.cache.desired(&self.paths, project).map_err(|e| failed(&e))
    }

    /// Compiles what was compiled last, on what is applied now.
    async fn compile_again(&self, tell: &Tell) -> Result<Desired, CliError> {
        let wished = self.wished.borrow().clone();
        let Some(wished) = wished else { return Err(CliError::Overtaken) };
        self.compile_project(&wished.0, &wished.1, tell).await
    }

    fn images(&self) -> Result<Store, CliError> {
        Store::open(&self.paths.root).map_err(|e| failed(&e))
    }

    fn net(&self) -> Result<Net, CliError> {
        Net::open(&self.paths.root, &self.paths.run).map_err(|e| failed(&e))
    }
}

/// An error of the machine, with what it came from.
fn failed(error: &dyn std::error::Error) -> CliError {
    CliError::failed(with_causes(error))
}

impl Backend for Real {
    fn load(&self, files: &ProjectFiles, services: &[String], lock: LockUse) -> Result<Loaded, CliError> {
        self.load_files(files, services, lock)
    }

    fn project_name(&self, files: &ProjectFiles) -> Result<Named, CliError> {
        self.name_of(files)
    }

    async fn config(&self, files: &ProjectFiles, wish: &ConfigWish) -> Result<ConfigOutput, CliError> {
        self.config_of(files, wish).await
    }

    fn environment(&self, side: &Side, common: &ProjectFiles, lock: LockUse) -> Result<Environment, CliError> {
        self.environment_of(side, common, lock)
    }

    async fn compile(&self, project: &Project, wish: &UpWish, tell: &Tell) -> Result<Desired, CliError> {
        *self.wished.borrow_mut() = Some(Rc::new((project.clone(), wish.clone())));
        self.compile_project(project, wish, tell).await
    }

    fn projects(&self) -> Result<Vec<ProjectName>, CliError> {
        Ok(ledger::all(&self.paths))
    }

    fn applied(&self, project: &ProjectName) -> Result<Option<Desired>, CliError> {
        Ok(self.held(project)?.map(Arc::unwrap_or_clone))
    }

    fn observe(&self, project: &ProjectName) -> Result<Observed, CliError> {
        self.observed(project)
    }

    fn observe_service(&self, project: &ProjectName, service: &ServiceName) -> Result<Observed, CliError> {
        observe::containers(&self.paths, project, Some(service), &self.cache).map_err(|e| failed(&e))
    }

    fn now(&self) -> Stamp {
        clock::now()
    }

    async fn plan(&self, project: &ProjectName, change: &Change) -> Result<Planned, CliError> {
        self.plan_change(project, change)
    }

    fn holds(&self, project: &ProjectName, desired: &Desired) -> Result<bool, CliError> {
        self.holds_the_same(project, desired)
    }

    async fn apply(
        &self,
        project: &ProjectName,
        change: Change,
        until: Until,
        tell: &Tell,
    ) -> Result<Outcome, CliError> {
        let gone = match &change {
            Change::Edit(super::Edit::Down { services, .. }) => self.applied(project)?.map(|it| (it, services.clone())),
            _ => None,
        };
        let mut change = change;
        let outcome = loop {
            let declares = matches!(change, Change::Declare(_));
            match apply::apply(&self.paths, project, change, until, tell).await {
                Err(CliError::Overtaken) if declares => {
                    change = Change::Declare(Box::new(self.compile_again(tell).await?));
                }
                other => break other?,
            }
        };
        if let Some((before, services)) = gone {
            provider::take_down(&before, &services, tell).await?;
        }
        Ok(outcome)
    }

    async fn run(&self, project: &ProjectName, desired: Desired, name: &str, tell: &Tell) -> Result<Session, CliError> {
        self.run_oneoff(project, desired, name, tell).await
    }

    fn logs(&self, project: &ProjectName, query: LogQuery) -> Result<Lines, CliError> {
        logs::read(&self.paths, project, query)
    }

    fn events(&self, project: &ProjectName, span: Span) -> Result<UnboundedReceiver<Event>, CliError> {
        let known = self.observe(project)?;
        happenings::events(&self.paths, project, known, span)
    }

    async fn exec(&self, id: &ContainerId, wish: ExecWish) -> Result<Session, CliError> {
        self.exec_in(id, wish).await
    }

    async fn attach(&self, id: &ContainerId) -> Result<Session, CliError> {
        self.attach_to(id).await
    }

    fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), CliError> {
        self.send_signal(id, signal)
    }

    fn root(&self, id: &ContainerId) -> Result<Root, CliError> {
        self.root_of(id)
    }

    fn replica(&self, id: &ContainerId, spec: &ContainerSpec) -> Result<Replica, CliError> {
        Replica::new(&self.paths, id, spec).map_err(|e| failed(&e))
    }

    fn explain(&self, path: &str, message: &str, help: Option<&str>) -> CliError {
        self.point(&[CompileError { path: path.into(), message: message.into(), help: help.map(Into::into) }])
    }

    fn processes(&self, id: &ContainerId) -> Result<Vec<i32>, CliError> {
        self.processes_of(id)
    }

    fn usage(&self, id: &ContainerId) -> Result<super::Usage, CliError> {
        self.usage_of(id)
    }

    async fn pull(&self, images: &[PullWish], lock: LockUse, tell: &Tell) -> Vec<Result<(), CliError>> {
        self.pull_all(images, lock, tell).await
    }

    async fn lock(&self, files: &ProjectFiles, wish: &LockWish) -> Result<Relocked, CliError> {
        // All anew, or only what is not locked yet.
        let anew = wish.update.as_ref().is_some_and(Vec::is_empty);
        self.load_files(files, &[], if anew { LockUse::Ignore } else { LockUse::IfThere })?;
        self.relock(wish).await
    }

    async fn check_lock(&self, files: &ProjectFiles) -> Result<LockCheck, CliError> {
        self.load_files(files, &[], LockUse::Locked)?;
        self.lock_check(true).await
    }

    async fn hold_lock(&self, how: LockUse) -> Result<BTreeSet<String>, CliError> {
        Ok(self.held_lock(how).await?.map_or_else(BTreeSet::new, |lock| lock.images.into_keys().collect()))
    }

    async fn moved_upstream(&self, services: &[ServiceName]) -> Result<Vec<String>, CliError> {
        self.moved_since(services).await
    }

    fn images(&self) -> Result<Vec<StoredImage>, CliError> {
        self.list_images()
    }

    fn image_remove(&self, name: &str, force: bool) -> Result<Vec<String>, CliError> {
        self.remove_image(name, force)
    }

    fn image_prune(&self, all: bool) -> Result<Pruned, CliError> {
        self.prune_images(all)
    }

    async fn image_load(&self, archive: &Path, name: Option<&str>) -> Result<Vec<String>, CliError> {
        self.load_archive(archive, name).await
    }

    fn image_inspect(&self, name: &str) -> Result<ImageDetails, CliError> {
        Real::images(self)?.inspect(name).map_err(|e| failed(&e))
    }

    fn image_tag(&self, image: &str, name: &str) -> Result<(), CliError> {
        Real::images(self)?.tag(image, name).map_err(|e| failed(&e))
    }

    fn volumes(&self) -> Result<Vec<StoredVolume>, CliError> {
        self.list_volumes()
    }

    fn volume_create(&self, spec: &VolumeSpec) -> Result<(), CliError> {
        volume::create(&self.paths, spec).map_err(|e| failed(&e))
    }

    fn volume_remove(&self, name: &str) -> Result<(), CliError> {
        self.remove_volume(&name.into())
    }

    async fn login(&self, registry: Option<&str>, user: &str, password: &str) -> Result<LoginResult, CliError> {
        store::login(registry, user, password).await
    }

    async fn logout(&self, registry: Option<&str>) -> Result<bool, CliError> {
        store::logout(registry).await
    }

    async fn demo(&self, down: bool, output: &Output) -> Result<ExitStatus, CliError> {
        super::super::demo::run(self, &self.paths, down, output).await
    }
}
