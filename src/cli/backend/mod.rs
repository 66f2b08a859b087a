//! What the verbs ask of the rest of windlass: one trait, so that each verb reads as what it does, and runs in a test
//! without a machine.
//!
//! Reading is from the ledger and the kernel and needs no supervisor; whatever changes anything goes through
//! [`Backend::apply`].

pub mod change;
pub mod config;
pub mod environment;
pub mod lock;
pub mod process;
pub mod real;
pub mod store;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::compose::model::Project;
use crate::desired::{ContainerSpec, Desired, Stamp, VolumeSpec};
use crate::host::container::Root;
use crate::host::image::ImageDetails;
use crate::host::sync::Replica;
use crate::name::{ContainerId, ProjectName, ServiceName};
use crate::observed::Observed;
use crate::plan::Plan;

pub use crate::desired::edit::Edit;
pub use change::{Change, Outcome, PullPolicy, Recreate, RunWish, Until, UpWish};
pub use config::{ConfigOutput, ConfigPart, ConfigWish};
pub use environment::{Environment, Side};
pub use lock::{LockCheck, LockUse, LockWish, Relocked};
pub use process::{Event, ExecWish, Lines, LogLine, LogQuery, Session, Span, Stdio, Usage};
pub use store::{LoginResult, Pruned, PullWish, StoredImage, StoredVolume};

use super::error::{CliError, ExitStatus};
use super::output::Output;
use super::progress::Tell;
use super::settings::ProjectFiles;

/// The rest of windlass, as the verbs see it.
pub trait Backend {
    /// Loads the compose files; those that lie elsewhere are what the lock file says, as far as that is to be used. Services named on the command line switch their profiles on; with some named, the
    /// others that they don't depend on are left out.
    ///
    /// # Errors
    /// All that is wrong in them, as [`CliError::Diagnostics`].
    fn load(&self, files: &ProjectFiles, services: &[String], lock: LockUse) -> Result<Loaded, CliError>;

    /// The project's name, from `-p`, `COMPOSE_PROJECT_NAME` or the files.
    ///
    /// # Errors
    /// When there is neither a name nor a file; files that are wrong, unless `-p` names the project.
    fn project_name(&self, files: &ProjectFiles) -> Result<Named, CliError>;

    /// Prints the project as `config` does, by its own rules of printing.
    ///
    /// # Errors
    /// As [`Backend::load`]; a service that is not there; a form that is not known.
    fn config(&self, files: &ProjectFiles, wish: &ConfigWish) -> impl Future<Output = Result<ConfigOutput, CliError>>;

    /// An environment to compare. `common`: the flags before the verb, for the name of the project that runs.
    ///
    /// # Errors
    /// As [`Backend::load`]; a project that is not up.
    fn environment(&self, side: &Side, common: &ProjectFiles, lock: LockUse) -> Result<Environment, CliError>;

    /// Resolves images (by the network, where it must) and decides everything.
    fn compile(&self, project: &Project, wish: &UpWish, tell: &Tell)
    -> impl Future<Output = Result<Desired, CliError>>;

    /// Projects that have anything on this machine.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn projects(&self) -> Result<Vec<ProjectName>, CliError>;

    /// What was last applied to a project; `None`: nothing, or it was taken down.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn applied(&self, project: &ProjectName) -> Result<Option<Desired>, CliError>;

    /// The containers of a project; networks, volumes and images are left out.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn observe(&self, project: &ProjectName) -> Result<Observed, CliError>;

    /// The containers of one service, without a look at the others.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn observe_service(&self, project: &ProjectName, service: &ServiceName) -> Result<Observed, CliError>;

    /// Now.
    fn now(&self) -> Stamp;

    /// The plan that `apply` of the same change would begin with.
    fn plan(&self, project: &ProjectName, change: &Change) -> impl Future<Output = Result<Planned, CliError>>;

