//! A bundle: all that a shim needs to start a container's process. Nothing in it is left to choose.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::desired::{ContainerSpec, FileSource, MountSource, NetMode, NsMode, SCHEMA, Secret};
use crate::host::cgroup::Cgroup;
use crate::host::logs::Forward;
use crate::host::seccomp::{self, Program};
use crate::name::{ContainerId, Digest, VolumeName};

/// What a container is made of, and where its parts are on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// [`SCHEMA`]; a shim refuses what is newer than itself.
    pub schema: u32,
    /// The container's id.
    pub id: ContainerId,
    /// The specification.
    pub spec: ContainerSpec,
    /// Where things are.
    pub host: Resolved,
    /// Its system call filter: made once for all containers that are alike, and not in each one's own process.
    ///
    /// Not to be left out: a bundle of an older supervisor, without the field, must not mean "no filter".
    #[serde(deserialize_with = "Option::deserialize")]
    pub filter: Option<Program>,
}

/// Where the parts of a container are on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// The container's state folder (`<root>/containers/<id>`): upper, work, hosts, …, exit record.
    pub state: PathBuf,
    /// The container's run folder (`<run>/containers/<id>`): socket and records.
    pub run: PathBuf,
    /// Folders of the image's layers, lowest first; never empty.
    pub layers: Vec<PathBuf>,
    /// The writable layer is not synced when the container ends (overlay option `volatile`): right for what is removed
    /// or made anew after a power cut; saves most of the time that an end takes.
    pub volatile: bool,
    /// Folders of the volumes that the mounts name.
    pub volumes: BTreeMap<VolumeName, PathBuf>,
    /// Layers of the images that the mounts name, lowest first, by image id.
    pub images: BTreeMap<Digest, Vec<PathBuf>>,
    /// Text of /etc/hosts; `None`: leave the image's own alone.
    pub hosts: Option<String>,
    /// Text of /etc/resolv.conf; `None`: leave the image's own alone.
    pub resolv_conf: Option<String>,
    /// Host name.
    pub hostname: String,
    /// The container's cgroup.
    pub cgroup: Cgroup,
    /// The same below the top of every hierarchy, as OCI runtimes name it.
    #[serde(default)]
    pub cgroup_path: PathBuf,
    /// Where the log goes; `None`: nowhere.
    pub log: Option<PathBuf>,
    /// Who gets each line too.
    #[serde(default)]
    pub forward: Option<Box<Forward>>,
    /// Programs of the host that are run when the root is in place, before the program starts.
    #[serde(default)]
    pub hooks: Vec<OciHook>,
}

/// A program of the host that changes a container's root before its program starts, as OCI's `createContainer` hooks do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciHook {
    /// The program.
    pub path: PathBuf,
    /// Its arguments, its own name first.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<String>,
    /// Seconds; `None`: it may take as long as it likes.
    pub timeout: Option<u64>,
}

/// Why a bundle can't be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BundleError {
    /// The layers of its image are not there.
    #[error("container {0} has an image without layers: pull it again")]
    NoLayers(String),
    /// A volume's folder is not known.
    #[error("container {0} mounts volume {1}, which has no folder: create it first")]
    NoVolume(String, VolumeName),
    /// The layers of a mounted image are not known.
    #[error("container {0} mounts image {1}, whose layers are not there: pull it first")]
    NoImage(String, String),
    /// There is nothing to run.
    #[error("container {0} has no command: its image names none, so the compose file must")]
    NoCommand(String),
    /// There is no filter as it wants one.
    #[error("container {container}: {reason}")]
    Seccomp {
        /// Its name.
        container: String,
        /// What is wrong with its profile.
        reason: String,
    },
    /// A kernel parameter of a namespace that is not the container's own.
    #[error("container {container} sets {key}: {reason}")]
    Sysctl {
        /// Its name.
        container: String,
        /// The parameter.
        key: String,
        /// What forbids it.
        reason: &'static str,
    },
}

impl Bundle {
    /// Puts a bundle together and checks that everything it needs is known.
    ///
    /// # Errors
    /// When a part is missing.
    pub fn new(id: ContainerId, spec: ContainerSpec, host: Resolved) -> Result<Bundle, BundleError> {
        let name = || spec.name.to_string();
        if spec.argv.is_empty() {
            return Err(BundleError::NoCommand(name()));
        }
        if host.layers.is_empty() {
            return Err(BundleError::NoLayers(name()));
        }
        for mount in &spec.mounts {
            match &mount.source {
                MountSource::Volume { name: volume, .. } if !host.volumes.contains_key(volume) => {
                    return Err(BundleError::NoVolume(name(), volume.clone()));
                }
                MountSource::Image { image, .. } if host.images.get(&image.id).is_none_or(Vec::is_empty) => {
                    return Err(BundleError::NoImage(name(), image.name.clone()));
                }
                _ => {}
            }
        }
        for key in spec.sysctls.keys() {
            if let Some(reason) = super::sysctl::refusal(key, &spec.namespaces) {
                return Err(BundleError::Sysctl { container: name(), key: key.clone(), reason });
            }
        }
        let filter = seccomp::of(&spec.security)
            .map_err(|error| BundleError::Seccomp { container: name(), reason: error.to_string() })?;
        Ok(Bundle { schema: SCHEMA, id, spec, host, filter })
    }

    /// Whether the sandbox has a network namespace of its own.
    pub fn own_net(&self) -> bool {
        matches!(self.spec.namespaces.net, NetMode::Bridge | NetMode::None)
    }

    /// The values of all inline secrets, for whoever must keep them out of a message.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.spec.files.iter().filter_map(|file| match &file.source {
            FileSource::Inline { value } => Some(value),
            FileSource::Host { .. } => None,
        })
    }
}

/// Which namespaces of a container are not its own and have to be handed to its shim, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shared {
    /// Network.
    Net,
    /// Message queues and shared memory.
    Ipc,
    /// Host name.
    Uts,
    /// Processes.
    Pid,
    /// The /dev/shm of the other container; goes with [`Shared::Ipc`].
    Shm,
}

/// The kinds that the supervisor passes in from another container's shim, for these namespaces.
pub fn shared(namespaces: &crate::desired::Namespaces) -> Vec<Shared> {
    let mut kinds = Vec::new();
    if matches!(namespaces.net, NetMode::Container(_)) {
        kinds.push(Shared::Net);
    }
    if matches!(namespaces.ipc, NsMode::Container(_)) {
        kinds.extend([Shared::Ipc, Shared::Shm]);
    }
    if matches!(namespaces.uts, NsMode::Container(_)) {
        kinds.push(Shared::Uts);
    }
    if matches!(namespaces.pid, NsMode::Container(_)) {
        kinds.push(Shared::Pid);
    }
    kinds
}
