//! Containers of `run --rm`: when one has ended, it leaves the desired state, and the next plan removes it. The state is
//! recorded first: a container that is declared and missing would be made, and its command run, a second time.

use std::collections::BTreeSet;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::server::Shared;
use crate::desired::edit::{Edit, edit};
use crate::engine::progress::Progress;
use crate::host::clock;
use crate::name::ContainerName;

/// Takes them out of the desired state, for as long as the engine lives.
pub async fn clear(shared: &Shared, mut progress: Receiver<Progress>) {
    loop {
        match progress.recv().await {
            Ok(Progress::Exited { container, .. }) => clear_one(shared, &container).await,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn clear_one(shared: &Shared, name: &ContainerName) {
    // Whoever started it gets its answer first.
    let _lease = shared.lease.lock().await;
    let Some(desired) = shared.engine.desired() else { return };
    if !desired.containers.get(name).is_some_and(|declared| declared.auto_remove) {
        return;
    }
    let wanted = Edit::Remove { services: BTreeSet::new(), only: Some([name.clone()].into()), volumes: true };
    match edit(&desired, &wanted, &clock::now()) {
        Ok(next) => {
            if let Err(error) = shared.hold(next, false) {
                tracing::warn!(%error, container = %name, "it has ended, and is not removed");
            }
        }
        Err(error) => tracing::warn!(%error, container = %name, "it has ended, and is not removed"),
    }
}
