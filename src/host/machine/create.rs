//! Makes a container: its record and its folders. No process, no sandbox.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Machine, MachineError};
use crate::desired::{ContainerSpec, MountSource};
use crate::host::clock;
use crate::host::ledger::container::{self as ledger, Made};
use crate::name::ContainerId;

impl Machine {
    pub(super) async fn create(&self, id: &ContainerId, spec: &ContainerSpec) -> Result<(), MachineError> {
        ledger::begin(&self.paths, &self.project, &spec.service, id)?;
        self.check_bind_sources(spec)?;
        let state = self.paths.container(id);
        for folder in ["upper", "work"] {
            let path = state.join(folder);
            fs::create_dir_all(&path).map_err(MachineError::file("make", &path))?;
        }
        mark_as_container(&state.join("upper"))?;
        let made = Made { spec: spec.clone(), hash: spec.hash(), created: clock::now() };
        if spec.oneoff {
            // `run` connects to the container before it is started.
            fs::create_dir_all(self.paths.container_run(id)).map_err(MachineError::file("make", &state))?;
            self.sandbox(id, spec).await?;
        }
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
}

/// The empty file by which programs see that they run in a container, where docker has it.
fn mark_as_container(upper: &Path) -> Result<(), MachineError> {
    let path = upper.join(".dockerenv");
    let made = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o755).open(&path);
    made.map(drop).map_err(MachineError::file("make", &path))
}
