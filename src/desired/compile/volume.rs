//! The named volumes of a project.

use serde_json::json;

use super::{Compiler, Problems, label};
use crate::compose::model::Volume;
use crate::desired::hash::digest;
use crate::desired::{ContainerSpec, MountSource, VolumeSpec};
use crate::name::VolumeName;

/// The named volumes that a container uses.
pub fn volumes(compiler: &Compiler<'_>, spec: &ContainerSpec, problems: &mut Problems) -> Vec<VolumeSpec> {
    let mut list = Vec::new();
    for mount in &spec.mounts {
        let MountSource::Volume { name, .. } = &mount.source else { continue };
        let declared = compiler.project.volumes.iter().find(|(_, volume)| volume.name == name.as_str());
        match declared {
            Some((key, volume)) => list.push(declared_volume(compiler, key, volume, problems)),
            // `run -v NAME:/path`; the anonymous ones are made with their mounts.
            None if compiler.run().is_some() => list.push(VolumeSpec {
                name: name.clone(),
                project: Some(compiler.project.name.clone()),
                driver: "local".to_owned(),
                ..VolumeSpec::default()
            }),
            // Another project's, by `volumes_from: container:…`.
            None if is_lent(compiler, name) => {
                list.push(VolumeSpec { name: name.clone(), driver: "local".to_owned(), ..VolumeSpec::default() });
            }
            None => {}
        }
    }
    list
}

fn is_lent(compiler: &Compiler<'_>, name: &VolumeName) -> bool {
    compiler.request.lenders.values().flatten().flatten().any(|mount| super::mount::uses(mount, name))
}

fn declared_volume(compiler: &Compiler<'_>, key: &str, volume: &Volume, problems: &mut Problems) -> VolumeSpec {
    let name = VolumeName::from(volume.name.as_str());
    if volume.external {
        return VolumeSpec { name, key: key.to_owned(), driver: "local".to_owned(), ..VolumeSpec::default() };
    }
    let at = format!("volumes.{key}");
    if let Some(driver) = volume.driver.as_deref().filter(|driver| !matches!(*driver, "" | "local" | "default")) {
        problems.add(format!("{at}.driver"), format!("volume driver `{driver}` is not done yet: only `local` is"));
    }
    for option in volume.driver_opts.keys().filter(|option| !matches!(option.as_str(), "type" | "o" | "device")) {
        let message = format!("volume option `{option}` is unknown: type, o, device");
        problems.add(format!("{at}.driver_opts.{option}"), message);
    }
    let hash = json!({"driver": volume.driver, "options": volume.driver_opts, "labels": volume.labels});
    let hash = digest(b"windlass volume 1\n", &hash);
    VolumeSpec {
        name,
        key: key.to_owned(),
        project: Some(compiler.project.name.clone()),
        driver: "local".to_owned(),
        driver_opts: volume.driver_opts.clone(),
        labels: label::resource(&compiler.project.name, "volume", key, &volume.labels, &hash),
        anonymous: false,
    }
}
