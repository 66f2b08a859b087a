//! Makes a container: its record, its folders, what its new volumes take over from the image. No process, no sandbox.

use std::fs;
use std::os::fd::AsFd;

use super::{Machine, MachineError};
use crate::desired::{ContainerSpec, MountSource};
use crate::host::container::merged;
use crate::host::ledger::container::{self as ledger, Made};
use crate::host::{clock, volume};
use crate::name::ContainerId;

impl Machine {
    pub(super) async fn create(&self, id: &ContainerId, spec: &ContainerSpec) -> Result<(), MachineError> {
        ledger::begin(&self.paths, &self.project, id)?;
        self.check_bind_sources(spec)?;
        let state = self.paths.container(id);
        for folder in ["upper", "work"] {
            let path = state.join(folder);
            fs::create_dir_all(&path).map_err(MachineError::file("make", &path))?;
        }
        self.fill_volumes(spec).await?;
        let made = Made { spec: spec.clone(), hash: spec.hash(), created: clock::now() };
        Ok(ledger::finish(&self.paths, id, &made)?)
    }

    fn check_bind_sources(&self, spec: &ContainerSpec) -> Result<(), MachineError> {
        for mount in &spec.mounts {
            let MountSource::Bind { path, create, .. } = &mount.source else { continue };
            if path.exists() {
                continue;
            }
            if !create {
                return Err(MachineError::NoBindSource { container: spec.name.clone(), path: path.clone() });
            }
            fs::create_dir_all(path).map_err(MachineError::file("make the bind source", path))?;
        }
        Ok(())
    }

    /// New volumes take over what the image has at their target (spec.md 4.4).
    async fn fill_volumes(&self, spec: &ContainerSpec) -> Result<(), MachineError> {
        let mut wanted = Vec::new();
        for mount in &spec.mounts {
            if let MountSource::Volume { name, copy: true, subpath } = &mount.source
                && subpath.is_empty()
            {
                let there = volume::read(&self.paths, name)?;
                let there = there.ok_or_else(|| MachineError::NoVolume(spec.name.clone(), name.clone()))?;
                wanted.push((volume::data(&self.paths, &there)?, mount.target.clone()));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let layers: Vec<_> = spec.image.layers.iter().map(|layer| self.images.layer_path(layer)).collect();
        tokio::task::spawn_blocking(move || {
            let root = merged::mount(&layers).map_err(MachineError::file("mount the layers of", "the image"))?;
            for (folder, target) in wanted {
                volume::copyup::fill(&folder, root.as_fd(), &target)
                    .map_err(MachineError::file("fill the volume", &folder))?;
            }
            Ok(())
        })
        .await?
    }
}
