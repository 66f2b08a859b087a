//! Images, volumes and logins of this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::super::super::error::CliError;
use super::super::{LoginResult, Pruned, StoredImage, StoredVolume};
use super::{Real, failed};
use crate::host::image::{self, KeptIn, Quiet, Removal, Watcher};
use crate::host::ledger::{container, project};
use crate::host::record::RecordError;
use crate::host::volume;
use crate::name::{ContainerName, Digest, VolumeName};

/// The registry that is meant where none is named.
const HUB: &str = "docker.io";

impl Real {
    /// What every container of this world is made of, before something is removed. A damaged one is made anew, of what is
    /// declared; of one that can't be read nobody knows what it uses.
    fn containers(&self) -> Result<Vec<container::Made>, CliError> {
        self.containers_but(|error| matches!(error, RecordError::Damaged { .. }))
    }

    /// The same without those whose records can't be read, for lists.
    fn known_containers(&self) -> Result<Vec<container::Made>, CliError> {
        self.containers_but(RecordError::is_of_record)
    }

    fn containers_but(&self, left_out: impl Fn(&RecordError) -> bool) -> Result<Vec<container::Made>, CliError> {
        let mut all = Vec::new();
        for id in project::every_container(&self.paths).map_err(|e| failed(&e))? {
            match container::made(&self.paths, &id) {
                Err(error) if left_out(&error) => {}
                other => all.extend(other.map_err(|e| failed(&e))?),
            }
        }
        Ok(all)
    }

    fn used_images(&self) -> Result<BTreeSet<Digest>, CliError> {
        Ok(self.containers()?.into_iter().map(|made| made.spec.image.id).collect())
    }

    pub(super) fn list_images(&self) -> Result<Vec<StoredImage>, CliError> {
        let store = self.images()?;
        Ok(store
            .list()
            .into_iter()
            .map(|image| StoredImage {
                id: image.id,
                names: image.names,
                digest: Some(image.manifest),
                size: image.size,
                created: image.created.as_deref().and_then(nanos),
                platform: image.platform,
            })
            .collect())
    }

    pub(super) fn remove_image(&self, name: &str, force: bool) -> Result<Vec<String>, CliError> {
        let removed = self.images()?.remove(name, &self.used_images()?, force).map_err(|e| failed(&e))?;
        let untagged = removed.untagged.iter().map(|name| format!("Untagged: {name}"));
        let deleted = removed.deleted.iter().map(|id| format!("Deleted: {id}"));
        Ok(untagged.chain(deleted).collect())
    }

    pub(super) fn prune_images(&self, all: bool) -> Result<Pruned, CliError> {
        let what = if all { Removal::Unused } else { Removal::Nameless };
        let removed = self.images()?.prune(what, &self.used_images()?).map_err(|e| failed(&e))?;
        let ids = removed.deleted.iter().map(ToString::to_string);
        Ok(Pruned { removed: removed.untagged.into_iter().chain(ids).collect(), bytes: removed.bytes })
    }

    pub(super) async fn load_archive(&self, archive: &Path, name: Option<&str>) -> Result<Vec<String>, CliError> {
        let file = std::fs::File::open(archive)
            .map_err(|e| CliError::failed(format!("can't open {}: {e}", archive.display())))?;
        let quiet: Watcher = Arc::new(Quiet);
        let loaded = self.images()?.load(file, name, &quiet).await.map_err(|e| failed(&e))?;
        Ok(loaded.into_iter().map(|image| image.spec.name).collect())
    }

    /// Removes a volume that no container has, be it one that is stopped.
    pub(super) fn remove_volume(&self, name: &VolumeName) -> Result<(), CliError> {
        let users = users(&self.containers()?, name);
        if !users.is_empty() {
            let users: Vec<&str> = users.iter().map(ContainerName::as_str).collect();
            return Err(CliError::failed(format!(
                "volume {name} is in use by {}; `windlass down` or `windlass rm` removes its containers first",
                users.join(", ")
            )));
        }
        if volume::remove(&self.paths, name).map_err(|e| failed(&e))? {
            return Ok(());
        }
        Err(CliError::with_help(format!("no such volume: {name}"), "`windlass volume ls` lists those that exist"))
    }

    pub(super) fn list_volumes(&self) -> Result<Vec<StoredVolume>, CliError> {
        let containers = self.known_containers()?;
        Ok(volume::list(&self.paths)
            .into_iter()
            .map(|spec| StoredVolume {
                created: created(&self.paths.volume(&spec.name)),
                mountpoint: self.paths.volume(&spec.name).join("_data"),
                users: users(&containers, &spec.name).into_iter().map(|name| name.to_string()).collect(),
                spec,
            })
            .collect())
    }
}

/// Who has a volume mounted.
fn users(containers: &[container::Made], volume: &VolumeName) -> BTreeSet<ContainerName> {
    let mounts = |made: &&container::Made| made.spec.mounts.iter().any(|mount| mount.is_of(volume));
    containers.iter().filter(mounts).map(|made| made.spec.name.clone()).collect()
}

/// When a folder's record was written.
fn created(folder: &Path) -> Option<u64> {
    let time = std::fs::metadata(folder.join("volume.json")).ok()?.modified().ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// RFC 3339 → nanoseconds since 1970.
fn nanos(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

/// Keeps a login, after the registry has accepted it.
pub async fn login(registry: Option<&str>, user: &str, password: &str) -> Result<LoginResult, CliError> {
    let (registry, password) = (registry.unwrap_or(HUB), image::Secret::new(password));
    let kept = image::login(&image::Settings::from_env(), registry, user, password).await.map_err(|e| failed(&e))?;
    let (kept, clear) = match kept {
        KeptIn::File(path) => (path.display().to_string(), true),
        KeptIn::Helper(name) => (name, false),
    };
    Ok(LoginResult { registry: registry.to_owned(), kept, clear })
}

/// Forgets a login.
pub async fn logout(registry: Option<&str>) -> Result<bool, CliError> {
    image::logout(&image::Settings::from_env(), registry.unwrap_or(HUB)).await.map_err(|e| failed(&e))
}
