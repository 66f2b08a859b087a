//! Containers in a group of the user's choice (`cgroup_parent`) instead of their project's:
//! `<top>/<cgroup_parent>/windlass-<project>-<container id>`.
//!
//! The kernel is the only record: the name tells whose it is, an extended attribute which of the groups above were made for it
//! and go with the last container, and another one on the project's own group that there is something to look for. Where
//! systemd runs the machine it is the only one to make groups outside of a scope: [`super::scope`].

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::{Error, Result, files};

/// On a group that was made on the way to a container.
const MADE: &str = "trusted.windlass";

/// On the group of a project that has, or had, containers elsewhere.
const NOTED: &str = "trusted.windlass.elsewhere";

/// The groups of one project's containers that are not with the project: container id → path below the top of a hierarchy.
pub(super) type Elsewhere = BTreeMap<String, PathBuf>;

/// The path of a container's group below the top of a hierarchy.
pub(super) fn path(parent: &str, project: &str, id: &str) -> PathBuf {
    // What leads upwards was refused before; a path that does so all the same leads nowhere else.
    let parts = Path::new(parent).components().filter(|part| matches!(part, Component::Normal(_)));
    parts.collect::<PathBuf>().join(prefix(project) + id)
}

/// What the names of a project's containers begin with.
pub(super) fn prefix(project: &str) -> String {
    format!("windlass-{project}-")
}

/// Whether a text is a container's id.
pub(super) fn is_id(text: &str) -> bool {
    text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Finds the groups of a project's containers anywhere in a hierarchy.
pub(super) fn search(top: &Path, project: &str) -> Result<Elsewhere> {
    let (prefix, mut found) = (prefix(project), Elsewhere::new());
    let mut ahead = vec![PathBuf::new()];
    while let Some(at) = ahead.pop() {
        for name in files::folders(&top.join(&at))? {
            let path = at.join(&name);
            match name.strip_prefix(&prefix).filter(|id| is_id(id)) {
                Some(id) => drop(found.insert(id.to_owned(), path)),
                None => ahead.push(path),
            }
        }
    }
    Ok(found)
}

/// Makes a group, and marks it if it was not there.
pub(super) fn make(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Error::file("create", dir, source)),
        Ok(()) => set(dir, MADE).map_err(|source| Error::file("mark", dir, source)),
    }
}

/// Notes on a project's own group that it has containers elsewhere.
pub(super) fn note(project: &Path) -> Result<()> {
    set(project, NOTED).map_err(|source| Error::file("mark", project, source))
}

/// Whether a project has, or had, containers elsewhere.
pub(super) fn is_noted(project: &Path) -> bool {
    is_set(project, NOTED)
}

fn set(dir: &Path, name: &str) -> std::io::Result<()> {
    rustix::fs::setxattr(dir, name, b"1", rustix::fs::XattrFlags::empty()).map_err(Into::into)
}

fn is_set(dir: &Path, name: &str) -> bool {
    let Ok(path) = CString::new(dir.as_os_str().as_bytes()) else { return false };
    let mut value = [0_u8; 8];
    rustix::fs::getxattr(path.as_c_str(), name, &mut value).is_ok()
}

/// Removes the groups above a container's that were made for it, and that nobody else is in.
pub(super) fn tidy(dir: &Path) {
    for above in dir.ancestors().skip(1).take_while(|above| is_set(above, MADE)) {
        // Somebody else is in it: it goes with the last one.
        if fs::remove_dir(above).is_err() {
            return;
        }
    }
}
