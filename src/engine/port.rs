//! What the engine needs of the world: a machine that can be looked at and acted on, and a clock.
//!
//! The real machine is `host::Machine`; the one in memory, for tests, is `engine::fake`.

use std::future::Future;
use std::time::Duration;

use crate::desired::{Desired, HealthSpec, Stamp};
use crate::name::ContainerId;
use crate::observed::{Exit, Health, Observed};
use crate::plan::Action;

/// A machine.
pub trait Host: Send + Sync + 'static {
    /// Reads what exists of the project and of what `desired` names.
    ///
    /// # Errors
    /// When the ledger or the kernel can't be read at all; a single bad record is quarantined and told as an event.
    fn observe(&self, desired: &Desired) -> impl Future<Output = Result<Observed, HostError>> + Send;

    /// Does one thing. Idempotent: what is already so is no error. What was asked for along with it and can't be had on
    /// this machine is returned, a sentence each, to be told.
    ///
    /// # Errors
    /// When it could not be done; whatever was half done is undone, or found by the next `observe`.
    fn apply(&self, action: &Action) -> impl Future<Output = Result<Vec<String>, HostError>> + Send;

    /// How the last process of a container has ended, as it is recorded; `None`: it has not, or nothing is known of it.
    fn ended(&self, id: &ContainerId) -> impl Future<Output = Option<Exit>> + Send;

    /// Runs one health probe to its end or time-out, and kills all that it left; also when the future is dropped before.
    fn probe(&self, id: &ContainerId, spec: &HealthSpec) -> impl Future<Output = ProbeResult> + Send;

    /// A container's health as it was recorded last, by this supervisor or an earlier one; `None`: never, or unreadable.
    fn health(&self, id: &ContainerId) -> impl Future<Output = Option<HealthRecord>> + Send;

    /// Records a container's health, so that every reader and the next supervisor see it.
    ///
    /// # Errors
    /// When the record can't be written.
    fn record_health(
        &self,
        id: &ContainerId,
        record: &HealthRecord,
    ) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Waits for something to have changed: a process ended, a link went away. Events that came before the call count.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

/// A clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Stamp;
    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// Why the host could not do a thing: the operation and the object, then the cause.
#[derive(Debug, Clone, thiserror::Error, serde::Serialize, serde::Deserialize, PartialEq, Eq)]
#[error("{message}")]
pub struct HostError {
    /// What failed on what, why, what to do; a sentence a line.
    pub message: String,
    /// Trying again by itself may help (a registry that did not answer); a missing file does not.
    pub transient: bool,
    /// What the container's end would have been: 125, 126, 127 (`docker run`'s codes), if this was a start.
    pub code: Option<i32>,
}

/// How a probe went.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProbeResult {
    /// Exit code of the probe; -1 where it timed out or could not run.
    pub code: i32,
    /// The first 4 KiB of what it printed.
    pub output: String,
}

/// A container's health as it is recorded.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct HealthRecord {
    /// The verdict.
    pub health: Health,
    /// Failures in a row that count.
    pub failing: u32,
    /// The last probe, if one has ended.
    pub last: Option<ProbeResult>,
    /// When that ended.
    pub at: Option<Stamp>,
    /// When the last probe at one of the file's own times ended.
    #[serde(default)]
    pub regular: Option<Stamp>,
    /// So many probes were made between those times.
    #[serde(default)]
    pub early: u32,
    /// When the process that it speaks of was started; a record of an earlier process does not count.
    pub started: Option<Stamp>,
}
