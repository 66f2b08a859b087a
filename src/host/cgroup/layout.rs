//! Where the groups of a project are, and what is made and removed there.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::mounts::{Controller, Hierarchy, Mounts, Version};
use super::parent::{self, Elsewhere};
use super::scope::{self, Scope};
use super::{Cgroup, Devices, Entry, Error, Place, Result, device, files, limits, systemd};
use crate::desired::{Resources, Slice};
use crate::host::process;

/// A leaf that is not a container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// The supervisor and its helpers.
    Supervisor,
    /// All shims: never inside a container's group, or its limits and its end would be theirs.
    Shims,
}

impl Leaf {
    const ALL: [Self; 2] = [Self::Supervisor, Self::Shims];

    fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Shims => "shims",
        }
    }
}

/// The groups of one project on this machine.
#[derive(Clone, Debug)]
pub struct Layout {
    mounts: Mounts,
    project: String,
    /// Relative to the top of every hierarchy.
    path: PathBuf,
    /// The name of the scope, where systemd runs the machine.
    unit: Option<String>,
    /// The containers that are not with the project; looked for when one is missing for the first time.
    elsewhere: Arc<Mutex<Option<Elsewhere>>>,
}

/// A container's group, ready for its first process.
#[derive(Debug)]
pub struct Created {
    /// It.
    pub cgroup: Cgroup,
    /// What was asked for and this kernel can't do, for people.
    pub warnings: Vec<String>,
}

impl Layout {
    /// Finds out where the groups of `project` are; changes nothing.
    ///
    /// `project` must be a valid project name; a caller with several state folders puts something of the folder into it,
    /// or equal projects of two folders share their groups.
    ///
    /// # Errors
    /// When no cgroup file system is mounted.
    pub fn open(project: &str) -> Result<Self> {
        Ok(Self::new(Mounts::detect()?, project, systemd::systemd_booted()))
    }

    pub(super) fn new(mounts: Mounts, project: &str, systemd: bool) -> Self {
        let unit = systemd.then(|| format!("windlass-{project}.scope"));
        let path = match &unit {
            Some(unit) => Path::new(systemd::SLICE).join(unit),
            None => Path::new("windlass").join(project),
        };
        Self { mounts, project: project.to_owned(), path, unit, elsewhere: Arc::default() }
    }

    /// Moves the calling process, with all its threads, into a leaf, which is made if needed. With systemd the first one
    /// to come makes the scope.
    ///
    /// To be called once, early: while a process has one thread the v1 part costs nothing, later each hierarchy waits for
    /// an RCU grace period.
    ///
    /// # Errors
    /// When systemd or the kernel refuses.
    pub fn join_self(&self, leaf: Leaf) -> Result<()> {
        if let (Some(unit), false) = (&self.unit, self.scope_exists()) {
            let slice = Slice::parse(systemd::SLICE).ok_or_else(|| Error::NoSlice { parent: systemd::SLICE.into() })?;
            systemd::start_scope(unit, &slice, "windlass: the processes of a project", std::process::id())?;
        }
        let cgroup = self.make(&self.path.join(leaf.name()), |_| true)?;
        cgroup.join_self()?;
        // Only now: v2 gives a group's controllers to its children only when no process is in the group itself, and
        // systemd has put this one there.
        self.hand_down_controllers(&self.path);
        Ok(())
    }

    /// The way into a leaf, made if needed: for a caller that starts a process right in it (`CLONE_INTO_CGROUP`), or is about
    /// to be that process.
    ///
    /// # Errors
    /// When the kernel refuses. With systemd [`Error::NoScope`] until a process has joined.
    pub fn leaf(&self, leaf: Leaf) -> Result<Entry> {
        self.require_scope()?;
        let entry = self.make(&self.path.join(leaf.name()), |_| true)?.entry()?;
        self.hand_down_controllers(&self.path);
        Ok(entry)
    }

