//! Takes over what a former supervisor left: the shims that live, with their namespaces and ports. Start-up and recovery
//! are the same code.

use std::sync::atomic::Ordering;

use super::stop::KILLED;
use super::{Machine, MachineError, observe};
use crate::desired::Stamp;
use crate::host::clock;
use crate::host::container::exec;
use crate::host::container::record::{EXIT, ExitRecord, PROCESS, ProcessRecord, wait_for_end};
use crate::host::ledger::{container as ledger, project};
use crate::host::net::Held;
use crate::host::record::{self, Durability};
use crate::name::ContainerId;

impl Machine {
    /// Takes over every container of the project whose shim lives, and puts the rules of the kernel in order.
    ///
    /// # Errors
    /// When the rules can't be put in order. A single container that can't be taken over is treated as lost.
    pub async fn adopt(&self) -> Result<(), MachineError> {
        let ids = project::containers(&self.paths, &self.project)?;
        let applied = project::desired(&self.paths, &self.project)?.map(|desired| desired.applied);
        let applied = Some(applied.unwrap_or_default());
        for id in &ids {
            let Ok(Some(made)) = ledger::made(&self.paths, id) else { continue };
            if !self.paths.shim_socket(id).exists() {
                continue;
            }
            if let Ok(cgroup) = self.layout.existing(id) {
                exec::sweep(&cgroup).await;
            }
            if let Err(error) = self.adopt_sandbox(id, &made.spec).await {
                tracing::warn!(%error, container = %made.spec.name, "its shim is lost: it is ended");
                self.end_lost(id, applied.as_ref()).await?;
            }
        }
        if !ids.is_empty() {
            self.net.republish_all(&self.project, &self.held().await?).await?;
            self.refresh_names().await;
        }
        let lives: Vec<_> = self.live.read().await.iter().map(|(id, live)| (id.clone(), live.clone())).collect();
        for (id, live) in lives {
            // Only now that all names are known: what was asked meanwhile has waited in the sockets.
            if let Err(error) = self.answer(&id, &live.spec, &live.sandbox) {
                tracing::warn!(%error, container = %live.spec.name, "its questions for names are not answered");
            }
            self.watch_inside(&live.spec, &live).await;
        }
        self.sweep();
        Ok(())
    }

    /// Takes away what a crash or a kill has left of networks, beside the work that waits: nothing of it is in the way.
    fn sweep(&self) {
        let (net, paths) = (self.net.clone(), self.paths.clone());
        let known = move || project::every_container(&paths).map_err(std::io::Error::other);
        let paths = self.paths.clone();
        tokio::task::spawn_blocking(move || match ledger::sweep(&paths) {
            Ok(removed) => {
                removed.iter().for_each(|id| tracing::info!(id = id.short(), "its folder was left: removed"))
            }
            Err(error) => tracing::warn!(%error, "folders that nobody claims were not removed"),
        });
        tokio::spawn(async move {
            match net.sweep(known).await {
                Ok(removed) => removed.iter().for_each(|what| tracing::info!(what, "nobody claimed it: removed")),
                Err(error) => tracing::warn!(%error, "what nobody claims was not removed"),
            }
        });
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

    /// Takes off their networks whoever has left them, before this process ends.
    pub async fn detach_all(&self) {
        self.detaching.flush().await;
    }

    /// Kills the probes that are under way: their results would be nobody's.
    pub async fn end_probes(&self) {
        let ids: Vec<ContainerId> = self.live.read().await.keys().cloned().collect();
        for id in ids {
            if let Ok(cgroup) = self.layout.existing(&id) {
                exec::sweep(&cgroup).await;
            }
        }
    }

    /// Ends the containers whose shims were killed since the last look.
    pub(super) async fn end_lost_shims(&self) {
        let lives = self.live.read().await;
        let lost = lives.iter().filter(|(_, live)| live.over.load(Ordering::Acquire));
        let lost: Vec<_> = lost.map(|(id, live)| (id.clone(), live.spec.name.clone())).collect();
        drop(lives);
        for (id, container) in lost {
            tracing::warn!(%container, "its shim is lost: it is ended");
            if let Err(error) = self.end_lost(&id, None).await {
                tracing::warn!(%error, %container, "a container whose shim is lost was not ended");
            }
        }
    }

    /// Nothing of a container may go on whose shim is lost: nobody reads its pipes or waits for it (kernel.md 3). When that
    /// was is only known of those that are `found` so at the start: after that state was applied, and before the next one.
    async fn end_lost(&self, id: &ContainerId, found: Option<&Stamp>) -> Result<(), MachineError> {
        let (run, state) = (self.paths.container_run(id), self.paths.container(id));
        self.layout.existing(id)?.kill()?;
        let process: Option<ProcessRecord> = record::read(&run.join(PROCESS)).ok().flatten();
        if let Some(process) = process {
            wait_for_end(process.pid, process.ticks, KILLED).await;
            if let Some(driver) = process.runtime {
                // What it has beside the group's processes, a virtual machine for example, is known to nobody else.
                tokio::task::spawn_blocking(move || driver.delete()).await?;
            }
            let at = match found {
                Some(applied) if process.started.is_before(applied) => applied.clone(),
                Some(_) => process.started.clone(),
                None => clock::now(),
            };
            let exit = observe::lost(observe::LOST, &at);
            let end = ExitRecord { exit, started: Some(process.started) };
            record::write(&run.join(EXIT), &end, Durability::Lazy)?;
            record::write(&state.join(EXIT), &end, Durability::Lazy)?;
            let path = run.join(PROCESS);
            std::fs::remove_file(&path).map_err(MachineError::file("remove", path))?;
        }
        self.release(id).await
    }
}
