//! The lock file: found, read, compared with the project and the registries, written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::super::error::CliError;
use super::super::super::progress::{Kind, Phase, Report, Tell};
use super::super::super::select::no_service;
use super::super::{LockCheck, LockUse, LockWish, Relocked};
use super::remotes::Reach;
use super::{Real, context, failed};
use crate::compose::model::{FileObject, Project};
use crate::compose::remote::{RemoteError, masked};
use crate::compose::{self, LoadOptions, reads};
use crate::diag::{Code, Diagnostics};
use crate::host::image::{Client, Pace, Settings};
use crate::lock::{self, Inputs, Lock, Pin, Revision};
use crate::name::ServiceName;

/// So long `plan` waits for registries: a plan is no reason to wait for one that does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

impl Real {
    /// Where the lock file is, or would be.
    pub(super) fn lock_path(&self) -> PathBuf {
        path_of_lock(self.lock_file.as_deref(), &self.options.borrow())
    }

    /// The lock file of a project that is only looked at, if there is one.
    pub(super) fn lock_beside(&self, options: &LoadOptions) -> Result<Option<Lock>, CliError> {
        let path = path_of_lock(self.lock_file.as_deref(), options);
        read(&path, &path.strip_prefix(&options.cwd).unwrap_or(&path).display().to_string())
    }

    /// Holds what lies elsewhere to the lock file. That is read when something lies elsewhere at all.
    pub(super) fn hold_remotes(&self, options: &LoadOptions, how: LockUse) {
        let (lock_file, options) = (self.lock_file.clone(), options.clone());
        let pins = move || {
            if how == LockUse::Ignore {
                return Ok(BTreeMap::new());
            }
            match read(&path_of_lock(lock_file.as_deref(), &options), lock::FILE) {
                Ok(lock) => Ok(lock.map(|lock| lock.remotes).unwrap_or_default()),
                // Nothing comes here but what was here already, and who only needs the name needs no lock file.
                Err(_) if how == LockUse::Frozen => Ok(BTreeMap::new()),
                Err(_) => Err(RemoteError::with_help(
                    "the lock file can't be read",
                    "`windlass lock --check` tells what is wrong with it",
                )),
            }
        };
        self.remotes.hold(if how == LockUse::Frozen { Reach::Cache } else { Reach::Servers }, Box::new(pins));
    }

    /// What is wrong with files, or with the lock file where that is why something was not fetched.
    pub(super) fn wrong(&self, options: &LoadOptions, how: LockUse, wrong: Diagnostics) -> CliError {
        if self.remotes.was_interrupted() {
            return CliError::Interrupted;
        }
        let is_remote = wrong.list.iter().any(|one| one.code == Code::RemoteFile);
        let held = is_remote && how != LockUse::Ignore;
        let lock = if held { self.lock_beside(options).err() } else { None };
        lock.unwrap_or_else(|| CliError::Diagnostics(Box::new(wrong)))
    }

    /// A path as people here would write it.
    fn shown(&self, path: &Path) -> String {
        let options = self.options.borrow();
        path.strip_prefix(&options.cwd).unwrap_or(path).display().to_string()
    }

    fn read_lock(&self) -> Result<Option<Lock>, CliError> {
        let path = self.lock_path();
        read(&path, &self.shown(&path))
    }

    /// This command line with another verb: `windlass -f compose.prod.yaml lock`.
    fn command(&self, verb: &str) -> String {
        let options = self.options.borrow();
        let files = options.files.iter().map(|file| format!("-f {} ", masked(file))).collect::<String>();
        let env = options.env_files.iter().map(|file| format!("--env-file {file} ")).collect::<String>();
        let lock = self.lock_file.iter().map(|file| format!("--lock-file {} ", file.display())).collect::<String>();
        format!("windlass {files}{env}{lock}{verb}")
    }

    /// The lock file that holds for what was loaded, unless it is left aside.
    pub(super) fn used_lock(&self, how: LockUse) -> Result<Option<Lock>, CliError> {
        if how == LockUse::Ignore { Ok(None) } else { self.read_lock() }
    }