    /// Whether a supervisor holds a state that asks for the same, and works with the settings that this process would give it.
    ///
    /// # Errors
    /// A ledger that can't be read.
    fn holds(&self, project: &ProjectName, desired: &Desired) -> Result<bool, CliError>;

    /// Hands a change to the project's supervisor (starting one where none is), and waits until the project has
    /// settled as `until` says. `tell` hears of each step. Dropped in the middle, the change goes on without us.
    fn apply(
        &self,
        project: &ProjectName,
        change: Change,
        until: Until,
        tell: &Tell,
    ) -> impl Future<Output = Result<Outcome, CliError>>;

    /// As [`Backend::apply`] of a desired state with a one-off container of this name, and connects to that before it
    /// is started, so that nothing it prints is lost.
    fn run(
        &self,
        project: &ProjectName,
        desired: Desired,
        name: &str,
        tell: &Tell,
    ) -> impl Future<Output = Result<Session, CliError>>;

    /// What containers have printed, oldest first, and with `follow` what they print from now on. The stream ends
    /// when all is told; with `follow`, once it is finished ([`Lines::finish`]) or the project is taken down.
    ///
    /// # Errors
    /// When the log files can't be read.
    fn logs(&self, project: &ProjectName, query: LogQuery) -> Result<Lines, CliError>;

    /// What happens to the containers of a project from now on.
    ///
    /// # Errors
    /// When there is nobody to ask.
    fn events(&self, project: &ProjectName, span: Span) -> Result<UnboundedReceiver<Event>, CliError>;

    /// Starts a command inside a running container.
    fn exec(&self, id: &ContainerId, wish: ExecWish) -> impl Future<Output = Result<Session, CliError>>;

    /// Connects to the main process of a running container.
    fn attach(&self, id: &ContainerId) -> impl Future<Output = Result<Session, CliError>>;

