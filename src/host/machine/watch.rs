//! Hearing of what others do to the networks: it wakes the engine, which looks, and mends by its plan.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::sandbox::Live;
use super::{Machine, MachineError};
use crate::desired::{ContainerSpec, NetMode};
use crate::host::container::protocol::Part;
use crate::host::net::{Event, Net, Redirect};
use crate::name::ProjectName;
use crate::observed::{Loss, Observed};

/// A task that listens, and ends with this.
#[derive(Debug)]
pub struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// Listens to changes of links and rules in the network namespace of the process.
    /// `stale` is set when the name server's table may no longer be true.
    pub fn networks(
        net: &Net,
        project: &ProjectName,
        stale: Arc<AtomicBool>,
        changed: Arc<Notify>,
    ) -> Result<Self, MachineError> {
        let mut events = net.events(project)?;
        Ok(Self(tokio::spawn(async move {
            loop {
                match events.next().await {
                    Ok(event) => {
                        match event {
                            Event::Joined(_) => stale.store(true, Ordering::Release),
                            Event::Link(_) => {
                                tracing::info!(?event, "somebody changed the network");
                                stale.store(true, Ordering::Release);
                            }
                            Event::Rules | Event::Address => tracing::info!(?event, "somebody changed the network"),
                        }
                        changed.notify_one();
                    }
                    Err(error) => {
                        tracing::warn!(%error, "changes of the network are not heard any more");
                        return;
                    }
                }
            }
        })))
    }

    /// Listens to whether a container takes its own way to the name server away.
    fn redirect(mut redirect: Redirect, lost: Arc<AtomicBool>, changed: Arc<Notify>) -> Self {
        Self(tokio::spawn(async move {
            while let Ok(()) = redirect.lost().await {
                lost.store(true, Ordering::Release);
                changed.notify_one();
            }
        }))
    }
}

impl Machine {
    /// Watches the network namespace in which a container may change rules: its own, or another container's.
    pub(super) async fn watch_inside(&self, spec: &ContainerSpec, live: &Arc<Live>) {
        let may = spec.security.privileged || spec.security.capabilities.iter().any(|name| name == "NET_ADMIN");
        let other = match &spec.namespaces.net {
            _ if !may => return,
            NetMode::Bridge => None,
            NetMode::Container(name) => self.live.read().await.values().find(|live| live.spec.name == *name).cloned(),
            NetMode::Host | NetMode::None => return,
        };
        let live = other.as_ref().unwrap_or(live);
        let mut inside = live.inside.lock().await;
        let (false, Some(netns)) = (inside.is_some() || live.spec.endpoints.is_empty(), live.sandbox.get(&Part::Net))
        else {
            return;
        };
        match self.net.watch_redirect(netns.as_fd()) {
            Ok(redirect) => {
                *inside = Some(Watch::redirect(redirect, live.redirect_lost.clone(), self.changed.clone()));
            }
            Err(error) => tracing::warn!(%error, container = %live.spec.name, "its rules are not watched"),
        }
    }

    /// Adds what only this process knows: what containers have taken away inside their network namespaces.
    pub(super) async fn observe_inside(&self, observed: &mut Observed) {
        for (id, live) in self.live.read().await.iter() {
            if live.redirect_lost.load(Ordering::Acquire)
                && let Some(container) = observed.containers.get_mut(id)
            {
                container.lost.insert(Loss::NameServer);
            }
        }
    }
}
