//! Removes a container that does not run.

use super::{Machine, MachineError};
use crate::host::ledger::container as ledger;
use crate::name::ContainerId;

impl Machine {
    pub(super) async fn remove(&self, id: &ContainerId) -> Result<(), MachineError> {
        // Also of one that was half made: a process that a lost supervisor started is nobody's.
        let cgroup = self.layout.existing(id)?;
        cgroup.kill()?;
        self.release(id).await?;
        cgroup.remove()?;
        let (paths, project, gone) = (self.paths.clone(), self.project.clone(), id.clone());
        tokio::task::spawn_blocking(move || ledger::forget(&paths, &project, &gone)).await??;
        self.cache.forget(id);
        Ok(())
    }
}
