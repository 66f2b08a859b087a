//! Links of containers that have ended. They are not waited for: the kernel waits for a grace period under a lock for every
//! deletion of links, however many there are (peers.md, fact 2). So they go with the network that they were on, where that
//! goes too; before the next link is made; or a little later.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::observe::Cache;
use crate::host::net::{Net, NetError};
use crate::name::{ContainerId, NetworkName};

/// So long each waits for another.
const QUIET: Duration = Duration::from_millis(100);
/// But none longer than this.
const LATEST: Duration = Duration::from_secs(1);

/// The containers whose links are to go.
pub struct Detaching {
    shared: Arc<Shared>,
    /// Says that there is one.
    wake: mpsc::UnboundedSender<()>,
}

struct Shared {
    net: Net,
    cache: Arc<Cache>,
    /// With their network namespaces: as one ends, the kernel takes its links away by itself, in a turn of its own that all
    /// others would have to wait for.
    waiting: std::sync::Mutex<BTreeMap<ContainerId, Option<OwnedFd>>>,
    /// Whoever removes links.
    turn: Mutex<()>,
}

impl Detaching {
    /// Starts the task that removes what nobody else has.
    pub fn start(net: Net, cache: Arc<Cache>) -> Self {
        let shared = Arc::new(Shared { net, cache, waiting: Default::default(), turn: Mutex::default() });
        let (wake, mut woken) = mpsc::unbounded_channel();
        let late = shared.clone();
        tokio::spawn(async move {
            while woken.recv().await.is_some() {
                await_quiet(&mut woken).await;
                late.flush().await;
            }
        });
        Self { shared, wake }
    }

    /// The links of a container may go. Its records stay until they have: whoever takes over in between knows of them, and
    /// nobody gets its addresses.
    pub fn add(&self, id: ContainerId, netns: Option<OwnedFd>) {
        let mut waiting = self.shared.lock();
        let known = waiting.entry(id).or_default();
        // A container that is stopped and then removed comes twice.
        *known = known.take().or(netns);
        drop(waiting);
        // The task ends with this.
        let _ = self.wake.send(());
    }

    /// Removes all that waits. What fails goes with the next, or is found again by the next sweep.
    pub async fn flush(&self) {
        self.shared.flush().await;
    }

    /// Removes a network, and all that waits with it.
    ///
    /// # Errors
    /// As [`Net::remove`].
    pub async fn remove_network(&self, name: &NetworkName) -> Result<(), NetError> {
        let _turn = self.shared.turn.lock().await;
        let gone = std::mem::take(&mut *self.shared.lock());
        let ids: Vec<ContainerId> = gone.keys().cloned().collect();
        let result = self.shared.net.remove(name, &ids).await;
        if result.is_err() {
            self.shared.put_back(gone);
        }
        result
    }
}

/// Waits until no more come: a stack that ends takes its network along, and its links with that.
async fn await_quiet(woken: &mut mpsc::UnboundedReceiver<()>) {
    let latest = tokio::time::sleep(LATEST);
    tokio::pin!(latest);
    loop {
        tokio::select! {
            next = woken.recv() => if next.is_none() { return },
            () = tokio::time::sleep(QUIET) => return,
            () = &mut latest => return,
        }
    }
}

impl Shared {
    async fn flush(&self) {
        let _turn = self.turn.lock().await;
        let gone = std::mem::take(&mut *self.lock());
        if gone.is_empty() {
            return;
        }
        let ids: Vec<ContainerId> = gone.keys().cloned().collect();
        if let Err(error) = self.net.detach(&ids).await {
            tracing::warn!(%error, "links of containers were not removed");
            self.put_back(gone);
        }
        self.cache.networks_changed();
    }

    /// They go with whatever goes next.
    fn put_back(&self, gone: BTreeMap<ContainerId, Option<OwnedFd>>) {
        let mut waiting = self.lock();
        for (id, netns) in gone {
            waiting.entry(id).or_insert(netns);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Option<OwnedFd>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
