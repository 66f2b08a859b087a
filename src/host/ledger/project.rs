//! A project's records: its desired state, and the list of its containers.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{LedgerError, container, secret};
use crate::desired::{ContainerSpec, Desired};
use crate::host::image::Settings;
use crate::host::paths::Paths;
use crate::host::record::{self, Durability, RecordError};
use crate::name::{ContainerId, ProjectName, ServiceName};

/// Name of the record of a desired state. In the state folder it counts for good; one in the run folder, which is memory,
/// counts before an older one in the state folder ([`set_desired_aside`]).
const DESIRED: &str = "desired.json";

/// The desired state that was last applied; `None` for a project that was never up.
///
/// # Errors
/// When the record is damaged, newer, or can't be read.
pub fn desired(paths: &Paths, project: &ProjectName) -> Result<Option<Desired>, RecordError> {
    let folder = paths.project(project);
    let mut desired: Option<Desired> = record::read(&folder.join(DESIRED))?;
    if let Some(desired) = &mut desired
        && let Ok(Some(aside)) = record::read::<Desired>(&paths.project_run(project).join(DESIRED))
        && aside.generation > desired.generation
    {
        *desired = aside;
    }
    let secrets = secret::folder(&folder);
    for container in desired.iter_mut().flat_map(|desired| desired.containers.values_mut()) {
        secret::fill(&secrets, &mut container.spec);
    }
    Ok(desired)
}

/// A desired state that was read, and the records that it was read of.
#[derive(Debug, Default)]
pub struct Read(Option<(ProjectName, Identity, Option<Identity>, Arc<Desired>)>);

/// A record is replaced by a new file, written while the old one is still there, so that two that follow each other differ.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(folder: &Path) -> Option<Self> {
        let file = fs::metadata(folder.join(DESIRED)).ok()?;
        Some(Self { device: file.dev(), inode: file.ino(), changed: (file.ctime(), file.ctime_nsec()) })
    }
}

impl Read {
    /// What [`desired`] gives; read only where the record is not the one that was read last.
    ///
    /// # Errors
    /// As [`desired`].
    pub fn desired(&mut self, paths: &Paths, project: &ProjectName) -> Result<Option<Arc<Desired>>, RecordError> {
        let (record, aside) = (Identity::of(&paths.project(project)), Identity::of(&paths.project_run(project)));
        if let Some((of, known, known_aside, desired)) = &self.0
            && (of, record.as_ref(), &aside) == (project, Some(known), known_aside)
        {
            return Ok(Some(desired.clone()));
        }
        let desired = desired(paths, project)?.map(Arc::new);
        self.0 = record.zip(desired.clone()).map(|(record, desired)| (project.clone(), record, aside, desired));
        Ok(desired)
    }
}

/// Records a desired state: from here on it is what the supervisor holds. The bytes of secrets lie beside it.
///
/// # Errors
/// When it can't be written.
pub fn set_desired(paths: &Paths, desired: &Desired) -> Result<(), LedgerError> {
    let folder = paths.project(&desired.project);
    let secrets = secret::folder(&folder);
    // What an earlier loss took away fails the container that needs it, at its making, and not every change of the others.
    let whole = |spec: &&ContainerSpec| secret::check(&secrets, spec).is_ok();
    secret::keep(&secrets, specs(desired).filter(whole), Durability::Synced)?;
    record::write(&folder.join(DESIRED), &stripped(desired), Durability::Synced)?;
    container::remove_file(&paths.project_run(&desired.project).join(DESIRED))?;
    secret::prune(&secrets, specs(desired))
}

/// Records a desired state in memory, where [`set_desired`] can't: until it can, or the machine is started anew, it counts
/// before the one that is recorded. To be called for one that needs no secrets but those of that one.
///
/// # Errors
/// When it can't be written there either.
pub fn set_desired_aside(paths: &Paths, desired: &Desired) -> Result<(), RecordError> {
    record::write(&paths.project_run(&desired.project).join(DESIRED), &stripped(desired), Durability::Lazy)
}

/// Whether there is a desired state that is recorded in memory alone.
pub fn is_aside(paths: &Paths, project: &ProjectName) -> bool {
    paths.project_run(project).join(DESIRED).exists()
}

/// Without the bytes of secrets.
fn stripped(desired: &Desired) -> Desired {
    let mut recorded = desired.clone();
    recorded.containers.values_mut().for_each(|container| secret::strip(&mut container.spec));
    recorded
}

fn specs(desired: &Desired) -> impl Iterator<Item = &ContainerSpec> {
    desired.containers.values().map(|container| &container.spec)
}

/// What a supervisor takes from those who apply a state, since it has no environment of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `WINDLASS_LOG`: what the supervisor writes to its log.
    pub log: Option<String>,
    /// Where layers that went missing are fetched from.
    pub registries: Settings,
}

impl Caller {
    /// Of this process.
    pub fn own() -> Self {
        Self { log: std::env::var("WINDLASS_LOG").ok(), registries: Settings::from_env().without_logins() }
    }
}