    /// Makes the group of a container and sets its limits. One that is left from an earlier run of it is removed first.
    ///
    /// # Errors
    /// When the old group still has processes, a value is refused, or a device is none: nothing is left then. With systemd
    /// [`Error::NoScope`] until a supervisor has joined, and until [`Layout::scope`] of a container that has one was started.
    pub fn container(&self, id: &str, resources: &Resources, devices: &Devices) -> Result<Created> {
        self.require_scope()?;
        self.existing(id)?.remove()?;
        let v2 = self.mounts.v2().is_some();
        let wanted = |controllers: &BTreeSet<Controller>| {
            controllers.iter().any(|controller| match controller {
                Controller::Cpuset => resources.cpuset.is_some(),
                Controller::Freezer => !v2,
                Controller::Devices => matches!(devices, Devices::Rules(_)),
                _ => true,
            })
        };
        if let Some(scope) = self.scope(id, resources.parent.as_deref())? {
            scope.require()?;
        }
        let path = self.path_of(id, resources.parent.as_deref())?;
        let cgroup = self.make(&path, wanted)?;
        self.hand_down_controllers(path.parent().unwrap_or(&self.path));
        match set_up(&cgroup, resources, devices) {
            Ok(warnings) => Ok(Created { cgroup, warnings }),
            Err(error) => {
                cgroup.remove()?;
                Err(error)
            }
        }
    }

    /// The group of a container as it exists; it has no places where there is none.
    ///
    /// # Errors
    /// When the cgroup file system can't be read.
    pub fn existing(&self, id: &str) -> Result<Cgroup> {
        let own = self.places_at(&self.path.join(id));
        if !own.is_empty() {
            return Ok(Cgroup::new(own));
        }
        let elsewhere = self.with_elsewhere(|all| all.get(id).cloned())?;
        Ok(Cgroup::new(elsewhere.map(|path| self.places_at(&path)).unwrap_or_default()))
    }

    fn places_at(&self, path: &Path) -> Vec<Place> {
        let place = |hierarchy: &Hierarchy| {
            let dir = hierarchy.top.join(path);
            dir.is_dir().then(|| self.place(hierarchy, dir))
        };
        self.hierarchies().filter_map(place).collect()
    }

    /// The path of a container's group below the top of every hierarchy; `parent` is its `cgroup_parent`.
    ///
    /// # Errors
    /// When the cgroup file system can't be read, or `parent` is no slice where it must be one.
    pub fn path_of(&self, id: &str, parent: Option<&str>) -> Result<PathBuf> {
        let Some(parent) = parent else { return Ok(self.path.join(id)) };
        let path = match self.scope(id, Some(parent))? {
            Some(scope) => scope.container(),
            None => {
                self.note_elsewhere()?;
                parent::path(parent, &self.project, id)
            }
        };
        self.with_elsewhere(|all| all.insert(id.to_owned(), path.clone()))?;
        Ok(path)
    }

    /// The scope of a container's own: it has one where it has a `parent` (its `cgroup_parent`) and systemd runs the machine.
    ///
    /// # Errors
    /// When `parent` is no name of a slice.
    pub fn scope(&self, id: &str, parent: Option<&str>) -> Result<Option<Scope>> {
        let (Some(parent), Some(_)) = (parent, &self.unit) else { return Ok(None) };
        let slice = Slice::parse(parent).ok_or_else(|| Error::NoSlice { parent: parent.to_owned() })?;
        Ok(self.units().map(|hierarchy| Scope::new(hierarchy.clone(), slice, &self.project, id)))
    }

    /// Leaves word at the project's own group, which outlives a killed supervisor, that not all containers are in it.
    fn note_elsewhere(&self) -> Result<()> {
        let Some(hierarchy) = self.hierarchies().next() else { return Ok(()) };
        make_path(hierarchy, &self.path, true)?;
        parent::note(&hierarchy.top.join(&self.path))
    }

