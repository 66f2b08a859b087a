//! A container in a slice of the user's (`cgroup_parent`), where systemd runs the machine: it has a scope of its own there,
//! `<slice>/windlass-<project>-<container id>.scope/{holder, container}`.
//!
//! A scope begins around a process and ends with the last one in it, so one has to be there before the container's first
//! and after its last: its limits and its counts are read then. That is the *holder*. It does nothing, and ends with the
//! container's shim, which stays with its project: whoever stops the slice must not kill the one who tells how the container
//! ended. The limits stand on `container`, as v2 gives controllers only to groups below one that has no process itself.
//!
//! The name of the scope is the only record of it. It needs no note on the project's group, which systemd takes away with
//! the project's last process.

use std::fs;
use std::path::{Path, PathBuf};

use super::mounts::{Hierarchy, Version};
use super::parent::{self, Elsewhere};
use super::{Error, Result, files, systemd};
use crate::desired::Slice;

const HOLDER: &str = "holder";
const CONTAINER: &str = "container";
const SUFFIX: &str = ".scope";

/// The scope of one container.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Where systemd keeps its units.
    units: Hierarchy,
    slice: Slice,
    unit: String,
    what: String,
}

impl Scope {
    pub(super) fn new(units: Hierarchy, slice: Slice, project: &str, id: &str) -> Self {
        let unit = parent::prefix(project) + id + SUFFIX;
        let what = format!("windlass: container {} of project {project}", id.get(..12).unwrap_or(id));
        Self { units, slice, unit, what }
    }

    /// The container's group, below the top of every hierarchy.
    pub(super) fn container(&self) -> PathBuf {
        self.slice.path().join(&self.unit).join(CONTAINER)
    }

    /// # Errors
    /// [`Error::NoScope`] when it was not started.
    pub(super) fn require(&self) -> Result<()> {
        if self.dir().is_dir() { Ok(()) } else { Err(Error::NoScope { unit: self.unit.clone() }) }
    }

    /// Whether it is there, and will be as long as the container's shim.
    pub fn is_held(&self) -> bool {
        let members = fs::read_to_string(self.holders().join("cgroup.procs"));
        members.is_ok_and(|members| !members.trim().is_empty())
    }

    /// Has systemd make it around a process, its holder. Waits, so it must not be called where others wait for the thread.
    ///
    /// # Errors
    /// When systemd or the kernel refuses.
    pub fn start(&self, holder: u32) -> Result<()> {
        systemd::start_scope(&self.unit, &self.slice, &self.what, holder)?;
        let holders = self.holders();
        if holders != self.dir() {
            files::make(&holders).map_err(|source| Error::file("create", &holders, source))?;
            files::write(&holders.join("cgroup.procs"), &holder.to_string())?;
        }
        Ok(())
    }

    fn dir(&self) -> PathBuf {
        self.units.top.join(self.slice.path()).join(&self.unit)
    }

    /// Where the holder is; v1 does without a group of its own.
    fn holders(&self) -> PathBuf {
        if self.units.version == Version::V2 { self.dir().join(HOLDER) } else { self.dir() }
    }
}

/// Finds the groups of a project's containers that have scopes of their own; only slices can have any.
pub(super) fn search(top: &Path, project: &str) -> Result<Elsewhere> {
    let (prefix, mut found) = (parent::prefix(project), Elsewhere::new());
    let mut ahead = vec![PathBuf::new()];
    while let Some(at) = ahead.pop() {
        for name in files::folders(&top.join(&at))? {
            let id = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
            if let Some(id) = id.filter(|id| parent::is_id(id)) {
                found.insert(id.to_owned(), at.join(&name).join(CONTAINER));
            } else if name.ends_with(".slice") {
                ahead.push(at.join(name));
            }
        }
    }
    Ok(found)
}
