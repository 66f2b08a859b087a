//! Puts back what somebody has taken away from a running container.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::sandbox::Live;
use super::{Machine, MachineError};
use crate::host::container::protocol::Part;
use crate::host::container::record::{PROCESS, is_same};
use crate::host::record::{self, Durability};
use crate::name::{ContainerId, ContainerName};
use crate::observed::{Loss, Observed, ObservedContainer};

impl Machine {
    pub(super) async fn mend(
        &self,
        id: &ContainerId,
        name: &ContainerName,
        lost: &BTreeSet<Loss>,
    ) -> Result<(), MachineError> {
        let live = self.live.read().await.get(id).cloned();
        let Some(live) = live else {
            // Without surroundings it gets new ones with its next start.
            let runs = crate::host::container::record::living(&self.paths.container_run(id)).ok().flatten().is_some();
            return if runs { Err(MachineError::Gone(name.clone())) } else { Ok(()) };
        };
        if lost.contains(&Loss::NameServer) {
            self.redirect_again(&live).await?;
        }
        if lost.iter().any(|loss| matches!(loss, Loss::Link(_))) {
            self.link_again(id, &live).await?;
        }
        if lost.contains(&Loss::Routes) {
            self.routes_again(id, &live).await?;
        }
        // Before they are made anew: what changes after that counts. It is done for all containers at once.
        let outdated = lost.contains(&Loss::Firewall) && self.told.ways_outdated.swap(false, Ordering::AcqRel);
        if lost.contains(&Loss::Ports) || outdated {
            let made = self.net.republish_all(&self.project, &[]).await;
            self.told.ways_outdated.fetch_or(outdated && made.is_err(), Ordering::AcqRel);
            made?;
        }
        Ok(())
    }

    /// Records again the processes whose records are gone, from what their shims told; whether there was any. Of a process that
    /// runs, as was seen, that is looked at once for each generation: a damaged record is moved aside by whoever reads it.
    pub(super) async fn record_processes(&self, generation: u64, observed: &Observed) -> bool {
        let anew = self.recorded.swap(generation, Ordering::AcqRel) != generation;
        let mut any = false;
        for (id, live) in self.live.read().await.iter() {
            let Some(seen) = observed.containers.get(id).map(ObservedContainer::is_running) else { continue };
            let path = self.paths.container_run(id).join(PROCESS);
            let running = live.running.read().await;
            let Some(running) = running.as_ref().filter(|_| !seen || (anew && !path.exists())) else { continue };
            // One that has just ended is about to be told of.
            if !is_same(running.process.pid, running.process.ticks) {
                continue;
            }
            if let Err(error) = record::write(&path, &running.process, Durability::Lazy) {
                tracing::warn!(%error, container = %live.spec.name, "its process is not recorded");
                continue;
            }
            tracing::warn!(container = %live.spec.name, "the record of its process was gone: it is written anew");
            self.cache.changed(id);
            any = true;
        }
        any
    }

    async fn redirect_again(&self, live: &Live) -> Result<(), MachineError> {
        // Before it is put back: what is taken away after that counts.
        live.taken.redirect.store(false, Ordering::Release);
        match live.sandbox.get(&Part::NetfilterNetlink) {
            Some(socket) => Ok(self.net.dns_redirect(socket.as_fd()).await?),
            None => Ok(()),
        }
    }

    async fn routes_again(&self, id: &ContainerId, live: &Live) -> Result<(), MachineError> {
        let Some(netns) = live.sandbox.get(&Part::Net) else { return Ok(()) };
        live.taken.routes.store(false, Ordering::Release);
        let restored = self.net.restore_routes(id, &live.spec.endpoints, netns.as_fd()).await;
        live.taken.routes.fetch_or(restored.is_err(), Ordering::AcqRel);
        Ok(restored?)
    }

    async fn link_again(&self, id: &ContainerId, live: &Live) -> Result<(), MachineError> {
        if let (Some(net), Some(socket)) = (live.sandbox.get(&Part::Net), live.sandbox.get(&Part::RouteNetlink)) {
            self.net.relink(id, &self.project, &live.spec.endpoints, net.as_fd(), socket.as_fd()).await?;
        }
        if live.held.is_empty() {
            return Ok(());
        }
        // What is set for a bridge and its ports went with them.
        Ok(self.net.publish(&self.project, id, &live.held).await?)
    }
}