    /// As [`Real::used_lock`]; where nothing may differ from it, that is looked at first, once for what was loaded.
    pub(super) async fn held_lock(&self, how: LockUse) -> Result<Option<Lock>, CliError> {
        if how.is_strict() && self.held.get() != Some(how) {
            let check = self.lock_check(how == LockUse::Locked).await?;
            self.refuse_drift(&check, how)?;
            self.held.set(Some(how));
        }
        self.used_lock(how)
    }

    fn refuse_drift(&self, check: &LockCheck, how: LockUse) -> Result<(), CliError> {
        let mut lines: Vec<String> = check.drift.iter().map(ToString::to_string).collect();
        lines.extend(check.unanswered.iter().cloned());
        if check.drift.is_empty() {
            let help = "`up --frozen` asks no registry: what is here and locked is enough";
            return if lines.is_empty() { Ok(()) } else { Err(CliError::with_help(lines.join("\n"), help)) };
        }
        let verb = if check.drift.iter().any(lock::Drift::is_elsewhere) { "lock --update" } else { "lock" };
        let (update, flag) = (self.command(verb), if how == LockUse::Frozen { "--frozen" } else { "--locked" });
        Err(CliError::with_help(
            format!("the project is not as {} has it:\n  {}", self.shown(&check.path), lines.join("\n  ")),
            format!("`{update}` locks it as it is now; without `{flag}`, what is locked is used"),
        ))
    }

