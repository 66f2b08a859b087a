//! Takes over what a former supervisor left: the shims that live, with their namespaces and ports. Start-up and recovery
//! are the same code.

use super::{Machine, MachineError};
use crate::host::container::record;
use crate::host::ledger::{container as ledger, project};
use crate::host::net::Held;
use crate::name::ContainerId;

impl Machine {
    /// Takes over every container of the project whose shim lives, and puts the rules of the kernel in order.
    ///
    /// # Errors
    /// When the rules can't be put in order. A single container that can't be taken over is treated as lost.
    pub async fn adopt(&self) -> Result<(), MachineError> {
        let ids = project::containers(&self.paths, &self.project);
        for id in &ids {
            let Ok(Some(made)) = ledger::made(&self.paths, id) else { continue };
            if !self.paths.container_run(id).join("shim.sock").exists() {
                continue;
            }
            if let Err(error) = self.adopt_sandbox(id, &made.spec).await {
                tracing::warn!(%error, container = %made.spec.name, "its shim is lost: it is ended");
                self.end_lost(id)?;
            }
        }
        if !ids.is_empty() {
            self.net.republish_all(&self.project, &self.held().await?).await?;
            self.refresh_names().await;
        }
        Ok(())
    }

    /// The ports that are held, for the rules and the relay: duplicates, since the originals stay with their containers.
    async fn held(&self) -> Result<Vec<(ContainerId, Vec<Held>)>, MachineError> {
        let mut all = Vec::new();
        for (id, live) in self.live.read().await.iter() {
            let mut copies = Vec::new();
            for held in &live.held {
                let sockets = held.listeners.iter().map(|listener| listener.socket.try_clone());
                let sockets =
                    sockets.collect::<Result<_, _>>().map_err(MachineError::file("keep", "a port's socket"))?;
                copies.push(Held::adopt(held.spec.clone(), sockets)?);
            }
            all.push((id.clone(), copies));
        }
        Ok(all)
    }

    /// Nothing of a container may go on whose shim is lost: nobody reads its pipes or waits for it (kernel.md 3).
    fn end_lost(&self, id: &ContainerId) -> Result<(), MachineError> {
        let lives = record::living(&self.paths.container_run(id)).ok().flatten().is_some();
        if lives {
            self.layout.existing(id)?.kill()?;
        }
        Ok(())
    }
}