    /// Sends a signal to the main process of a running container, and nothing else.
    ///
    /// # Errors
    /// When it does not run.
    fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), CliError>;

    /// The root folder of a container, also of one that does not run.
    ///
    /// # Errors
    /// When it is gone; when its parts can't be put together, where it does not run.
    fn root(&self, id: &ContainerId) -> Result<Root, CliError>;

    /// A container as `watch` copies files into it.
    ///
    /// # Errors
    /// When one of its volumes can't be found.
    fn replica(&self, id: &ContainerId, spec: &ContainerSpec) -> Result<Replica, CliError>;

    /// An error about what stands at a path of the project that was loaded last (`services.web.develop.watch[0]`), with its
    /// place in the files.
    fn explain(&self, path: &str, message: &str, help: Option<&str>) -> CliError;

    /// The processes of a container, by their ids on the host.
    ///
    /// # Errors
    /// When its cgroup can't be read.
    fn processes(&self, id: &ContainerId) -> Result<Vec<i32>, CliError>;

    /// What a running container uses now.
    ///
    /// # Errors
    /// When its cgroup can't be read.
    fn usage(&self, id: &ContainerId) -> Result<Usage, CliError>;

    /// Pulls images by their names, several at a time; the result of each, in the same order. The lock file is that of
    /// the project loaded last.
    fn pull(&self, images: &[PullWish], lock: LockUse, tell: &Tell) -> impl Future<Output = Vec<Result<(), CliError>>>;

    /// Writes the lock file anew.
    fn lock(&self, files: &ProjectFiles, wish: &LockWish) -> impl Future<Output = Result<Relocked, CliError>>;

    /// Compares the project with its lock file; registries are asked whether tags have moved.
    fn check_lock(&self, files: &ProjectFiles) -> impl Future<Output = Result<LockCheck, CliError>>;

    /// Holds the project that was loaded last to its lock file, as far as that is asked for, before anything is built, pulled or
    /// made of it; the references that the file has.
    fn hold_lock(&self, how: LockUse) -> impl Future<Output = Result<BTreeSet<String>, CliError>>;

    /// The locked references of these services (none named: all), and the locked remote files, that mean something else by now,
    /// for people; of the project loaded last. Says so where nobody could be asked.
    fn moved_upstream(&self, services: &[ServiceName]) -> impl Future<Output = Result<Vec<String>, CliError>>;

    /// All images of the store.
    ///
    /// # Errors
    /// When the store can't be read.
    fn images(&self) -> Result<Vec<StoredImage>, CliError>;

    /// Removes an image's name, and the image where that was its last; what went, as lines to show.
    ///
    /// # Errors
    /// When it is not there, or a container uses it and `force` is not given.
    fn image_remove(&self, name: &str, force: bool) -> Result<Vec<String>, CliError>;

    /// Removes images without a name (with `all`, those no container uses): names or ids, and the bytes freed.
    ///
    /// # Errors
    /// When the store can't be read or written.
    fn image_prune(&self, all: bool) -> Result<Pruned, CliError>;

    /// Takes in an OCI or docker archive; `name`: what to call its image where the archive does not say. The names.
    ///
    /// # Errors
    /// When the archive is no such thing, or is broken.
    fn image_load(&self, archive: &Path, name: Option<&str>) -> impl Future<Output = Result<Vec<String>, CliError>>;

    /// All that is known of an image, for `image inspect`.
    ///
    /// # Errors
    /// When it is not there.
    fn image_inspect(&self, name: &str) -> Result<ImageDetails, CliError>;

    /// Gives an image one more name.
    ///
    /// # Errors
    /// When it is not there; a name that is none.
    fn image_tag(&self, image: &str, name: &str) -> Result<(), CliError>;

    /// All volumes of this machine.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn volumes(&self) -> Result<Vec<StoredVolume>, CliError>;

    /// Makes a volume that is of no project; one that is there already is left as it is.
    ///
    /// # Errors
    /// Options that can't be carried out.
    fn volume_create(&self, spec: &VolumeSpec) -> Result<(), CliError>;

    /// Removes a volume and all that is in it.
    ///
    /// # Errors
    /// When it is not there, or a container uses it.
    fn volume_remove(&self, name: &str) -> Result<(), CliError>;

    /// Keeps a login for a registry, through the credential helper where one is set.
    fn login(
        &self,
        registry: Option<&str>,
        user: &str,
        password: &str,
    ) -> impl Future<Output = Result<LoginResult, CliError>>;

    /// Forgets the login for a registry; whether there was one.
    ///
    /// # Errors
    /// When the file or the helper refuses.
    fn logout(&self, registry: Option<&str>) -> impl Future<Output = Result<bool, CliError>>;

    /// Brings up the demo stack and says where to look, or removes it.
    fn demo(&self, down: bool, output: &Output) -> impl Future<Output = Result<ExitStatus, CliError>>;
}

/// The project as the compose files have it.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Interpolated, merged, checked.
    pub project: Project,
    /// What there is to warn of, rendered.
    pub warnings: Vec<String>,
    /// Every file that it is made of: compose files, env files, files of secrets and configs.
    pub files: BTreeSet<PathBuf>,
}

/// A project that is known by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: ProjectName,
    /// The services that its files declare and whose profile is active; `None`: it is known by `-p` alone, or its files can't be
    /// loaded.
    pub services: Option<BTreeSet<ServiceName>>,
    /// What there is to warn of.
    pub warning: Option<String>,
}

/// A plan and its canonical text.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// For people.
    pub text: String,
    /// Of its warnings, those that tell of the machine and not of the project.
    pub notes: Vec<String>,
    /// Programs of the caller's that are run before its steps (`up`) or after them (`down`).
    pub providers: Vec<ProviderCall>,
}

/// A run of a program that provides a service.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProviderCall {
    /// The service.
    pub service: ServiceName,
    /// The program.
    pub program: String,
    /// `up` or `down`.
    pub verb: &'static str,
}
