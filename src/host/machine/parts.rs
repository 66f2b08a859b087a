//! Where the parts of a container are on this machine.

use std::collections::BTreeMap;

use super::MachineError;
use crate::desired::{ContainerSpec, MountSource};
use crate::host::container::Resolved;
use crate::host::image::Store;
use crate::host::paths::Paths;
use crate::host::volume;
use crate::name::{ContainerId, Digest};

/// The folders, layers and volumes of a container: all that its root is put together from.
///
/// # Errors
/// A volume that is not there; records that can't be read.
pub fn of(paths: &Paths, images: &Store, id: &ContainerId, spec: &ContainerSpec) -> Result<Resolved, MachineError> {
    let layers = |layers: &[Digest]| layers.iter().map(|layer| images.layer_path(layer)).collect::<Vec<_>>();
    let (mut volumes, mut mounted) = (BTreeMap::new(), BTreeMap::new());
    for mount in &spec.mounts {
        match &mount.source {
            MountSource::Volume { name, .. } => {
                let there = volume::read(paths, name)?;
                let there = there.ok_or_else(|| MachineError::NoVolume(spec.name.clone(), name.clone()))?;
                volumes.insert(name.clone(), volume::data(paths, &there)?);
            }
            MountSource::Image { image, .. } => {
                mounted.insert(image.id.clone(), layers(&image.layers));
            }
            MountSource::Bind { .. } | MountSource::Tmpfs { .. } => {}
        }
    }
    Ok(Resolved {
        state: paths.container(id),
        run: paths.container_run(id),
        layers: layers(&spec.image.layers),
        // What `run` makes is removed when it ends: nothing of it has to reach the disk.
        volatile: spec.oneoff,
        volumes,
        images: mounted,
        ..Resolved::default()
    })
}
