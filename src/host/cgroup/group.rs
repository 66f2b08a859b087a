//! One group: the folders of it in all hierarchies, and the processes in it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::mounts::{Controller, Version};
use super::{Error, Result, files, freeze, parent};
use crate::host::process;

/// How long [`Cgroup::remove`] waits for the last processes to be gone.
const REMOVE_WAIT: Duration = Duration::from_secs(5);

/// The part of a group in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its folder.
    pub dir: PathBuf,
    /// The hierarchy's version.
    pub version: Version,
    /// The hierarchy's controllers.
    pub controllers: BTreeSet<Controller>,
}

/// A group. It is a name, not a guard: dropping it removes nothing, and it can be sent to another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    places: Vec<Place>,
    /// The only folder that is its own, where it shares the others with the group above.
    #[serde(default)]
    own: Option<PathBuf>,
}

impl Cgroup {
    pub(super) fn new(places: Vec<Place>) -> Self {
        Self { places, own: None }
    }

    /// Its folders, those that it shares with the group above among them.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether it exists in no hierarchy.
    pub fn is_missing(&self) -> bool {
        self.own().all(|place| !place.dir.is_dir())
    }

    fn own(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| self.own.as_ref().is_none_or(|own| *own == place.dir))
    }

    /// Its v2 folder: what `CLONE_INTO_CGROUP` takes, and what a cgroup2 mount of the container shows.
    pub fn v2(&self) -> Option<&Path> {
        self.places.iter().find(|place| place.version == Version::V2).map(|place| place.dir.as_path())
    }

    /// The v1 `tasks` files that a new process of one thread writes `0` to, which is the quick way in.
    pub fn tasks(&self) -> Vec<PathBuf> {
        self.places.iter().filter(|place| place.version == Version::V1).map(|place| place.dir.join("tasks")).collect()
    }

    /// The file that counts kills for want of memory, in a line `oom_kill N`.
    pub fn oom_file(&self) -> Option<PathBuf> {
        let place = self.place(Controller::Memory)?;
        Some(place.dir.join(if place.version == Version::V1 { "memory.oom_control" } else { "memory.events" }))
    }

    /// Whether it has limits of this controller.
    pub fn has(&self, controller: Controller) -> bool {
        self.place(controller).is_some()
    }

    /// Where a controller is; v2 where it is not mounted as v1.
    pub(super) fn place(&self, controller: Controller) -> Option<&Place> {
        self.places.iter().find(|place| place.controllers.contains(&controller))
    }

    /// The folder whose processes are the group's: v2, else the v1 freezer (which kills them), else any.
    pub(super) fn tracker(&self) -> Option<&Place> {
        let v2 = self.places.iter().find(|place| place.version == Version::V2);
        v2.or_else(|| self.place(Controller::Freezer)).or_else(|| self.places.first())
    }

    /// A group inside this one for an `exec` or a health probe: it can be killed apart, and shares the limits.
    ///
    /// It has no controllers of its own: v2 allows processes beside children only without them. In v1 it is the same groups.
    /// A process can enter it also where the container has given its controllers to groups inside (docker in docker), which
    /// closes the container's own group to newcomers (EBUSY).
    ///
    /// # Errors
    /// When it can't be made.
    pub fn child(&self, name: &str) -> Result<Self> {
        let mut child = self.clone();
        let Some(above) = self.tracker().map(|place| place.dir.clone()) else { return Ok(child) };
        let dir = above.join(name);
        files::make(&dir).map_err(|source| Error::file("create", &dir, source))?;
        for place in child.places.iter_mut().filter(|place| place.dir == above) {
            place.dir.clone_from(&dir);
        }
        child.own = Some(dir);
        Ok(child)
    }

    /// The groups that [`Cgroup::child`] made inside this one whose names begin so.
    ///
    /// # Errors
    /// When the cgroup file system can't be read.
    pub fn children(&self, prefix: &str) -> Result<Vec<Self>> {
        let Some(above) = self.tracker().map(|place| place.dir.clone()) else { return Ok(Vec::new()) };
        let names = files::folders(&above)?;
        names.iter().filter(|name| name.starts_with(prefix)).map(|name| self.child(name)).collect()
    }

    /// Moves the calling process into it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn join_self(&self) -> Result<()> {
        let threads = process::threads();
        for place in &self.places {
            // v1 `tasks` moves one thread and takes no lock; `cgroup.procs` moves all and waits for RCU.
            let file = if place.version == Version::V1 && threads == 1 { "tasks" } else { "cgroup.procs" };
            files::write(&place.dir.join(file), "0")?;
        }
        Ok(())
    }

    /// Has every process that is in it in one hierarchy be in it in all: runtimes know fewer of them than we use, and what is
    /// in no v2 group would not be killed with the others. Takes a while where something is moved: not for our own.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn gather(&self) -> Result<()> {
        let mut members = Vec::new();
        for place in &self.places {
            let text = files::read(&place.dir.join("cgroup.procs"))?;
            members.push(text.lines().filter_map(|line| line.parse::<i32>().ok()).collect::<BTreeSet<_>>());
        }
        let all: BTreeSet<i32> = members.iter().flatten().copied().collect();
        for (place, members) in self.places.iter().zip(&members) {
            let file = place.dir.join("cgroup.procs");
            for pid in all.difference(members) {
                match files::try_write(&file, &pid.to_string()) {
                    // It has ended meanwhile.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    other => other.map_err(|source| Error::file("write", &file, source))?,
                }
            }
        }
        Ok(())
    }

    /// The processes in it and in the groups below it, as this process's pid namespace numbers them.
    ///
    /// # Errors
    /// When the files can't be read.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        if let Some(place) = self.tracker() {
            for dir in tree(&place.dir)? {
                match fs::read_to_string(dir.join("cgroup.procs")) {
                    Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
                    Err(error) if files::gone(&error) => {}
                    Err(error) => return Err(Error::file("read", &dir.join("cgroup.procs"), error)),
                }
            }
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Removes it and all below it. Processes that are on their way out are waited for, up to 5 s.
    ///
    /// # Errors
    /// When processes stay; they are not killed here.
    pub fn remove(&self) -> Result<()> {
        let end = Instant::now() + REMOVE_WAIT;
        for place in self.own() {
            let mut pause = Duration::from_micros(500);
            while let Err(error) = remove_tree(&place.dir) {
                if error.kind() != ErrorKind::ResourceBusy {
                    return Err(Error::file("remove", &place.dir, error));
                }
                if Instant::now() >= end {
                    return Err(Error::Busy { path: place.dir.clone(), pids: self.pids()? });
                }
                // v2 tells when the last process has gone; a v1 group, and a zombie's, must be tried again.
                freeze::await_event(place, "populated 0", pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            parent::tidy(&place.dir);
        }
        Ok(())
    }
}

/// A group's folder and all folders below it, the deepest first. Missing ones are left out.
pub(super) fn tree(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for name in files::folders(dir)? {
        all.extend(tree(&dir.join(name))?);
    }
    all.push(dir.to_owned());
    Ok(all)
}

fn remove_tree(dir: &Path) -> std::io::Result<()> {
    // Most have no group below them.
    if fs::remove_dir(dir).or_else(|error| if files::gone(&error) { Ok(()) } else { Err(error) }).is_ok() {
        return Ok(());
    }
    let all = tree(dir).map_err(|error| match error {
        Error::File { source, .. } => source,
        other => std::io::Error::other(other),
    })?;
    for dir in all {
        match fs::remove_dir(&dir) {
            Err(error) if !files::gone(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
