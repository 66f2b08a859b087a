//! The record of what is held. What only takes away goes on where that can't be written, or nobody could make room on a full
//! disk: it is then recorded in memory (the run folder), and on the disk as soon as that can be done.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use super::server::Shared;
use crate::desired::Desired;
use crate::engine::progress::Progress;
use crate::host::ledger::{LedgerError, project};
use crate::host::machine::with_causes;
use crate::host::paths::Paths;
use crate::name::ProjectName;

/// Between two attempts to record what is held, where nothing happens meanwhile.
const AGAIN: Duration = Duration::from_secs(5);

/// Where what is held is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// On the disk.
    Recorded,
    /// In the run folder, until the machine is started anew.
    Aside,
    /// Nowhere but in this process.
    Here,
}

/// The record of what is held.
#[derive(Debug)]
pub struct Intent(Mutex<Kept>);

impl Intent {
    /// As a supervisor finds it.
    pub fn found(paths: &Paths, project: &ProjectName) -> Self {
        let aside = project::is_aside(paths, project);
        Self(Mutex::new(if aside { Kept::Aside } else { Kept::Recorded }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That what is held is not recorded on the disk, and what follows.
#[derive(Debug, thiserror::Error)]
#[error(
    "what was asked for can't be recorded: {}; it is as soon as that can be done. If {} before, what was recorded last counts \
     again, and brings back what was stopped or removed since", with_causes(.error), self.end()
)]
pub struct Unrecorded {
    error: LedgerError,
    kept: Kept,
}

impl Unrecorded {
    /// Whether the end of this process is enough to lose it.
    pub fn is_nowhere(&self) -> bool {
        self.kept == Kept::Here
    }

    fn end(&self) -> &'static str {
        if self.is_nowhere() { "the supervisor ends" } else { "the machine is restarted" }
    }
}

impl Shared {
    /// Records a state, and holds it from now on; one that only takes away also where it can't be recorded.
    ///
    /// # Errors
    /// When it can't be recorded; the one before is held as it was.
    pub fn hold(&self, desired: Desired, takes_away: bool) -> Result<(), LedgerError> {
        let mut kept = self.intent.lock();
        match project::set_desired(&self.paths, &desired) {
            Ok(()) => *kept = Kept::Recorded,
            Err(error) if takes_away => {
                tracing::warn!(error = with_causes(&error), "what is asked for is not recorded, and done all the same");
                let aside = project::set_desired_aside(&self.paths, &desired);
                *kept = if aside.is_ok() { Kept::Aside } else { Kept::Here };
            }
            Err(error) => return Err(error),
        }
        self.engine.set_desired(desired);
        Ok(())
    }

    /// Records what is held, where it is not.
    ///
    /// # Errors
    /// When that still can't be done.
    pub fn catch_up(&self) -> Result<(), Unrecorded> {
        let mut kept = self.intent.lock();
        if *kept != Kept::Recorded
            && let Some(desired) = self.engine.desired()
        {
            project::set_desired(&self.paths, &desired).map_err(|error| Unrecorded { error, kept: *kept })?;
            tracing::info!("what was asked for is recorded now");
        }
        *kept = Kept::Recorded;
        Ok(())
    }
}

/// Records what is held as soon as that can be done: whatever was removed may have made room, and so may anybody else.
pub async fn keep_up(shared: &Shared) {
    let mut progress = shared.engine.subscribe();
    loop {
        let behind = *shared.intent.lock() != Kept::Recorded;
        tokio::select! {
            told = progress.recv() => match told {
                Ok(Progress::Done { .. } | Progress::Settled(_)) | Err(RecvError::Lagged(_)) => {}
                Ok(_) => continue,
                Err(RecvError::Closed) => std::future::pending().await,
            },
            () = tokio::time::sleep(AGAIN), if behind => {}
        }
        // Whoever asked for it is told that it can't.
        let _ = shared.catch_up();
    }
}
