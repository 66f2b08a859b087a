//! One state folder belongs to one world: one network, mount and process namespace (kernel.md 7). A second world on the
//! same folder would take the first one's bridges, addresses and processes for its own.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::clock::boot_id;
use super::paths::Paths;
use super::record::{self, Durability, RecordError};

/// Why a state folder can't be used from here.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// It is in use from other namespaces.
    #[error(
        "{} is in use from another {namespace} namespace; \
         use it from there, or take another folder with --root", path.display()
    )]
    Other {
        /// The state folder.
        path: PathBuf,
        /// Which namespace differs.
        namespace: &'static str,
    },
    /// A file of it can't be had.
    #[error("cannot use {}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its record can't be had.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The namespaces of a world, by their inodes, and the boot in which these mean something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Namespaces {
    boot: String,
    net: u64,
    mnt: u64,
    pid: u64,
}

impl Namespaces {
    fn own() -> io::Result<Self> {
        let inode = |name: &str| fs::metadata(format!("/proc/self/ns/{name}")).map(|m| m.ino());
        Ok(Self { boot: boot_id().to_owned(), net: inode("net")?, mnt: inode("mnt")?, pid: inode("pid")? })
    }

    fn difference(&self, other: &Self) -> Option<&'static str> {
        [("network", self.net != other.net), ("mount", self.mnt != other.mnt), ("process", self.pid != other.pid)]
            .into_iter()
            .find_map(|(name, differs)| differs.then_some(name))
    }
}

/// A world in use: as long as this lives, no other may take its state folder.
#[derive(Debug)]
pub struct World {
    _lock: File,
}

impl World {
    /// Takes the state folder for the namespaces of this process. Any number of processes of one world hold it.
    ///
    /// # Errors
    /// When another world holds it, or its files can't be written.
    pub fn enter(paths: &Paths) -> Result<Self, WorldError> {
        let failed = |source| WorldError::Folder { path: paths.root.clone(), source };
        make_private(paths)?;
        let lock = open_lock(&paths.root.join("world.lock")).map_err(failed)?;
        let own = Namespaces::own().map_err(failed)?;
        let path = paths.root.join("world.json");
        let recorded = match record::read::<Namespaces>(&path) {
            // A damaged record was moved aside; it is made anew.
            Err(RecordError::Damaged { .. }) => None,
            other => other?,
        };
        if recorded.as_ref() != Some(&own) {
            match (lock.try_lock(), recorded) {
                (Ok(()), _) => record::write(&path, &own, Durability::Lazy)?,
                (Err(fs::TryLockError::Error(source)), _) => return Err(failed(source)),
                (Err(fs::TryLockError::WouldBlock), recorded) => {
                    let namespace = recorded.and_then(|r| r.difference(&own)).unwrap_or("network");
                    return Err(WorldError::Other { path: paths.root.clone(), namespace });
                }
            }
        }
        lock.lock_shared().map_err(failed)?;
        Ok(Self { _lock: lock })
    }
}

/// Also on a disk that has become read-only: what runs can be stopped all the same.
fn open_lock(path: &Path) -> io::Result<File> {
    match File::create(path) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(path),
        other => other,
    }
}

/// The state folder is root's alone: layers hold setuid programs (CVE-2021-41091, CVE-2024-25621).
fn make_private(paths: &Paths) -> Result<(), WorldError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    for path in [&paths.root, &paths.run] {
        let failed = |source| WorldError::Folder { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777 != 0o700 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
    }
    Ok(())
}

/// The name that stands for a project where state folders share a place, as in the cgroup tree: all but the machine's own
/// folder put a mark of theirs into it.
pub fn name_of(root: &Path, project: &str) -> String {
    match mark(root) {
        Some(mark) => format!("{project}-{mark}"),
        None => project.to_owned(),
    }
}

/// The mark of a state folder; `None` for the machine's own.
pub fn mark(root: &Path) -> Option<String> {
    use sha2::Digest as _;
    use std::os::unix::ffi::OsStrExt;
    if root == Path::new("/var/lib/windlass") {
        return None;
    }
    Some(record::hex(&sha2::Sha256::digest(root.as_os_str().as_bytes())[..5]))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_world_on_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let paths = Paths::new(Some(folder.path().join("root")), None);
        let world = World::enter(&paths).expect("the first");
        let _same = World::enter(&paths).expect("the same world again");
        let foreign = Namespaces { net: 1, ..Namespaces::own().expect("own") };
        record::write(&paths.root.join("world.json"), &foreign, Durability::Lazy).expect("written");
        assert!(matches!(World::enter(&paths), Err(WorldError::Other { namespace: "network", .. })));
        drop(world);
    }

    #[test]
    fn the_state_folder_is_closed_to_others() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let paths = Paths::new(Some(folder.path().join("root")), None);
        World::enter(&paths).expect("entered");
        let mode = |path: &PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&paths.root), mode(&paths.run)), (0o700, 0o700));
    }
}