    fn with_elsewhere<T>(&self, work: impl FnOnce(&mut Elsewhere) -> T) -> Result<T> {
        let mut known = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = known.as_mut() {
            return Ok(work(all));
        }
        let mut all = Elsewhere::new();
        // Few projects have any, and a whole hierarchy is a long walk; the slices alone are a short one.
        let noted = |hierarchy: &Hierarchy| parent::is_noted(&hierarchy.top.join(&self.path));
        let systemd = self.unit.is_some();
        if systemd || self.hierarchies().any(noted) {
            for hierarchy in self.hierarchies() {
                let found = if systemd { scope::search } else { parent::search };
                all.extend(found(&hierarchy.top, &self.project)?);
            }
        }
        Ok(work(known.insert(all)))
    }

    /// Ids of the containers that have a group in any hierarchy.
    ///
    /// # Errors
    /// When the cgroup file system can't be read.
    pub fn list(&self) -> Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for hierarchy in self.hierarchies() {
            ids.extend(files::folders(&hierarchy.top.join(&self.path))?);
        }
        ids.retain(|id| Leaf::ALL.iter().all(|leaf| leaf.name() != id));
        for (id, path) in self.with_elsewhere(|all| all.clone())? {
            if !self.places_at(&path).is_empty() {
                ids.insert(id);
            }
        }
        Ok(ids)
    }

    /// Kills and removes the groups of all containers but `keep`; returns which. What a crash left goes this way.
    ///
    /// # Errors
    /// When a group can't be removed; the others are tried first.
    pub fn sweep(&self, keep: &BTreeSet<String>) -> Result<Vec<String>> {
        let (mut swept, mut failure) = (Vec::new(), Ok(()));
        for id in self.list()?.difference(keep) {
            let done = self.existing(id).and_then(|cgroup| cgroup.kill().and_then(|()| cgroup.remove()));
            match done {
                Ok(()) => swept.push(id.clone()),
                Err(error) => failure = Err(error),
            }
        }
        failure.map(|()| swept)
    }

    /// Removes all groups of the project that have no process; those that have stay, which is no error. The last project
    /// takes `windlass` away too. With systemd the scope itself goes as it gets empty.
    ///
    /// # Errors
    /// When the kernel refuses for another reason.
    pub fn remove(&self) -> Result<()> {
        for hierarchy in self.hierarchies() {
            let project = hierarchy.top.join(&self.path);
            for name in files::folders(&project)? {
                remove_empty(&project.join(name))?;
            }
            if self.unit.is_some() && hierarchy.units {
                // It waits for this one to get empty; removed under its hands, it never hears of that.
                continue;
            }
            remove_empty(&project)?;
            if let Some(all) = project.parent() {
                remove_empty(all)?;
            }
        }
        Ok(())
    }

    /// Moves the calling process out of the project's groups, so that [`Layout::remove`] finds them empty: the last
    /// act of a supervisor. With one thread it is another process that returns, and the caller has ended.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn leave_self(&self) -> Result<()> {
        // v2 last: when the scope is empty there, systemd removes it everywhere, once.
        let tops = self.hierarchies().rev().map(|hierarchy| self.place(hierarchy, hierarchy.top.clone()));
        let tops = Cgroup::new(tops.collect());
        let entry = tops.entry()?;
        match entry.v2().map(process::go_on_in) {
            Some(Ok(())) => entry.join_v1().map_err(|source| Error::file("enter the groups above", &self.path, source)),
            _ => tops.join_self(),
        }
    }

    /// The name of the project's scope, where systemd runs the machine.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    fn hierarchies(&self) -> impl DoubleEndedIterator<Item = &Hierarchy> {
        self.mounts.hierarchies.iter()
    }

    fn place(&self, hierarchy: &Hierarchy, dir: PathBuf) -> Place {
        Place { dir, version: hierarchy.version, controllers: hierarchy.controllers.clone() }
    }

    /// systemd must make the scope itself, around a process, or it takes the folder for a leftover.
    fn require_scope(&self) -> Result<()> {
        match &self.unit {
            Some(unit) if !self.scope_exists() => Err(Error::NoScope { unit: unit.clone() }),
            _ => Ok(()),
        }
    }

    fn scope_exists(&self) -> bool {
        self.units().is_some_and(|hierarchy| hierarchy.top.join(&self.path).is_dir())
    }

    /// Where systemd keeps its units: in v2 where there is one, else in the v1 hierarchy without a controller.
    fn units(&self) -> Option<&Hierarchy> {
        self.hierarchies().find(|hierarchy| hierarchy.version == Version::V2 || hierarchy.controllers.is_empty())
    }

    /// Makes the group at `path` in v2 and in those v1 hierarchies whose controllers are wanted.
    fn make(&self, path: &Path, wanted: impl Fn(&BTreeSet<Controller>) -> bool) -> Result<Cgroup> {
        let mut places = Vec::new();
        for hierarchy in self.hierarchies() {
            if hierarchy.version == Version::V1 && !wanted(&hierarchy.controllers) {
                continue;
            }
            make_path(hierarchy, path, path.starts_with(&self.path))?;
            places.push(self.place(hierarchy, hierarchy.top.join(path)));
        }
        Ok(Cgroup::new(places))
    }

    /// Enables all v2 controllers for the groups in `path`. What can't be enabled (a top that is itself somebody's
    /// group and has processes) shows as a warning of each limit that needs it.
    fn hand_down_controllers(&self, path: &Path) {
        let Some(v2) = self.mounts.v2() else { return };
        let mut levels: Vec<&Path> = path.ancestors().collect();
        if self.unit.is_some() {
            // Above the scope, systemd is the only writer; Delegate=yes made it enable them there.
            levels.truncate(1);
        }
        for level in levels.iter().rev() {
            let control = v2.top.join(level).join("cgroup.subtree_control");
            let enabled = fs::read_to_string(&control).unwrap_or_default();
            let missing = v2.controllers.iter().filter_map(|controller| controller.v2_name());
            for name in missing.filter(|name| !enabled.split_whitespace().any(|word| word == *name)) {
                // One by one: a controller that can't be enabled must not keep the others.
                let _ = files::try_write(&control, &format!("+{name}"));
            }
        }
    }
}

