//! Volumes: a folder each below the state folder, with a record of what it is.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::ledger::project::names;
use super::ledger::{LedgerError, container::remove_tree};
use super::mountinfo;
use super::paths::{Paths, is_plain_component};
use super::record::{self, Durability, RecordError, hex};
use crate::desired::VolumeSpec;
use crate::name::VolumeName;

/// Why a volume can't be had.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The name can't be a folder's.
    #[error("`{name}` can't be a volume's name: use letters, digits, `_`, `.` and `-`")]
    Name {
        /// The name.
        name: VolumeName,
    },
    /// Only our own driver is there.
    #[error("volume `{name}`: there is no volume driver `{driver}` here, only `local`")]
    Driver {
        /// The volume.
        name: VolumeName,
        /// The driver asked for.
        driver: String,
    },
    /// An option that the local driver does not have.
    #[error("volume `{name}`: the local driver has no option `{option}`; it has `type`, `device` and `o`")]
    Option {
        /// The volume.
        name: VolumeName,
        /// The option.
        option: String,
    },
    /// A folder operation failed.
    #[error("volume `{name}`: cannot {operation} {}", path.display())]
    Folder {
        /// The volume.
        name: VolumeName,
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else is mounted in it.
    #[error("volume `{name}` is not removed: something is mounted in it at {}; unmount that first", point.display())]
    Mounted {
        /// The volume.
        name: VolumeName,
        /// Where.
        point: PathBuf,
    },
    /// The mount that its options ask for failed.
    #[error("volume `{name}`: cannot mount `{device}` (type {kind}, options `{options}`)")]
    Mount {
        /// The volume.
        name: VolumeName,
        /// Of what.
        device: String,
        /// Of which type.
        kind: String,
        /// With which options.
        options: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its record can't be had.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its folder can't be removed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Makes a volume; one that is there already is left as it is.
///
/// # Errors
/// For a name, driver or option that can't be, or when its folder can't be made.
pub fn create(paths: &Paths, spec: &VolumeSpec) -> Result<(), VolumeError> {
    check(spec)?;
    let folder = paths.volume(&spec.name);
    let data = folder.join("_data");
    make_folder(spec, &paths.root, 0o700)?;
    make_folder(spec, &paths.volumes(), 0o700)?;
    make_folder(spec, &folder, 0o700)?;
    make_folder(spec, &data, 0o755)?;
    if read(paths, &spec.name)?.is_none() {
        record::write(&folder.join("volume.json"), spec, Durability::Synced)?;
    }
    Ok(())
}

fn check(spec: &VolumeSpec) -> Result<(), VolumeError> {
    if !is_plain_component(&spec.name) {
        return Err(VolumeError::Name { name: spec.name.clone() });
    }
    if !matches!(spec.driver.as_str(), "" | "local") {
        return Err(VolumeError::Driver { name: spec.name.clone(), driver: spec.driver.clone() });
    }
    match spec.driver_opts.keys().find(|key| !matches!(key.as_str(), "type" | "device" | "o")) {
        Some(option) => Err(VolumeError::Option { name: spec.name.clone(), option: option.clone() }),
        None => Ok(()),
    }
}

fn make_folder(spec: &VolumeSpec, path: &Path, mode: u32) -> Result<(), VolumeError> {
    let failed = |source| VolumeError::Folder {
        name: spec.name.clone(),
        operation: "make the folder",
        path: path.to_owned(),
        source,
    };
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed)
        }
        Err(e) => Err(failed(e)),
        // The caller's umask must not narrow what a container's own user has to enter.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed),
    }
}

/// What a volume is; `None`: there is no such volume.
///
/// # Errors
/// When its record is damaged or can't be read.
pub fn read(paths: &Paths, name: &VolumeName) -> Result<Option<VolumeSpec>, VolumeError> {
    if !is_plain_component(name) {
        return Ok(None);
    }
    Ok(record::read(&paths.volume(name).join("volume.json"))?)
}

/// Every volume of this world, by name. A damaged record leaves its volume out; it is told by [`read`].
pub fn list(paths: &Paths) -> Vec<VolumeSpec> {
    names(&paths.volumes()).into_iter().filter_map(|name| read(paths, &name.into()).ok().flatten()).collect()
}

/// Removes a volume and all that is in it; whether there was one.
///
/// # Errors
/// When something in it can't be removed or unmounted.
pub fn remove(paths: &Paths, name: &VolumeName) -> Result<bool, VolumeError> {
    if !is_plain_component(name) {
        return Err(VolumeError::Name { name: name.clone() });
    }
    let folder = paths.volume(name);
    unmount(name, &folder.join("_data"))?;
    // It would be emptied with the volume.
    if let Some(point) = mountinfo::mounted_in(&folder) {
        return Err(VolumeError::Mounted { name: name.clone(), point });
    }
    // Out of the way first: a removal that is cut short must not leave half a volume under its name.
    // Not its name, which may be as long as a name can be.
    let aside = paths.volumes().join(format!(".gone-{}", hex(&Sha256::digest(name.as_bytes()))));
    remove_tree(&aside)?;
    match fs::rename(&folder, &aside) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => {
            return Err(VolumeError::Folder { name: name.clone(), operation: "move away", path: folder, source });
        }
        Ok(()) => {}
    }
    remove_tree(&aside)?;
    Ok(true)
}

/// The folder that a container mounts. Where the volume's options ask for a mount, it is mounted now, if it is not yet.
///
/// # Errors
/// When that mount fails.
pub fn data(paths: &Paths, spec: &VolumeSpec) -> Result<PathBuf, VolumeError> {
    let data = paths.volume(&spec.name).join("_data");
    let option = |key: &str| spec.driver_opts.get(key).map_or("", String::as_str);
    let (kind, device, options) = (option("type"), option("device"), option("o"));
    if device.is_empty() {
        return Ok(data);
    }
    if options.split(',').any(|o| o == "bind" || o == "rbind") {
        return Ok(PathBuf::from(device));
    }
    if !is_mounted(&data) {
        mount(spec, kind, device, options, &data)?;
    }
    Ok(data)
}

fn mount(spec: &VolumeSpec, kind: &str, device: &str, options: &str, data: &Path) -> Result<(), VolumeError> {
    nix::mount::mount(Some(device), data, Some(kind), nix::mount::MsFlags::empty(), Some(options)).map_err(|e| {
        VolumeError::Mount {
            name: spec.name.clone(),
            device: device.to_owned(),
            kind: kind.to_owned(),
            options: options.to_owned(),
            source: e.into(),
        }
    })
}

fn is_mounted(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|m| m.dev()).ok();
    path.parent().is_some_and(|above| device(path) != device(above))
}

fn unmount(name: &VolumeName, data: &Path) -> Result<(), VolumeError> {
    if !is_mounted(data) {
        return Ok(());
    }
    nix::mount::umount2(data, nix::mount::MntFlags::MNT_DETACH).map_err(|e| VolumeError::Folder {
        name: name.clone(),
        operation: "unmount",
        path: data.to_owned(),
        source: e.into(),
    })
}

#[cfg(test)]
mod tests;