    /// Tells which references a lock file that is there lacks.
    pub(super) fn tell_unlocked<'a>(
        &self,
        lock: Option<&Lock>,
        references: impl Iterator<Item = &'a str>,
        tell: &Tell,
    ) {
        let Some(lock) = lock else { return };
        let loaded = self.loaded.borrow();
        let remotes = loaded.iter().flat_map(|loaded| loaded.checkouts.revisions().into_keys());
        let remotes = remotes.map(|source| source.to_string()).filter(|name| !lock.remotes.contains_key(name));
        let images = references.filter(|name| !lock.images.contains_key(*name)).map(str::to_owned);
        let missing: BTreeSet<String> = images.chain(remotes).collect();
        if missing.is_empty() {
            return;
        }
        let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
        let file = self.shown(&self.lock_path());
        let mut report = Report::new(Kind::Project, file, Phase::Warning, "Lacks");
        report.detail = Some(format!("{missing}; `{}` adds what is missing", self.command("lock")));
        tell.report(report);
    }

    /// The project with the services of every profile.
    fn whole(&self) -> Result<(LoadOptions, compose::Loaded), CliError> {
        let options = LoadOptions {
            profiles: vec!["*".into()],
            services: Vec::new(),
            whole: true,
            ..self.options.borrow().clone()
        };
        let loaded = compose::load(&options).map_err(|wrong| CliError::Diagnostics(Box::new(wrong)))?;
        Ok((options, loaded))
    }

    /// All but images that is locked, and notes of what can't be.
    fn inputs(&self, options: &LoadOptions, loaded: &compose::Loaded) -> Result<(Inputs, Vec<String>), CliError> {
        let (path, mut notes) = (self.lock_path(), Vec::new());
        let folder = path.parent().unwrap_or(Path::new("/"));
        let variables = reads::variables(options).map_err(|wrong| CliError::Diagnostics(Box::new(wrong)))?;
        let mut inputs = Inputs { variables, ..Inputs::default() };
        for (source, revision) in loaded.checkouts.revisions() {
            inputs.remotes.insert(source.to_string(), Revision::try_from(revision).map_err(CliError::failed)?);
        }
        // What was fetched is held by that, as a whole.
        let env_files = loaded.all_env_files().into_iter();
        for file in env_files.filter(|file| loaded.checkouts.source_of(file).is_none()) {
            let name = compose::relative_path(&file, folder).display().to_string();
            inputs.env_files.insert(name, context::of_file(&file)?);
        }
        for (name, config) in &loaded.project.configs {
            inputs.configs.insert(name.clone(), config_digest(name, config)?);
        }
        for (name, build) in loaded.project.services.iter().filter_map(|(n, s)| Some((n, s.build.as_ref()?))) {
            match context::digest(build, &path)? {
                Some(digest) => {
                    inputs.builds.insert(name.to_string(), digest);
                }
                None => notes.push(format!("the build context of `{name}` is an address: its content is not locked")),
            }
            let remote = build.additional_contexts.iter().filter(|(_, path)| !path.starts_with('/'));
            notes.extend(remote.map(|(context, address)| {
                format!("the context `{context}` of `{name}` is `{address}`: its content is not locked")
            }));
        }
        Ok((inputs, notes))
    }

    /// Compares the project with its lock file, and that with the registries if they are to be asked.
    pub(super) async fn lock_check(&self, ask: bool) -> Result<LockCheck, CliError> {
        let path = self.lock_path();
        let lock = self.read_lock()?.ok_or_else(|| {
            CliError::with_help(
                format!("there is no lock file {}", self.shown(&path)),
                format!("`{}` makes it", self.command("lock")),
            )
        })?;
        let (options, loaded) = self.whole()?;
        let wanted = lock::wanted(&loaded.project);
        let (inputs, _) = self.inputs(&options, &loaded)?;
        let (mut drift, mut unanswered) = (lock::references_drift(&lock, &wanted), Vec::new());
        if ask {
            let (moved, errors) = lock::moved(&lock, wanted.keys(), &client()?).await;
            unanswered = lock::lines(&errors);
            drift.extend(moved);
            let (moved, errors) = self.remotes_moved(&lock, &loaded).await;
            drift.extend(moved);
            unanswered.extend(errors);
        }
        drift.extend(lock::inputs_drift(&lock, &inputs));
        Ok(LockCheck { path, drift, unanswered })
    }

    /// What lies elsewhere and stands for other content than was locked, and who could not be asked.
    async fn remotes_moved(&self, lock: &Lock, loaded: &compose::Loaded) -> (Vec<lock::Drift>, Vec<String>) {
        let (mut drift, mut unanswered) = (Vec::new(), Vec::new());
        for source in loaded.checkouts.revisions().keys() {
            let name = source.to_string();
            let Some(old) = lock.remotes.get(&name) else { continue };
            match self.remotes.now(source).await {
                Ok(new) if new == old.as_str() => {}
                Ok(new) => {
                    let moved = lock::Move::Changed { old: old.to_string(), new };
                    drift.push(lock::Drift { kind: "remote", name, moved });
                }
                Err(error) => unanswered.push(format!("remote {name}: {error}")),
            }
        }
        (drift, unanswered)
    }

    /// Writes the lock file anew, if anything differs.
    pub(super) async fn relock(&self, wish: &LockWish) -> Result<Relocked, CliError> {
        let path = self.lock_path();
        let old = self.read_lock()?;
        let (options, loaded) = self.whole()?;
        let wanted = lock::wanted(&loaded.project);
        let update = match &wish.update {
            None => BTreeSet::new(),
            Some(services) => {
                known(&loaded.project, services)?;
                let named = |users: &BTreeSet<ServiceName>| {
                    services.is_empty() || services.iter().any(|service| users.contains(service))
                };
                wanted.iter().filter(|(_, one)| named(&one.users)).map(|(name, _)| name.clone()).collect()
            }
        };
        let (inputs, mut notes) = self.inputs(&options, &loaded)?;
        let renewed = lock::renew(old.as_ref(), &wanted, &update, inputs, &client()?).await;
        let lock::Renewed { lock: mut new, left_out } = renewed.map_err(|errors| {
            CliError::with_help(
                lock::lines(&errors).join("\n"),
                "an image that no registry has can't be locked: build it with `build:`, or say `pull_policy: never`",
            )
        })?;
        let only_built = |line: String| format!("{line}; it is not locked, but what it is built from is");
        notes.extend(lock::lines(&left_out).into_iter().map(only_built));
        if let Some(old) = &old {
            let same = Lock { windlass: old.windlass.clone(), ..new.clone() };
            if same == *old {
                new = same;
            }
        }
        if !wish.dry_run && old.as_ref() != Some(&new) {
            write(&path, &lock::render(&new))
                .map_err(|error| CliError::failed(format!("can't write {}: {error}", self.shown(&path))))?;
        }
        Ok(Relocked { path: PathBuf::from(self.shown(&path)), old, new, notes })
    }

    /// What has moved in its registry, or its repository, since it was locked.
    pub(super) async fn moved_since(&self, services: &[ServiceName]) -> Result<Vec<String>, CliError> {
        let Some(lock) = self.read_lock()? else { return Ok(Vec::new()) };
        let Some(loaded) = self.loaded.borrow().clone() else { return Ok(Vec::new()) };
        let images = self.tags_moved(&lock, &loaded.project, services);
        let remotes = tokio::time::timeout(PATIENCE, self.remotes_moved(&lock, &loaded));
        let (told, remotes) = tokio::join!(images, remotes);
        let mut told = told?;
        match remotes {
            Ok((moved, errors)) => {
                let update = self.command("lock --update");
                told.extend(moved.iter().map(|drift| format!("{drift}; `{update}` takes it")));
                told.extend(errors.into_iter().map(|line| format!("can't tell whether it has moved: {line}")));
            }
            Err(_) => told.push("can't tell whether remote files have moved: nobody answered within 3 s".to_owned()),
        }
        Ok(told)
    }

    async fn tags_moved(
        &self,
        lock: &Lock,
        project: &Project,
        services: &[ServiceName],
    ) -> Result<Vec<String>, CliError> {
        let wanted = lock::wanted(project);
        let named = |users: &BTreeSet<ServiceName>| services.is_empty() || services.iter().any(|s| users.contains(s));
        let references: Vec<&String> =
            wanted.iter().filter(|(_, one)| named(&one.users)).map(|(name, _)| name).collect();
        let pace = Pace { attempts: 1, ..Pace::default() };
        let client = Client::with_pace(Settings::from_env(), pace).map_err(|e| failed(&e))?;
        let Ok((moved, errors)) = tokio::time::timeout(PATIENCE, lock::moved(lock, references, &client)).await else {
            return Ok(vec!["can't tell whether tags have moved: the registries did not answer within 3 s".to_owned()]);
        };
        let told = moved.iter().map(|drift| {
            let users = wanted.get(&drift.name).into_iter().flat_map(|one| &one.users);
            let users = users.map(ServiceName::as_str).collect::<Vec<_>>();
            format!("{drift}; `{} {}` takes it", self.command("lock --update"), users.join(" "))
        });
        let silent = lock::lines(&errors).into_iter().map(|line| format!("can't tell whether a tag has moved: {line}"));
        Ok(told.chain(silent).collect())
    }
}