fn set_up(cgroup: &Cgroup, resources: &Resources, devices: &Devices) -> Result<Vec<String>> {
    let mut warnings = limits::apply(cgroup, resources)?;
    if let Devices::Rules(rules) = devices {
        let all = Devices::Rules(rules.clone()).with_standard();
        warnings.extend(device::restrict(cgroup, &all)?);
    }
    Ok(warnings)
}

/// Makes every folder of `path`. A removal of the last other project may take an upper one away in between: then again.
/// Those that are not a project's `own` are marked as made here.
fn make_path(hierarchy: &Hierarchy, path: &Path, own: bool) -> Result<()> {
    let levels: Vec<&Path> = path.ancestors().filter(|level| !level.as_os_str().is_empty()).collect();
    let mut failure = Ok(());
    for _ in 0..8 {
        failure = levels.iter().rev().try_for_each(|level| make_level(hierarchy, &hierarchy.top.join(level), own));
        match &failure {
            Err(Error::File { source, .. }) if files::gone(source) => {}
            _ => break,
        }
    }
    failure
}

fn make_level(hierarchy: &Hierarchy, dir: &Path, own: bool) -> Result<()> {
    if own {
        files::make(dir).map_err(|source| Error::file("create", dir, source))?;
    } else {
        parent::make(dir)?;
    }
    let cpuset = hierarchy.version == Version::V1 && hierarchy.controllers.contains(&Controller::Cpuset);
    if cpuset { fill_cpuset(dir) } else { Ok(()) }
}

/// A v1 cpuset group begins empty, and no process can enter it (ENOSPC) until it has processors and memory nodes.
fn fill_cpuset(dir: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if files::read(&dir.join(file))?.trim().is_empty() {
            let upper = dir.parent().unwrap_or(dir).join(file);
            files::write(&dir.join(file), files::read(&upper)?.trim())?;
        }
    }
    Ok(())
}

/// Removes a group; one that is in use, or gone already, is left.
fn remove_empty(dir: &Path) -> Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if files::gone(&error) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::DirectoryNotEmpty) => Ok(()),
        other => other.map_err(|source| Error::file("remove", dir, source)),
    }
}
