//! Stops, freezes and thaws a container's processes.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::sandbox::Live;
use super::{Machine, MachineError};
use crate::host::paths::Paths;
use crate::name::{ContainerId, ContainerName};

/// After a kill the kernel ends a process at once, unless it waits for a device.
pub(super) const KILLED: Duration = Duration::from_secs(10);

/// The mark of a container whose processes are frozen.
pub fn paused_mark(paths: &Paths, id: &ContainerId) -> PathBuf {
    paths.container_run(id).join("paused")
}

/// The mark of a container that a plan stopped.
pub fn stopped_mark(paths: &Paths, id: &ContainerId) -> PathBuf {
    paths.container_run(id).join("stopped")
}

/// A new process is neither frozen nor stopped.
pub fn clear_marks(paths: &Paths, id: &ContainerId) {
    for mark in [paused_mark(paths, id), stopped_mark(paths, id)] {
        // Most often there is none.
        let _ = fs::remove_file(mark);
    }
}

/// The end of a process is a step's doing, for as long as this lives.
struct Ending(Arc<Live>);

impl Ending {
    fn begin(live: Arc<Live>) -> Self {
        live.ending.fetch_add(1, Ordering::AcqRel);
        Self(live)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ending.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Machine {
    /// Signals the first process, waits, kills what is left; then the sandbox goes too. What is to be told is returned.
    pub(super) async fn stop(
        &self,
        id: &ContainerId,
        name: &ContainerName,
        signal: i32,
        grace: Duration,
    ) -> Result<Vec<String>, MachineError> {
        let live = self.live.read().await.get(id).cloned();
        let _ending = live.map(Ending::begin);
        // A full disk must not keep anything running.
        let unmarked = fs::write(stopped_mark(&self.paths, id), b"").err().map(|error| {
            format!("that its end was asked for can't be recorded ({error}): `windlass start` starts it, if it does not come back")
        });
        self.end_process(id, name, signal, grace).await?;
        self.release(id).await?;
        Ok(unmarked.into_iter().collect())
    }

    async fn end_process(
        &self,
        id: &ContainerId,
        name: &ContainerName,
        signal: i32,
        grace: Duration,
    ) -> Result<(), MachineError> {
        let cgroup = self.layout.existing(id)?;
        let live = self.live.read().await.get(id).cloned();
        let Some(live) = live else {
            // Its shim is lost: nobody waits for it any more, and nothing of it may go on.
            return Ok(cgroup.kill()?);
        };
        let mut ends = live.ends.subscribe();
        let before = *ends.borrow_and_update();
        if live.running.read().await.is_none() {
            return Ok(());
        }
        let mut paused = paused_mark(&self.paths, id).exists();
        if signal != libc::SIGKILL && grace > Duration::ZERO {
            // A process that has just ended can't be signalled; its end is then on its way.
            let _ = live.shim.signal(signal).await;
            if std::mem::take(&mut paused) {
                self.thaw(id, &live).await?;
            }
            let ended = tokio::time::timeout(grace, ends.wait_for(|ends| *ends > before)).await.is_ok();
            if ended && !live.over.load(Ordering::Acquire) {
                return Ok(());
            }
        }
        if paused && live.spec.runtime.is_some() {
            // A runtime may have frozen it by a v1 group, in which even a killed process stands still.
            self.thaw(id, &live).await?;
        }
        cgroup.kill()?;
        let killed = tokio::time::timeout(KILLED, ends.wait_for(|ends| *ends > before)).await;
        killed.map(|_| ()).map_err(|_| MachineError::Stuck(name.clone()))
    }

    pub(super) async fn pause(&self, id: &ContainerId) -> Result<(), MachineError> {
        match self.live.read().await.get(id).filter(|live| live.spec.runtime.is_some()).cloned() {
            Some(live) => live.shim.pause().await?,
            None => self.layout.existing(id)?.freeze()?,
        }
        let mark = paused_mark(&self.paths, id);
        fs::write(&mark, b"").map_err(MachineError::file("write", mark))
    }

    async fn thaw(&self, id: &ContainerId, live: &Live) -> Result<(), MachineError> {
        match live.spec.runtime {
            Some(_) => Ok(live.shim.resume().await?),
            None => Ok(self.layout.existing(id)?.thaw()?),
        }
    }

    pub(super) async fn unpause(&self, id: &ContainerId) -> Result<(), MachineError> {
        match self.live.read().await.get(id).cloned() {
            Some(live) => self.thaw(id, &live).await?,
            None => self.layout.existing(id)?.thaw()?,
        }
        let mark = paused_mark(&self.paths, id);
        fs::remove_file(&mark).map_err(MachineError::file("remove", mark))
    }
}
