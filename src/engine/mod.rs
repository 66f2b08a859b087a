//! The loop: observe, plan, execute, await; then again.
//!
//! | file | what |
//! | --- | --- |
//! | [`port`] | what the engine needs of the world |
//! | `reconcile` | the loop |
//! | `round` | the execution of one plan |
//! | `failure` | what failed, and when it is tried again |
//! | [`health`], `probe` | when to probe, and the probes |
//! | [`progress`] | what it tells |
//! | [`fake`] | a machine in memory, for tests |

mod failure;
#[cfg(test)]
pub mod fake;
pub mod health;
pub mod port;
mod probe;
pub mod progress;
mod reconcile;
mod round;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{Notify, broadcast, watch};

use crate::desired::Desired;
use port::{Clock, Host};
use progress::Progress;

/// How the engine works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// So many steps at a time.
    pub parallel: usize,
}

impl Default for Settings {
    fn default() -> Self {
        // Steps wait for the kernel and for processes more than they compute.
        Self { parallel: 128 }
    }
}

/// Holds a desired state on a host. One task runs it ([`Engine::run`]); others set what is desired and listen.
pub struct Engine<H, C> {
    host: Arc<H>,
    clock: Arc<C>,
    settings: Settings,
    desired: watch::Sender<Option<Arc<Desired>>>,
    progress: broadcast::Sender<Progress>,
    /// A container's health has changed.
    verdict: Arc<Notify>,
}

impl<H: Host, C: Clock> Engine<H, C> {
    /// An engine that desires nothing yet.
    pub fn new(host: Arc<H>, clock: Arc<C>, settings: Settings) -> Self {
        let (desired, _) = watch::channel(None);
        // A listener that is slower than this loses the oldest; the room is taken from the start.
        let (progress, _) = broadcast::channel(2 << 10);
        Self { host, clock, settings, desired, progress, verdict: Arc::new(Notify::new()) }
    }

    /// Holds another state from now on.
    pub fn set_desired(&self, desired: Desired) {
        self.desired.send_replace(Some(Arc::new(desired)));
    }

    /// What is held.
    pub fn desired(&self) -> Option<Arc<Desired>> {
        self.desired.borrow().clone()
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The loop. It never ends; drop it to stop. Steps that are under way are then cut short, and found by the next.
    pub async fn run(&self) {
        reconcile::Loop::new(self).run().await;
    }

    /// Tells whoever listens.
    pub fn tell(&self, progress: Progress) {
        // Nobody listens: that is no error.
        let _ = self.progress.send(progress);
    }
}
