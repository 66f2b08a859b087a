//! A container's records. In its state folder: what it is made of and that its making was finished. In its run folder:
//! health, restart counts, ports. (The records of its process are the shim's: `host::container`.)

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{LedgerError, project, secret};
use crate::desired::{ContainerSpec, PortSpec, Stamp};
use crate::engine::port::HealthRecord;
use crate::host::paths::Paths;
use crate::host::record::{self, Durability, RecordError};
use crate::name::{ContainerId, ProjectName, ServiceName};
use crate::observed::Hooks;

/// What a container is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// What it is made of.
    pub spec: ContainerSpec,
    /// The hash of that.
    pub hash: String,
    /// When its making was finished.
    pub created: Stamp,
}

/// How often it was restarted by its policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Since somebody started it.
    pub restarts: u32,
    /// In a row, each within 10 s of its start.
    pub streak: u32,
}

/// Records that a container of a service is about to be made: whatever is found of it later without [`finish`] is half-made.
///
/// # Errors
/// When it can't be written.
pub fn begin(paths: &Paths, project: &ProjectName, service: &ServiceName, id: &ContainerId) -> Result<(), LedgerError> {
    let folder = paths.project_containers(project);
    let path = folder.join(id);
    let failed = |source| RecordError::Write { path: path.clone(), source };
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::write(&path, service.as_bytes()).map_err(failed)?;
    let folder = paths.container(id);
    Ok(fs::create_dir_all(&folder).map_err(|source| RecordError::Write { path: folder, source })?)
}

/// Records that its making was finished.
///
/// # Errors
/// When it can't be written; when the bytes of a secret are gone.
pub fn finish(paths: &Paths, id: &ContainerId, made: &Made) -> Result<(), LedgerError> {
    let folder = paths.container(id);
    secret::keep(&secret::folder(&folder), [&made.spec], Durability::Lazy)?;
    let mut recorded = made.clone();
    secret::strip(&mut recorded.spec);
    Ok(record::write(&folder.join("spec.json"), &recorded, Durability::Lazy)?)
}

/// What it is made of; `None`: its making was not finished. The bytes of its secrets are not in it: see [`whole`].
///
/// # Errors
/// When the record is damaged, newer, or can't be read.
pub fn made(paths: &Paths, id: &ContainerId) -> Result<Option<Made>, RecordError> {
    record::read(&paths.container(id).join("spec.json"))
}

/// As [`made`], with the bytes of its secrets, to start it.
///
/// # Errors
/// When the record is damaged, newer, or can't be read; when the bytes of a secret are gone.
pub fn whole(paths: &Paths, id: &ContainerId) -> Result<Option<Made>, LedgerError> {
    let Some(mut made) = made(paths, id)? else { return Ok(None) };
    let folder = secret::folder(&paths.container(id));
    secret::fill(&folder, &mut made.spec);
    secret::check(&folder, &made.spec)?;
    Ok(Some(made))
}

/// Its restart counts.
///
/// # Errors
/// When the record is damaged, newer, or can't be read.
pub fn counters(paths: &Paths, id: &ContainerId) -> Result<Counters, RecordError> {
    Ok(record::read(&paths.container_run(id).join("counters.json"))?.unwrap_or_default())
}

/// Records its restart counts.
///
/// # Errors
/// When it can't be written.
pub fn set_counters(paths: &Paths, id: &ContainerId, counters: &Counters) -> Result<(), LedgerError> {
    let path = paths.container_run(id).join("counters.json");
    if *counters == Counters::default() {
        return remove_file(&path);
    }
    Ok(record::write(&path, counters, Durability::Lazy)?)
}

/// Its health.
///
/// # Errors
/// When the record is damaged, newer, or can't be read.
pub fn health(paths: &Paths, id: &ContainerId) -> Result<Option<HealthRecord>, RecordError> {
    record::read(&paths.container_run(id).join("health.json"))
}

/// Records its health.
///
/// # Errors
/// When it can't be written.
pub fn set_health(paths: &Paths, id: &ContainerId, health: &HealthRecord) -> Result<(), RecordError> {
    record::write(&paths.container_run(id).join("health.json"), health, Durability::Lazy)
}

/// How far the hooks of a process have come, and which process that is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct HookRecord {
    started: Option<Stamp>,
    hooks: Hooks,
}

/// How far the hooks of the process that was started at this moment have come.
///
/// # Errors
/// When the record is damaged, newer, or can't be read.
pub fn hooks(paths: &Paths, id: &ContainerId, started: Option<&Stamp>) -> Result<Hooks, RecordError> {
    let record: Option<HookRecord> = record::read(&paths.container_run(id).join("hooks.json"))?;
    Ok(record.filter(|record| record.started.as_ref() == started).map(|record| record.hooks).unwrap_or_default())
}

/// Records it.
///
/// # Errors
/// When it can't be written.
pub fn set_hooks(paths: &Paths, id: &ContainerId, started: Option<&Stamp>, hooks: Hooks) -> Result<(), RecordError> {
    let record = HookRecord { started: started.cloned(), hooks };
    record::write(&paths.container_run(id).join("hooks.json"), &record, Durability::Lazy)
}

/// The ports that it holds, with the numbers that were picked.
///
/// # Errors
/// When the record is damaged, newer, or can't be read.
pub fn ports(paths: &Paths, id: &ContainerId) -> Result<Vec<PortSpec>, RecordError> {
    Ok(record::read(&paths.container_run(id).join("ports.json"))?.unwrap_or_default())
}

/// Records the ports that it holds.
///
/// # Errors
/// When it can't be written.
pub fn set_ports(paths: &Paths, id: &ContainerId, ports: &[PortSpec]) -> Result<(), LedgerError> {
    let path = paths.container_run(id).join("ports.json");
    if ports.is_empty() {
        return remove_file(&path);
    }
    Ok(record::write(&path, &ports, Durability::Lazy)?)
}

/// Forgets a container: its folders, and at last its name in the project's list, so that a removal that is cut short
/// is found and ended by the next.
///
/// # Errors
/// When something can't be removed.
pub fn forget(paths: &Paths, project: &ProjectName, id: &ContainerId) -> Result<(), LedgerError> {
    remove_tree(&paths.container_run(id))?;
    let folder = paths.container(id);
    // Half a spec must not be found: the record goes first.
    remove_file(&folder.join("spec.json"))?;
    remove_tree(&folder)?;
    remove_file(&paths.project_containers(project).join(id))
}

/// Removes the folders of containers that no project lists: a shim that outlived them may have written there once more.
/// Returns whose they were.
///
/// # Errors
/// When a list can't be read: nothing is removed then.
pub fn sweep(paths: &Paths) -> Result<Vec<ContainerId>, LedgerError> {
    let list = |path: PathBuf, source| LedgerError::List { path, source };
    let mut found = BTreeSet::new();
    for folder in [paths.root.join("containers"), paths.run.join("containers")] {
        // First these: a container stands in its project's list before it has a folder.
        found.extend(project::read_names(&folder).map_err(|source| list(folder, source))?);
    }
    let known = project::every_container(paths)?;
    let strays = found.into_iter().map(ContainerId::from).filter(|id| !known.contains(id));
    let mut removed = Vec::new();
    for id in strays {
        remove_tree(&paths.container_run(&id))?;
        remove_tree(&paths.container(&id))?;
        removed.push(id);
    }
    Ok(removed)
}

pub(super) fn remove_file(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LedgerError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Removes a folder and all that is in it; one that is not there is no error.
///
/// # Errors
/// When something in it can't be removed.
pub fn remove_tree(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LedgerError::Remove { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