fn path_of_lock(lock_file: Option<&Path>, options: &LoadOptions) -> PathBuf {
    match lock_file {
        Some(file) => options.cwd.join(file),
        None => compose::lock_folder(options).join(lock::FILE),
    }
}

fn read(path: &Path, shown: &str) -> Result<Option<Lock>, CliError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CliError::failed(format!("can't read {shown}: {error}"))),
    };
    lock::parse(shown, &text).map(Some).map_err(|wrong| CliError::Diagnostics(Box::new(wrong)))
}

fn client() -> Result<Client, CliError> {
    Client::new(Settings::from_env()).map_err(|e| failed(&e))
}

fn known(project: &Project, services: &[ServiceName]) -> Result<(), CliError> {
    match services.iter().find(|name| !project.services.contains_key(*name)) {
        Some(unknown) => Err(no_service(unknown, project.services.keys())),
        None => Ok(()),
    }
}

/// The digest of what a config holds, wherever it comes from.
pub(super) fn config_digest(name: &str, config: &FileObject) -> Result<Pin, CliError> {
    if let Some(file) = &config.file {
        return context::of_file(Path::new(file));
    }
    let text = config.value.as_ref().map(compose::model::Sensitive::reveal).or(config.content.as_deref());
    match text {
        Some(text) => context::of_bytes(text.as_bytes()),
        None => Err(CliError::failed(format!(
            "config `{name}` can't be locked: it has neither a file nor a text nor a variable that is set"
        ))),
    }
}

/// Whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".windlass.lock.").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    file.persist(path)?;
    Ok(())
}