/// What the last caller left; nothing where there was none.
///
/// # Errors
/// When the record is damaged, newer, or can't be read.
pub fn caller(paths: &Paths, project: &ProjectName) -> Result<Caller, RecordError> {
    Ok(record::read(&paths.project(project).join("caller.json"))?.unwrap_or_default())
}

/// Records what a supervisor takes from its caller.
///
/// # Errors
/// When it can't be written.
pub fn set_caller(paths: &Paths, project: &ProjectName, caller: &Caller) -> Result<(), RecordError> {
    record::write(&paths.project(project).join("caller.json"), caller, Durability::Lazy)
}

/// Every project of this world that has a record.
pub fn all(paths: &Paths) -> Vec<ProjectName> {
    names(&paths.projects()).into_iter().map(ProjectName::from).collect()
}

/// The ids of a project's containers, half-made ones among them.
///
/// # Errors
/// When the list can't be read: it is not empty then.
pub fn containers(paths: &Paths, project: &ProjectName) -> Result<Vec<ContainerId>, RecordError> {
    let folder = paths.project_containers(project);
    let ids = read_names(&folder).map_err(|source| RecordError::Read { path: folder, source })?;
    Ok(ids.into_iter().map(ContainerId::from).collect())
}

/// The ids of all containers of this world, to tell what is nobody's: a list that can't be read whole is none.
///
/// # Errors
/// When a folder can't be read.
pub fn every_container(paths: &Paths) -> Result<BTreeSet<ContainerId>, RecordError> {
    let folder = paths.projects();
    let projects = read_names(&folder).map_err(|source| RecordError::Read { path: folder, source })?;
    let mut all = BTreeSet::new();
    for project in projects {
        all.extend(containers(paths, &ProjectName::from(project))?);
    }
    Ok(all)
}

/// Of these, the ones that are a service's, and those of which their entry does not say whose they are.
pub fn containers_of(
    paths: &Paths,
    project: &ProjectName,
    service: &ServiceName,
) -> Result<Vec<ContainerId>, RecordError> {
    let folder = paths.project_containers(project);
    let mut ids = containers(paths, project)?;
    ids.retain(|id| match fs::read(folder.join(id)) {
        Ok(named) => named.is_empty() || named == service.as_bytes(),
        Err(_) => true,
    });
    Ok(ids)
}

/// The service of one, as its entry has it; empty where it does not say.
pub fn service_of(paths: &Paths, project: &ProjectName, id: &ContainerId) -> ServiceName {
    ServiceName::from(fs::read_to_string(paths.project_containers(project).join(id)).unwrap_or_default())
}

/// Removes the logs of what is no longer there: of these services, or of all.
///
/// # Errors
/// When a record of what is there can't be read; when something can't be removed.
pub fn forget_logs(paths: &Paths, project: &ProjectName, services: &BTreeSet<ServiceName>) -> Result<(), LedgerError> {
    let mut kept = BTreeSet::new();
    for id in containers(paths, project)? {
        kept.extend(container::made(paths, &id)?.map(|made| paths.logs(&made.spec, &id)));
    }
    let folder = paths.project_logs(project);
    for name in names(&folder) {
        let service = name.rsplit_once('-').map_or(name.as_str(), |(service, _)| service);
        let asked = services.is_empty() || services.contains(service);
        let logs = folder.join(&name);
        if asked && !kept.contains(&logs) {
            container::remove_tree(&logs)?;
        }
    }
    Ok(())
}

/// Forgets a project of which nothing is left: its desired state, its logs, its run folder. To be called with its
/// [`start_lock`], or the next supervisor's files may go too.
///
/// # Errors
/// When something can't be removed.
pub fn forget(paths: &Paths, project: &ProjectName) -> Result<(), LedgerError> {
    container::remove_tree(&paths.project(project))?;
    container::remove_tree(&paths.project_run(project))
}

/// Holds off everybody else who would start a supervisor for the project or ask one for something, and the supervisor
/// from ending. Waits for it; released with the file.
///
/// # Errors
/// When the run folder can't be made or the lock not be taken.
pub fn start_lock(paths: &Paths, project: &ProjectName) -> io::Result<File> {
    let path = paths.project_run(project).join("start.lock");
    loop {
        fs::create_dir_all(paths.project_run(project))?;
        match File::create(&path) {
            Ok(lock) => {
                lock.lock()?;
                // The end of the last supervisor may have taken it away meanwhile: then it excludes nobody.
                if is_named(&lock, &path) {
                    return Ok(lock);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether an open file still has its name.
pub fn is_named(file: &File, path: &Path) -> bool {
    let id = |found: io::Result<fs::Metadata>| found.map(|m| (m.dev(), m.ino())).ok();
    id(file.metadata()) == id(fs::metadata(path))
}

/// The names in a folder, sorted, without what begins with a dot; empty for a folder that is not there.
pub fn names(folder: &Path) -> Vec<String> {
    read_names(folder).unwrap_or_default()
}

/// As [`names`], for who must not take what can't be read for empty.
///
/// # Errors
/// When the folder is there and can't be read.
pub(super) fn read_names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}
