//! A project's records: its desired state, and the list of its containers.

use std::fs;
use std::io;
use std::path::Path;

use super::record::{self, Durability};
use super::{LedgerError, container};
use crate::desired::Desired;
use crate::host::paths::Paths;
use crate::name::{ContainerId, ProjectName};

/// The desired state that was last applied; `None` for a project that was never up.
///
/// # Errors
/// When the record is damaged, newer, or can't be read.
pub fn desired(paths: &Paths, project: &ProjectName) -> Result<Option<Desired>, LedgerError> {
    record::read(&paths.project(project).join("desired.json"))
}

/// Records a desired state: from here on it is what the supervisor holds.
///
/// # Errors
/// When it can't be written.
pub fn set_desired(paths: &Paths, desired: &Desired) -> Result<(), LedgerError> {
    record::write(&paths.project(&desired.project).join("desired.json"), desired, Durability::Synced)
}

/// Every project of this world that has a record.
pub fn all(paths: &Paths) -> Vec<ProjectName> {
    names(&paths.projects()).into_iter().map(ProjectName::from).collect()
}

/// The ids of a project's containers, half-made ones among them.
pub fn containers(paths: &Paths, project: &ProjectName) -> Vec<ContainerId> {
    names(&paths.project_containers(project)).into_iter().map(ContainerId::from).collect()
}

/// Forgets a project of which nothing is left: its desired state, its logs, its run folder.
///
/// # Errors
/// When something can't be removed.
pub fn forget(paths: &Paths, project: &ProjectName) -> Result<(), LedgerError> {
    container::remove_tree(&paths.project(project))?;
    container::remove_tree(&paths.project_run(project))
}

/// The names in a folder, sorted, without what begins with a dot; empty for a folder that is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(_) => return Vec::new(),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}
