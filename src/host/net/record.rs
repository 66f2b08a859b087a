//! The records of networks and of the containers on them, which are the machine's, not a project's.
//!
//! ```text
//! <root>/networks/.lock                           held while anything here or in the shared rules changes
//! <root>/networks/<network>/spec                  what it is made of
//! <root>/networks/<network>/endpoints/<container> a container's link to it, and the ports it publishes over it
//! ```
//!
//! A damaged one (see `host::record`) is told, and stops nobody.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Context, NetError, Result};
use super::inside::Attached;
use crate::desired::{EndpointSpec, NetworkSpec, PortSpec};
use crate::host::record::{self, Durability, RecordError};
use crate::name::{ContainerId, NetworkName, ProjectName};

/// A network on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    /// What it is made of.
    pub spec: NetworkSpec,
    /// Its project wanted to remove it while others were on it: it goes with the last of them.
    pub unowned: bool,
}

/// A container's link to a network, on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointRecord {
    /// The container.
    pub container: ContainerId,
    /// The container's project.
    pub project: ProjectName,
    /// As it was asked for.
    pub spec: EndpointSpec,
    /// As it was made.
    pub attached: Attached,
    /// The ports that the container publishes over this link, each with the number that was picked.
    pub published: Vec<PortSpec>,
}

/// The folder of the records.
pub(crate) struct Records {
    folder: PathBuf,
    damaged: Mutex<Vec<String>>,
}

impl Records {
    /// Opens the folder, and makes it if need be.
    pub fn open(root: &Path) -> Result<Self> {
        let folder = root.join("networks");
        fs::create_dir_all(&folder).at("create", &folder)?;
        Ok(Self { folder, damaged: Mutex::default() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits for the machine-wide lock, alone.
    pub fn lock(&self) -> Result<Flock<File>> {
        self.flock(FlockArg::LockExclusive)
    }

    /// Waits for the machine-wide lock, with others who only add to different networks.
    pub fn lock_shared(&self) -> Result<Flock<File>> {
        self.flock(FlockArg::LockShared)
    }

    fn flock(&self, how: FlockArg) -> Result<Flock<File>> {
        let path = self.folder.join(".lock");
        let mut file = File::options().create(true).truncate(false).write(true).open(&path).at("open", &path)?;
        loop {
            match Flock::lock(file, how) {
                Ok(lock) => return Ok(lock),
                Err((same, nix::errno::Errno::EINTR)) => file = same,
                Err((_, error)) => return Err(io::Error::from(error)).at("lock", path),
            }
        }
    }

    /// All networks, by name.
    pub fn networks(&self) -> Result<Vec<NetworkRecord>> {
        let names = entries(&self.folder)?;
        Ok(names
            .iter()
            .filter_map(|name| self.network(&NetworkName::new(name.as_str())).transpose())
            .flatten()
            .collect())
    }

    /// One network.
    pub fn network(&self, name: &NetworkName) -> Result<Option<NetworkRecord>> {
        self.read(&self.of(name)?.join("spec"))
    }

    /// Writes a network, so that it outlives a power cut.
    pub fn put_network(&self, entry: &NetworkRecord) -> Result<()> {
        let folder = self.of(&entry.spec.name)?;
        let endpoints = folder.join("endpoints");
        fs::create_dir_all(&endpoints).at("create", &endpoints)?;
        Ok(record::write(&folder.join("spec"), entry, Durability::Synced)?)
    }

    /// Removes a network's folder.
    pub fn remove_network(&self, name: &NetworkName) -> Result<()> {
        let folder = self.of(name)?;
        gone_is_fine(fs::remove_dir_all(&folder)).at("remove", folder)
    }

    /// The endpoints on a network.
    pub fn endpoints(&self, network: &NetworkName) -> Result<Vec<EndpointRecord>> {
        let folder = self.of(network)?.join("endpoints");
        let paths = entries(&folder)?.into_iter().map(|name| folder.join(name));
        Ok(paths.filter_map(|path| self.read(&path).transpose()).flatten().collect())
    }

    /// The networks that a container is on, without reading its records.
    pub fn networks_of(&self, container: &ContainerId) -> Result<Vec<NetworkName>> {
        let mut networks = entries(&self.folder)?;
        networks.retain(|network| self.folder.join(network).join("endpoints").join(container).exists());
        Ok(networks.into_iter().map(NetworkName::from).collect())
    }

    /// Who is on a network, without reading their records.
    pub fn containers_on(&self, network: &NetworkName) -> Result<Vec<ContainerId>> {
        Ok(entries(&self.of(network)?.join("endpoints"))?.into_iter().map(ContainerId::from).collect())
    }

    /// The endpoints of a container, on all networks.
    pub fn endpoints_of(&self, container: &ContainerId) -> Result<Vec<EndpointRecord>> {
        let mut found = Vec::new();
        for network in entries(&self.folder)? {
            found.extend(self.read(&self.folder.join(network).join("endpoints").join(container))?);
        }
        Ok(found)
    }

    /// Every endpoint of the machine.
    pub fn all_endpoints(&self) -> Result<Vec<EndpointRecord>> {
        self.endpoints_but(|_| false)
    }

    /// Every endpoint of the machine, but for those of the containers that are `known`, whose records are not even read.
    pub fn endpoints_but(&self, known: impl Fn(&ContainerId) -> bool) -> Result<Vec<EndpointRecord>> {
        let mut found = Vec::new();
        for network in entries(&self.folder)? {
            let folder = self.folder.join(network).join("endpoints");
            for container in entries(&folder)?.into_iter().map(ContainerId::from).filter(|id| !known(id)) {
                found.extend(self.read(&folder.join(&container))?);
            }
        }
        Ok(found)
    }

    /// Writes an endpoint. It need not outlive a power cut: the link doesn't either, and fifty of them would wait for the
    /// disk fifty times.
    pub fn put_endpoint(&self, entry: &EndpointRecord) -> Result<()> {
        let path = self.of(&entry.attached.network)?.join("endpoints").join(&entry.container);
        Ok(record::write(&path, entry, Durability::Lazy)?)
    }

    /// Removes an endpoint.
    pub fn remove_endpoint(&self, network: &NetworkName, container: &ContainerId) -> Result<()> {
        let path = self.of(network)?.join("endpoints").join(container);
        gone_is_fine(fs::remove_file(&path)).at("remove", path)
    }

    /// What is to be told of records that were damaged and put aside since the last call.
    pub fn take_damaged(&self) -> Vec<String> {
        std::mem::take(&mut *self.damaged.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn of(&self, name: &NetworkName) -> Result<PathBuf> {
        let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if first && rest { Ok(self.folder.join(name)) } else { Err(NetError::Name(name.clone())) }
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>> {
        match record::read(path) {
            Err(error @ RecordError::Damaged { .. }) => {
                self.damaged.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(error.to_string());
                Ok(None)
            }
            other => Ok(other?),
        }
    }
}

/// The names in a folder, sorted, without those that are put aside or being written.
pub(super) fn entries(folder: &Path) -> Result<Vec<String>> {
    let read = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(vec![]);
        }
        other => other.at("list", folder)?,
    };
    let names = read.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.') && !name.ends_with(".bad")).collect();
    names.sort();
    Ok(names)
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
